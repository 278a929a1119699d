from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from foretrade.forecasters.conformal import adaptive_bounds, error_scale
from foretrade.markets.labels import LabelConfig, forward_returns

RESOLUTION_BARS = 2


def bounds(mean, std, labels, **options):
    return adaptive_bounds(mean, std, labels, **({"resolution_bars": RESOLUTION_BARS} | options))


def coverage(labels, lower, upper, rows=slice(None)):
    known = np.isfinite(labels) & np.isfinite(lower) & np.isfinite(upper)
    return ((labels >= lower) & (labels <= upper))[rows][known[rows]].mean()


def calm_then_wild(bars=4000, seed=0):
    """Three times the volatility from the middle on."""
    labels = 0.01 * np.random.default_rng(seed).normal(size=bars)
    labels[bars // 2 :] *= 3
    return labels


@pytest.mark.parametrize("wanted", [0.5, 0.8, 0.9, 0.95])
def test_coverage_is_nominal_on_independent_data(wanted):
    labels = 0.01 * np.random.default_rng(1).standard_t(4, size=5000)
    one = np.ones(5000)
    realised = coverage(labels, *bounds(0 * one, one, labels, coverage=wanted))
    assert abs(realised - wanted) < 3 * np.sqrt(wanted * (1 - wanted) / 5000)


def test_coverage_holds_through_a_break_where_fixed_quantiles_fail():
    labels = calm_then_wild()
    zero, one = np.zeros(4000), np.ones(4000)
    wild = slice(2000, None)
    fixed = np.quantile(labels[:2000], [0.05, 0.95])
    assert coverage(labels, zero + fixed[0], zero + fixed[1], wild) < 0.5
    error = 3 * np.sqrt(0.09 / 2000)
    rolling = coverage(labels, *bounds(zero, one, labels, gamma=0.0, window_bars=1000), wild)
    assert rolling < 0.9 - error
    for std in (one, None):
        assert abs(coverage(labels, *bounds(zero, std, labels), wild) - 0.9) < error


def test_each_tail_of_skewed_labels_is_missed_as_often():
    labels = 0.01 * np.random.default_rng(2).exponential(size=5000)
    lower, upper = bounds(np.full(5000, 0.01), None, labels)
    known = np.isfinite(lower)
    for beyond in (labels < lower, labels > upper):
        assert abs(beyond[known].mean() - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 5000)


@pytest.mark.parametrize("scale", ["one", "year", "recent"])
def test_coverage_on_the_sp500(sp500, scale):
    label = LabelConfig()
    labels = forward_returns(sp500, label)[:, 0]
    zero = np.zeros_like(labels)
    known = pd.Series(labels).shift(label.resolution_bars)
    year = (known**2).rolling(252, min_periods=63).mean() ** 0.5
    std = {"one": zero + 1, "year": year.to_numpy(), "recent": None}[scale]
    lower, upper = adaptive_bounds(zero, std, labels, resolution_bars=label.resolution_bars)
    assert abs(coverage(labels, lower, upper) - 0.9) < 3 * np.sqrt(0.09 / len(labels))
    assert (lower < upper)[np.isfinite(lower)].all()


def test_the_share_beyond_a_bound_is_what_the_levels_say():
    """``tail + (level at first − level at last) / (gamma n)``: the accounting behind ACI's theorem."""
    labels = calm_then_wild()
    zero, one = np.zeros(4000), np.ones(4000)
    gamma, window = 0.02, 100
    _, upper = bounds(zero, one, labels, gamma=gamma, window_bars=window, minimum_bars=50)
    first = 50 + RESOLUTION_BARS - 1  # row of the first bound from 50 scores
    assert np.isfinite(upper[first])
    level = 0.05
    for row in range(first, 4000):
        told = row - RESOLUTION_BARS
        if told >= first:
            level += gamma * (0.05 - (labels[told] > upper[told]))
        scores = np.sort(labels[max(0, told - window + 1) : told + 1])
        count = len(scores)
        rank = int(np.ceil((1 - level) * (count + 1)))
        rank = min(max(rank, int(np.ceil((count + 1) / 2))), count)
        assert upper[row] == scores[rank - 1]
    missed = (labels > upper)[first : 4000 - RESOLUTION_BARS].mean()
    assert_allclose(missed, 0.05 + (0.05 - level) / (gamma * (4000 - RESOLUTION_BARS - first)))


def test_bounds_mirror_and_scale_with_the_data():
    rng = np.random.default_rng(3)
    labels, mean = 0.01 * rng.standard_t(3, size=(2, 1000))
    std = 0.01 * rng.uniform(0.5, 2, size=1000)
    lower, upper = bounds(mean, std, labels)
    mirrored = bounds(-mean, std, -labels)
    assert_allclose(mirrored, (-upper, -lower), rtol=1e-9)
    assert_allclose(bounds(2 * mean, 2 * std, 2 * labels), (2 * lower, 2 * upper), rtol=1e-9)
    # the unit of std is free once its own scores count
    assert_allclose(bounds(mean, 7 * std, labels), (lower, upper), rtol=1e-9)


def assert_causal(compute, labels):
    rng = np.random.default_rng(0)
    expected = compute(labels)
    for row in (50, 63, 64, 65, 66, 150, 333):
        for future in (np.nan, rng.normal(size=len(labels))):
            changed = labels.copy()
            changed[row - RESOLUTION_BARS + 1 :] = (future + 0 * labels)[row - RESOLUTION_BARS + 1 :]
            for actual, wanted in zip(compute(changed), expected, strict=True):
                assert np.array_equal(actual[: row + 1], wanted[: row + 1], equal_nan=True)
            for actual, wanted in zip(compute(changed[: row + 1]), expected, strict=True):
                assert np.array_equal(actual, wanted[: row + 1], equal_nan=True)


@pytest.mark.parametrize("std", [None, 1.0])
@pytest.mark.parametrize("early_bars", [0, 1])
def test_a_row_knows_matured_labels_only(std, early_bars):
    labels = 0.01 * np.random.default_rng(4).normal(size=400)
    mean = 0.001 * np.random.default_rng(5).normal(size=400)
    mean[:40] = np.nan

    def compute(labels):
        rows = len(labels)
        scale = None if std is None else np.full(rows, std)
        given = RESOLUTION_BARS - early_bars
        return bounds(mean[:rows], scale, labels, resolution_bars=given)

    if early_bars:  # the planted leak
        with pytest.raises(AssertionError):
            assert_causal(compute, labels)
    else:
        assert_causal(compute, labels)


def test_until_scores_have_matured_the_labels_stand_in():
    rng = np.random.default_rng(6)
    labels, mean = 0.01 * rng.normal(size=(2, 300))
    mean[:100] = np.nan
    lower, upper = bounds(mean, np.full(300, 0.01), labels)
    assert np.isnan(lower[:100]).all()
    assert np.isfinite(lower[100:]).all()
    row = 120
    known = labels[: row - RESOLUTION_BARS + 1]
    assert_allclose(upper[row] - mean[row], np.quantile(known, 0.95), rtol=1e-9)
    assert_allclose(lower[row] - mean[row], np.quantile(known, 0.05), rtol=1e-9)
    first = 100 + 63 + RESOLUTION_BARS - 1
    scores = (labels - mean)[100 : first - RESOLUTION_BARS + 1]
    assert len(scores) == 63
    assert_allclose(upper[first] - mean[first], np.sort(scores)[int(np.ceil(0.95 * 64)) - 1])


def test_a_row_without_a_scale_of_its_own_takes_the_running_one():
    labels = 0.01 * np.random.default_rng(7).normal(size=500)
    zero = np.zeros(500)
    std = error_scale(zero, labels, resolution_bars=RESOLUTION_BARS)
    with_holes = std.copy()
    with_holes[[200, 300, 400]] = np.nan, 0.0, np.inf
    assert_allclose(bounds(zero, with_holes, labels), bounds(zero, None, labels), rtol=0)
    squares = labels[: 100 - RESOLUTION_BARS + 1] ** 2
    weights = 0.94 ** np.arange(len(squares))[::-1]
    assert_allclose(std[100], np.sqrt(np.average(squares, weights=weights)))


def test_labels_that_never_move_have_bounds_that_do_not_either():
    lower, upper = bounds(np.zeros(300), None, np.zeros(300))
    assert (lower[3:] == 0).all()
    assert (upper[3:] == 0).all()


def test_wrong_input_is_refused():
    labels = np.zeros(100)
    for options, message in (
        ({"coverage": 1.0}, "coverage must be between 0 and 1"),
        ({"gamma": -0.1}, "gamma not negative"),
        ({"resolution_bars": 0}, "resolution_bars must be at least 1"),
        ({"minimum_bars": 300}, "between 2 and window_bars"),
    ):
        with pytest.raises(ValueError, match=message):
            bounds(labels, labels + 1, labels, **options)
    with pytest.raises(ValueError, match="mean and labels must be"):
        bounds(labels[1:], labels, labels)
    with pytest.raises(ValueError, match="std must be"):
        bounds(labels, labels[1:], labels)


def test_twenty_years_of_days_take_less_than_half_a_second():
    labels = calm_then_wild(5000)
    begun = time.perf_counter()
    bounds(0 * labels, None, labels)
    assert time.perf_counter() - begun < 0.5
