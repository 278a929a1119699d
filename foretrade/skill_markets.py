"""A trader with a forecast of chosen skill, on a market whose best policy is known."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from foretrade.agents.ppo_config import PPOConfig
from foretrade.envs.actions import UnitPositionActions
from foretrade.envs.episodes import Episodes
from foretrade.markets.arrays import Floats
from foretrade.markets.costs import BPS
from foretrade.markets.known.bounded import BoundedMarket
from foretrade.markets.known.forecast import ForecastMarket

if TYPE_CHECKING:
    from foretrade.envs.market import MarketEnv

TEST_BARS = 50_000
SIDES = UnitPositionActions((-1.0, 0.0, 1.0))
TRAINING_BARS, VALIDATION_BARS = 50_000, 10_000
AGENT = PPOConfig(checkpoints=5)


@dataclass(frozen=True)
class Case:
    """One market, one trader.

    Args:
        trader: ``"best"``, by the optimal threshold, ``"sign"`` or ``"ppo"``.
        skill: Correlation of the forecast with the signal.
        cost_bps: Of a unit traded.
        seed: Of the history, and of the training.
        steps: Of training.
    """

    trader: str
    skill: float
    cost_bps: float
    seed: int
    steps: int = 0


@dataclass(frozen=True)
class Found:
    """What a trader earned and traded on fresh data, a bar, in bp of one unit."""

    net_bps: float
    turnover: float


@cache
def market_of(skill: float, cost_bps: float) -> ForecastMarket:
    """Market B at a skill and a cost; the same object, which knows its threshold, for every seed."""
    return ForecastMarket(skill, BoundedMarket(cost=cost_bps * BPS))


def run_case(case: Case) -> Found:
    """Let one trader play a history that nobody has seen."""
    model, seed = market_of(case.skill, case.cost_bps), 3 * case.seed
    if case.trader == "ppo":
        units = _trained_units(model, case)
    else:
        forecast = model.draw(TEST_BARS, seed=seed).signals.values[:, 0]
        threshold = model.perceived.threshold if case.trader == "best" else 0.0
        units = crossing_units(forecast[:-1, 0], threshold)
    truth = model.market.draw(TEST_BARS, seed=seed).signals.values[:, 0, 0]
    return score(units, truth[: len(units)], case.cost_bps)


def crossing_units(forecast: Floats, threshold: float) -> Floats:
    """Units held by who changes side beyond a threshold, ``[bars]``: 0 until the first crossing."""
    sides = np.where(np.abs(forecast) > threshold, np.sign(forecast), 0.0)
    last = np.maximum.accumulate(np.where(sides != 0, np.arange(len(sides)), -1))
    return np.where(last >= 0, sides[np.maximum(last, 0)], 0.0)


def score(units: Floats, truth: Floats, cost_bps: float) -> Found:
    """What positions ``[bars]`` can expect, given the signal ``[bars]`` that the trader did not see.

    The noise of the prices is left out: it changes no average and hides everything.
    """
    turnover = float(np.abs(np.diff(units, prepend=0.0)).mean())
    return Found(float((units * truth).mean()) / BPS - cost_bps * turnover, turnover)


def _trained_units(model: ForecastMarket, case: Case) -> Floats:
    """Units held by PPO on the test history, after training and choice on others, ``[bars]``."""
    from foretrade.agents.training import train
    from foretrade.backtests.engine import run
    from foretrade.envs.known import known_env

    def env(bars: int, number: int, episodes: Episodes | None = None) -> MarketEnv:
        drawn = model.draw(bars, seed=3 * case.seed + number)
        return known_env(drawn, actions=SIDES, episodes=episodes)

    config = replace(AGENT, steps=case.steps)
    training = env(TRAINING_BARS, 1, Episodes(config.episode_bars, random_start=True))
    with tempfile.TemporaryDirectory() as folder:
        agent = train(
            training, env(VALIDATION_BARS, 2), config, seed=case.seed, folder=Path(folder),
            tensorboard=False,
        )  # fmt: skip
    return np.asarray(run(agent, env(TEST_BARS, 0)).ledger["units"].to_numpy(dtype=np.float64))
