"""What is left of a Sharpe ratio once it counts how many were looked at before one was shown."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from foretrade.backtests.significance import probabilistic_sharpe
from foretrade.markets.arrays import Floats

EULER_GAMMA = 0.5772156649015329


def expected_best_sharpe(trials: int, variance: float) -> float:
    """Expected maximum of the Sharpe ratios of ``trials`` independent strategies without skill.

    ``√V ((1 − γ) Φ⁻¹(1 − 1/N) + γ Φ⁻¹(1 − 1/(N e)))``: Bailey and López de Prado (2014, JPM
    40(5)); the unit is that of ``√variance``. Zero for a single trial.

    Raises:
        ValueError: Fewer than one trial, or a variance that is negative or not finite.
    """
    _require_trials(trials)
    if not 0 <= variance < math.inf:
        raise ValueError(f"the variance of the trials' Sharpe ratios must be 0 or more, got {variance}")
    if trials == 1:
        return 0.0
    first = stats.norm.ppf(1 - 1 / trials)
    second = stats.norm.ppf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * float((1 - EULER_GAMMA) * first + EULER_GAMMA * second)


def deflated_sharpe(returns: Floats, trials: int, variance: float) -> float:
    """Probability that the true Sharpe ratio exceeds what the best of ``trials`` shows by luck.

    :func:`~foretrade.backtests.significance.probabilistic_sharpe` (2012 form) against
    :func:`expected_best_sharpe`: Bailey and López de Prado (2014, JPM 40(5)). NaN if the returns do not
    vary.

    Args:
        returns: Of the strategy chosen, per bar, ``[bars]``.
        trials: Configurations, seeds and checkpoints whose score was looked at. All of them, which is
            conservative if they are alike; or :func:`effective_trials` of their returns.
        variance: Of their Sharpe ratios, per bar.

    Raises:
        ValueError: A return is not finite, fewer than one trial, or a variance that cannot be.
    """
    return probabilistic_sharpe(returns, expected_best_sharpe(trials, variance))


def minimum_backtest_length(trials: int, sharpe: float = 1.0) -> float:
    """Years in which the best of ``trials`` without skill is expected to show ``sharpe``, annualised.

    ``(E[max_N] / sharpe)²``: MinBTL of Bailey, Borwein, López de Prado and Zhu (2014, Notices of the AMS
    61(5)). Five years allow 45 trials at a ratio of 1.

    Raises:
        ValueError: Fewer than one trial, or a ratio that is not positive.
    """
    if not 0 < sharpe < math.inf:
        raise ValueError(f"sharpe must be positive, got {sharpe}")
    return (expected_best_sharpe(trials, 1.0) / sharpe) ** 2


def effective_trials(returns: Floats) -> int:
    """How many independent trials are as many as these, which are correlated.

    ``ρ̄ + (1 − ρ̄) N`` with the average correlation ``ρ̄`` between the columns (Bailey and López de Prado
    2014, JPM 40(5), appendix 3), rounded up; all ``N`` if it is negative. Conservative: two groups of
    copies count as half of all trials, not as two. Columns that do not vary, such as a strategy that
    never traded, correlate with nothing.

    Args:
        returns: Of all trials over the same bars, ``[bars, trials]``.

    Raises:
        ValueError: A return is not finite, or there are fewer than two bars.
    """
    table = np.asarray(returns, dtype=np.float64)
    if table.ndim != 2 or len(table) < 2 or table.shape[1] < 1:
        raise ValueError(f"give returns [bars, trials] of two bars or more, got the shape {table.shape}")
    if not np.isfinite(table).all():
        row, trial = np.argwhere(~np.isfinite(table))[0]
        raise ValueError(f"trial {trial} holds {table[row, trial]} in row {row}: leave the row out")
    trials = table.shape[1]
    if trials == 1:
        return 1
    deviation = table.std(axis=0)
    varies = deviation > 1e-14
    scaled = np.where(varies, (table - table.mean(axis=0)) / np.where(varies, deviation, 1.0), 0.0)
    together = float((scaled.sum(axis=1) ** 2).mean())  # the sum of all correlations
    average = (together - np.count_nonzero(varies)) / (trials * (trials - 1))
    average = min(max(average, 0.0), 1.0)
    independent: float = average + (1 - average) * trials
    return math.ceil(independent - 1e-9)


def _require_trials(trials: int) -> None:
    if not trials >= 1 or trials != int(trials):
        raise ValueError(f"the number of trials must be a whole number from 1 on, got {trials}")
