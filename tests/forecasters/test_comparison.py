from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from scipy.signal import lfilter
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.sandwich_covariance import S_hac_simple, weights_uniform

from foretrade.forecasters.comparison import (
    clark_west,
    diebold_mariano,
    giacomini_white,
    long_run_covariance,
    model_confidence_set,
    pesaran_timmermann,
    slope_t,
)
from foretrade.forecasters.scores import mincer_zarnowitz

REPLICATIONS = 400
SIZE = 0.1
SIZE_ERROR = 3.5 * math.sqrt(SIZE * (1 - SIZE) / REPLICATIONS)


def overlapping(rng, rows, horizon):
    """Returns over ``horizon`` bars of a random walk, one row a bar."""
    total = np.concatenate([[0.0], rng.normal(size=rows + horizon - 1).cumsum()])
    return total[horizon:] - total[:-horizon]


def persistent(rng, rows):
    """A forecast that knows nothing and moves slowly, as most do."""
    return lfilter([1.0], [1.0, -0.9], rng.normal(size=rows + 100))[100:]


def flat_hac(horizon):
    return {"cov_type": "HAC", "cov_kwds": {"maxlags": horizon - 1, "kernel": weights_uniform}}


@pytest.fixture
def sample():
    rng = np.random.default_rng(7)
    labels = overlapping(rng, 300, 3)
    return labels, 0.2 * labels + rng.normal(size=300), 0.1 * labels + rng.normal(size=300)


# --- against independent implementations


def test_diebold_mariano_is_a_paired_t_test_at_one_bar(sample):
    labels, a, b = sample
    loss_a, loss_b = (labels - a) ** 2, (labels - b) ** 2
    expected = stats.ttest_rel(loss_a, loss_b)
    found = diebold_mariano(loss_a, loss_b)
    assert_allclose([found.statistic, found.p_value], [expected.statistic, expected.pvalue], rtol=1e-10)


@pytest.mark.parametrize("horizon", [2, 3, 6])
def test_diebold_mariano_agrees_with_statsmodels_at_longer_horizons(sample, horizon):
    labels, a, b = sample
    n, difference = len(labels), np.abs(labels - a) - np.abs(labels - b)
    fit = OLS(difference, np.ones(n)).fit(**flat_hac(horizon))
    corrected = math.sqrt((n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n) * fit.tvalues[0]
    found = diebold_mariano(np.abs(labels - a), np.abs(labels - b), horizon)
    assert_allclose(found.statistic, corrected, rtol=1e-10)


@pytest.mark.parametrize("horizon", [1, 3])
def test_diebold_mariano_agrees_with_the_package(sample, horizon):
    oracle = pytest.importorskip("dieboldmariano")
    labels, a, b = sample
    expected = oracle.dm_test(list(labels), list(a), list(b), h=horizon)
    found = diebold_mariano((labels - a) ** 2, (labels - b) ** 2, horizon)
    assert_allclose([found.statistic, found.p_value], expected, rtol=1e-6)


def test_giacomini_white_is_n_times_the_uncentred_r2_at_one_bar(sample):
    """The authors' own form of the one-step test."""
    labels, a, b = sample
    loss_a, loss_b = (labels - a) ** 2, (labels - b) ** 2
    d = loss_a - loss_b
    moments = d[1:, None] * np.column_stack([np.ones(len(d) - 1), d[:-1]])
    explained = OLS(np.ones(len(moments)), moments).fit()
    found = giacomini_white(loss_a, loss_b)
    assert_allclose(found.statistic, len(moments) * explained.rsquared, rtol=1e-10)
    assert_allclose(found.p_value, math.exp(-found.statistic / 2), rtol=1e-10)


def test_giacomini_white_conditions_on_what_was_known(sample):
    labels, a, b = sample
    loss_a, loss_b = (labels - a) ** 2, (labels - b) ** 2
    d, horizon, resolution = loss_a - loss_b, 3, 4
    moments = d[resolution:, None] * np.column_stack([np.ones(len(d) - resolution), d[:-resolution]])
    covariance = S_hac_simple(moments, horizon - 1, weights_uniform)
    expected = moments.sum(axis=0) @ np.linalg.solve(covariance, moments.sum(axis=0))
    found = giacomini_white(loss_a, loss_b, horizon, resolution_bars=resolution)
    assert_allclose(found.statistic, expected, rtol=1e-9)


@pytest.mark.parametrize("horizon", [1, 3])
def test_clark_west_agrees_with_statsmodels(sample, horizon):
    labels, f, b = sample
    adjusted = (labels - b) ** 2 - ((labels - f) ** 2 - (b - f) ** 2)
    fit = OLS(adjusted, np.ones(len(labels))).fit(**flat_hac(horizon))
    found = clark_west(f, labels, b, horizon)
    assert_allclose(found.statistic, fit.tvalues[0], rtol=1e-9)
    assert_allclose(found.p_value, stats.norm.sf(fit.tvalues[0]), rtol=1e-9)


def test_clark_west_against_zero_is_the_sharpe_ratio_of_the_forecast_as_position(sample):
    labels, f, _ = sample
    earned = f * labels
    sharpe = earned.mean() / earned.std()
    assert_allclose(clark_west(f, labels, 0 * f).statistic, math.sqrt(len(f)) * sharpe, rtol=1e-10)


def test_pesaran_timmermann_is_the_formula_of_the_paper_and_a_chi_squared_test(sample):
    labels, f, _ = sample
    labels = labels + 0.5
    n, p, q = len(f), (labels > 0).mean(), (f > 0).mean()
    hits, chance = ((f > 0) == (labels > 0)).mean(), p * q + (1 - p) * (1 - q)
    by_chance = (
        (2 * p - 1) ** 2 * q * (1 - q) / n
        + (2 * q - 1) ** 2 * p * (1 - p) / n
        + 4 * p * q * (1 - p) * (1 - q) / n**2
    )
    found, p_value = (getattr(pesaran_timmermann(f, labels), x) for x in ("statistic", "p_value"))
    assert_allclose(p_value, stats.norm.sf(found), rtol=1e-12)
    assert_allclose(found, (hits - chance) / math.sqrt(chance * (1 - chance) / n - by_chance), rtol=1e-9)
    table = pd.crosstab(f > 0, labels > 0)
    chi_squared = stats.chi2_contingency(table, correction=False).statistic
    assert_allclose(found**2, n / (n - 1) * chi_squared, rtol=1e-9)


def test_pesaran_timmermann_of_overlapping_returns_agrees_with_statsmodels(sample):
    labels, f, _ = sample
    fit = OLS(np.sign(labels), np.column_stack([np.ones_like(f), np.sign(f)])).fit(**flat_hac(3))
    assert_allclose(pesaran_timmermann(f, labels, 3).statistic, fit.tvalues[1], rtol=1e-9)


def test_the_confidence_set_of_two_is_a_test_of_equal_loss():
    rng = np.random.default_rng(5)
    loss_a, loss_b = rng.chisquare(1, size=(2, 400))
    loss_b += 0.15
    found = model_confidence_set({"a": loss_a, "b": loss_b}, resamples=4000)
    assert found.p_values["a"] == 1.0
    p = diebold_mariano(loss_a, loss_b).p_value
    assert abs(found.p_values["b"] - p) < 4 * math.sqrt(p * (1 - p) / 4000) + 0.01


# --- under the null each rejects as often as it says


def equal_losses(rng, rows, horizon):
    labels = overlapping(rng, rows, horizon)
    first, second = 0.2 * rng.normal(size=(2, rows))
    return (labels - first) ** 2, (labels - second) ** 2


def null_diebold_mariano(rng, rows, horizon, declared):
    return diebold_mariano(*equal_losses(rng, rows, horizon), declared).p_value


def null_giacomini_white(rng, rows, horizon, declared):
    return giacomini_white(*equal_losses(rng, rows, horizon), declared).p_value


def null_clark_west(rng, rows, horizon, declared):
    labels, forecast = overlapping(rng, rows, horizon), 0.1 * persistent(rng, rows)
    return clark_west(forecast, labels, np.zeros(rows), declared).p_value


def null_pesaran_timmermann(rng, rows, horizon, declared):
    labels = overlapping(rng, rows, horizon) + 0.1
    return pesaran_timmermann(persistent(rng, rows), labels, declared).p_value


def null_slope(rng, rows, horizon, declared):
    t = slope_t(persistent(rng, rows), overlapping(rng, rows, horizon), declared)
    return 2 * stats.norm.sf(abs(t))


def null_mincer_zarnowitz(rng, rows, horizon, declared):
    forecast = 0.3 * persistent(rng, rows)
    return mincer_zarnowitz(forecast, forecast + overlapping(rng, rows, horizon), declared).p_value


def rejections(seed, null, horizon, declared):
    """Share of replications in which a test of the declared horizon rejects a true null."""
    rng = np.random.default_rng(seed)
    return np.mean([null(rng, 600, horizon, declared) <= SIZE for _ in range(REPLICATIONS)])


NULLS = [
    null_diebold_mariano,
    null_giacomini_white,
    null_clark_west,
    null_pesaran_timmermann,
    null_slope,
    null_mincer_zarnowitz,
]


@pytest.mark.parametrize("horizon", [1, 4])
@pytest.mark.parametrize("null", NULLS)
def test_size(null, horizon):
    assert abs(rejections(1, null, horizon, horizon) - SIZE) < SIZE_ERROR


@pytest.mark.parametrize("null", NULLS[2:])
def test_overlap_that_is_not_declared_is_taken_for_skill(null):
    """The fault that the horizon guards against."""
    assert rejections(2, null, 10, 1) > 1.8 * SIZE


def test_clark_west_is_fair_to_a_model_that_estimates_a_zero():
    """A useless fitted slope has a negative R²_OS; Diebold-Mariano hardly ever rejects, this does."""
    rng, rows, window = np.random.default_rng(3), 400, 60
    x, y = rng.normal(size=(2, REPLICATIONS, rows + window))
    products, squares = np.cumsum(x * y, axis=1), np.cumsum(x * x, axis=1)
    slope = (products[:, window:] - products[:, :-window]) / (squares[:, window:] - squares[:, :-window])
    forecast, labels = slope[:, :-1] * x[:, window + 1 :], y[:, window + 1 :]
    zero = np.zeros(rows - 1)
    adjusted = [clark_west(f, r, zero).p_value for f, r in zip(forecast, labels, strict=True)]
    plain = [diebold_mariano(r**2, (r - f) ** 2) for f, r in zip(forecast, labels, strict=True)]
    assert ((labels - forecast) ** 2).mean() > (labels**2).mean()
    assert abs(np.mean(np.array(adjusted) <= SIZE) - SIZE) < SIZE_ERROR
    assert np.mean([t.statistic > stats.norm.isf(SIZE) for t in plain]) < SIZE / 4


def test_the_confidence_set_holds_the_best_forecast():
    rng, held = np.random.default_rng(4), []
    for _ in range(60):
        shared = rng.chisquare(1, size=150)
        losses = {f"m{i}": shared + 0.05 * i + rng.normal(size=150) for i in range(3)}
        held.append("m0" in model_confidence_set(losses, 0.2, resamples=200).included)
    assert np.mean(held) > 0.8 - 2 * math.sqrt(0.8 * 0.2 / 60)


# --- what each is for


def test_a_forecast_that_is_better_at_known_times_is_found_by_the_conditional_test_only():
    rng = np.random.default_rng(6)
    regime = np.repeat(np.tile([1.0, -1.0], 10), 50)
    loss_a = rng.chisquare(1, size=1000) + regime
    loss_b = rng.chisquare(1, size=1000)
    assert giacomini_white(loss_a, loss_b).p_value < 0.001
    assert diebold_mariano(loss_a, loss_b).p_value > 0.1


def test_a_row_without_a_sign_is_no_evidence_of_direction(sample):
    labels, f, _ = sample
    idle, flat = np.arange(300) % 5 == 0, np.arange(300) % 7 == 0
    kept = ~(idle | flat)
    found = pesaran_timmermann(np.where(idle, 0.0, f), np.where(flat, 0.0, labels), 3)
    assert found == pesaran_timmermann(f[kept], labels[kept], 3)


def test_swapping_the_forecasts_changes_the_sign_alone(sample):
    labels, a, b = sample
    losses = (labels - a) ** 2, (labels - b) ** 2
    one, other = diebold_mariano(*losses, 3), diebold_mariano(*losses[::-1], 3)
    assert_allclose([one.statistic, one.p_value], [-other.statistic, other.p_value], rtol=1e-12)
    assert_allclose(
        giacomini_white(*losses, 3).statistic, giacomini_white(*losses[::-1], 3).statistic, rtol=1e-9
    )


def test_no_test_depends_on_the_unit(sample):
    labels, a, b = (0.01 * values for values in sample)
    big = tuple(1e4 * values for values in (labels, a, b))
    for first, second in [
        (giacomini_white(labels**2, a**2, 2), giacomini_white(big[0] ** 2, big[1] ** 2, 2)),
        (diebold_mariano(labels**2, a**2, 2), diebold_mariano(big[0] ** 2, big[1] ** 2, 2)),
        (clark_west(a, labels, b, 2), clark_west(big[1], big[0], big[2], 2)),
    ]:
        assert_allclose(first.statistic, second.statistic, rtol=1e-8)


def test_a_clearly_worse_forecast_leaves_the_confidence_set():
    rng = np.random.default_rng(8)
    shared = rng.chisquare(1, size=500)
    losses = pd.DataFrame({name: shared + rng.normal(size=500) for name in ("good", "equal", "bad")})
    losses["bad"] += 0.5
    found = model_confidence_set(losses, seed=3)
    assert found.included == ("good", "equal")
    assert found.p_values["bad"] < 0.01
    assert found == model_confidence_set({name: losses[name].to_numpy() for name in losses}, seed=3)


def test_the_blocks_of_the_confidence_set_grow_with_the_overlap():
    rng = np.random.default_rng(9)
    short = {name: rng.normal(size=500) for name in "abc"}
    long = {name: overlapping(rng, 500, 10) for name in "abc"}
    assert model_confidence_set(short).block_rows < 5 < model_confidence_set(long).block_rows


@pytest.mark.parametrize("horizon", [2, 5, 20])
def test_the_long_run_covariance_is_positive_where_the_plain_sum_is_not(horizon):
    """Differences are so negatively correlated that the plain sum is below zero in many samples."""
    rng, fallbacks = np.random.default_rng(10), 0
    for _ in range(100):
        values = np.diff(rng.normal(size=(41, 2)), axis=0)
        covariance = long_run_covariance(values, horizon)
        plain = S_hac_simple(values - values.mean(axis=0), horizon - 1, weights_uniform) / len(values)
        assert_allclose(covariance, covariance.T, rtol=1e-9)
        assert np.linalg.eigvalsh(covariance).min() > 0
        if np.linalg.eigvalsh(plain).min() > 1e-3:
            assert_allclose(covariance, plain, rtol=1e-9)
        fallbacks += np.linalg.eigvalsh(plain).min() <= 0
    assert fallbacks > 0


# --- what is undefined, and what is refused


def test_what_does_not_vary_is_undefined():
    values = np.random.default_rng(11).normal(size=50)
    zero = np.zeros(50)
    undefined = [
        diebold_mariano(values, values),
        diebold_mariano(values + 0.1, values),
        diebold_mariano(values[:3], values[1:4], 3),
        giacomini_white(values, values),
        giacomini_white(values[:5], values[1:6], 4),
        clark_west(zero, values, zero),
        pesaran_timmermann(zero + 1, values),
        pesaran_timmermann(zero, values),
        pesaran_timmermann(values, values, 3),
    ]
    assert all(math.isnan(test.statistic) and math.isnan(test.p_value) for test in undefined)
    assert math.isnan(slope_t(zero, values))
    assert math.isnan(slope_t(values, 2 * values))


def test_bad_input_is_named():
    good = np.random.default_rng(12).normal(size=50)
    bad = np.where(np.arange(50) == 7, np.nan, good)
    with pytest.raises(ValueError, match="loss_b is not finite in 1 rows"):
        diebold_mariano(good, bad)
    with pytest.raises(ValueError, match="mean is not finite"):
        clark_west(bad, good, good)
    with pytest.raises(ValueError, match="same rows.*50.*49"):
        pesaran_timmermann(good, good[1:])
    with pytest.raises(ValueError, match="horizon_bars must be at least 1"):
        giacomini_white(good, good, 0)
    with pytest.raises(ValueError, match="resolution_bars = 1 must be at least"):
        giacomini_white(good, good**2, 2, resolution_bars=1)


def test_the_confidence_set_refuses_what_arch_would_answer():
    rng = np.random.default_rng(13)
    a, b = rng.normal(size=(2, 50))
    with pytest.raises(ValueError, match="ridge is not finite in 1 rows"):
        model_confidence_set({"mean": a, "ridge": np.where(np.arange(50) == 7, np.nan, b)})
    with pytest.raises(ValueError, match="'one' and 'two' differ by a constant"):
        model_confidence_set({"one": a, "other": b, "two": a + 0.5})
    with pytest.raises(ValueError, match="two forecasts or more"):
        model_confidence_set({"one": a})
    with pytest.raises(ValueError, match="19 rows"):
        model_confidence_set({"one": a[:19], "two": b[:19]})
    with pytest.raises(ValueError, match="size must lie"):
        model_confidence_set({"one": a, "two": b}, 1.0)
