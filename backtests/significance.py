"""How likely a Sharpe ratio is luck."""

from __future__ import annotations

import math

import numpy as np
from arch.bootstrap import StationaryBootstrap, optimal_block_length
from scipy import stats

from foretrade.markets.arrays import Floats

EULER_GAMMA = 0.5772156649015329


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
    """Percentile interval of the Sharpe ratio by the stationary bootstrap.

    Politis and Romano (1994), with the block length of Politis and White (2004, corrected 2009),
    both from ``arch``. NaN if the returns do not vary.
    """
    if math.isnan(sharpe_ratio(returns)):
        return math.nan, math.nan
    block = max(1.0, float(optimal_block_length(returns)["stationary"].iloc[0]))
    bootstrap = StationaryBootstrap(block, returns, seed=seed)
    draws = bootstrap.apply(lambda sample: np.array([sharpe_ratio(sample)]), resamples)
    tail = (1 - level) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail]) * math.sqrt(periods_per_year)
    return float(low), float(high)


def sharpe_difference_interval(
    returns: Floats,
    benchmark: Floats,
    periods_per_year: float,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of the Sharpe ratio of ``returns`` less that of ``benchmark``.

    Both are resampled together by the stationary bootstrap, so that what they share cancels. NaN if
    either does not vary.
    """
    if math.isnan(sharpe_ratio(returns)) or math.isnan(sharpe_ratio(benchmark)):
        return math.nan, math.nan
    pairs = np.column_stack([returns, benchmark])
    block = max(1.0, float(optimal_block_length(pairs)["stationary"].max()))
    bootstrap = StationaryBootstrap(block, pairs, seed=seed)

    def difference(sample: Floats) -> Floats:
        return np.array([sharpe_ratio(sample[:, 0]) - sharpe_ratio(sample[:, 1])])

    tail = (1 - level) / 2
    draws = bootstrap.apply(difference, resamples)
    low, high = np.nanquantile(draws, [tail, 1 - tail]) * math.sqrt(periods_per_year)
    return float(low), float(high)


def probabilistic_sharpe(returns: Floats, benchmark: float = 0.0) -> float:
    """Probability that the true Sharpe ratio exceeds ``benchmark`` (per period, not annualised).

    ``Φ((SR − SR*) √(n − 1) / √(1 − γ₃ SR + (γ₄ − 1)/4 SR²))``, the form of Bailey and López de
    Prado (2012, J. Risk 15(2)), with population skewness and kurtosis; NaN if undefined.
    """
    sharpe = sharpe_ratio(returns)
    if math.isnan(sharpe):
        return math.nan
    skew, kurtosis = float(stats.skew(returns)), float(stats.kurtosis(returns, fisher=False))
    return psr_from_moments(sharpe, benchmark, len(returns), skew, kurtosis)


def psr_from_moments(
    sharpe: float, benchmark: float, observations: int, skew: float, kurtosis: float
) -> float:
    """:func:`probabilistic_sharpe` from moments; all ratios per period."""
    variance = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    return float(stats.norm.cdf((sharpe - benchmark) * math.sqrt((observations - 1) / variance)))


def expected_best_sharpe(trials: int, variance: float) -> float:
    """Expected maximum of the Sharpe ratios of ``trials`` strategies without skill.

    ``√V ((1 − γ) Φ⁻¹(1 − 1/N) + γ Φ⁻¹(1 − 1/(N e)))``: Bailey and López de Prado (2014, JPM
    40(5)); the unit is that of ``√variance``. Zero for a single trial.
    """
    if trials < 2:
        return 0.0
    first = stats.norm.ppf(1 - 1 / trials)
    second = stats.norm.ppf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * float((1 - EULER_GAMMA) * first + EULER_GAMMA * second)


def deflated_sharpe(returns: Floats, trials: int, variance: float) -> float:
    """Probability that the true Sharpe ratio exceeds what the best of ``trials`` shows by luck.

    Args:
        trials: Configurations, seeds and checkpoints whose score was looked at.
        variance: Of their Sharpe ratios, per period.
    """
    return probabilistic_sharpe(returns, expected_best_sharpe(trials, variance))
