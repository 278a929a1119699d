"""What every forecaster must do; each check raises ``AssertionError`` with a sentence."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.base import clone

from foretrade.forecasters.base import Forecast, Forecaster, Observing, Updating, WarmStarted, inputs_of
from foretrade.forecasters.rolling import rolling_forecasts, walk_folds
from foretrade.forecasters.updates import Updates
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
        yield check_refits_from_its_state
    if isinstance(forecaster, Updating):
        yield check_updates_from_its_state
        if forecaster.update_mode == "exact":
            yield check_an_update_is_a_fit_on_everything
    if isinstance(forecaster, Observing):
        yield check_observing_leaves_parameters_alone


def check_gives_one_finite_mean_a_row(forecaster: Forecaster) -> None:
    """``predict`` returns a Forecast whose parts are finite and ``[n]``, and a std above zero."""
    X, y = _data(forecaster)
    forecast = clone(forecaster).fit(X[:80], y[:80]).predict(X[80:])
    assert isinstance(forecast, Forecast), f"predict returned {type(forecast).__name__}, not Forecast"
    parts: dict[Any, Floats | None] = {"mean": forecast.mean, "std": forecast.std}
    parts |= forecast.quantiles
    for name, values in parts.items():
        if values is not None:
            assert np.shape(values) == (len(X) - 80,), f"{name} has shape {np.shape(values)}"
            assert np.isfinite(values).all(), f"{name} is not finite everywhere"
    if forecast.std is not None:
        assert (forecast.std > 0).all(), f"std is {np.min(forecast.std):g} somewhere; it must be above 0"


def check_fits_the_same_bits_twice(forecaster: Forecaster) -> None:
    """The same rows and seed give the same forecasts, to the bit."""
    X, y = _data(forecaster)
    first, second = (clone(forecaster).fit(X[:80], y[:80]).predict(X[80:]).mean for _ in range(2))
    assert np.array_equal(first, second), "two fits on the same rows forecast differently"


def check_leaves_its_input_alone(forecaster: Forecaster) -> None:
    """Neither ``fit`` nor ``predict`` writes to its arguments."""
    X, y = _data(forecaster)
    before = X.copy(), y.copy()
    clone(forecaster).fit(X, y).predict(X)
    assert np.array_equal(X, before[0]), "X was changed"
    assert np.array_equal(y, before[1]), "y was changed"


def check_clone_forecasts_the_same(forecaster: Forecaster) -> None:
    """``get_params`` carries everything that matters."""
    X, y = _data(forecaster)
    expected = copy.deepcopy(forecaster).fit(X[:80], y[:80]).predict(X[80:]).mean
    actual = clone(forecaster).fit(X[:80], y[:80]).predict(X[80:]).mean
    assert np.array_equal(expected, actual), "a clone with the same parameters forecasts differently"


def check_future_is_invisible(forecaster: Forecaster) -> None:
    """Refitted on a changed future, every forecast up to the change keeps its bits."""
    lookback_bars = _lookback_bars(forecaster)
    bars = random_walk(195 + lookback_bars, seed=1)
    features = compute_features(bars, FEATURES).values[:, 0]
    folds = walk_folds(bars, features, LabelConfig(), SCHEDULE, lookback_bars)

    def forecasts(bars: Bars) -> Floats:
        return _walk(forecaster, bars)

    cuts = (folds[0].start, folds[1].start + 7, folds[3].start)  # a refit that peeks shows at its row
    assert_future_invisible(forecasts, bars, cuts=cuts)


def check_refits_from_its_state(forecaster: Forecaster) -> None:
    """From the written state it forecasts as the live object does, and so does a refit."""
    X, y = _data(forecaster)
    live, restored = clone(forecaster), clone(forecaster)
    assert isinstance(live, WarmStarted)
    assert isinstance(restored, WarmStarted)
    live.fit(X[:60], y[:60])
    restored.set_state(live.state(), X[:60])
    _assert_same(live, restored, X[80:], "the written state forecasts differently")
    live.refit(X[:80], y[:80])
    restored.refit(X[:80], y[:80])
    _assert_same(live, restored, X[80:], "a refit from the written state forecasts differently")


def check_updates_from_its_state(forecaster: Forecaster) -> None:
    """From the written state it forecasts as the live object does, and so does an update."""
    X, y = _data(forecaster)
    live, restored = clone(forecaster), clone(forecaster)
    assert isinstance(live, Updating)
    assert isinstance(restored, Updating)
    live.fit(X[:60], y[:60])
    live.update(X[60:70], y[60:70])
    restored.set_state(live.state(), X[:60])
    _assert_same(live, restored, X[80:], "the written state forecasts differently")
    live.update(X[70:80], y[70:80])
    restored.update(X[70:80], y[70:80])
    _assert_same(live, restored, X[80:], "an update from the written state forecasts differently")


def check_an_update_is_a_fit_on_everything(forecaster: Forecaster) -> None:
    """``fit(a).update(b)`` forecasts as ``fit(a + b)``, but for rounding."""
    X, y = _data(forecaster)
    updated, fitted = clone(forecaster).fit(X[:60], y[:60]), clone(forecaster).fit(X[:80], y[:80])
    assert isinstance(updated, Updating)
    actual, expected = (
        updated.update(X[60:80], y[60:80]).predict(X[80:]).mean,
        fitted.predict(X[80:]).mean,
    )
    gap = np.abs(actual - expected).max() / np.abs(expected).max()
    assert gap < 1e-8, f"claims exactness, but an update differs from a fit by {gap:.1e} of the forecast"


def check_observing_leaves_parameters_alone(forecaster: Forecaster) -> None:
    """Once the same windows are observed, it forecasts the same, however they came."""
    X, y = _data(forecaster)
    at_once, by_row = clone(forecaster).fit(X[:60], y[:60]), clone(forecaster).fit(X[:60], y[:60])
    assert isinstance(at_once, Observing)
    assert isinstance(by_row, Observing)
    at_once.observe(X[60:80])
    for row in range(60, 80):
        by_row.observe(X[row : row + 1])
        by_row.predict(X[row : row + 1])
    _assert_same(
        at_once, by_row, X[79:80], "observing and forecasting row by row changed more than state"
    )


def _assert_same(one: Forecaster, other: Forecaster, X: Floats, message: str) -> None:
    assert np.array_equal(one.predict(X).mean, other.predict(X).mean), message


def _walk(forecaster: Forecaster, bars: Bars) -> Floats:
    table = rolling_forecasts(
        bars,
        compute_features(bars, FEATURES),
        {"member": forecaster},
        symbol=bars.symbols[0],
        label=LabelConfig(),
        schedule=SCHEDULE,
        lookback_bars=_lookback_bars(forecaster),
        updates=Updates(every_bars=10),  # of those that can
    )
    return table.values[:, 0]


def _lookback_bars(forecaster: Forecaster) -> int:
    return getattr(forecaster, "lookback_bars", None) or LOOKBACK_BARS


def _data(forecaster: Forecaster) -> tuple[Floats, Floats]:
    """A hundred windows and labels, of the kind that the forecaster is shown."""
    rng = np.random.default_rng(0)
    columns = 4 if inputs_of(forecaster) == "features" else 1
    rows = rng.normal(size=(100 + _lookback_bars(forecaster) - 1, columns))
    X = np.lib.stride_tricks.sliding_window_view(rows, _lookback_bars(forecaster), axis=0).swapaxes(1, 2)
    return X.copy(), 0.01 * (0.1 * X[:, -1, 0] + rng.normal(size=100))
