"""The shipped members keep the contract, and do what their names say."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LinearRegression

from foretrade.forecasters.linear import OnlineRidgeForecaster, elastic_net, huber, ridge
from foretrade.forecasters.members import MEMBERS, WRAPPERS, MemberError, build_member
from foretrade.forecasters.naive import (
    ARForecaster,
    DriftForecaster,
    EWMAForecaster,
    HistoricalMeanForecaster,
)
from foretrade.forecasters.scaling import ScaledForecaster
from foretrade.forecasters.trees import LightGBMQuantileForecaster, extra_trees
from foretrade.forecasters.volatility import EWMAVolatilityForecaster, GARCHForecaster
from foretrade.markets.labels import one_bar_returns
from foretrade.markets.sources import load
from foretrade.testing import parametrize_with_checks

SMALL = [
    ARForecaster(),
    DriftForecaster(lookback_bars=20),
    EWMAForecaster(lookback_bars=20),
    EWMAVolatilityForecaster(lookback_bars=20),
    GARCHForecaster(distribution="normal", lookback_bars=20),
    HistoricalMeanForecaster(),
    LightGBMQuantileForecaster(n_estimators=5, min_child_samples=5),
    OnlineRidgeForecaster(alpha=1.0),
    OnlineRidgeForecaster(alpha=1.0, forgetting=0.98),
    ScaledForecaster(LinearRegression(), span_bars=20),
    elastic_net(alpha=0.001),
    extra_trees(n_estimators=5, min_samples_leaf=5),
    huber(alpha=1.0),
]

QUICK = ("ridge", "random_forest", "lightgbm", "bagged(ridge)", "boosted(ridge)", "augmented(ridge)")


def build_quick(name):
    return build_member(name, {}, seed=0)


@parametrize_with_checks(SMALL)
def test_the_contract_is_kept(check):
    check()


def windows(series, lookback):
    return np.lib.stride_tricks.sliding_window_view(series[:, None], lookback, axis=0).swapaxes(1, 2)


def sp500_windows(lookback):
    returns = one_bar_returns(load("sp500"))[1:, 0]
    return windows(returns, lookback)[:-1], returns[lookback:]


def test_garch_is_that_of_arch():
    from arch import arch_model

    X, y = sp500_windows(500)
    member = GARCHForecaster(distribution="normal", lookback_bars=500).fit(X[:1500], y[:1500])
    series = np.concatenate([X[0, :, 0], X[1:1500, -1, 0]])
    fitted = arch_model(100 * series, dist="normal", rescale=False).fit(disp="off")
    ahead = np.sqrt(fitted.forecast(horizon=1).variance.iloc[-1, 0]) / 100
    assert_allclose(np.sqrt(member._variances(X[1499:1500])), ahead, rtol=2e-3)
    z = (y[1500:] - member.predict(X[1500:]).mean) / member.predict(X[1500:]).std
    assert 0.85 < z.std() < 1.25
    plain = y[1500:] / y[:1500].std()
    kurtosis = [np.mean(v**4) / np.mean(v**2) ** 2 for v in (z, plain)]
    assert kurtosis[0] < 0.6 * kurtosis[1]  # what is left has lost most of its volatility clusters


def test_ewma_volatility_is_the_recursion_of_riskmetrics():
    X, y = sp500_windows(100)
    member = EWMAVolatilityForecaster(lookback_bars=100).fit(X[:500], y[:500])
    variance = member.start_
    for r in X[700, :, 0] - member.return_mean_:
        variance = 0.94 * variance + 0.06 * r * r
    assert_allclose(member._variances(X[700:701]), variance, rtol=1e-12)
    stds = member.predict(X[:500]).std
    assert_allclose(np.mean(stds**2), np.mean((y[:500] - y[:500].mean()) ** 2), rtol=1e-9)


def test_the_autoregression_is_least_squares():
    X, y = sp500_windows(3)
    member = ARForecaster().fit(X, y)
    slope, intercept = np.polyfit(X[:, -1, 0], y, 1)
    assert_allclose([member.slope_, member.intercept_], [slope, intercept], rtol=1e-8)
    assert -0.12 < member.slope_ < -0.02  # published: first autocorrelation −0.07 over 1999-2018


def test_drift_and_ewma_are_means_of_the_window():
    X, y = sp500_windows(50)
    assert_allclose(
        DriftForecaster(horizon_bars=5).fit(X, y).predict(X).mean, 5 * X[:, :, 0].mean(axis=1)
    )
    ewma = EWMAForecaster(halflife_bars=5, lookback_bars=50).fit(X, y)
    assert_allclose(ewma.weights_[-6] / ewma.weights_[-1], 0.5)
    assert_allclose(ewma.predict(np.ones_like(X)).mean, 1.0)


def test_online_ridge_is_ridge():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 3, 6)), rng.normal(size=400)
    X[:, -1, 2] = 4.0  # does not vary
    online, batch = OnlineRidgeForecaster(alpha=30.0).fit(X, y), ridge(alpha=30.0).fit(X, y)
    assert_allclose(online.predict(X).mean, batch.predict(X).mean, rtol=1e-8, atol=1e-12)


def test_forgetting_weighs_by_age():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 1, 2)), rng.normal(size=200)
    online = OnlineRidgeForecaster(alpha=0.0, forgetting=0.95).fit(X[:50], y[:50])
    online.update(X[50:], y[50:])
    weighted = LinearRegression().fit(X[:, -1], y, sample_weight=0.95 ** np.arange(200)[::-1])
    assert_allclose(online.predict(X).mean, weighted.predict(X[:, -1]), rtol=1e-8, atol=1e-12)


def test_quantiles_do_not_cross_and_cover():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 1, 2))
    y = X[:, -1, 0] + np.exp(0.5 * X[:, -1, 1]) * rng.normal(size=3000)
    forecast = LightGBMQuantileForecaster().fit(X[:2000], y[:2000]).predict(X[2000:])
    low, middle, high = (forecast.quantiles[level] for level in (0.05, 0.5, 0.95))
    assert (low <= middle).all()
    assert (middle <= high).all()
    assert_array_equal(middle, forecast.mean)
    assert 0.82 < ((y[2000:] >= low) & (y[2000:] <= high)).mean() < 0.95
    assert np.corrcoef(forecast.std, np.exp(0.5 * X[2000:, -1, 1]))[0, 1] > 0.7


@pytest.mark.parametrize("member", [*SMALL, *map(build_quick, QUICK)], ids=lambda m: repr(m)[:40])
@pytest.mark.parametrize("what", ["labels all equal", "an input that does not vary", "zeros"])
def test_degenerate_samples_give_finite_forecasts(member, what):
    rng = np.random.default_rng(0)
    columns = 1 if getattr(member, "inputs", "features") == "returns" else 4
    X = 0.01 * rng.normal(size=(120, getattr(member, "lookback_bars", None) or 5, columns))
    y = 0.01 * rng.normal(size=120)
    if what == "labels all equal":
        y[:] = 0.001
    else:
        X[..., 0] = 0.0 if what == "zeros" else 0.01
        if isinstance(member, GARCHForecaster):
            with pytest.raises(ValueError, match="needs returns that vary"):
                clone(member).fit(X[:100], y[:100])
            return
    forecast = clone(member).fit(X[:100], y[:100]).predict(X[100:])
    assert np.isfinite(forecast.mean).all()
    assert forecast.std is None or np.isfinite(forecast.std).all()
    if what == "labels all equal" and "returns" not in getattr(member, "inputs", ""):
        assert_allclose(forecast.mean, 0.001, rtol=1e-6)


def test_every_name_builds_and_takes_its_seed():
    nets = {"lstm", "gru", "tcn", "transformer", "hybrid"}
    for name in set(MEMBERS) - nets:
        assert hasattr(build_member(name, {}, seed=7, horizon_bars=5), "predict")
    assert build_member("drift", {}, seed=0, horizon_bars=5).horizon_bars == 5


def test_wrappers_nest():
    for wrapper in WRAPPERS:
        assert hasattr(build_member(f"{wrapper}(ridge)", {}, seed=0), "member")
    inner = {"ridge": {"alpha": 3.0}}
    both = build_member("bagged(augmented(ridge))", {"copies": 2}, seed=0, inner=inner)
    assert both.copies == 2
    assert both.member.member.estimator[-1].alpha == 3.0
    with pytest.raises(MemberError, match="unknown wrapper 'boxed'"):
        build_member("boxed(ridge)", {}, seed=0)
