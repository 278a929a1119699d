"""Rows of a time series drawn anew in blocks, so that what depends on its neighbours still does."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from arch.bootstrap import optimal_block_length

from foretrade.markets.arrays import Floats, Ints
from foretrade.markets.compiled import compiled

CHUNK = 256
"""Resamples that are in memory at once."""


def block_lengths(values: Floats) -> Floats:
    """Best mean block of the stationary bootstrap for each column of ``[rows, k]``, at least 1 row.

    Politis and White (2004, Econometric Reviews 23(1)), corrected by Patton, Politis and White (2009),
    by ``arch``. Columns must vary.
    """
    found = optimal_block_length(values)["stationary"].to_numpy(dtype=np.float64)
    at_least_a_row: Floats = np.maximum(found, 1.0)
    return at_least_a_row


def stationary_rows(rows: int, block_rows: float, resamples: int, seed: int) -> Iterator[Ints]:
    """Row numbers of ``resamples`` resamples, in chunks ``[≤ 256, rows]``.

    Stationary bootstrap (Politis and Romano 1994, JASA 89(428)): blocks of geometric length with mean
    ``block_rows`` begin at rows drawn alike, and go on at row 0 after the last. The draws are those of
    ``arch.bootstrap.StationaryBootstrap(block_rows, …, seed=seed)``.

    Raises:
        ValueError: Fewer than one resample, or a mean block below one row.
    """
    if resamples < 1 or not 1 <= block_rows < np.inf:
        raise ValueError(
            f"give at least 1 resample of blocks of at least 1 row, got {resamples} and {block_rows}"
        )
    generator = np.random.default_rng(seed)
    for done in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - done)
        drawn, uniform = np.empty((size, rows), dtype=np.int64), np.empty((size, rows))
        for i in range(size):
            drawn[i] = generator.integers(rows, size=rows, dtype=np.int64)
            uniform[i] = generator.random(rows)
        _continue_blocks(drawn, uniform, 1 / block_rows)
        yield drawn


def resampled_means(values: Floats, block_rows: float, resamples: int = 1000, seed: int = 0) -> Floats:
    """Mean of each column of ``values`` (``[rows, k]``) over each resample: ``[resamples, k]``.

    A resample is the number of times that it holds each row, so that all means are one matrix product.
    """
    rows = len(values)
    chunks = [
        np.vstack([np.bincount(sample, minlength=rows) for sample in chunk]).astype(np.float64) @ values
        for chunk in stationary_rows(rows, block_rows, resamples, seed)
    ]
    means: Floats = np.concatenate(chunks) / rows
    return means


def stationary_variance(values: Floats, block_rows: float) -> Floats:
    """Variance of ``√rows`` times a resampled mean of each column of ``[rows, k]``, over all resamples.

    Politis and Romano (1994, lemma 1): ``Σ κ_i c_i`` with the autocovariances ``c`` of the series closed
    to a ring and ``κ_i = (1 − i/n) q^i + (i/n) q^(n−i)``, ``q = 1 − 1/block_rows``. The weights are
    those of a ring too, so that the sum is one over frequencies.
    """
    n = len(values)
    lag = np.arange(n)
    stay = 1 - 1 / block_rows
    weights = np.fft.rfft((1 - lag / n) * stay**lag + (lag / n) * stay ** (n - lag)).real
    weights[1 : (n + 1) // 2] *= 2  # each stands for its mirror image too
    spectrum = np.fft.rfft(values - values.mean(axis=0), axis=0)
    variance: Floats = weights @ np.abs(spectrum) ** 2 / n**2
    return variance


@compiled
def _continue_blocks(rows: Ints, uniform: Floats, new_block: float) -> None:
    """Where no new block begins, put the row after the one before; in place."""
    resamples, length = rows.shape
    for i in range(resamples):
        for t in range(1, length):
            if uniform[i, t] > new_block:
                following = rows[i, t - 1] + 1
                rows[i, t] = following if following < length else 0
