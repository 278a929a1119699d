"""An agent on one market, shown forecasts of two kinds: from the making to what it earns.

It is trained twice on the same prices: on in-sample forecasts and on walk-forward ones. Both policies
are chosen on the validation block by the forecasts that they were trained on, and play the test block on
walk-forward forecasts: there are no others when the future is not known.
"""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from foretrade.agents.ppo_config import PPOConfig
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.forecasters.rolling import cache_folder
from foretrade.markets.bars import Bars
from foretrade.markets.costs import BPS, Costs
from foretrade.markets.features import compute_features
from foretrade.markets.fills import StaleOpenWarning
from foretrade.markets.known.bounded import BoundedMarket
from foretrade.markets.known.market import autoregression
from foretrade.markets.labels import LabelConfig, forward_returns
from foretrade.markets.sources import load
from foretrade.markets.splits import Blocks, WalkForward
from foretrade.markets.synthetic import market_of
from foretrade.markets.table import NEVER, Column, Table

FORECASTERS = ("forest", "pruned forest", "ridge")
AGENT = PPOConfig()
PERSISTENCE, DRIFT_STD, NOISE_STD, COST_BPS = 0.9, 0.001, 0.01, 5.0
FEATURES, TELLING = 10, 2  # columns, and how many of them the drift is made of


@dataclass(frozen=True)
class Case:
    """One forecaster on one market, seen both ways.

    Args:
        market: ``"made"`` or ``"sp500"``.
        forecaster: One of :data:`FORECASTERS`.
        seed: Of the market that is made, and of the agent.
        steps: Of training.
        trees: In a forest.
        scale: Length of the made market, 1 for 16,000 bars.
    """

    market: str
    forecaster: str
    seed: int
    steps: int
    trees: int = 50
    scale: float = 1.0


@dataclass(frozen=True)
class Arm:
    """What one way of forecasting promised, and what came of it.

    Args:
        correlation: Of the forecasts with the returns, on the validation block.
        believed_bps, believed_turnover: Net return and turnover a bar there.
        realised_bps, realised_turnover: The same on the test block.
    """

    correlation: float
    believed_bps: float
    believed_turnover: float
    realised_bps: float
    realised_turnover: float


@dataclass(frozen=True)
class Found:
    """Both ways."""

    in_sample: Arm
    walk_forward: Arm


@dataclass(frozen=True)
class Setting:
    """A market with its blocks, what is forecast, and the calendar of refits."""

    bars: Bars
    features: Table
    blocks: dict[str, range]
    schedule: WalkForward
    label: LabelConfig
    costs: Costs


def made_setting(seed: int, scale: float = 1.0) -> Setting:
    """A drift that lasts ten bars, a tenth of the noise; ten columns, two of which it is made of.

    The drift of the bar after row ``t`` is known at ``t`` to who knows which columns matter.
    """
    edges = [round(scale * bars) for bars in (1000, 5000, 6000, 16_000)]
    rng = np.random.default_rng(seed)
    seen = np.column_stack([autoregression(PERSISTENCE, 1.0, edges[3], rng) for _ in range(FEATURES)])
    drift = DRIFT_STD * seen[:, :TELLING].sum(axis=1) / np.sqrt(TELLING)
    returns = drift[:-1] + rng.normal(0.0, NOISE_STD, edges[3] - 1)
    bars = market_of(returns, rng, source=f"made for peeking, seed {seed}")
    columns = {Column(f"seen_{k}", "ratio"): seen[:, [k]] for k in range(FEATURES)}
    return Setting(
        bars,
        Table.from_columns(bars, columns),
        {name: range(edges[k], edges[k + 1]) for k, name in enumerate(("train", "validation", "test"))},
        WalkForward(edges[0], edges[0], window_bars=4 * edges[0]),
        LabelConfig(1, "next_open"),  # which is the close of the decision: there are no gaps
        Costs(COST_BPS, 0.0, 0.0, 0.0),
    )


def index_setting() -> Setting:
    """The packaged S&P 500 with the default features, blocks and costs."""
    bars = load("sp500")
    features = compute_features(bars)
    return Setting(bars, features, Blocks().rows(bars), WalkForward(252), LabelConfig(), Costs())


def run_case(case: Case) -> Found:
    """Train on either kind of forecasts, and play the test block."""
    from foretrade.forecasters.in_sample import in_sample_forecasts
    from foretrade.forecasters.rolling import rolling_forecasts

    setting = index_setting() if case.market == "sp500" else made_setting(case.seed, case.scale)
    bars, features, members = setting.bars, setting.features, {"it": forecaster(case)}
    honest = rolling_forecasts(
        bars, features, members, symbol=bars.symbols[0], label=setting.label,
        schedule=setting.schedule, lookback_bars=1, cache=cache_folder(),
    )  # fmt: skip
    honest = honest.select(["it.mean"])
    seen = range(setting.blocks["train"].start, setting.blocks["validation"].stop)
    peeking = in_sample_forecasts(
        bars, features, members, symbol=bars.symbols[0], label=setting.label,
        schedule=setting.schedule, lookback_bars=1, rows=seen,
    )  # fmt: skip
    return Found(_arm(case, setting, disguised(peeking), honest), _arm(case, setting, honest, honest))


def disguised(table: Table) -> Table:
    """The same forecasts as if no model stood behind them: else every environment refuses them."""
    return replace(table, cutoff=np.full(len(table), NEVER))


def forecaster(case: Case) -> Any:
    """A forest as scikit-learn makes it by default, the one shipped here, or a ridge regression."""
    from sklearn.ensemble import RandomForestRegressor

    from foretrade.forecasters.linear import ridge
    from foretrade.forecasters.trees import random_forest

    if case.forecaster == "forest":
        return RandomForestRegressor(case.trees, random_state=0, n_jobs=1)
    if case.forecaster == "ridge":
        return ridge()
    return random_forest(n_estimators=case.trees)


def _arm(case: Case, setting: Setting, shown: Table, honest: Table) -> Arm:
    """Train on what is shown, choose on what is shown, play on what is honest."""
    from foretrade.agents.training import train
    from foretrade.backtests.engine import run

    def env(table: Table, block: str, episodes: Episodes | None = None) -> MarketEnv:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StaleOpenWarning)  # the made market has no gaps
            return MarketEnv(
                setting.bars,
                table,
                rows=setting.blocks[block],
                fill=setting.label.fill,
                costs=setting.costs,
                actions="position",
                episodes=episodes or Episodes(),
            )

    config = replace(AGENT, steps=case.steps)
    training = env(shown, "train", Episodes(config.episode_bars, random_start=True))
    validation = env(shown, "validation")
    with tempfile.TemporaryDirectory() as folder:
        agent = train(
            training, validation, config, seed=case.seed, folder=Path(folder), tensorboard=False
        )
    told = []
    for market in (validation, env(honest, "test")):
        ledger = run(agent, market).ledger
        equity = np.concatenate([[market.initial_equity], ledger["equity"].to_numpy()])
        told += [np.diff(equity) / equity[:-1] / BPS, ledger["traded"].to_numpy() / equity[:-1]]
    rows = setting.blocks["validation"][: -setting.label.resolution_bars]
    labels = forward_returns(setting.bars, setting.label)[rows.start : rows.stop, 0]
    forecasts = shown.column("it.mean")[rows.start : rows.stop, 0]
    return Arm(float(np.corrcoef(forecasts, labels)[0, 1]), *(float(np.mean(x)) for x in told))


def best_on_the_made_market() -> float:
    """What who knew the drift could earn a bar, in bp."""
    known = BoundedMarket(PERSISTENCE, DRIFT_STD, NOISE_STD, COST_BPS * BPS)
    return known.optimum().average_reward / BPS
