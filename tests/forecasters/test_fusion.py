from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.linear_model import Ridge

from foretrade.forecasters.fusion import (
    FUSIONS,
    Greedy,
    InverseMSE,
    Stacking,
    TrimmedMean,
    over_present,
)

RESOLUTION_BARS = 3
SHORT = {
    "inverse_mse": InverseMSE(window_bars=60, minimum_bars=20),
    "stacking": Stacking(window_bars=150, minimum_bars=40, refit_every_bars=10),
    "greedy": Greedy(window_bars=150, minimum_bars=40, refit_every_bars=10, steps=20),
}
EACH = FUSIONS | SHORT
SUMMING_TO_ONE = sorted(set(EACH) - {"stacking"})
LEARNING = sorted(set(EACH) - {"mean", "median", "trimmed_mean"})


def history(bars=400, members=5, *, seed=0, gaps=True):
    """Labels of the size of daily returns, and forecasts that know more of them from left to right."""
    rng = np.random.default_rng(seed)
    labels = 0.01 * rng.standard_t(4, size=bars)
    knowledge = np.linspace(0.0, 0.1, members)
    means = knowledge * labels[:, None] + 0.004 * rng.normal(size=(bars, members))
    if gaps:
        means[:30] = np.nan  # before the first fit
        means[120:160, 1] = np.nan  # failed in a fold
        means[200:210] = np.nan  # all failed
        labels[90] = np.nan
    labels[-RESOLUTION_BARS:] = np.nan
    return means, labels


def assert_causal(fusion, means, labels):
    """Row ``t`` keeps its bits when forecasts after it, and labels not known at it, change or go."""
    expected = fusion.weights(means, labels, resolution_bars=RESOLUTION_BARS)
    rng = np.random.default_rng(1)
    for row in (45, 80, 110, 190, 240, 333, 350):  # most of them dates of a refit
        known = labels.copy()
        known[row - RESOLUTION_BARS + 1 :] = np.nan
        other, noise = means.copy(), labels.copy()
        other[row + 1 :] = rng.normal(size=other[row + 1 :].shape)
        noise[row - RESOLUTION_BARS + 1 :] = rng.normal(size=len(noise[row - RESOLUTION_BARS + 1 :]))
        for changed, told in ((means[: row + 1], known[: row + 1]), (other, noise), (other, known)):
            weights = fusion.weights(changed, told, resolution_bars=RESOLUTION_BARS)
            assert np.array_equal(weights[: row + 1], expected[: row + 1], equal_nan=True)


@pytest.mark.parametrize("name", EACH)
def test_a_row_knows_matured_labels_only(name):
    assert_causal(EACH[name], *history())


@dataclass
class OneBarEarly:
    """Uses each label one bar before it is known."""

    fusion: object

    def weights(self, means, labels, *, resolution_bars):
        return self.fusion.weights(means, labels, resolution_bars=resolution_bars - 1)


@dataclass
class CountsFromTheEnd:
    """Refits on dates that depend on where the data end."""

    def weights(self, means, labels, *, resolution_bars):
        shift = len(means) % 10
        weights = SHORT["stacking"].weights(means[shift:], labels[shift:], resolution_bars=3)
        return np.concatenate([np.full((shift, means.shape[1]), np.nan), weights])


@pytest.mark.parametrize("name", LEARNING)
def test_a_leak_of_one_bar_is_caught(name):
    with pytest.raises(AssertionError):
        assert_causal(OneBarEarly(EACH[name]), *history())


def test_dates_counted_from_the_end_are_caught():
    means, labels = history(gaps=False)
    with pytest.raises(AssertionError):
        assert_causal(CountsFromTheEnd(), means, labels)


@pytest.mark.parametrize("name", EACH)
def test_a_missing_member_has_no_weight_and_a_row_without_members_is_nan(name):
    means, labels = history()
    weights = EACH[name].weights(means, labels, resolution_bars=RESOLUTION_BARS)
    present = np.isfinite(means)
    nobody = ~present.any(axis=1)
    assert nobody.sum() == 40
    assert np.isnan(weights[nobody]).all()
    assert np.isfinite(weights[~nobody]).all()
    assert (weights[~nobody] >= 0).all()
    assert (weights[~nobody][~present[~nobody]] == 0).all()
    if name in SUMMING_TO_ONE:
        assert_allclose(weights[~nobody].sum(axis=1), 1, rtol=1e-12)


def test_those_present_share_what_a_missing_member_would_have_had_in_proportion():
    weights = np.array([[0.6, 0.2, 0.4], [0.6, 0.2, 0.4], [1.2, 0.0, 0.0], [0.3, 0.3, 0.4]])
    gone = np.nan
    means = np.array([[1.0, 1.0, 1.0], [gone, 1.0, 1.0], [gone, 1.0, 1.0], [gone, gone, gone]])
    shared = over_present(weights, means)
    assert_allclose(shared, [[0.6, 0.2, 0.4], [0, 0.4, 0.8], [0, 0.6, 0.6], [gone] * 3])


@pytest.mark.parametrize("name", EACH)
def test_the_order_of_members_and_the_unit_do_not_matter(name):
    means, labels = history()
    weights = EACH[name].weights(means, labels, resolution_bars=RESOLUTION_BARS)
    order = [3, 0, 4, 2, 1]
    permuted = EACH[name].weights(means[:, order], labels, resolution_bars=RESOLUTION_BARS)
    assert_allclose(permuted, weights[:, order], atol=1e-7)
    in_percent = EACH[name].weights(100 * means, 100 * labels, resolution_bars=RESOLUTION_BARS)
    assert_allclose(in_percent, weights, atol=1e-7)


@pytest.mark.parametrize("name", EACH)
def test_identical_members_share_equally(name):
    means, labels = history()
    twins = np.column_stack([means, means[:, 4]])
    weights = EACH[name].weights(twins, labels, resolution_bars=RESOLUTION_BARS)
    assert_allclose(weights[:, 4], weights[:, 5], atol=1e-7)
    one = np.repeat(means[:, :1], 3, axis=1)
    weights = EACH[name].weights(one, labels, resolution_bars=RESOLUTION_BARS)
    assert_allclose(weights[:, 0], weights[:, 2], atol=1e-7)


@pytest.mark.parametrize("name", LEARNING)
def test_weights_are_equal_until_errors_have_matured(name):
    fusion = EACH[name]
    means, labels = history(gaps=False)
    weights = fusion.weights(means, labels, resolution_bars=RESOLUTION_BARS)
    first_told = fusion.minimum_bars + RESOLUTION_BARS - 1
    assert_allclose(weights[:first_told], 0.2, rtol=1e-12)
    assert np.ptp(weights[first_told + 10]) > 0.001


@pytest.mark.parametrize("name", ["stacking", "greedy", "ewa", "boa"])
def test_a_much_better_member_gets_nearly_all_the_weight(name):
    rng = np.random.default_rng(3)
    labels = 0.01 * rng.normal(size=3000)
    means = 0.01 * rng.normal(size=(3000, 4))
    means[:, 2] = labels + 0.001 * rng.normal(size=3000)
    weights = FUSIONS[name].weights(means, labels, resolution_bars=2)[-1]
    assert weights[2] > 0.95
    assert weights.sum() - weights[2] < 0.05


def test_order_statistics_agree_with_numpy_and_scipy():
    means, labels = history(members=8)
    median = FUSIONS["median"].weights(means, labels, resolution_bars=1)
    present = np.isfinite(means).any(axis=1)
    forecast = np.nansum(median * means, axis=1)[present]
    assert_allclose(forecast, np.nanmedian(means[present], axis=1), rtol=1e-9, atol=1e-15)
    whole = np.isfinite(means).all(axis=1)
    for trim in (0.0, 0.1, 0.2, 0.3, 0.4):
        weights = TrimmedMean(trim).weights(means, labels, resolution_bars=1)
        expected = stats.trim_mean(means[whole], trim, axis=1)
        assert_allclose((weights * means)[whole].sum(axis=1), expected, rtol=1e-9, atol=1e-15)


def test_inverse_mse_is_a_plain_loop():
    means, labels = history(gaps=False)
    weights = InverseMSE(window_bars=60, minimum_bars=20).weights(means, labels, resolution_bars=3)
    for row in (50, 200, 399):
        matured = slice(max(0, row - 3 - 59), row - 3 + 1)
        mse = ((labels[matured, None] - means[matured]) ** 2).mean(axis=0)
        assert_allclose(weights[row], (1 / mse) / (1 / mse).sum(), rtol=1e-9)


def test_a_perfect_member_is_no_division_by_zero():
    means, labels = history(gaps=False)
    means[:, 0] = np.nan_to_num(labels)
    for name in ("inverse_mse", "greedy", "ewa", "boa"):
        weights = EACH[name].weights(means, labels, resolution_bars=2)
        assert weights[-1, 0] > 0.9


@pytest.mark.parametrize("forecasts", [0.0, 0.01])
def test_labels_of_zero_are_no_division_by_zero(forecasts):
    rng = np.random.default_rng(0)
    means = forecasts * rng.normal(size=(300, 3))
    for fusion in EACH.values():
        weights = fusion.weights(means, np.zeros(300), resolution_bars=2)
        assert np.isfinite(weights).all()


def test_stacking_is_the_ridge_of_scikit_learn_where_it_is_not_negative():
    means, labels = history(gaps=False)
    fusion = Stacking(window_bars=200, minimum_bars=40, refit_every_bars=10, penalty=2.0)
    weights = fusion.weights(means, labels, resolution_bars=3)
    refit = 380
    rows = slice(refit - 200, refit - 3 + 1)
    alpha = 2.0 * (labels[rows] ** 2).mean()
    ridge = Ridge(alpha=alpha, fit_intercept=False, positive=True, tol=1e-12)
    expected = ridge.fit(means[rows], labels[rows]).coef_
    assert_allclose(weights[refit], expected, atol=1e-5)
    assert_allclose(weights[refit : refit + 10], np.tile(weights[refit], (10, 1)), rtol=0)


def test_stacking_shrinks_useless_forecasts_to_zero_and_is_never_negative():
    rng = np.random.default_rng(5)
    labels = 0.01 * rng.normal(size=2000)
    useless = 0.01 * rng.normal(size=(2000, 3))
    contrary = -labels + 0.002 * rng.normal(size=2000)
    means = np.column_stack([useless, contrary])
    weights = Stacking().weights(means, labels, resolution_bars=2)
    assert (weights >= 0).all()
    assert weights[-1, 3] == 0
    assert weights[-1].sum() < 0.1
    timid = 0.1 * np.column_stack([-contrary, useless])
    assert Stacking().weights(timid, labels, resolution_bars=2)[-1, 0] > 5  # its sum is free


def test_greedy_is_the_hill_climb_done_by_hand():
    means, labels = history(gaps=False, seed=7)
    forecasts, y = means[:300], labels[:300]
    weights = Greedy(steps=15).solve(forecasts, y)
    bag, seen = [], []
    for _ in range(15):
        losses = [
            np.mean((y - forecasts[:, [*bag, k]].mean(axis=1)) ** 2) for k in range(means.shape[1])
        ]
        bag.append(int(np.argmin(losses)))
        seen.append((min(losses), len(bag)))
    size = min(seen)[1]
    expected = np.bincount(bag[:size], minlength=means.shape[1]) / size
    assert_allclose(weights, expected, atol=1e-12)


def test_greedy_finds_the_mixture_that_no_member_is():
    rng = np.random.default_rng(2)
    labels = 0.01 * rng.normal(size=2000)
    noise = 0.01 * rng.normal(size=2000)
    means = np.column_stack([labels + noise, labels - noise, 0.01 * rng.normal(size=2000)])
    weights = Greedy().weights(means, labels, resolution_bars=2)[-1]
    assert_allclose(weights, [0.5, 0.5, 0.0], atol=0.05)


def test_a_member_that_comes_later_gets_its_chance():
    means, labels = history(600, gaps=False)
    means[:300, 4] = np.nan
    for name in ("stacking", "greedy"):
        weights = SHORT[name].weights(means, labels, resolution_bars=3)
        assert weights[310:340, 4].max() == 0  # too few errors of its own
        assert weights[-1, 4] > 0.2
    later = SHORT["inverse_mse"].weights(means, labels, resolution_bars=3)
    assert_allclose(later[310, 4], 0.2, rtol=1e-9)  # as good as the others on average


def test_settings_out_of_range_are_refused():
    for wrong in (
        lambda: TrimmedMean(0.6),
        lambda: InverseMSE(window_bars=10, minimum_bars=20),
        lambda: Stacking(penalty=0.0),
        lambda: Stacking(refit_every_bars=0),
        lambda: Greedy(steps=0),
    ):
        with pytest.raises(ValueError, match="must be"):
            wrong()
    means, labels = history()
    for fusion in EACH.values():
        with pytest.raises(ValueError, match=r"means must be \[bars, members\]"):
            fusion.weights(means, labels[:-1], resolution_bars=2)
        with pytest.raises(ValueError, match="resolution_bars must be at least 1"):
            fusion.weights(means, labels, resolution_bars=0)


@pytest.mark.parametrize("name", FUSIONS)
def test_twenty_years_of_days_take_less_than_a_second(name):
    means, labels = history(5000, 8)
    begun = time.perf_counter()
    FUSIONS[name].weights(means, labels, resolution_bars=2)
    assert time.perf_counter() - begun < 1.0
