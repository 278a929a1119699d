"""Does the agent learn? PPO on markets whose best policy is known, trained and examined.

Every training, of one case and one seed, is a unit of work: an interrupted proof goes on, and one that
is repeated only reads.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
from rich.console import Console

from foretrade.agents.ppo_config import PPOConfig
from foretrade.envs.episodes import Episodes
from foretrade.envs.known import known_env
from foretrade.envs.market import MarketEnv
from foretrade.forecasters.rolling import cache_folder
from foretrade.markets.arrays import Floats
from foretrade.markets.known.bounded import BoundedMarket
from foretrade.markets.known.market import KnownMarket, Policy
from foretrade.markets.known.null import NullMarket
from foretrade.markets.known.quadratic import QuadraticMarket
from foretrade.markets.known.regimes import RegimeMarket
from foretrade.measuring import measured
from foretrade.proof_exam import Exam, Played, actions_of
from foretrade.storage import file_hash

PROOF = PPOConfig(steps=4_000_000, checkpoints=1)
"""The defaults, for longer, and the last policy: a choice by noisy returns would be one by luck."""

TRAINING_BARS, VALIDATION_BARS = 1_500_000, 500
ACCOUNTS = 100  # of the exam
SIGNALS = tuple(np.linspace(-3.0, 3.0, 61).round(3).tolist())  # of the curves
LARGEST_EXPOSURE, LARGEST_TURNOVER = 0.1, 0.02  # where nothing can be earned


KnownAnswer: TypeAlias = QuadraticMarket | BoundedMarket | RegimeMarket | NullMarket


@dataclass(frozen=True)
class Case:
    """What is to be learned.

    Args:
        key, label: Its name, short and in words.
        market: What bars are drawn from.
        discrete: Whether positions are short, out or long; otherwise all between are allowed.
        bar: Least share of what the best policy realises; 0 where nothing can be earned, and position
            and turnover must be small instead.
        steps: Of the training.
        held: Current positions of the curves, as shares of the largest.
    """

    key: str
    label: str
    market: KnownAnswer
    discrete: bool
    bar: float
    steps: int = PROOF.steps
    held: tuple[float, ...] = (-1.0, 0.0, 1.0)

    @property
    def config(self) -> PPOConfig:
        """Of the training."""
        return replace(PROOF, steps=self.steps)

    def rules(self) -> dict[str, Policy]:
        """What one would do without learning."""
        if isinstance(self.market, QuadraticMarket):
            return _quadratic_rules(self.market)
        return {
            "sign": lambda held, signals: np.sign(signals[:, 0]),
            "long": lambda held, signals: np.ones_like(held),
        }


def _quadratic_rules(market: QuadraticMarket) -> dict[str, Policy]:
    """To hold what would be best were trading free; what is best for the next bar alone."""
    variance, std = market.noise_std**2, np.array(market.signal_std)
    risk, cost = market.risk_aversion * variance, market.cost * variance

    def expected(signals: Floats) -> Floats:
        return np.asarray(signals @ (std * np.array(market.loading)))

    return {
        "Markowitz": lambda held, signals: expected(signals) / risk,
        "myopic": lambda held, signals: (expected(signals) + cost * held) / (risk + cost),
    }


ONE, TWO = QuadraticMarket(), QuadraticMarket((0.5, 0.02), (1.0, 1.0), (0.001, 0.001))
PART = (-0.25, 0.0, 0.25)  # where nearly all positions of market A are
LEAK = BoundedMarket(persistence=0.0, noise_std=0.0, cost=0.0005)
CASES = (
    Case("A1", "one signal, quadratic cost", ONE, False, 0.99, 16_000_000, PART),
    Case("A2", "two signals, quadratic cost", TWO, False, 0.99, 16_000_000, PART),
    Case("B", "proportional cost", BoundedMarket(), True, 0.97),
    Case("B weight", "proportional cost", BoundedMarket(), False, 0.95, 8_000_000),
    Case("C", "two regimes", RegimeMarket(), True, 0.98, 12_000_000),
    Case("H", "leaked future", LEAK, True, 0.99),
    Case("G", "nothing to learn", NullMarket(), True, 0.0),
)
SEEDS = (0, 1, 2, 3, 4)
QUICK_BARS = {"A1": 0.95, "B": 0.9, "H": 0.95, "G": 0.0}
QUICK_CASES = tuple(
    replace(case, bar=QUICK_BARS[case.key], steps=1_000_000) for case in CASES if case.key in QUICK_BARS
)
QUICK_SEEDS = SEEDS[:3]


@dataclass(frozen=True)
class Outcome:
    """What came of one training.

    Args:
        seed: Of the training; its markets are drawn from others made of it.
        optimum: What the best policy earns a bar by the formula.
        learned, oracle: What the trained and the best policy earned on the same fresh bars.
        rules: What each simple rule earned a bar there.
        curves: Positions by current position and signal: learned, and best.
        cpu_seconds, wall_seconds: Of the training.
    """

    seed: int
    optimum: float
    learned: Played
    oracle: Played
    rules: dict[str, float]
    curves: dict[str, list[list[float]]] = field(repr=False)
    cpu_seconds: float
    wall_seconds: float

    @property
    def share(self) -> float:
        """Of what the best policy realised; 0 where that is nothing."""
        return self.learned.reward / self.oracle.reward if self.oracle.reward else 0.0

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Outcome:
        """From what ``asdict`` has made of one."""
        played = {name: Played(**stored[name]) for name in ("learned", "oracle")}
        return cls(**(stored | played))


@dataclass(frozen=True)
class Training:
    """A unit of work."""

    case: Case
    seed: int


Results: TypeAlias = list[tuple[Case, list[Outcome]]]


def prove(
    cases: Sequence[Case],
    seeds: Sequence[int],
    *,
    workers: int,
    console: Console,
    folder: Path | None = None,
) -> Results:
    """Train and examine every case with every seed, in processes; goes on where it was interrupted.

    Args:
        folder: Keeps what is finished; default: in the cache of forecasts.
    """
    exam = file_hash(Path(inspect.getfile(Exam)))
    found = measured(
        examine,
        [Training(case, seed) for case in cases for seed in seeds],
        title="prove",
        depends_on=("markets", "markets/known", "envs", "agents"),
        settings=f"{exam} {PROOF} {TRAINING_BARS} {VALIDATION_BARS} {ACCOUNTS}",
        folder=folder or cache_folder() / "proof",
        workers=workers,
        console=console,
    )
    outcomes = [Outcome.of(values) for values in found]
    count = len(seeds)
    return [(case, outcomes[k * count : (k + 1) * count]) for k, case in enumerate(cases)]


def examine(training: Training) -> Outcome:
    """Train a policy, and let it and those that know more or less play the same fresh bars."""
    from foretrade.agents.training import train

    case, seed = training.case, training.seed
    episodes = Episodes(bars=case.config.episode_bars, random_start=True)
    blocks = (
        _block(case, TRAINING_BARS, 1000 + seed, episodes),
        _block(case, VALIDATION_BARS, 3000 + seed, Episodes()),
    )
    with TemporaryDirectory() as folder:
        cpu, wall = time.process_time(), time.perf_counter()
        where = Path(folder)
        agent = train(*blocks, config=case.config, seed=seed, folder=where, tensorboard=False)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    fresh = case.market.draw(Exam.bars(ACCOUNTS), seed=5000 + seed, noisy=False)
    exam = Exam(fresh, discrete=case.discrete, accounts=ACCOUNTS)
    return Outcome(
        seed=seed,
        optimum=fresh.optimum.average_reward,
        learned=exam.agent(agent.decide),
        oracle=exam.rule(fresh.optimum.policy),
        rules={name: exam.rule(policy).reward for name, policy in case.rules().items()},
        curves={
            "learned": [exam.curve(agent.decide, held, SIGNALS) for held in case.held],
            "best": [best_curve(fresh, held) for held in case.held],
        },
        cpu_seconds=cpu,
        wall_seconds=wall,
    )


def _block(case: Case, bars: int, seed: int, episodes: Episodes) -> MarketEnv:
    """The ordinary environment on a history of its own."""
    market = case.market.draw(bars, seed=seed)
    actions = actions_of(market, discrete=case.discrete)
    return known_env(market, actions=actions, episodes=episodes)


def best_curve(market: KnownMarket, held: float) -> list[float]:
    """Positions that the best policy takes, as :meth:`Exam.curve` tells those of an agent."""
    reach = market.bounds[1]
    signals = np.zeros((len(SIGNALS), market.signals.values.shape[2]))
    signals[:, 0] = SIGNALS
    units = market.optimum.policy(np.full(len(SIGNALS), held * reach), signals)
    return [float(value) for value in np.clip(units / reach, -1, 1)]


def median_of(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, and its 95 % interval by the percentile bootstrap (Efron 1979) over seeds."""
    drawn = np.random.default_rng(0).choice(np.asarray(values), (10_000, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return float(np.median(values)), float(low), float(high)


def reached(case: Case, outcomes: Sequence[Outcome]) -> bool:
    """Whether the median seed is at least as good as it must be."""
    if case.bar:
        return median_of([one.share for one in outcomes])[0] >= case.bar
    exposure = float(np.median([one.learned.exposure for one in outcomes]))
    turnover = float(np.median([one.learned.turnover for one in outcomes]))
    return exposure < LARGEST_EXPOSURE and turnover < LARGEST_TURNOVER
