"""One return series, or two: published numbers, independent formulas, and rates of error."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats
from scipy.signal import lfilter

from foretrade.backtests.significance import (
    annualisation_factor,
    minimum_track_record,
    probabilistic_sharpe,
    psr_from_moments,
    sharpe_difference,
    sharpe_error,
    sharpe_interval,
    sharpe_ratio,
    track_record_from_moments,
)

FIRST_FUND = (-0.2250, 2.9570, 0.7079)  # skewness, kurtosis, Sharpe ratio of 134 monthly returns
SECOND_FUND = (-1.4455, 7.0497, 0.8183)


def autoregressive(rng, bars, coefficient, mean=0.0, columns=1):
    noise = rng.standard_t(5, size=(bars + 50, columns))
    return mean + lfilter([1.0], [1.0, -coefficient], noise, axis=0)[50:]


def test_published_probabilistic_sharpe_ratios():
    """Bailey and López de Prado (2012), 24 monthly returns: .982 if Normal, .913 as they are."""
    assert_allclose(psr_from_moments(0.458, 0.0, 24, 0.0, 3.0), 0.982, atol=5e-4)
    assert_allclose(psr_from_moments(0.458, 0.0, 24, -2.448, 10.164), 0.913, atol=5e-4)


@pytest.mark.parametrize(
    ("fund", "error", "years"), [(FIRST_FUND, 0.1028, 0.7152), (SECOND_FUND, 0.1550, 1.1593)]
)
def test_published_errors_and_track_records_of_two_funds(fund, error, years):
    """Bailey and López de Prado (2012): σ(SR) of 134 months, and years until PSR(0) is 95 %."""
    skew, kurtosis, sharpe = fund
    z = stats.norm.ppf(psr_from_moments(sharpe, sharpe - 0.1, 134, skew, kurtosis))
    assert_allclose(0.1 / z, error, atol=6e-5)
    assert_allclose(track_record_from_moments(sharpe, 0.0, skew, kurtosis) / 12, years, atol=5e-5)


@pytest.mark.parametrize(
    ("bars_a_year", "skew", "kurtosis", "years"),
    [(252, 0, 3, 2.73), (52, 0, 3, 2.83), (12, 0, 3, 3.24), (12, -0.72, 5.78, 4.99)],
)
def test_published_minimum_track_records(bars_a_year, skew, kurtosis, years):
    """Bailey and López de Prado (2012): a ratio of 2 a year against 1, at 95 %."""
    year = math.sqrt(bars_a_year)
    bars = track_record_from_moments(2 / year, 1 / year, skew, kurtosis)
    assert_allclose(bars / bars_a_year, years, atol=5e-3)


@given(
    st.floats(-0.5, 0.9), st.floats(0.05, 0.5), st.floats(-2, 2), st.floats(0, 9), st.floats(0.55, 0.999)
)
def test_after_the_minimum_track_record_the_probability_is_the_level(
    benchmark, above, skew, more, level
):
    sharpe, kurtosis = benchmark + above, 1.1 + skew**2 + more
    bars = track_record_from_moments(sharpe, benchmark, skew, kurtosis, level=level)
    assume(bars >= 2)
    assert_allclose(psr_from_moments(sharpe, benchmark, bars, skew, kurtosis), level)


def test_a_ratio_below_its_benchmark_never_has_the_track_record():
    returns = np.random.default_rng(0).normal(0.01, 0.1, 500)
    assert minimum_track_record(returns, 1.0) == math.inf
    long = minimum_track_record(returns)
    assert probabilistic_sharpe(returns) == pytest.approx(
        stats.norm.cdf(stats.norm.ppf(0.95) * math.sqrt(499 / (long - 1)))
    )


def test_the_probability_is_uniform_under_the_null():
    rng = np.random.default_rng(1)
    drawn = [probabilistic_sharpe(rng.standard_t(6, 300)) for _ in range(400)]
    assert stats.kstest(drawn, "uniform").pvalue > 0.01


@pytest.mark.parametrize("bars", [1000, 100_000])
def test_a_single_gain_has_the_least_kurtosis_there_is(bars):
    """1 + skew², up to rounding, so that the error is half of what a Normal has, and z is 2."""
    returns = np.zeros(bars)
    returns[bars // 2] = 0.01
    assert probabilistic_sharpe(returns) == pytest.approx(stats.norm.cdf(2.0), abs=1e-3)
    assert probabilistic_sharpe(-returns) == pytest.approx(stats.norm.cdf(-2.0), abs=1e-3)


@pytest.mark.parametrize("moments", [(0.1, 2.0, 3.0), (0.1, 0.0, 0.5), (math.nan, 0.0, 3.0)])
def test_moments_that_no_returns_have_are_refused(moments):
    with pytest.raises(ValueError, match="moments"):
        psr_from_moments(moments[0], 0.0, 100, *moments[1:])
    with pytest.raises(ValueError, match="moments"):
        track_record_from_moments(moments[0], 0.0, *moments[1:])


def test_the_error_of_independent_normal_returns_is_the_closed_form():
    """Lo (2002): √((1 + SR²/2) / n)."""
    returns = np.random.default_rng(0).normal(0.5, 1.0, 20_000)
    expected = math.sqrt((1 + sharpe_ratio(returns) ** 2 / 2) / 20_000)
    assert_allclose(sharpe_error(returns), expected, rtol=0.03)
    assert_allclose(sharpe_error(returns, 12.0), math.sqrt(12) * sharpe_error(returns))


def test_the_error_allows_for_autocorrelation():
    rng = np.random.default_rng(2)
    samples = [autoregressive(rng, 800, 0.3)[:, 0] for _ in range(300)]
    ratios = np.array([sharpe_ratio(sample) for sample in samples])
    errors = np.array([sharpe_error(sample) for sample in samples])
    assert 0.9 < (ratios / errors).std() < 1.1
    assert (ratios * math.sqrt(800)).std() > 1.25  # what independence would say is far too sure


@settings(max_examples=25)
@given(st.floats(-0.6, 0.9), st.integers(2, 24))
def test_annualisation_of_an_autoregression_is_the_closed_form(rho, q):
    """Lo (2002): √q (1 + 2ρ/(1 − ρ) (1 − (1 − ρ^q) / (q (1 − ρ))))^(−1/2)."""
    weights = q - np.arange(1, q)
    implied = q / math.sqrt(q + 2 * float(weights @ rho ** np.arange(1, q)))
    closed = 1 + 2 * rho / (1 - rho) * (1 - (1 - rho**q) / (q * (1 - rho)))
    assert_allclose(implied, math.sqrt(q) * closed**-0.5)
    returns = autoregressive(np.random.default_rng(3), 20_000, rho)[:, 0]
    assert_allclose(annualisation_factor(returns, q), implied, rtol=0.15)


def test_annualisation_needs_more_returns_than_a_year_has():
    with pytest.raises(ValueError, match="lag 11: give more"):
        annualisation_factor(np.arange(12.0), 12)
    assert annualisation_factor(np.arange(12.0), 1) == 1.0


def test_the_bootstrap_interval_covers_what_theory_says():
    returns = np.random.default_rng(0).normal(0.05, 1.0, 2000)
    low, high = sharpe_interval(returns, 1.0)
    width = 2 * 1.96 * math.sqrt((1 + sharpe_ratio(returns) ** 2 / 2) / 2000)
    assert_allclose(high - low, width, rtol=0.1)
    assert low < sharpe_ratio(returns) < high


def test_the_bootstrap_interval_is_that_of_arch():
    from arch.bootstrap import StationaryBootstrap, optimal_block_length

    returns = autoregressive(np.random.default_rng(4), 400, 0.4, 0.2)[:, 0]
    block = optimal_block_length(returns)["stationary"].iloc[0]
    reference = StationaryBootstrap(block, returns, seed=7)
    expected = reference.conf_int(sharpe_ratio, 300, method="percentile")[:, 0]
    assert_allclose(sharpe_interval(returns, 1.0, resamples=300, seed=7), expected, rtol=1e-12)


def test_resamples_that_miss_every_trade_have_earned_nothing():
    single = np.zeros(1000)
    single[500] = 0.01
    low, high = sharpe_interval(single, 252.0)
    assert low == 0.0 < high
    assert sharpe_interval(-single, 252.0)[1] == 0.0


def test_the_error_of_a_difference_is_the_closed_form():
    """Memmel (2003) for independent Normal returns: (2 − 2ρ + ½(SR₁² + SR₂² − 2 SR₁ SR₂ ρ²)) / n."""
    rng = np.random.default_rng(5)
    own = rng.normal(0.3, 1.0, 20_000)
    other = 0.6 * own + rng.normal(0.1, 0.8, 20_000)
    found = sharpe_difference(own, other, 1.0)
    a, b, rho = sharpe_ratio(own), sharpe_ratio(other), np.corrcoef(own, other)[0, 1]
    expected = math.sqrt((2 - 2 * rho + (a**2 + b**2 - 2 * a * b * rho**2) / 2) / 20_000)
    assert_allclose(found.error, expected, rtol=0.05)
    assert_allclose((found.high - found.low) / 2, 1.96 * expected, rtol=0.1)
    assert_allclose(found.difference, a - b)


def plain_difference(own, other, block, resamples, seed):
    """Ledoit and Wolf (2008) as they write it: matrices, one resample after the other."""

    def moments(pair):
        return np.array([pair[:, 0].mean(), pair[:, 1].mean(), *(pair**2).mean(axis=0)])

    def gradient(m):
        a, b, c, d = m
        own, other = (c - a**2) ** 1.5, (d - b**2) ** 1.5
        return np.array([c / own, -d / other, -a / 2 / own, b / 2 / other])

    def difference(m):
        return m[0] / math.sqrt(m[2] - m[0] ** 2) - m[1] / math.sqrt(m[3] - m[1] ** 2)

    pair, rng = np.column_stack([own, other]), np.random.default_rng(seed)
    blocks = len(pair) // block
    begins = rng.integers(len(pair), size=(resamples, blocks))
    distances = []
    for row in begins:
        sample = pair[(row[:, None] + np.arange(block)).ravel() % len(pair)]
        m = moments(sample)
        y = np.column_stack([sample, sample**2]) - m
        zeta = y.reshape(blocks, block, 4).sum(axis=1) / math.sqrt(block)
        psi = zeta.T @ zeta / blocks
        error = math.sqrt(gradient(m) @ psi @ gradient(m) / len(sample))
        distances.append(abs(difference(m) - difference(moments(pair))) / error)
    return np.array(distances)


@pytest.mark.parametrize("block", [1, 4])
def test_the_difference_is_that_of_the_paper_step_by_step(block):
    rng = np.random.default_rng(6)
    own, other = autoregressive(rng, 203, 0.2, 0.1, 2).T
    found = sharpe_difference(own, other, 252.0, resamples=200, block_bars=block, seed=8)
    distances = plain_difference(own, other, block, 200, 8)
    observed = abs(sharpe_ratio(own) - sharpe_ratio(other)) * math.sqrt(252.0) / found.error
    assert_allclose(found.p_value, ((distances >= observed).sum() + 1) / 201)
    reach = np.quantile(distances, 0.95, method="higher") * found.error
    assert_allclose([found.low, found.high], [found.difference - reach, found.difference + reach])
    assert found.block_bars == block


def test_equal_ratios_are_called_different_as_often_as_the_level_says():
    rng = np.random.default_rng(9)
    rejected = 0
    for seed in range(300):
        own, shared = autoregressive(rng, 250, 0.2, 0.1, 2).T
        other = (own + shared) / math.sqrt(2) + 0.1 * (1 - math.sqrt(2))
        found = sharpe_difference(own, other, 1.0, level=0.9, resamples=199, seed=seed)
        rejected += found.p_value <= 0.1
    low, high = stats.binom.ppf([0.001, 0.999], 300, 0.1)
    assert low <= rejected <= high


@given(st.floats(0.1, 10), st.integers(0, 1000))
def test_leverage_changes_no_difference(leverage, seed):
    own, other = np.random.default_rng(seed).normal(0.01, 0.1, (2, 60))
    plain = sharpe_difference(own, other, 1.0, resamples=50)
    scaled = sharpe_difference(leverage * own, other, 1.0, resamples=50)
    assert_allclose([plain.low, plain.p_value], [scaled.low, scaled.p_value], rtol=1e-6, atol=1e-9)
    turned = sharpe_difference(other, own, 1.0, resamples=50)
    assert_allclose([plain.low, plain.p_value], [-turned.high, turned.p_value], rtol=1e-6)
    same = sharpe_difference(leverage * own, own, 1.0)
    assert (same.low, same.high, same.p_value) == (0.0, 0.0, 1.0)


def test_what_rarely_varies_is_not_called_different():
    """Most resamples of one trade in sixty bars do not vary: they widen the interval without bound."""
    own, other = np.zeros(60), np.random.default_rng(0).normal(0, 0.01, 60)
    own[30] = 0.01
    found = sharpe_difference(own, other, 1.0)
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert found.p_value > 0.3


@pytest.mark.parametrize(
    "test",
    [
        lambda r: sharpe_interval(r, 252.0),
        lambda r: sharpe_difference(r, np.arange(40.0), 252.0),
        lambda r: sharpe_difference(np.arange(40.0), r, 252.0),
        sharpe_error,
        lambda r: annualisation_factor(r, 12),
        probabilistic_sharpe,
        minimum_track_record,
    ],
)
def test_what_is_not_finite_is_refused_and_what_does_not_vary_is_undefined(test):
    with pytest.raises(ValueError, match="holds nan in row 17"):
        test(np.where(np.arange(40) == 17, np.nan, np.arange(40.0)))
    flat = test(np.full(40, 0.01))
    numbers = flat if isinstance(flat, tuple) else getattr(flat, "low", flat)
    assert np.isnan(numbers).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"benchmark": np.arange(39.0)}, "got 40 and 39 of the benchmark"),
        ({"block_bars": 9}, "no 5 blocks of 9"),
        ({"block_bars": 0}, "no 5 blocks of 0"),
        ({"level": 95}, "level must lie between 0 and 1, got 95"),
    ],
)
def test_a_difference_that_cannot_be_tested_is_refused(change, message):
    own = np.random.default_rng(0).normal(size=40)
    with pytest.raises(ValueError, match=message):
        sharpe_difference(own, periods_per_year=1.0, **({"benchmark": np.arange(40.0)} | change))


def test_the_same_seed_gives_the_same_bits():
    own, other = np.random.default_rng(0).normal(0.01, 0.1, (2, 300))
    assert sharpe_difference(own, other, 1.0) == sharpe_difference(own, other, 1.0)
    assert sharpe_difference(own, other, 1.0) != sharpe_difference(own, other, 1.0, seed=1)
    assert sharpe_interval(own, 1.0) == sharpe_interval(own, 1.0)


def test_series_that_differ_in_a_bar_or_two_give_no_bounds():
    own = np.random.default_rng(0).normal(3e-4, 0.01, 1200)
    other = own.copy()
    other[7] = 0.0
    found = sharpe_difference(own, other, 252)
    assert (found.low, found.high) == (-np.inf, np.inf)
    assert found.p_value > 0.2
    other[::3] = 0.0
    assert np.isfinite(
        [sharpe_difference(own, other, 252).low, sharpe_difference(own, other, 252).high]
    ).all()
