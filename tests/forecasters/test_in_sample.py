"""In-sample forecasts: what they are, that they are refused, and what they pretend."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression

from foretrade.envs.market import MarketEnv
from foretrade.forecasters.in_sample import in_sample_forecasts
from foretrade.forecasters.rolling import rolling_forecasts
from foretrade.markets.bars import DataError
from foretrade.markets.features import FeatureConfig, compute_features
from foretrade.markets.labels import LabelConfig, forward_returns
from foretrade.markets.splits import WalkForward
from foretrade.markets.synthetic import random_walk

SMALL = FeatureConfig(momentum_bars=(5,), trend_bars=20, volatility_bars=(5, 20), zscore_bars=20)
ROWS = range(250, 750)


@pytest.fixture(scope="module")
def noise():
    bars = random_walk(900, seed=3)
    features = compute_features(bars, SMALL)
    members = {"linear": LinearRegression(), "forest": RandomForestRegressor(20, random_state=0)}
    walk = {
        "symbol": bars.symbols[0],
        "label": LabelConfig(),
        "schedule": WalkForward(100, 150),
        "lookback_bars": 1,
    }
    shown = in_sample_forecasts(bars, features, members, rows=ROWS, **walk)
    honest = rolling_forecasts(bars, features, members, **walk)
    return bars, features, shown, honest


def test_they_are_the_fit_of_the_rows_themselves(noise):
    bars, features, shown, _ = noise
    X, y = features.values[ROWS.start : ROWS.stop, 0], forward_returns(bars, LabelConfig())[:, 0]
    expected = LinearRegression().fit(X, y[ROWS.start : ROWS.stop]).predict(X)
    found = shown.column("linear.mean")[:, 0]
    np.testing.assert_allclose(found[ROWS.start : ROWS.stop], expected, rtol=1e-9)
    assert np.isnan(found[: ROWS.start]).all()
    assert np.isnan(found[ROWS.stop :]).all()


def test_every_environment_refuses_them(noise):
    bars, _, shown, _ = noise
    with pytest.raises(DataError, match="after the decision"):
        MarketEnv(bars, shown, rows=ROWS)


def test_on_noise_they_pretend_to_know_what_nobody_can(noise):
    bars, _, shown, honest = noise
    labels = forward_returns(bars, LabelConfig())[ROWS.start : ROWS.stop, 0]

    def skill(table, name):
        return np.corrcoef(table.column(f"{name}.mean")[ROWS.start : ROWS.stop, 0], labels)[0, 1]

    assert skill(shown, "forest") > 0.9
    assert skill(shown, "linear") > 0.05
    assert abs(skill(honest, "forest")) < 4 / np.sqrt(len(ROWS))
