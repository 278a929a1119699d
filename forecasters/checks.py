"""What every forecaster must do; each check raises ``AssertionError`` with a sentence."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.base import clone

from foretrade.forecasters.base import Forecast, Forecaster, WarmStarted
from foretrade.forecasters.rolling import rolling_forecasts
from foretrade.markets.arrays import Floats
from foretrade.markets.bars import Bars
from foretrade.markets.features import FeatureConfig, compute_features
from foretrade.markets.labels import LabelConfig
from foretrade.markets.nopeek import assert_future_invisible
from foretrade.markets.splits import WalkForward
from foretrade.markets.synthetic import random_walk

LOOKBACK_BARS = 5
FEATURES = FeatureConfig(
    return_lags=(0, 1),
    momentum_bars=(5,),
    trend_bars=10,
    scale_span_bars=10,
    volatility_bars=(5, 20),
    rsi_bars=5,
    atr_bars=5,
    zscore_bars=20,
)
SCHEDULE = WalkForward(refit_every_bars=20, warm_up_bars=60)


def yield_checks(forecaster: Forecaster) -> Iterator[Callable[[Forecaster], None]]:
    """The checks that apply to a forecaster."""
    yield check_gives_one_finite_mean_a_row
    yield check_fits_the_same_bits_twice
    yield check_leaves_its_input_alone
    yield check_clone_forecasts_the_same
    yield check_future_is_invisible
    if isinstance(forecaster, WarmStarted):
        yield check_goes_on_from_its_state


def check_gives_one_finite_mean_a_row(forecaster: Forecaster) -> None:
    """``predict`` returns a Forecast whose parts are finite and ``[n]``."""
    X, y = _data()
    forecast = clone(forecaster).fit(X[:80], y[:80]).predict(X[80:])
    assert isinstance(forecast, Forecast), f"predict returned {type(forecast).__name__}, not Forecast"
    parts: dict[Any, Floats | None] = {"mean": forecast.mean, "std": forecast.std}
    parts |= forecast.quantiles
    for name, values in parts.items():
        if values is not None:
            assert np.shape(values) == (len(X) - 80,), f"{name} has shape {np.shape(values)}"
            assert np.isfinite(values).all(), f"{name} is not finite everywhere"


def check_fits_the_same_bits_twice(forecaster: Forecaster) -> None:
    """The same rows and seed give the same forecasts, to the bit."""
    X, y = _data()
    first, second = (clone(forecaster).fit(X[:80], y[:80]).predict(X[80:]).mean for _ in range(2))
    assert np.array_equal(first, second), "two fits on the same rows forecast differently"


def check_leaves_its_input_alone(forecaster: Forecaster) -> None:
    """Neither ``fit`` nor ``predict`` writes to its arguments."""
    X, y = _data()
    before = X.copy(), y.copy()
    clone(forecaster).fit(X, y).predict(X)
    assert np.array_equal(X, before[0]), "X was changed"
    assert np.array_equal(y, before[1]), "y was changed"


def check_clone_forecasts_the_same(forecaster: Forecaster) -> None:
    """``get_params`` carries everything that matters."""
    X, y = _data()
    expected = copy.deepcopy(forecaster).fit(X[:80], y[:80]).predict(X[80:]).mean
    actual = clone(forecaster).fit(X[:80], y[:80]).predict(X[80:]).mean
    assert np.array_equal(expected, actual), "a clone with the same parameters forecasts differently"


def check_future_is_invisible(forecaster: Forecaster) -> None:
    """Refitted on a changed future, every forecast up to the change keeps its bits."""

    def forecasts(bars: Bars) -> Floats:
        return _walk(forecaster, bars)

    assert_future_invisible(forecasts, random_walk(200, seed=1), cuts=(112, 131, 160))


def check_goes_on_from_its_state(forecaster: Forecaster) -> None:
    """A refit from the written state gives the same bits as one from the live object."""
    X, y = _data()
    live, restored = clone(forecaster), clone(forecaster)
    assert isinstance(live, WarmStarted)
    assert isinstance(restored, WarmStarted)
    live.fit(X[:60], y[:60])
    restored.set_state(live.state(), X)
    expected = live.refit(X[:80], y[:80]).predict(X[80:]).mean
    actual = restored.refit(X[:80], y[:80]).predict(X[80:]).mean
    assert np.array_equal(expected, actual), "an update from the written state forecasts differently"


def _walk(forecaster: Forecaster, bars: Bars) -> Floats:
    table = rolling_forecasts(
        bars,
        compute_features(bars, FEATURES),
        {"member": forecaster},
        symbol=bars.symbols[0],
        label=LabelConfig(),
        schedule=SCHEDULE,
        lookback_bars=LOOKBACK_BARS,
    )
    return table.values[:, 0]


def _data() -> tuple[Floats, Floats]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, LOOKBACK_BARS, 4))
    return X, 0.01 * (0.1 * X[:, -1, 0] + rng.normal(size=100))
