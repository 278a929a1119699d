from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LinearRegression, Ridge

from foretrade.forecasters.augmentation import (
    METHODS,
    AugmentedForecaster,
    WarmAugmentedForecaster,
    augmented,
    jitter,
    magnitude_warp,
    window_slice,
)
from foretrade.forecasters.base import Forecast, WarmStarted
from foretrade.forecasters.checks import yield_checks


def data(rows=200, bars=21, features=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, bars, features)) * [1.0, 10.0, 0.1]
    return X, rng.normal(size=rows)


class Spy(BaseEstimator):
    """Remembers all calls; its refits are warm."""

    def fit(self, X, y, sample_weight=None):
        self.calls_ = [("fit", X, y, sample_weight)]
        self.value_ = float(X.mean())
        return self

    def refit(self, X, y):
        self.calls_.append(("refit", X, y, None))
        self.value_ += float(X.mean())
        return self

    def predict(self, X):
        self.calls_.append(("predict", X, None, None))
        return Forecast(np.full(len(X), self.value_))

    def state(self):
        return {"value": np.array([self.value_])}

    def set_state(self, state, X):
        self.calls_ = [("set_state", X, None, None)]
        self.value_ = float(state["value"][0])
        return self


@pytest.mark.parametrize("methods", [*((method,) for method in METHODS), METHODS])
@pytest.mark.parametrize("member", [Ridge(), Spy()], ids=["cold", "warm"])
def test_conformance(member, methods):
    forecaster = augmented(member, methods=methods)
    for check in yield_checks(forecaster):
        check(forecaster)


@pytest.mark.parametrize("methods", [*((method,) for method in METHODS), METHODS])
def test_training_rows_stay_as_they_are_with_their_copies_after_them(methods):
    X, y = data()
    weights = np.random.default_rng(1).uniform(size=200)
    forecaster = AugmentedForecaster(Spy(), methods=methods, copies=3).fit(X, y, weights)
    _, seen, labels, seen_weights = forecaster.member_.calls_[0]
    assert len(seen) == len(labels) == 4 * 200
    sources = np.array([int(np.flatnonzero(y == label)[0]) for label in labels])
    assert (np.diff(sources) >= 0).all()  # in time order
    firsts = np.searchsorted(sources, np.arange(200))
    assert np.array_equal(seen[firsts], X)
    assert np.array_equal(seen_weights, weights[sources])
    if "bootstrap" in methods:
        counts = np.bincount(sources, minlength=200)
        assert counts.min() == 1
        assert counts.max() > 4
    else:
        assert (np.bincount(sources) == 4).all()


def test_only_training_rows_are_altered():
    X, y = data()
    forecaster = augmented(Spy(), methods=METHODS).fit(X[:150], y[:150])
    forecaster.predict(X[150:])
    name, seen, *_ = forecaster.member_.calls_[-1]
    assert name == "predict"
    assert seen is not X
    assert np.array_equal(seen, X[150:])
    future = {value.tobytes() for value in X[150:]}
    assert not future & {value.tobytes() for value in forecaster.member_.calls_[0][1]}


def test_the_future_does_not_enter_the_copies():
    """What a row's copy looks like depends on the rows of its own fit alone."""
    X, y = data()
    other = X.copy()
    other[150:] = 1e6
    seen = [
        AugmentedForecaster(Spy(), methods=METHODS).fit(z[:150], y[:150]).member_.calls_[0][1]
        for z in (X, other)
    ]
    assert np.array_equal(*seen)


@pytest.mark.parametrize("method", METHODS)
def test_copies_depend_on_the_seed_alone(method):
    X, y = data()

    def seen(seed):
        forecaster = AugmentedForecaster(Spy(), methods=(method,), seed=seed)
        return clone(forecaster).fit(X, y).member_.calls_[0][1]

    assert np.array_equal(seen(0), seen(0))
    assert not np.array_equal(seen(0), seen(1))


def test_a_warm_refit_is_augmented_anew_and_goes_on():
    X, y = data()
    forecaster = augmented(Spy()).fit(X[:100], y[:100]).refit(X[:100], y[:100])
    assert isinstance(forecaster, WarmAugmentedForecaster)
    assert isinstance(forecaster, WarmStarted)
    kinds = [call[0] for call in forecaster.member_.calls_]
    assert kinds == ["fit", "refit"]
    forecaster.refit(X, y)
    noise = [call[1][1::2] - call[1][::2] for call in forecaster.member_.calls_[1:]]
    assert len(noise[1]) == 200
    assert abs(np.corrcoef(noise[0].ravel(), noise[1][:100].ravel())[0, 1]) < 0.1
    restored = augmented(Spy()).set_state(forecaster.state(), X)
    assert np.array_equal(restored.predict(X).mean, forecaster.predict(X).mean)
    assert np.array_equal(restored.member_.calls_[0][1], X)
    assert not isinstance(augmented(Ridge()), WarmStarted)


def test_jitter_has_a_share_of_each_features_spread():
    X, _ = data(2000)
    noise = jitter(X, np.random.default_rng(9), share=0.05) - X
    assert_allclose(noise.std(axis=(0, 1)) / X.std(axis=(0, 1)), 0.05, rtol=0.02)
    assert_allclose(noise.mean(axis=(0, 1)) / X.std(axis=(0, 1)), 0, atol=0.001)
    assert abs(np.corrcoef(noise.ravel(), X.ravel())[0, 1]) < 0.01


def test_jitter_is_the_ridge_penalty_of_its_variance():
    """Training with noise is Tikhonov regularisation (Bishop 1995)."""
    X, _ = data(300, bars=1)
    y = X[:, 0] @ [1.0, 0.1, 10.0]
    forecaster = AugmentedForecaster(LinearRegression(), copies=200, jitter_share=1.0).fit(X, y)
    slopes = forecaster.member_.estimator_.coef_
    centred = X[:, 0] - X[:, 0].mean(axis=0)
    penalty = 200 / 201 * 300 * np.diag(X[:, 0].var(axis=0))
    expected = np.linalg.solve(centred.T @ centred + penalty, centred.T @ (y - y.mean()))
    assert_allclose(slopes, expected, rtol=0.05)


def test_magnitude_warp_is_a_smooth_curve_around_one():
    ones = np.ones((3000, 21, 2))
    curves = magnitude_warp(ones, np.random.default_rng(0), std=0.2)
    at_knots = curves[:, [0, 4, 8, 12, 16, 20]]  # four knots between the ends
    assert_allclose(at_knots.mean(axis=0), 1, atol=0.02)
    assert_allclose(at_knots.std(axis=0), 0.2, rtol=0.05)
    assert abs(np.corrcoef(curves[:, 0, 0], curves[:, 0, 1])[0, 1]) < 0.05
    rough = np.diff(curves, n=2, axis=1).std()
    assert rough < 0.15 * np.diff(np.random.default_rng(1).normal(0, 0.2, ones.shape), n=2, axis=1).std()
    X, _ = data()
    assert_allclose(magnitude_warp(X, np.random.default_rng(0), std=0.0), X, rtol=1e-12)
    assert_allclose(
        magnitude_warp(X, np.random.default_rng(3), std=0.2) / X,
        magnitude_warp(np.ones_like(X), np.random.default_rng(3), std=0.2),
        rtol=1e-9,
    )


def test_a_window_slice_is_a_part_stretched_back():
    """On a straight line the copy is a straight line again, of ``share`` of the slope."""
    time = np.arange(21.0)
    X = np.tile(time[None, :, None], (2000, 1, 1))
    sliced = window_slice(X, np.random.default_rng(0), share=0.8)[:, :, 0]
    kept = 17  # 0.8 · 21, rounded up
    assert_allclose(np.diff(sliced, axis=1), (kept - 1) / 20, rtol=1e-9)
    starts = sliced[:, 0]
    assert set(starts) == set(range(21 - kept + 1))
    assert abs(starts.mean() - 2) < 4 * np.sqrt(2 / 2000)
    X, _ = data()
    assert_allclose(window_slice(X, np.random.default_rng(0), share=1.0), X, rtol=1e-12)


def test_a_window_slice_agrees_with_interpolation_by_numpy():
    X, _ = data(rows=50)
    sliced = window_slice(X, np.random.default_rng(5), share=0.7)
    starts = np.random.default_rng(5).integers(21 - 15 + 1, size=50)
    for row, start in enumerate(starts):
        at = np.linspace(start, start + 14, 21)
        for feature in range(3):
            expected = np.interp(at, np.arange(21), X[row, :, feature])
            assert_allclose(sliced[row, :, feature], expected, rtol=1e-9, atol=1e-12)


def test_a_lookback_of_one_bar_is_no_special_case():
    X, y = data(bars=1)
    forecast = augmented(Ridge(), methods=METHODS, copies=2).fit(X, y).predict(X)
    assert np.isfinite(forecast.mean).all()
    assert np.array_equal(window_slice(X, np.random.default_rng(0), share=0.5), X)


def test_wrong_settings_are_refused():
    X, y = data()
    for settings, message in (
        ({"methods": ("jiter",)}, "methods must be some of bootstrap, jitter, magnitude_warp"),
        ({"methods": ()}, "methods must be some of"),
        ({"copies": 0}, "copies must be at least 1"),
        ({"slice_share": 0.0}, "slice_share above 0"),
        ({"warp_std": -1.0}, "must not be negative"),
    ):
        with pytest.raises(ValueError, match=message):
            AugmentedForecaster(Ridge(), **settings).fit(X, y)
    with pytest.raises(TypeError, match="SklearnForecaster has no warm refit"):
        WarmAugmentedForecaster(Ridge()).fit(X, y).refit(X, y)
