"""Adaptive conformal inference: bounds whose realised coverage is steered to the nominal one."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque

import numpy as np
import pandas as pd

from foretrade.markets.arrays import Floats


def adaptive_bounds(
    mean: Floats,
    std: Floats | None,
    labels: Floats,
    *,
    resolution_bars: int,
    coverage: float = 0.9,
    gamma: float = 0.005,
    window_bars: int = 252,
    minimum_bars: int = 63,
) -> tuple[Floats, Floats]:
    """Lower and upper bound of each row, ``[bars]``, by ACI (Gibbs and Candès 2021, arXiv:2106.00170).

    Scores are ``(label − mean) / std``. Returns are skewed, so each tail has a level of its own: with
    ``err`` whether a matured label lay beyond its bound, ``level += gamma (tail − err)`` (their eq. 2),
    where ``tail = (1 − coverage) / 2``. The bound is ``mean + std · q`` with ``q`` the conformal
    quantile at that level of the last ``window_bars`` matured scores. Of ``n`` scored rows a share of
    ``tail + (first level − last level) / (gamma n)`` lies beyond it, whatever the data.

    The bound is never infinite: below a level of zero it is the largest score of the window. It never
    passes the median score, so that the bounds cannot cross. Until ``minimum_bars`` scores have
    matured, it is ``mean`` plus the quantile of the labels of the last ``window_bars`` that have; rows
    before the second of those, and rows without a mean, are NaN.

    Args:
        mean: Forecast, known at the row's close, ``[bars]``.
        std: Its scale, known then too, ``[bars]``. Where it is None, or in a row not a positive number,
            :func:`error_scale` stands in. The faster it follows volatility, the tighter the bounds.
        labels: What is forecast, ``[bars]``; of row ``t`` known at row ``t + resolution_bars``.
        coverage: Share of labels that shall lie between the bounds.
        gamma: How fast levels move; 0 gives the plain rolling quantile.

    Raises:
        ValueError: Shapes differ, or a setting is out of its range.
    """
    running = error_scale(mean, labels, resolution_bars=resolution_bars)
    given = running if std is None else std
    if given.shape != labels.shape:
        raise ValueError(f"std must be [bars] as labels are, got {given.shape} and {labels.shape}")
    if not 0 < coverage < 1 or gamma < 0:
        raise ValueError(
            f"coverage must be between 0 and 1 and gamma not negative, got {coverage} and {gamma}"
        )
    if not 2 <= minimum_bars <= window_bars:
        raise ValueError(
            f"minimum_bars must be between 2 and window_bars, got {minimum_bars} and {window_bars}"
        )
    tail = (1 - coverage) / 2
    scale = np.where(np.isfinite(given) & (given > 0), given, running)
    scores = np.divide(labels - mean, scale, out=np.full_like(mean, np.nan), where=scale > 0)
    known = pd.Series(labels).shift(resolution_bars).rolling(window_bars, min_periods=2)
    bounds = []
    for side, level in ((-1.0, tail), (1.0, 1 - tail)):
        beyond = _adaptive_quantiles(
            side * scores, resolution_bars, tail, gamma, window_bars, minimum_bars
        )
        bound = mean + side * scale * beyond
        bounds.append(np.where(np.isfinite(bound), bound, mean + known.quantile(level).to_numpy()))
    return bounds[0], bounds[1]


def error_scale(mean: Floats, labels: Floats, *, resolution_bars: int, decay: float = 0.94) -> Floats:
    """Exponentially weighted root mean square of the errors matured by each row, ``[bars]``.

    The decay of RiskMetrics (J.P. Morgan 1996) for daily data. Before the first forecast the labels
    stand in for its errors; rows before the second matured label are NaN.

    Raises:
        ValueError: Shapes differ, or ``resolution_bars`` is below 1.
    """
    if mean.ndim != 1 or mean.shape != labels.shape:
        raise ValueError(f"mean and labels must be [bars], got {mean.shape} and {labels.shape}")
    if resolution_bars < 1:
        raise ValueError(f"resolution_bars must be at least 1, got {resolution_bars}")
    errors = pd.Series(labels - np.where(np.isnan(mean), 0.0, mean)).shift(resolution_bars)
    scale: Floats = (errors**2).ewm(alpha=1 - decay, min_periods=2).mean().to_numpy() ** 0.5
    return scale


def _adaptive_quantiles(
    scores: Floats, resolution_bars: int, tail: float, gamma: float, window_bars: int, minimum_bars: int
) -> Floats:
    """What a share ``tail`` of the scores shall exceed, ``[bars]``; NaN until enough have matured."""
    values = scores.tolist()
    quantiles = [math.nan] * len(values)
    level = tail
    recent: deque[float] = deque()
    ordered: list[float] = []
    for row in range(resolution_bars, len(values)):
        score, bound = values[row - resolution_bars], quantiles[row - resolution_bars]
        if math.isfinite(score):
            if not math.isnan(bound):
                level += gamma * (tail - (score > bound))
            recent.append(score)
            insort(ordered, score)
            if len(recent) > window_bars:
                del ordered[bisect_left(ordered, recent.popleft())]
        count = len(ordered)
        if count >= minimum_bars:
            rank = math.ceil((1 - level) * (count + 1))
            quantiles[row] = ordered[min(max(rank, (count + 2) // 2), count) - 1]
    return np.array(quantiles)
