"""How often the strategy that was best so far is below the middle afterwards."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from foretrade.backtests.candidates import Returns, candidates
from foretrade.markets.arrays import Floats, Ints
from foretrade.markets.compiled import compiled

MAX_BLOCKS = 20
"""Of which 184,756 combinations can be made."""
ROUNDING = 1e-12
"""A variance below this share of the mean square is what rounding left."""


@dataclass(frozen=True)
class Overfitting:
    """What choosing the best of the strategies was worth, over all ways to halve the history.

    Args:
        probability: Of overfitting (PBO): share of logits at or below zero, that is, of halves whose
            winner ranks in the lower half, or in the very middle, of the other half.
        logits: ``ln(ω / (1 − ω))`` with ``ω = rank / (strategies + 1)`` of the winner in the other half,
            ``[combinations]``.
        in_sample, out_of_sample: Sharpe ratio per bar of the winner in its half and in the other,
            ``[combinations]``.
        degradation: Slope of ``out_of_sample`` on ``in_sample``; NaN if the latter does not vary.
        probability_of_loss: Share of ``out_of_sample`` below zero.
        blocks: That the history was cut into.
    """

    probability: float
    logits: Floats
    in_sample: Floats
    out_of_sample: Floats
    degradation: float
    probability_of_loss: float
    blocks: int


def overfitting(returns: Returns, *, blocks: int = 16) -> Overfitting:
    """Probability of backtest overfitting by combinatorially symmetric cross-validation.

    Bailey, Borwein, López de Prado and Zhu (2017, J. Computational Finance 20(4)), with the Sharpe ratio
    as the score. Each half of the blocks chooses a winner, whose rank in the other half is taken (the
    mean of the ranks of equals). About ½ where no strategy is better than another, near 0 where one is.
    Blocks are neighbouring bars; if their number does not divide the bars, the first blocks have one bar
    more (``ffn`` leaves the last bars out instead). A strategy whose returns do not vary over a half has
    the ratio zero there: it never traded.

    Args:
        returns: Net simple returns of all strategies that were tried.
        blocks: An even number, at most 20; 16 give 12,870 combinations.

    Raises:
        ValueError: See :func:`~foretrade.backtests.candidates.candidates`; fewer than two strategies, an
            odd number of blocks or one beyond 20, or fewer than two bars a block.
    """
    compared = candidates(returns, at_least=2)
    bars, strategies = compared.returns.shape
    if not 2 <= blocks <= MAX_BLOCKS or blocks % 2:
        raise ValueError(f"blocks must be an even number from 2 to {MAX_BLOCKS}, got {blocks}")
    if bars < 2 * blocks:
        raise ValueError(f"{bars} bars are too few for {blocks} blocks: give two bars a block")
    lengths = np.full(blocks, bars // blocks) + (np.arange(blocks) < bars % blocks)
    begins = np.cumsum(lengths) - lengths
    values = (np.ones_like(compared.returns[:, :1]), compared.returns, compared.returns**2)
    counts, sums, squares = (_subset_sums(np.add.reduceat(part, begins, axis=0)) for part in values)
    first, second = _halves(blocks)
    found = np.empty((len(first), 2, 3))
    _score_halves(counts, sums, squares, first, second, np.empty((2, strategies)), found)
    logits, in_sample, out_of_sample = found.reshape(-1, 3).T.copy()
    return Overfitting(
        probability=float((logits <= 0).mean()),
        logits=logits,
        in_sample=in_sample,
        out_of_sample=out_of_sample,
        degradation=_slope(in_sample, out_of_sample),
        probability_of_loss=float((out_of_sample < 0).mean()),
        blocks=blocks,
    )


def _subset_sums(values: Floats) -> Floats:
    """Sums over subsets of the first and of the second half of the rows: ``[2, 2^(n / 2), k]``.

    Row ``i`` of a half is in a subset whose number has bit ``i``. All halves of all blocks are made of
    two such sums, so that none is added up anew.
    """
    halves = []
    for rows in np.split(values, 2):
        sums = np.zeros((1, values.shape[1]))
        for row in rows:
            sums = np.concatenate([sums, sums + row])
        halves.append(sums)
    return np.stack(halves)


def _halves(blocks: int) -> tuple[Ints, Ints]:
    """One of each two complementary halves: its blocks as bits, of the first and second ``blocks / 2``.

    Half of all subsets of the first blocks, with all of the second that make up the number; a subset
    that holds the first block stands for its complement, which does not.
    """
    subsets = np.arange(2 ** (blocks // 2))
    sizes = np.bitwise_count(subsets).astype(np.int64)
    chosen = (sizes[:, None] + sizes == blocks // 2) & (subsets % 2 == 1)[:, None]
    first, second = np.nonzero(chosen)
    return first, second


def _slope(x: Floats, y: Floats) -> float:
    centred = x - x.mean()
    squares = float(centred @ centred)
    return float(centred @ y) / squares if squares > 0 else math.nan


@compiled
def _score_halves(
    counts: Floats,
    sums: Floats,
    squares: Floats,
    first: Ints,
    second: Ints,
    ratios: Floats,
    found: Floats,
) -> None:
    """Logit and both ratios of the winner, for each pair of halves both ways: ``[…, 2, 3]``."""
    strategies = ratios.shape[1]
    everything = sums.shape[1] - 1
    for pair in range(len(first)):
        for side in range(2):
            i = first[pair] if side == 0 else everything - first[pair]
            j = second[pair] if side == 0 else everything - second[pair]
            n = counts[0, i, 0] + counts[1, j, 0]
            for k in range(strategies):
                mean = (sums[0, i, k] + sums[1, j, k]) / n
                square = (squares[0, i, k] + squares[1, j, k]) / n
                variance = square - mean * mean
                ratio = mean / math.sqrt(variance * n / (n - 1))
                ratios[side, k] = ratio if variance > ROUNDING * square else 0.0
        for side in range(2):
            winner = 0
            for k in range(strategies):
                if ratios[side, k] > ratios[side, winner]:
                    winner = k
            reached = ratios[1 - side, winner]
            below, equal = 0, 0
            for k in range(strategies):
                below += ratios[1 - side, k] < reached
                equal += ratios[1 - side, k] == reached
            rank = below + (equal + 1) / 2
            found[pair, side, 0] = math.log(rank / (strategies + 1 - rank))
            found[pair, side, 1] = ratios[side, winner]
            found[pair, side, 2] = reached
