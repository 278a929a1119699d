"""How Sharpe ratios hang on the moments of returns: what each return adds, and what resamples show.

A ratio is ``a / √(c − a²)`` with the mean ``a`` and the mean square ``c``, so that its slopes are
``c / (c − a²)^1.5`` and ``−a / 2 / (c − a²)^1.5`` (Ledoit and Wolf 2008).
"""

from __future__ import annotations

import math

import numpy as np

from foretrade.markets.arrays import Floats, Ints
from foretrade.markets.compiled import compiled

ROUNDING = 1e-12
"""A variance below this share of the mean square is what rounding left."""
ALIKE = 1e-9
"""What two series differ by, as a share of either, if it is but rounding."""


def influence(returns: Floats) -> Floats:
    """What each return adds to the Sharpe ratio, to first order, ``[bars]``; the mean is zero.

    The returns must vary.
    """
    mean, square = float(returns.mean()), float((returns**2).mean())
    cubed = (square - mean**2) ** 1.5
    added: Floats = (square * (returns - mean) - mean / 2 * (returns**2 - square)) / cubed
    return added


def studentised_distances(
    own: Floats, other: Floats, block_bars: int, resamples: int, seed: int
) -> Floats:
    """How far resampled differences of two Sharpe ratios lie from the one observed, ``[resamples]``.

    Each in standard errors of its own resample (Ledoit and Wolf 2008): circular blocks,
    as many as fit in, and the variance of their means. All that is needed are the moments of blocks,
    made once for each bar that a block may begin at. A resample in which a series does not vary has no
    difference, one in which both do alike has no error: it lies infinitely far away.
    """
    rows, blocks = len(own), len(own) // block_bars
    of_block = _block_means(np.column_stack([own, other, own**2, other**2]), block_bars)
    observed = float(own.mean() / own.std() - other.mean() / other.std())
    begins = np.random.default_rng(seed).integers(rows, size=(resamples, blocks), dtype=np.int64)
    distances = np.empty(resamples)
    _measure_distances(of_block, begins, observed, distances)
    return distances


def _block_means(values: Floats, block: int) -> Floats:
    """Mean of the ``block`` rows that begin at each row of ``[rows, k]``, which goes on at its start."""
    ring = np.concatenate([values, values[: block - 1]])
    sums = np.cumsum(np.concatenate([np.zeros((1, values.shape[1])), ring]), axis=0)
    means: Floats = (sums[block:] - sums[:-block]) / block
    return means


@compiled
def _measure_distances(of_block: Floats, begins: Ints, observed: float, distances: Floats) -> None:
    resamples, blocks = begins.shape
    for i in range(resamples):
        distances[i] = math.inf
        a = b = c = d = 0.0
        for j in range(blocks):
            a += of_block[begins[i, j], 0] / blocks
            b += of_block[begins[i, j], 1] / blocks
            c += of_block[begins[i, j], 2] / blocks
            d += of_block[begins[i, j], 3] / blocks
        own, other = c - a * a, d - b * b
        if own <= ROUNDING * c or other <= ROUNDING * d:
            continue
        by_a, by_c = c / own**1.5, -a / 2 / own**1.5
        by_b, by_d = -d / other**1.5, b / 2 / other**1.5
        centre = a * by_a + b * by_b + c * by_c + d * by_d
        squares = apart = 0.0
        for j in range(blocks):
            k = begins[i, j]
            mine = of_block[k, 0] * by_a + of_block[k, 2] * by_c
            linear = mine + (of_block[k, 1] * by_b + of_block[k, 3] * by_d) - centre
            squares += linear * linear
            apart += mine * mine
        if squares > ALIKE * ALIKE * apart:
            difference = a / math.sqrt(own) - b / math.sqrt(other)
            distances[i] = abs(difference - observed) / (math.sqrt(squares) / blocks)
