"""The future is invisible through the whole chain, from prices to actions.

Features, forecasts, observations and actions are made anew from the changed bars, every forecaster
refitted; planted leaks at the head of the chain are caught at its end by the same comparison.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from foretrade.agents.baselines import Constant, FollowForecast, MovingAverageTrend, VolatilityTarget
from foretrade.envs.market import MarketEnv
from foretrade.forecasters.hybrid import HybridForecaster
from foretrade.forecasters.keras_nets import LSTMForecaster
from foretrade.forecasters.linear import ridge
from foretrade.forecasters.naive import HistoricalMeanForecaster, ZeroForecaster
from foretrade.forecasters.rolling import rolling_forecasts
from foretrade.forecasters.trees import lightgbm, random_forest
from foretrade.markets.bars import Bars
from foretrade.markets.features import FeatureConfig, compute_features
from foretrade.markets.labels import LabelConfig
from foretrade.markets.nopeek import PeekError, assert_future_invisible
from foretrade.markets.splits import WalkForward
from foretrade.markets.table import Column, Table

FEATURES = FeatureConfig(
    return_lags=(0, 1), momentum_bars=(5, 21), trend_bars=20, volatility_bars=(5, 20), zscore_bars=20
)
SCHEDULE = WalkForward(refit_every_bars=63, warm_up_bars=126)
FIRST = 200  # all forecasts are there by then


def members(nets: bool) -> dict[str, object]:
    quick = {
        "ridge": ridge(),
        "forest": random_forest(n_estimators=10),
        "lightgbm": lightgbm(n_estimators=10),
        "zero": ZeroForecaster(),
        "mean": HistoricalMeanForecaster(),
    }
    small = {"epochs": 1, "refit_epochs": 1}
    slow = {
        "lstm": LSTMForecaster(units=(4, 4), **small),
        "hybrid": HybridForecaster(forests=2, trees=3, **small),
    }
    return quick | (slow if nets else {})


def chain(bars: Bars, add: Callable[[Bars, Table], Table], *, nets: bool = False) -> np.ndarray:
    """Every feature, forecast, observation entry and baseline action of every row."""
    features = add(bars, compute_features(bars, FEATURES))
    forecasts = rolling_forecasts(
        bars,
        features,
        members(nets),
        symbol=bars.symbols[0],
        label=LabelConfig(),
        schedule=SCHEDULE,
    )
    env = MarketEnv(bars, features.join(forecasts), rows=range(FIRST, len(bars)))
    place = (env.layout, env.actions)
    rules = (
        Constant(*place, weight=1.0),
        MovingAverageTrend(*place, column="trend_20"),
        FollowForecast(*place),
        VolatilityTarget(*place, volatility_column="volatility_5"),
    )
    observations = np.full((len(bars), env.observation_space.shape[0]), np.nan)
    actions = np.full((len(bars), len(rules)), np.nan)
    observation, info = env.reset()
    while True:
        row = info["row"]
        observations[row] = observation
        actions[row] = [rule.decide(observation[None])[0, 0] for rule in rules]
        if row == len(bars) - 1:
            break
        observation, _, _, _, info = env.step(actions[row, 2:3].astype(np.float32))
    return np.hstack([features.values[:, 0], forecasts.values[:, 0], observations, actions])


def nothing(bars: Bars, features: Table) -> Table:
    return features


def shift_by_one(bars: Bars, features: Table) -> Table:
    tomorrow = np.vstack([bars.close[1:], bars.close[-1:]]) / bars.close - 1
    return features.join(Table.from_columns(bars, {Column("leak", "ratio"): tomorrow}))


def full_sample_zscore(bars: Bars, features: Table) -> Table:
    z = (bars.close - bars.close.mean()) / bars.close.std()
    return features.join(Table.from_columns(bars, {Column("leak", "z"): z}))


def random_cuts(bars: Bars, count: int) -> list[int]:
    rng = np.random.default_rng(2014)
    return sorted(rng.integers(FIRST + 2, len(bars) - 1, count).tolist())


def test_the_chain_does_not_see_the_future(sp500):
    bars = sp500.rows(3000, 3600)
    assert_future_invisible(lambda b: chain(b, nothing), bars, random_cuts(bars, 5))


def test_the_chain_with_networks_does_not_see_the_future(sp500):
    bars = sp500.rows(3000, 3400)
    assert_future_invisible(lambda b: chain(b, nothing, nets=True), bars, random_cuts(bars, 2))


@pytest.mark.parametrize("leak", [shift_by_one, full_sample_zscore])
def test_planted_leaks_are_caught_by_the_same_test(sp500, leak):
    bars = sp500.rows(3000, 3600)
    with pytest.raises(PeekError, match="future after row"):
        assert_future_invisible(lambda b: chain(b, leak), bars, random_cuts(bars, 1))
