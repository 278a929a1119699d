"""How good a forecast was, before anybody traded it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

from foretrade.markets.arrays import Floats


@dataclass(frozen=True)
class ForecastScores:
    """Scores of one forecast over the rows where forecast and label are known.

    Args:
        observations: Number of rows; independent: how many of their labels do not overlap.
        ic: Pearson correlation of forecast and label; NaN for a constant forecast.
        rank_ic: Spearman's.
        r2_os: ``1 − Σ(r−f)² / Σ(r−r̄)²`` with ``r̄`` the mean of the labels resolved before each
            row (Campbell and Thompson 2008, eq. 1).
        r2_zero: The same against a forecast of zero (Gu, Kelly and Xiu 2020, eq. 19).
        hit_rate: Share of signs that were right, among rows where both are not zero.
        rmse: Root mean squared error, in log return.
        coverage: Share of labels inside the bounds.
    """

    observations: int
    independent: int
    ic: float
    rank_ic: float
    r2_os: float
    r2_zero: float
    hit_rate: float
    rmse: float
    coverage: float

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


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
) -> ForecastScores:
    """Score a forecast; all arrays are ``[rows]`` of the same block, NaN rows are left out.

    Raises:
        ValueError: Fewer than three rows are left.
    """
    rows = np.isfinite(mean) & np.isfinite(labels) & np.isfinite(benchmark)
    if rows.sum() < 3:
        raise ValueError(f"only {int(rows.sum())} rows have both a forecast and a label")
    f, r, b = mean[rows], labels[rows], benchmark[rows]
    constant = bool(np.ptp(f) == 0 or np.ptp(r) == 0)
    signed = (f != 0) & (r != 0)
    error = float(((r - f) ** 2).sum())
    return ForecastScores(
        observations=int(rows.sum()),
        independent=max(1, int(rows.sum()) // horizon_bars),
        ic=np.nan if constant else float(np.corrcoef(f, r)[0, 1]),
        rank_ic=np.nan if constant else float(stats.spearmanr(f, r).statistic),
        r2_os=1 - error / float(((r - b) ** 2).sum()),
        r2_zero=1 - error / float((r**2).sum()),
        hit_rate=float((np.sign(f) == np.sign(r))[signed].mean()) if signed.any() else np.nan,
        rmse=float(np.sqrt(error / len(r))),
        coverage=float(((r >= lower[rows]) & (r <= upper[rows])).mean()),
    )
