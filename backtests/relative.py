"""A strategy against a benchmark, on the bars that both have; the risk-free rate is zero."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from foretrade.backtests.candidates import MIN_BARS
from foretrade.backtests.returns import is_defined, joined, joined_periods
from foretrade.markets.arrays import Floats


@dataclass(frozen=True)
class Relative:
    """Of simple returns per bar, annualised by the bars a year that both have; NaN is undefined.

    Args:
        bars: That both have.
        excess_return: CAGR less the benchmark's.
        beta: Covariance with the benchmark over the benchmark's variance.
        alpha: ``(mean − beta × the benchmark's mean) × periods``: Jensen (1968). Added up, not
            compounded, as means and Sharpe ratios are.
        correlation: Of the bars' returns.
        tracking_error: Standard deviation (n − 1) of the difference × √periods.
        information_ratio: Mean of the difference × periods over the tracking error.
        treynor: Mean × periods over beta: Treynor (1965).
    """

    bars: int
    excess_return: float
    beta: float
    alpha: float
    correlation: float
    tracking_error: float
    information_ratio: float
    treynor: float


def relative_on_common(returns: pd.Series, benchmark: pd.Series, periods_per_year: float) -> Relative:
    """Compare two series on the stamps that both have, annualised by as many as those are in a year.

    Args:
        periods_per_year: Of ``returns``.
    """
    both = joined(returns, benchmark)
    mine, other = (both[name].to_numpy() for name in ("strategy", "benchmark"))
    return relative_to(mine, other, joined_periods(returns, both, periods_per_year))


def relative_to(returns: Floats, benchmark: Floats, periods_per_year: float) -> Relative:
    """Compare two series of equal length, bar by bar; see :class:`Relative`."""
    periods = periods_per_year
    nan = dict.fromkeys(("beta", "alpha", "correlation", "tracking_error"), math.nan)
    nan |= dict.fromkeys(("information_ratio", "treynor"), math.nan)
    if not (is_defined(benchmark) and len(returns) == len(benchmark)):
        return Relative(len(returns), excess_return=_gap(returns, benchmark, periods), **nan)
    mean, other = float(returns.mean()), float(benchmark.mean())
    covariance = np.cov(returns, benchmark, ddof=1)
    beta = float(covariance[0, 1] / covariance[1, 1])
    active = returns - benchmark
    tracking = float(active.std(ddof=1) * math.sqrt(periods))
    varies = is_defined(returns)
    return Relative(
        bars=len(returns),
        excess_return=_gap(returns, benchmark, periods),
        beta=beta,
        alpha=(mean - beta * other) * periods,
        correlation=float(np.corrcoef(returns, benchmark)[0, 1]) if varies else math.nan,
        tracking_error=tracking,
        information_ratio=float(active.mean()) * periods / tracking if is_defined(active) else math.nan,
        treynor=mean * periods / beta if varies and beta else math.nan,
    )


def _gap(returns: Floats, benchmark: Floats, periods: float) -> float:
    if len(returns) < MIN_BARS:
        return math.nan
    return growth_a_year(returns, periods) - growth_a_year(benchmark, periods)


def growth_a_year(returns: Floats, periods_per_year: float) -> float:
    """Compound annual growth rate, a year being ``periods_per_year`` bars."""
    return float(np.prod(1 + returns) ** (periods_per_year / len(returns)) - 1)
