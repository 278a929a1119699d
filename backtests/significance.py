"""How likely the Sharpe ratio of one return series is luck, and whether it beats another's.

Returns are simple returns per bar, ``[bars]``; ratios are per bar unless they are annualised, and the
risk-free rate is zero. What is undefined because the returns do not vary is NaN; returns that are not
finite are an error. How many series were tried before this one: :mod:`foretrade.backtests.deflation`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from foretrade.backtests.influence import influence, studentised_distances
from foretrade.backtests.longrun import autocorrelations, long_run_variance
from foretrade.markets.arrays import Floats
from foretrade.markets.resampling import block_lengths, stationary_rows

MIN_BLOCKS = 5
"""Fewer blocks do not tell how much a ratio varies."""


def sharpe_ratio(returns: Floats, periods_per_year: float = 1.0) -> float:
    """Mean over standard deviation (n − 1) of returns, annualised; NaN if they do not vary."""
    deviation = float(np.std(returns, ddof=1))
    if deviation <= 1e-14:
        return math.nan
    return float(np.mean(returns)) / deviation * math.sqrt(periods_per_year)


def sharpe_interval(
    returns: Floats,
    periods_per_year: float,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of the Sharpe ratio by the stationary bootstrap, annualised.

    Politis and Romano (1994), with the block length of Politis and White (2004, corrected 2009). A
    resample that does not vary counts as a ratio of zero: who never traded has earned nothing, and a few
    lucky trades are not surer because many resamples miss them. NaN if the returns do not vary.

    Raises:
        ValueError: A return is not finite, there are fewer than two, or ``level`` is no probability.
    """
    values = _finite(returns, "returns")
    _require_probability("level", level)
    if math.isnan(sharpe_ratio(values)):
        return math.nan, math.nan
    draws = []
    block = float(block_lengths(values)[0])
    for rows in stationary_rows(len(values), block, resamples, seed):
        sample = values[rows]
        deviation = sample.std(axis=1, ddof=1)
        varies = deviation > 1e-14
        ratio = np.zeros_like(deviation)
        draws.append(np.divide(sample.mean(axis=1), deviation, out=ratio, where=varies))
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(draws), [tail, 1 - tail]) * math.sqrt(periods_per_year)
    return float(low), float(high)


def sharpe_error(returns: Floats, periods_per_year: float = 1.0) -> float:
    """Standard error of the Sharpe ratio of returns that may be autocorrelated, skewed, fat-tailed.

    Lo (2002, FAJ 58(4)): the delta method on mean and variance, with their long-run covariance
    (:func:`~foretrade.backtests.longrun.long_run_variance` here, Newey and West there). For independent
    Normal returns it tends to his ``√((1 + SR²/2) / n)``. Annualised like :func:`sharpe_ratio`.

    Raises:
        ValueError: A return is not finite, or there are fewer than two.
    """
    values = _finite(returns, "returns")
    if math.isnan(sharpe_ratio(values)):
        return math.nan
    variance = long_run_variance(influence(values))
    return math.sqrt(variance / len(values) * periods_per_year)


def annualisation_factor(returns: Floats, periods_per_year: int) -> float:
    """What a Sharpe ratio per bar is multiplied by, if returns are autocorrelated, instead of ``√q``.

    ``q / √(q + 2 Σ_{k<q} (q − k) ρ_k)``: Lo (2002, FAJ 58(4)), ``q`` bars a year, with the sample's
    autocorrelations. Those of high order are noise: give a ``q`` far below the number of bars, such as
    12 of monthly returns. NaN if the returns do not vary, or if the variance of a year's return that
    the autocorrelations imply is not positive.

    Raises:
        ValueError: A return is not finite, or there are not more returns than bars in a year.
    """
    values, q = _finite(returns, "returns"), periods_per_year
    if not 1 <= q < len(values):
        raise ValueError(f"{len(values)} returns have no autocorrelations up to lag {q - 1}: give more")
    if math.isnan(sharpe_ratio(values)):
        return math.nan
    weights = q - np.arange(1, q)
    implied = q + 2 * float(weights @ autocorrelations(values, q - 1))
    return q / math.sqrt(implied) if implied > 0 else math.nan


def probabilistic_sharpe(returns: Floats, benchmark: float = 0.0) -> float:
    """Probability that the true Sharpe ratio exceeds ``benchmark`` (per bar, not annualised).

    ``Φ((SR − SR*) √(n − 1) / √(1 − γ₃ SR + (γ₄ − 1)/4 SR²))`` with population skewness and kurtosis:
    the form of Bailey and López de Prado (2012, J. Risk 15(2)), in which the error is that at the ratio
    observed. López de Prado, Lipton and Zoonekynd (2026) take the error at the benchmark instead; on the
    24 monthly returns of the 2012 paper they get .987, where this form gives .913. NaN if the returns do
    not vary.

    Raises:
        ValueError: A return is not finite, or there are fewer than two.
    """
    values = _finite(returns, "returns")
    sharpe = sharpe_ratio(values)
    if math.isnan(sharpe):
        return math.nan
    return psr_from_moments(sharpe, benchmark, len(values), *_shape(values))


def psr_from_moments(
    sharpe: float, benchmark: float, observations: int, skew: float, kurtosis: float
) -> float:
    """:func:`probabilistic_sharpe` from moments; all ratios per bar, the kurtosis of a Normal is 3.

    Raises:
        ValueError: Moments that no returns have, or fewer than two observations.
    """
    if observations < 2:
        raise ValueError(f"a Sharpe ratio needs 2 observations or more, got {observations}")
    variance = _error_variance(sharpe, skew, kurtosis)
    if variance == 0:
        return float(sharpe > benchmark)
    return float(stats.norm.cdf((sharpe - benchmark) * math.sqrt((observations - 1) / variance)))


def minimum_track_record(returns: Floats, benchmark: float = 0.0, *, level: float = 0.95) -> float:
    """Bars needed before a Sharpe ratio like that of ``returns`` exceeds ``benchmark`` with ``level``.

    See :func:`track_record_from_moments`. NaN if the returns do not vary.

    Raises:
        ValueError: A return is not finite, there are fewer than two, or ``level`` is no probability.
    """
    values = _finite(returns, "returns")
    sharpe = sharpe_ratio(values)
    if math.isnan(sharpe):
        return math.nan
    return track_record_from_moments(sharpe, benchmark, *_shape(values), level=level)


def track_record_from_moments(
    sharpe: float, benchmark: float, skew: float, kurtosis: float, *, level: float = 0.95
) -> float:
    """``1 + (1 − γ₃ SR + (γ₄ − 1)/4 SR²) (Φ⁻¹(level) / (SR − SR*))²`` observations.

    MinTRL of Bailey and López de Prado (2012, J. Risk 15(2)): with so many, :func:`psr_from_moments`
    is ``level``. Ratios per bar. Infinite if the ratio does not exceed the benchmark.

    Raises:
        ValueError: Moments that no returns have, or ``level`` is not between ½ and 1.
    """
    if not 0.5 < level < 1:
        raise ValueError(f"level must lie between 0.5 and 1, got {level}")
    variance = _error_variance(sharpe, skew, kurtosis)
    if sharpe <= benchmark:
        return math.inf
    return 1 + variance * (float(stats.norm.ppf(level)) / (sharpe - benchmark)) ** 2


@dataclass(frozen=True)
class SharpeDifference:
    """The Sharpe ratio of one series less that of another, annualised.

    Args:
        difference: As observed.
        low, high: Symmetric interval from the studentised bootstrap.
        p_value: Two-sided; that both ratios are equal.
        error: Standard error of the difference, autocorrelation included.
        block_bars: Length of the blocks that were resampled.
    """

    difference: float
    low: float
    high: float
    p_value: float
    error: float
    block_bars: int


def sharpe_difference(
    returns: Floats,
    benchmark: Floats,
    periods_per_year: float,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    block_bars: int | None = None,
    seed: int = 0,
) -> SharpeDifference:
    """Does a series have another Sharpe ratio than its benchmark over the same bars?

    The studentised bootstrap in circular blocks of Ledoit and Wolf (2008, J. Empirical Finance
    15(5)): bars of both are drawn together, so that what they share cancels; the observed
    difference has the error of :func:`~foretrade.backtests.longrun.long_run_variance`, a resampled one
    that of its block means; their p-value is ``(#{d* ≥ d} + 1) / (resamples + 1)``. Their calibration of
    the block length is left out: ``block_bars`` is, unless given, what Politis and White (2004,
    corrected 2009) find for the linear part of the difference, but at most a tenth of the bars.

    Everything is NaN if one of the two does not vary. If the difference has no error, as between a
    series and the same at another leverage, the interval is a point, and the p-value 1 where it is zero.
    If the series differ in so few bars that resamples often miss them all, it has no bounds.

    Raises:
        ValueError: A return is not finite, the lengths differ, there are fewer than 20 bars, blocks so
            long that there are fewer than five, or ``level`` is no probability.
    """
    own, other = _finite(returns, "returns"), _finite(benchmark, "benchmark")
    _require_probability("level", level)
    if len(own) != len(other) or len(own) < 20:
        raise ValueError(
            f"give 20 returns or more of the same bars, got {len(own)} and {len(other)} of the benchmark"
        )
    if math.isnan(sharpe_ratio(own)) or math.isnan(sharpe_ratio(other)):
        return SharpeDifference(math.nan, math.nan, math.nan, math.nan, math.nan, 0)
    year = math.sqrt(periods_per_year)
    difference = sharpe_ratio(own) - sharpe_ratio(other)
    linear = influence(own) - influence(other)
    if np.abs(linear).max() <= 1e-9 * np.abs(influence(own)).max():
        certain = 0.0 if abs(difference) < 1e-9 else difference * year
        return SharpeDifference(certain, certain, certain, float(certain == 0), 0.0, 0)
    block = _circular_block(linear) if block_bars is None else block_bars
    if not 1 <= block <= len(own) // MIN_BLOCKS:
        raise ValueError(f"{len(own)} bars have no {MIN_BLOCKS} blocks of {block}: give shorter ones")
    error = math.sqrt(long_run_variance(linear) / len(own))
    distance = studentised_distances(own, other, block, resamples, seed)
    p_value = (np.sum(distance >= abs(difference) / error) + 1) / (resamples + 1)
    reach = float(np.quantile(distance, level, method="higher")) * error
    low, high = (difference - reach) * year, (difference + reach) * year
    return SharpeDifference(difference * year, low, high, float(p_value), error * year, block)


def _circular_block(values: Floats) -> int:
    found = float(block_lengths(values, "circular")[0])
    return min(math.ceil(found), len(values) // 10)


def _shape(returns: Floats) -> tuple[float, float]:
    """Population skewness and kurtosis."""
    return float(stats.skew(returns)), float(stats.kurtosis(returns, fisher=False))


def _error_variance(sharpe: float, skew: float, kurtosis: float) -> float:
    """``n − 1`` times the variance of a Sharpe ratio of independent returns (Mertens 2002)."""
    moments = {"sharpe": sharpe, "skew": skew, "kurtosis": kurtosis}
    if not all(math.isfinite(value) for value in moments.values()):
        raise ValueError(f"moments must be finite, got {moments}")
    if kurtosis * (1 + 1e-9) < 1 + skew**2:
        raise ValueError(f"no returns have the moments {moments}: kurtosis is at least 1 + skew²")
    return max(0.0, 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2)


def _finite(returns: Floats, name: str) -> Floats:
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"{name} must be [bars] with 2 bars or more, got the shape {values.shape}")
    unknown = np.flatnonzero(~np.isfinite(values))
    if len(unknown):
        raise ValueError(
            f"{name} holds {values[unknown[0]]} in row {unknown[0]} ({len(unknown)} values are not "
            "finite): leave the row out of every series, or mend the run"
        )
    return values


def _require_probability(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {value}")
