from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.metrics import mean_pinball_loss
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.sandwich_covariance import weights_uniform

from foretrade.backtests.significance import sharpe_ratio
from foretrade.forecasters.comparison import clark_west
from foretrade.forecasters.scores import (
    coverage,
    crps_ensemble,
    crps_gaussian,
    mincer_zarnowitz,
    pinball_loss,
    pit,
    pit_deviation,
    resolved_mean,
    score_forecast,
)
from foretrade.markets.labels import LabelConfig, forward_returns


def score(mean, labels, benchmark, **known):
    return score_forecast(mean, labels, benchmark, mean - 1.645, mean + 1.645, **known)


def within(estimate, truth, draws):
    """Whether a mean of draws is within four standard errors of its expectation."""
    return abs(estimate - truth) < 4 * np.std(draws) / math.sqrt(len(draws))


# --- ground truth


@pytest.mark.parametrize("rho", [0.05, 0.3])
def test_gaussian_identities(rho):
    """What a normal forecast with correlation ρ must score, within four standard errors."""
    rng, n, spread = np.random.default_rng(0), 400_000, math.sqrt(1 - rho**2)
    forecast = rho * rng.normal(size=n)
    labels = forecast + spread * rng.normal(size=n)
    error, std = labels - forecast, np.full(n, spread)
    quantile = forecast + spread * stats.norm.ppf(0.1)
    scores = score(forecast, labels, np.zeros(n), std=std, quantiles={0.1: quantile})
    assert abs(scores.ic - rho) < 4 * (1 - rho**2) / math.sqrt(n)
    assert abs(scores.rank_ic - 6 / math.pi * math.asin(rho / 2)) < 4 * 1.1 / math.sqrt(n)
    right = np.sign(forecast) == np.sign(labels)
    assert within(scores.hit_rate, 0.5 + math.asin(rho) / math.pi, right)
    assert within(scores.mse, spread**2, error**2)
    assert within(scores.mae, spread * math.sqrt(2 / math.pi), np.abs(error))
    assert within(scores.r2_zero, rho**2, error**2 - labels**2)
    assert within(scores.crps, spread / math.sqrt(math.pi), crps_gaussian(labels, forecast, std))
    losses = pinball_loss(labels, quantile, 0.1)
    assert within(scores.pinball, spread * stats.norm.pdf(stats.norm.ppf(0.1)), losses)
    inside = np.abs(error) < 1.645
    assert within(scores.coverage, math.erf(1.645 / spread / math.sqrt(2)), inside)
    assert abs(scores.mincer_zarnowitz_slope - 1) < 4 * spread / rho / math.sqrt(n)
    assert scores.mincer_zarnowitz_p > 0.001
    assert scores.pit_deviation < 3 * math.sqrt(18 / math.pi / n) / 10
    assert scores.rmse == math.sqrt(scores.mse)
    assert_allclose(scores.interval_width, 2 * 1.645, rtol=1e-12)


def test_what_a_correlation_earns():
    """Sharpe ratio of a position equal to the forecast, and to its sign; per period."""
    rng, rho, n = np.random.default_rng(1), 0.05, 1_000_000
    forecast = rho * rng.normal(size=n)
    labels = forecast + math.sqrt(1 - rho**2) * rng.normal(size=n)
    error = 4 / math.sqrt(n)
    proportional = rho / math.sqrt(1 + rho**2)
    signed = rho * math.sqrt(2 / math.pi) / math.sqrt(1 - 2 * rho**2 / math.pi)
    assert abs(sharpe_ratio(forecast * labels) - proportional) < error
    assert abs(sharpe_ratio(np.sign(forecast) * labels) - signed) < error
    scores = score(forecast, labels, np.zeros(n))
    assert_allclose(scores.clark_west_t / math.sqrt(n), sharpe_ratio(forecast * labels), rtol=1e-5)


def test_the_sp500_autoregression_is_accurate_and_earns_nothing(sp500):
    """Daily AR(1) of simple returns, expanding from 1,000 pairs; Sharpe ratios of its sign.

    R²_OS +0.58 %, hit rate .524 (.545 for always up); Sharpe .67 gross, .54 at 1 bp and .04 at 5 bp a
    unit traded, with a turnover of .91 a day.
    """
    returns = np.diff(sp500.close[:, 0]) / sp500.close[:-1, 0]
    x, y = returns[:-1], returns[1:]
    forecast = np.full(len(y), np.nan)
    for t in range(1000, len(y)):
        slope, intercept = np.polyfit(x[:t], y[:t], 1)
        forecast[t] = intercept + slope * x[t]
    scores = score(forecast, y, resolved_mean(y, 1))
    assert scores.observations == 4029
    assert_allclose(scores.r2_os, 0.0058, atol=5e-5)
    assert_allclose(scores.hit_rate, 0.524, atol=5e-4)
    assert_allclose((y[1000:] > 0).mean(), 0.545, atol=5e-4)
    assert scores.clark_west_p < 0.05
    position = np.sign(forecast[1000:])
    traded = np.abs(np.diff(position, prepend=0.0))
    assert_allclose(traded.mean(), 0.91, atol=0.005)
    for cost_bps, expected in ((0, 0.67), (1, 0.54), (5, 0.04)):
        net = position * y[1000:] - cost_bps * 1e-4 * traded
        assert_allclose(sharpe_ratio(net, 252), expected, atol=0.005)


# --- the distribution


def test_crps_of_the_standard_normal_at_its_mean_is_the_published_number():
    """Gneiting and Raftery (2007): (√2 − 1)/√π, 0.2337 per unit of standard deviation."""
    found = crps_gaussian(np.zeros(2), np.zeros(2), np.array([1.0, 3.0]))
    assert_allclose(found / [1, 3], (math.sqrt(2) - 1) / math.sqrt(math.pi), rtol=1e-12)


def test_crps_is_the_integral_of_the_squared_difference_of_distributions():
    grid = np.linspace(-15, 15, 600_001)
    step = grid[1] - grid[0]
    for label, mean, std in ((0.3, 0.1, 1.2), (-2.0, 0.5, 0.4)):
        integral = ((stats.norm.cdf(grid, mean, std) - (grid >= label)) ** 2).sum() * step
        found = crps_gaussian(np.array([label]), np.array([mean]), np.array([std]))
        assert_allclose(found, integral, atol=1e-4)
    members = np.array([[0.2, -1.0, 0.7, 0.2, 2.0]])
    below = (members[0][:, None] <= grid).mean(axis=0)
    integral = ((below - (grid >= 0.4)) ** 2).sum() * step
    assert_allclose(crps_ensemble(np.array([0.4]), members), integral, atol=1e-4)


def test_an_ensemble_tends_to_its_distribution_and_one_member_to_the_absolute_error():
    rng = np.random.default_rng(2)
    labels, mean, std = rng.normal(size=20), rng.normal(size=20), rng.uniform(0.5, 2, size=20)
    levels = (np.arange(4000) + 0.5) / 4000
    members = mean[:, None] + std[:, None] * stats.norm.ppf(levels)
    expected = crps_gaussian(labels, mean, std)
    assert_allclose(crps_ensemble(labels, members), expected, atol=1e-3)
    assert_allclose(crps_ensemble(labels, mean[:, None]), np.abs(labels - mean), rtol=1e-12)
    pinballs = [pinball_loss(labels, members[:, i], level) for i, level in enumerate(levels)]
    assert_allclose(2 * np.mean(pinballs, axis=0), expected, atol=1e-3)


def test_the_distribution_scores_agree_with_scoringrules():
    oracle = pytest.importorskip("scoringrules")
    rng = np.random.default_rng(3)
    labels, mean, std = rng.normal(size=50), rng.normal(size=50), rng.uniform(0.01, 2, size=50)
    members = rng.normal(size=(50, 7))
    assert_allclose(crps_gaussian(labels, mean, std), oracle.crps_normal(labels, mean, std), rtol=1e-9)
    expected = oracle.crps_ensemble(labels, members, estimator="nrg")
    assert_allclose(crps_ensemble(labels, members), expected, rtol=1e-9)
    expected = oracle.quantile_score(labels, mean, 0.2)
    assert_allclose(pinball_loss(labels, mean, 0.2), expected, rtol=1e-9)


def test_pinball_agrees_with_scikit_learn_and_is_least_at_the_quantile():
    labels = np.random.default_rng(4).exponential(size=20_000)
    losses = {}
    for guess in np.linspace(0.5, 4, 36):
        losses[guess] = pinball_loss(labels, np.full(20_000, guess), 0.8).mean()
        expected = mean_pinball_loss(labels, np.full(20_000, guess), alpha=0.8)
        assert_allclose(losses[guess], expected, rtol=1e-10)
    assert abs(min(losses, key=losses.__getitem__) - -math.log(0.2)) < 0.1


@pytest.mark.parametrize(("stated", "in_the_tails"), [(0.5, True), (2.0, False)])
def test_a_wrong_spread_shows_in_every_score_of_the_distribution(stated, in_the_tails):
    rng, n = np.random.default_rng(5), 5000
    labels, mean = rng.normal(size=n), np.zeros(n)
    right = pit(labels, mean, np.ones(n))
    assert stats.kstest(right, "uniform").pvalue > 1e-4  # four standard errors, as above
    wrong = pit(labels, mean, np.full(n, stated))
    assert (np.mean((wrong < 0.1) | (wrong > 0.9)) > 0.2) == in_the_tails
    assert pit_deviation(wrong) > 5 * pit_deviation(right)
    honest = crps_gaussian(labels, mean, np.ones(n)).mean()
    assert crps_gaussian(labels, mean, np.full(n, stated)).mean() > honest


def test_the_deviation_of_a_right_distribution_is_as_documented():
    values = np.random.default_rng(6).uniform(size=(500, 400))
    deviations = [pit_deviation(row) for row in values]
    assert within(np.mean(deviations), math.sqrt(18 / math.pi / 400) / 10, deviations)


# --- calibration and correlation


@pytest.mark.parametrize("horizon", [1, 4])
def test_regressions_agree_with_statsmodels(horizon):
    rng = np.random.default_rng(7)
    mean = 1e-4 + 1e-3 * rng.normal(size=400)
    shocks = np.convolve(rng.normal(size=399 + horizon), np.ones(horizon), mode="valid")
    labels = 2e-4 + 0.7 * mean + 1e-2 * shocks
    kernel = {"maxlags": horizon - 1, "kernel": weights_uniform}
    regressors = np.column_stack([np.ones(400), mean])
    fit = OLS(labels, regressors).fit(cov_type="HAC", cov_kwds=kernel)
    found = mincer_zarnowitz(mean, labels, horizon)
    assert_allclose([found.intercept, found.slope], fit.params, rtol=1e-8)
    joint = fit.wald_test((np.eye(2), np.array([0.0, 1.0])), use_f=False, scalar=True)
    assert_allclose(found.p_value, joint.pvalue, rtol=1e-6)
    scores = score(mean, labels, np.zeros(400), horizon_bars=horizon)
    assert_allclose(scores.ic_t, fit.tvalues[1], rtol=1e-8)
    ranks = np.column_stack([np.ones(400), stats.rankdata(mean)])
    fit = OLS(stats.rankdata(labels), ranks).fit(cov_type="HAC", cov_kwds=kernel)
    assert_allclose(scores.rank_ic_t, fit.tvalues[1], rtol=1e-8)


def test_a_forecast_that_exaggerates_or_is_biased_is_found_out():
    rng = np.random.default_rng(8)
    forecast = rng.normal(size=1000)
    labels = forecast + 3 * rng.normal(size=1000)
    assert mincer_zarnowitz(forecast, labels).p_value > 0.05
    exaggerated, biased = mincer_zarnowitz(2 * forecast, labels), mincer_zarnowitz(forecast + 1, labels)
    assert_allclose(exaggerated.slope, mincer_zarnowitz(forecast, labels).slope / 2, rtol=1e-10)
    assert exaggerated.p_value < 0.001
    assert biased.p_value < 0.001
    assert_allclose(biased.intercept, mincer_zarnowitz(forecast, labels).intercept - biased.slope)


def test_the_overlap_of_labels_lowers_the_t_statistics(walk):
    """The same slow forecast of 20-bar returns: to count each row as new evidence triples them."""
    labels = forward_returns(walk, LabelConfig(horizon_bars=20))[:, 0]
    trend = np.convolve(np.diff(np.log(walk.close[:, 0]), prepend=np.nan), np.ones(20))[: len(labels)]
    naive = score(trend, labels, np.zeros_like(labels))
    honest = score(trend, labels, np.zeros_like(labels), horizon_bars=20)
    for name in ("ic_t", "rank_ic_t", "clark_west_t", "pesaran_timmermann"):
        assert abs(getattr(honest, name)) < 0.6 * abs(getattr(naive, name))
    assert honest.ic == naive.ic
    assert honest.independent == honest.observations // 20


def test_the_scores_are_those_of_the_tests_at_the_same_horizon(walk):
    config = LabelConfig(horizon_bars=5)
    labels = forward_returns(walk, config)[:-6, 0]
    benchmark = resolved_mean(labels, config.resolution_bars)
    mean, known = np.sin(np.arange(len(labels)) / 7) * 0.01, np.isfinite(benchmark)
    scores = score(mean, labels, benchmark, horizon_bars=5)
    f, r, b = mean[known], labels[known], benchmark[known]
    better, calibrated = clark_west(f, r, b, 5), mincer_zarnowitz(f, r, 5)
    assert (scores.clark_west_t, scores.clark_west_p) == (better.statistic, better.p_value)
    assert scores.mincer_zarnowitz_slope == calibrated.slope
    assert scores.mincer_zarnowitz_p == calibrated.p_value
    assert_allclose(scores.r2_os, 1 - np.sum((r - f) ** 2) / np.sum((r - b) ** 2), rtol=1e-10)


# --- what was known, and what is undefined


def test_the_benchmark_knows_resolved_labels_only(walk):
    config = LabelConfig(horizon_bars=3)
    labels = forward_returns(walk, config)[:, 0]
    mean = resolved_mean(labels, config.resolution_bars)
    assert np.isnan(mean[: config.resolution_bars]).all()
    assert_allclose(mean[50], labels[: 50 - config.resolution_bars + 1].mean(), rtol=1e-12)


def test_the_undefined_is_not_a_number():
    labels = np.random.default_rng(0).normal(size=50)
    scores = score(np.zeros(50), labels, np.zeros(50))
    undefined = {name for name, value in scores.as_dict().items() if math.isnan(value)}
    assert undefined == {
        "ic", "ic_t", "rank_ic", "rank_ic_t", "hit_rate", "clark_west_t", "clark_west_p",
        "pesaran_timmermann", "pesaran_timmermann_p", "mincer_zarnowitz_intercept",
        "mincer_zarnowitz_slope", "mincer_zarnowitz_p", "crps", "pit_deviation", "pinball",
    }  # fmt: skip
    assert scores.r2_zero == 0.0
    with pytest.raises(ValueError, match="only 0 rows"):
        score(np.full(50, np.nan), labels, np.zeros(50))


@pytest.mark.parametrize("horizon", [1, 3, 10])
@pytest.mark.parametrize(
    ("mean", "labels"),
    [
        (np.arange(3.0), np.array([1.0, -1.0, 2.0])),
        (np.arange(3.0), np.arange(3.0)),
        (np.full(5, 0.1), np.zeros(5)),
        (np.linspace(-1, 1, 9), np.zeros(9)),
        (np.linspace(-1, 1, 9), np.cos(np.arange(9))),
        (np.linspace(-1, 1, 40), np.linspace(-1, 1, 40)),
    ],
)
def test_a_degenerate_forecast_is_scored_without_a_warning(mean, labels, horizon):
    zero = np.zeros(len(mean))
    scores = score(
        mean, labels, zero, horizon_bars=horizon, std=zero, quantiles={0.5: np.full(len(mean), np.nan)}
    )
    assert scores.mse == np.mean((labels - mean) ** 2)
    assert math.isnan(scores.crps)
    assert math.isnan(scores.pinball)
    if len(mean) <= max(3, horizon):
        assert math.isnan(scores.ic_t)
        assert math.isnan(scores.mincer_zarnowitz_p)


def test_a_missing_value_leaves_out_its_row_alone():
    rng = np.random.default_rng(9)
    mean, labels, std = rng.normal(size=60), rng.normal(size=60), rng.uniform(1, 2, size=60)
    holes = mean.copy()
    holes[5] = np.nan
    kept = np.arange(60) != 5
    whole = score(mean[kept], labels[kept], np.zeros(59), std=std[kept], quantiles={0.3: mean[kept]})
    assert whole == score(holes, labels, np.zeros(60), std=std, quantiles={0.3: mean})
    lower, upper = mean - 1, mean + 1
    lower[:30] = np.nan
    assert coverage(labels, lower, upper) == coverage(labels[30:], lower[30:], upper[30:])
    unknown = score_forecast(mean, labels, np.zeros(60), lower, upper)
    assert unknown.coverage == coverage(labels, lower, upper)
    assert_allclose(unknown.interval_width, 2.0)


def test_bad_input_is_named():
    labels = np.zeros(3)
    with pytest.raises(ValueError, match="std must be positive"):
        crps_gaussian(labels, labels, np.array([1.0, 0.0, 1.0]))
    with pytest.raises(ValueError, match="std must be positive"):
        pit(labels, labels, np.array([1.0, -1.0, 1.0]))
    with pytest.raises(ValueError, match="level of a quantile must lie between 0 and 1, got 5"):
        pinball_loss(labels, labels, 5)
