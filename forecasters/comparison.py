"""Tests of forecasts: does one beat another, does it beat luck, and which ones stay in the race?

All of them take rows in time order. The returns of neighbouring rows overlap when the horizon is
longer than a bar, so that what is averaged is correlated over ``horizon_bars - 1`` rows;
:func:`long_run_covariance` allows for that. A test that is undefined (constant input, too few rows)
gives NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from foretrade.forecasters.elimination import elimination_p_values
from foretrade.markets.arrays import Floats
from foretrade.markets.resampling import block_lengths

MIN_ROWS = 20
"""Below it no block length can be estimated."""


@dataclass(frozen=True)
class HypothesisTest:
    """A test statistic, and how often chance alone gives one as extreme; NaN where undefined."""

    statistic: float
    p_value: float


UNDEFINED = HypothesisTest(math.nan, math.nan)


@dataclass(frozen=True)
class ConfidenceSet:
    """The forecasts that are not shown to be worse than the best one.

    Args:
        included: Names of the forecasts that stay at the size asked for, in the order given.
        p_values: Of every forecast: it stays at each smaller size.
        block_rows: Mean block length of the bootstrap.
    """

    included: tuple[str, ...]
    p_values: dict[str, float]
    block_rows: int


def diebold_mariano(loss_a: Floats, loss_b: Floats, horizon_bars: int = 1) -> HypothesisTest:
    """Are two forecasts equally good? Positive: the losses of ``a`` are higher. Two-sided.

    Diebold and Mariano (1995, JBES 13(3)): the mean difference over its standard error, with the
    correction and the Student distribution (n − 1) of Harvey, Leybourne and Newbold (1997, IJF 13(2),
    eq. 9). It compares given forecasts; for a model and a benchmark that it nests, see
    :func:`clark_west`. Where the difference correlates beyond the overlap, as that of slow and poor
    forecasts does, it rejects too often; :func:`model_confidence_set` allows for that.

    Args:
        loss_a: Loss of each row, such as the squared error, ``[rows]``; loss_b: the other's.

    Raises:
        ValueError: The losses are not finite or their rows differ.
    """
    difference = _difference(loss_a, loss_b, horizon_bars)
    n, h = len(difference), horizon_bars
    if n <= h or not varies(difference):
        return UNDEFINED
    error = math.sqrt(long_run_covariance(difference, h)[0, 0] / n)
    corrected = math.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
    statistic = corrected * float(difference.mean()) / error
    return HypothesisTest(statistic, 2 * float(stats.t.sf(abs(statistic), n - 1)))


def giacomini_white(
    loss_a: Floats, loss_b: Floats, horizon_bars: int = 1, *, resolution_bars: int | None = None
) -> HypothesisTest:
    """Can it be known beforehand which of two forecasts will be better?

    Giacomini and White (2006, Econometrica 74(6)): ``n Z̄'Ω⁻¹Z̄`` with ``Z`` the difference of losses
    times the instruments, here one and the latest difference known at the row, and ``Ω`` its second
    moment; chi-squared with 2 degrees of freedom. It holds for nested models too if they are fitted on
    windows of a fixed length.

    Args:
        loss_a: Loss of each row, ``[rows]``; loss_b: the other's.
        resolution_bars: Rows after which a loss is known; ``horizon_bars`` if None.

    Raises:
        ValueError: The losses are not finite or their rows differ, or the resolution is below the
            horizon.
    """
    difference = _difference(loss_a, loss_b, horizon_bars)
    lag = horizon_bars if resolution_bars is None else resolution_bars
    if lag < horizon_bars:
        raise ValueError(f"resolution_bars = {lag} must be at least horizon_bars = {horizon_bars}")
    later, known = difference[lag:], difference[:-lag]
    if len(later) < max(4, horizon_bars + 1) or not varies(later) or not varies(known):
        return UNDEFINED
    scaled = known / known.std()  # the statistic is the same in any unit
    moments = later[:, None] * np.column_stack([np.ones_like(scaled), scaled])
    omega = long_run_covariance(moments, horizon_bars, centred=False)
    statistic = wald(moments.mean(axis=0), omega / len(moments))
    return HypothesisTest(statistic, float(stats.chi2.sf(statistic, 2)))


def clark_west(mean: Floats, labels: Floats, benchmark: Floats, horizon_bars: int = 1) -> HypothesisTest:
    """Does a model beat a benchmark that it nests, such as the historical mean or zero? One-sided.

    Clark and West (2007, J. Econometrics 138(1)): the t statistic of the mean of
    ``(r−b)² − (r−f)² + (b−f)²``. The last term takes out the noise of parameters that are zero under
    the null, so that it can reject although R²_OS is negative. Against zero it is ``√n`` times the
    Sharpe ratio per period of a position equal to the forecast.

    Raises:
        ValueError: Forecasts or labels are not finite or their rows differ.
    """
    f, r, b = _rows({"mean": mean, "labels": labels, "benchmark": benchmark}, horizon_bars)
    gain = (r - b) ** 2 - (r - f) ** 2 + (b - f) ** 2
    if len(gain) <= horizon_bars or not varies(gain):
        return UNDEFINED
    error = math.sqrt(long_run_covariance(gain, horizon_bars)[0, 0] / len(gain))
    statistic = float(gain.mean()) / error
    return HypothesisTest(statistic, float(stats.norm.sf(statistic)))


def pesaran_timmermann(mean: Floats, labels: Floats, horizon_bars: int = 1) -> HypothesisTest:
    """Are the signs right more often than independent signs of the same frequencies? One-sided.

    Pesaran and Timmermann (1992, JBES 10(4)), whose statistic is ``n/√(n−1)`` times the correlation
    of the two signs. That needs serial independence: for overlapping returns it is the t statistic of
    one sign regressed on the other, with :func:`long_run_covariance` (Blaskowitz and Herwartz 2014,
    IJF 30(1)). Rows where either is zero are left out.

    Raises:
        ValueError: Forecasts or labels are not finite or their rows differ.
    """
    f, r = _rows({"mean": mean, "labels": labels}, horizon_bars)
    signed = (f != 0) & (r != 0)
    up, rose = np.sign(f[signed]), np.sign(r[signed])
    if len(up) < 3 or not varies(up) or not varies(rose):
        return UNDEFINED
    if horizon_bars == 1:
        statistic = len(up) / math.sqrt(len(up) - 1) * float(np.corrcoef(up, rose)[0, 1])
    else:
        statistic = slope_t(up, rose, horizon_bars)
    return HypothesisTest(statistic, float(stats.norm.sf(statistic)))


def model_confidence_set(
    losses: Mapping[str, Floats] | pd.DataFrame,
    size: float = 0.1,
    seed: int = 0,
    *,
    resamples: int = 1000,
) -> ConfidenceSet:
    """The set that holds the best forecast with probability ``1 − size``.

    Hansen, Lunde and Nason (2011, Econometrica 79(2)), range statistic, with the stationary
    bootstrap. The mean block is the longest that Politis and White (2004, corrected 2009)
    find for the losses less their mean over the forecasts.

    Args:
        losses: Name to loss of each row, ``[rows]``, lower is better; or a data frame of them.

    Raises:
        ValueError: Fewer than two forecasts or 20 rows, a loss that is not finite, or two forecasts
            whose losses differ by a constant: the answer would be wrong.
    """
    if not 0 < size < 1:
        raise ValueError(f"size must lie between 0 and 1, got {size}")
    columns = {str(name): np.asarray(loss, dtype=np.float64) for name, loss in losses.items()}
    table = _loss_table(columns)
    block_rows = math.ceil(block_lengths(table - table.mean(axis=1, keepdims=True)).max())
    found = elimination_p_values(table, block_rows, resamples, seed)
    p_values = dict(zip(columns, found.tolist(), strict=True))
    included = tuple(name for name, p in p_values.items() if p > size)
    return ConfidenceSet(included, p_values, block_rows)


def long_run_covariance(values: Floats, horizon_bars: int = 1, *, centred: bool = True) -> Floats:
    """Covariance matrix of ``√rows`` times the mean of ``values`` (``[rows]`` or ``[rows, k]``).

    The sum of the first ``horizon_bars − 1`` autocovariances on both sides, which is all there is when
    only overlapping returns correlate (Hansen and Hodrick 1980, JPE 88(5)). That sum need not be
    positive definite; where it is not, with the weights of Newey and West (1987, Econometrica 55(3)).
    Rows are taken to follow one another, also where some in between were left out.

    Args:
        centred: Subtract the mean first; False where a null hypothesis says that it is zero.
    """
    x = values.reshape(len(values), -1)
    x = x - x.mean(axis=0) if centred else x
    lags = range(1, min(horizon_bars, len(x)))
    own: Floats = x.T @ x / len(x)
    lagged = [(x[k:].T @ x[:-k] + x[:-k].T @ x[k:]) / len(x) for k in lags]
    flat: Floats = own + np.sum([np.zeros_like(own), *lagged], axis=0)
    if not lagged or _positive_definite(flat):
        return flat
    weighted = [(1 - k / horizon_bars) * c for k, c in zip(lags, lagged, strict=True)]
    bartlett: Floats = own + np.sum([np.zeros_like(own), *weighted], axis=0)
    return bartlett


def standardised_regression(x: Floats, y: Floats, horizon_bars: int = 1) -> tuple[Floats, Floats]:
    """Mean of ``y`` and its slope on the standardised ``x``, ``[2]``, with their covariance, ``[2, 2]``.

    Least squares, with :func:`long_run_covariance` of residual times regressor (White 1980 if the
    horizon is one bar); it is zero for a perfect fit. Standardised, the regressors are orthonormal:
    nothing has to be inverted.
    """
    regressors = np.column_stack([np.ones_like(x), (x - x.mean()) / x.std()])
    coefficients: Floats = regressors.T @ y / len(y)
    residuals = y - regressors @ coefficients
    if np.abs(residuals).max() <= 1e-12 * np.abs(y).max():
        residuals = np.zeros_like(y)  # what is left of a perfect fit is rounding, not an error
    scores = residuals[:, None] * regressors
    return coefficients, long_run_covariance(scores, horizon_bars) / len(y)


def slope_t(x: Floats, y: Floats, horizon_bars: int = 1) -> float:
    """t statistic of the slope of ``y`` on ``x``, and so of their correlation; NaN if undefined."""
    if len(x) < max(4, horizon_bars + 1) or not varies(x) or not varies(y):
        return math.nan
    coefficients, covariance = standardised_regression(x, y, horizon_bars)
    return float(coefficients[1]) / math.sqrt(covariance[1, 1]) if covariance[1, 1] > 0 else math.nan


def wald(distance: Floats, covariance: Floats) -> float:
    """``d'C⁻¹d``: chi-squared if ``d`` is an estimate of zero with covariance ``C``; NaN if singular."""
    if not _positive_definite(covariance):
        return math.nan
    return float(distance @ np.linalg.solve(covariance, distance))


def varies(values: Floats) -> bool:
    """Whether the values differ by more than rounding."""
    return len(values) > 1 and bool(np.ptp(values) > 1e-12 * np.abs(values).max())


def _positive_definite(matrix: Floats) -> bool:
    scale = np.sqrt(np.abs(np.diag(matrix)))
    if not (np.diag(matrix) > 0).all():
        return False
    return bool(np.linalg.eigvalsh(matrix / np.outer(scale, scale)).min() > 1e-10)


def _rows(arrays: Mapping[str, Floats], horizon_bars: int = 1) -> list[Floats]:
    """The arrays, one-dimensional, finite and of one length."""
    if horizon_bars < 1:
        raise ValueError(f"horizon_bars must be at least 1, got {horizon_bars}")
    shapes = {name: np.shape(values) for name, values in arrays.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
        raise ValueError(f"give arrays [rows] of the same rows, got the shapes {shapes}")
    for name, values in arrays.items():
        unknown = int((~np.isfinite(values)).sum())
        if unknown:
            raise ValueError(f"{name} is not finite in {unknown} rows: leave them out of every array")
    return [np.asarray(values, dtype=np.float64) for values in arrays.values()]


def _difference(loss_a: Floats, loss_b: Floats, horizon_bars: int) -> Floats:
    a, b = _rows({"loss_a": loss_a, "loss_b": loss_b}, horizon_bars)
    return a - b


def _loss_table(columns: Mapping[str, Floats]) -> Floats:
    """``[rows, forecasts]``, fit for the model confidence set."""
    names = list(columns)
    if len(names) < 2:
        raise ValueError(f"a confidence set needs the losses of two forecasts or more, got {names}")
    table: Floats = np.column_stack(_rows(columns))
    if len(table) < MIN_ROWS:
        raise ValueError(f"{len(table)} rows of losses are too few: give at least {MIN_ROWS}")
    for i, j in combinations(range(len(names)), 2):
        if not varies(table[:, i] - table[:, j]):
            raise ValueError(
                f"the losses of {names[i]!r} and {names[j]!r} differ by a constant: leave one out"
            )
    return table
