"""How good a forecast was, before anybody traded it.

What compares one forecast with another is in :mod:`foretrade.forecasters.comparison`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

from foretrade.forecasters.comparison import (
    clark_west,
    pesaran_timmermann,
    slope_t,
    standardised_regression,
    varies,
    wald,
)
from foretrade.markets.arrays import Floats

PIT_BINS = 10


@dataclass(frozen=True)
class ForecastScores:
    """Scores of one forecast over the rows where forecast and label are known; NaN is undefined.

    The t statistics and p-values allow for the overlap of labels.

    Args:
        observations: Number of rows; independent: how many of their labels do not overlap.
        ic: Pearson correlation of forecast and label; NaN for a constant forecast.
        ic_t: Its t statistic.
        rank_ic: Spearman's.
        rank_ic_t: Its t statistic.
        r2_os: ``1 − Σ(r−f)² / Σ(r−r̄)²`` with ``r̄`` the mean of the labels resolved before each
            row (Campbell and Thompson 2008, eq. 1).
        clark_west_t: Does the forecast beat ``r̄``, which it nests? One-sided, with clark_west_p.
        r2_zero: ``r2_os`` against a forecast of zero (Gu, Kelly and Xiu 2020, eq. 19).
        hit_rate: Share of signs that were right, among rows where both are not zero.
        pesaran_timmermann: Statistic of the signs; one-sided, with pesaran_timmermann_p.
        mse: Mean squared error, in log return squared; rmse: its root.
        mae: Mean absolute error, in log return.
        mincer_zarnowitz_intercept: Of label on forecast, in log return; zero if it is unbiased.
        mincer_zarnowitz_slope: One if its size is right; below one it exaggerates.
        mincer_zarnowitz_p: Of zero and one together.
        coverage: Share of labels inside the bounds, both included, where the bounds are known.
        interval_width: Mean distance of the bounds, in log return.
        crps: Mean continuous ranked probability score of the normal distribution with the
            forecast's mean and standard deviation, in log return; lower is better.
        pit_deviation: Mean absolute distance of its probability integral transform from uniform.
        pinball: Mean pinball loss over the quantiles, in log return; lower is better.
    """

    observations: int
    independent: int
    ic: float
    ic_t: float
    rank_ic: float
    rank_ic_t: float
    r2_os: float
    clark_west_t: float
    clark_west_p: float
    r2_zero: float
    hit_rate: float
    pesaran_timmermann: float
    pesaran_timmermann_p: float
    mse: float
    rmse: float
    mae: float
    mincer_zarnowitz_intercept: float
    mincer_zarnowitz_slope: float
    mincer_zarnowitz_p: float
    coverage: float
    interval_width: float
    crps: float
    pit_deviation: float
    pinball: float

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True)
class MincerZarnowitz:
    """Regression of labels on forecasts; ``p_value`` is that of intercept zero and slope one."""

    intercept: float
    slope: float
    p_value: float


def resolved_mean(labels: Floats, resolution_bars: int) -> Floats:
    """Mean of the labels known at each row: the benchmark forecast, ``[bars]``."""
    known = np.full_like(labels, np.nan)
    known[resolution_bars:] = labels[:-resolution_bars]
    finite = np.isfinite(known)
    total, count = np.where(finite, known, 0.0).cumsum(), finite.cumsum()
    mean: Floats = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return mean


def score_forecast(
    mean: Floats,
    labels: Floats,
    benchmark: Floats,
    lower: Floats,
    upper: Floats,
    *,
    horizon_bars: int = 1,
    std: Floats | None = None,
    quantiles: Mapping[float, Floats] | None = None,
) -> ForecastScores:
    """Score a forecast; all arrays are ``[rows]`` of the same block, NaN rows are left out.

    Args:
        std: Standard deviation of the forecast's distribution, for ``crps`` and ``pit_deviation``.
        quantiles: Level to values, for ``pinball``.

    Raises:
        ValueError: Fewer than three rows are left.
    """
    rows = np.isfinite(mean) & np.isfinite(labels) & np.isfinite(benchmark)
    if rows.sum() < 3:
        raise ValueError(f"only {int(rows.sum())} rows have both a forecast and a label")
    f, r, b = mean[rows], labels[rows], benchmark[rows]
    spread = np.full_like(f, np.nan) if std is None else np.where(std[rows] > 0, std[rows], np.nan)
    mse = float(((r - f) ** 2).mean())
    ranked_f, ranked_r = stats.rankdata(f), stats.rankdata(r)
    against_mean = clark_west(f, r, b, horizon_bars)
    signs = pesaran_timmermann(f, r, horizon_bars)
    calibration = mincer_zarnowitz(f, r, horizon_bars)
    levels = {} if quantiles is None else quantiles
    return ForecastScores(
        observations=len(r),
        independent=max(1, len(r) // horizon_bars),
        ic=_correlation(f, r),
        ic_t=slope_t(f, r, horizon_bars),
        rank_ic=_correlation(ranked_f, ranked_r),
        rank_ic_t=slope_t(ranked_f, ranked_r, horizon_bars),
        r2_os=_r2(mse, r - b),
        clark_west_t=against_mean.statistic,
        clark_west_p=against_mean.p_value,
        r2_zero=_r2(mse, r),
        hit_rate=hit_rate(f, r),
        pesaran_timmermann=signs.statistic,
        pesaran_timmermann_p=signs.p_value,
        mse=mse,
        rmse=math.sqrt(mse),
        mae=float(np.abs(r - f).mean()),
        mincer_zarnowitz_intercept=calibration.intercept,
        mincer_zarnowitz_slope=calibration.slope,
        mincer_zarnowitz_p=calibration.p_value,
        coverage=coverage(r, lower[rows], upper[rows]),
        interval_width=_known_mean(upper[rows] - lower[rows]),
        crps=_known_mean(crps_gaussian(r, f, spread)),
        pit_deviation=pit_deviation(pit(r, f, spread)),
        pinball=_known_mean(
            np.array([_known_mean(pinball_loss(r, q[rows], level)) for level, q in levels.items()])
        ),
    )


def hit_rate(mean: Floats, labels: Floats) -> float:
    """Share of signs that were right, among rows where both are not zero; NaN without such a row."""
    signed = (mean != 0) & (labels != 0)
    return _known_mean((np.sign(mean) == np.sign(labels))[signed].astype(np.float64))


def mincer_zarnowitz(mean: Floats, labels: Floats, horizon_bars: int = 1) -> MincerZarnowitz:
    """Is a forecast calibrated? Least squares of label on forecast, over rows in time order.

    Mincer and Zarnowitz (1969, in Economic Forecasts and Expectations, NBER): a forecast that uses
    what it knows has intercept zero and slope one. The joint test is a Wald test, chi-squared with 2
    degrees of freedom, robust to overlapping labels and to heteroskedasticity. NaN if undefined.
    """
    if len(mean) < max(4, horizon_bars + 1) or not varies(mean):
        return MincerZarnowitz(math.nan, math.nan, math.nan)
    (level, slope), covariance = standardised_regression(mean, labels, horizon_bars)
    centre, scale = float(mean.mean()), float(mean.std())
    # Intercept 0 and slope 1 for the forecast are its mean and its deviation once it is standardised.
    statistic = wald(np.array([level - centre, slope - scale]), covariance)
    beta = float(slope) / scale
    return MincerZarnowitz(float(level) - beta * centre, beta, float(stats.chi2.sf(statistic, 2)))


def crps_gaussian(labels: Floats, mean: Floats, std: Floats) -> Floats:
    """Continuous ranked probability score of normal forecasts, ``[rows]``, in the unit of the label.

    ``σ (z (2Φ(z) − 1) + 2φ(z) − 1/√π)`` with ``z = (r − μ)/σ``: Gneiting and Raftery (2007, JASA
    102(477), section 4.2), with the sign of a loss. NaN rows stay NaN.

    Raises:
        ValueError: A standard deviation is not positive.
    """
    z = _standardised(labels, mean, std)
    density, below = stats.norm.pdf(z), stats.norm.cdf(z)
    scores: Floats = std * (z * (2 * below - 1) + 2 * density - 1 / math.sqrt(math.pi))
    return scores


def crps_ensemble(labels: Floats, members: Floats) -> Floats:
    """Continuous ranked probability score of an empirical distribution, ``[rows]``.

    ``mean|x − r| − ½ mean|x − x'|`` over the members: Gneiting and Raftery (2007, eq. 21). One member
    gives the absolute error.

    Args:
        labels: ``[rows]``.
        members: Equally likely values, ``[rows, members]``.
    """
    m = members.shape[1]
    rank = 2 * np.arange(1, m + 1) - m - 1  # Σ|x − x'| over all pairs is 2 Σ rank · sorted x
    spread = np.sort(members, axis=1) @ rank / m**2
    scores: Floats = np.abs(members - labels[:, None]).mean(axis=1) - spread
    return scores


def pinball_loss(labels: Floats, quantile: Floats, level: float) -> Floats:
    """Loss of a forecast of the quantile ``level``, ``[rows]``, in the unit of the label.

    ``max(τ (r − q), (τ − 1)(r − q))``: Koenker and Bassett (1978, Econometrica 46(1)). Twice its mean
    over evenly spaced levels approaches the continuous ranked probability score.

    Raises:
        ValueError: The level does not lie between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"the level of a quantile must lie between 0 and 1, got {level}")
    error = labels - quantile
    losses: Floats = np.maximum(level * error, (level - 1) * error)
    return losses


def pit(labels: Floats, mean: Floats, std: Floats) -> Floats:
    """Probability integral transform of normal forecasts, ``[rows]``; uniform if they are right.

    Diebold, Gunther and Tay (1998, International Economic Review 39(4)). Too many values near zero and
    one say that the standard deviation is too small. NaN rows stay NaN.

    Raises:
        ValueError: A standard deviation is not positive.
    """
    values: Floats = stats.norm.cdf(_standardised(labels, mean, std))
    return values


def pit_deviation(values: Floats, bins: int = PIT_BINS) -> float:
    """Mean absolute difference of the shares in equal bins from ``1/bins``; 0 is uniform.

    Without any fault it is about ``√(2 (bins − 1) / (π n)) / bins`` for ``n`` independent values. NaN
    if none is known.
    """
    known = values[~np.isnan(values)]
    if len(known) == 0:
        return math.nan
    counts, _ = np.histogram(known, bins=bins, range=(0.0, 1.0))
    return float(np.abs(counts / len(known) - 1 / bins).mean())


def coverage(labels: Floats, lower: Floats, upper: Floats) -> float:
    """Share of labels inside the bounds, both included, where the bounds are known; NaN if none is."""
    known = ~(np.isnan(lower) | np.isnan(upper) | np.isnan(labels))
    return _known_mean(((labels >= lower) & (labels <= upper))[known].astype(np.float64))


def _standardised(labels: Floats, mean: Floats, std: Floats) -> Floats:
    if (std <= 0).any():
        raise ValueError("std must be positive; give NaN where it is not known")
    return (labels - mean) / std


def _correlation(x: Floats, y: Floats) -> float:
    return float(np.corrcoef(x, y)[0, 1]) if varies(x) and varies(y) else math.nan


def _r2(mse: float, benchmark_error: Floats) -> float:
    worst = float((benchmark_error**2).mean())
    return 1 - mse / worst if worst > 0 else math.nan


def _known_mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan
