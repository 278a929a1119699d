"""A fused sweep's traffic with the memory, which goes on while bars are computed.

Equity is written past the caches, whole lines at a time, for nobody reads it soon; a processor that is
given many of them at once waits for the memory. So a block's loops carry a few along with each strip of
lanes, and have as many lines of weights brought that will be needed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foretrade.markets.accounts import LANES
from foretrade.markets.arrays import LINE, Floats, Index, UInts
from foretrade.markets.compiled import inlined
from foretrade.markets.vectors import address, fetch, stream_eight

ITEM = np.uint64(8)  # bytes of a number
NUMBERS = np.uint64(LINE) // ITEM  # in a line
AHEAD = np.uint64(8)  # blocks; what is asked for so early is there when its turn comes


class Rows(NamedTuple):
    """What is on its way to and from the memory during a bar.

    Args:
        equity: At the close before, of all blocks that take bars together.
        row: Where it is kept, ``[strategies]``.
        at: Where in the row theirs begins.
        kept: Whether equity is kept at all.
        weights: Targets of this bar, ``[strategies]``.
        later: Those of the next one.
        lines: Where in the equity the lines of each block begin, and how many they are, ``[blocks, 2]``.
    """

    equity: Floats
    row: Floats
    at: Index
    kept: bool
    weights: Floats
    later: Floats
    lines: UInts


class Stream(NamedTuple):
    """Lines that a block has to carry along.

    Args:
        equity: As in :class:`Rows`.
        first: Where in it the lines begin.
        row: As in :class:`Rows`.
        to: Where in it they begin.
        lines: How many.
        kept: Whether equity is kept at all.
        weights: Targets of the block whose turn comes ``AHEAD`` blocks later, ``[strategies]``.
        soon: Where in them it begins.
    """

    equity: Floats
    first: Index
    row: Floats
    to: Index
    lines: Index
    kept: bool
    weights: Floats
    soon: Index


@inlined
def begin_rows(
    equity: Floats, rows: Floats, targets: Floats, k: Index, start: Index, stop: Index, lines: UInts
) -> Rows:
    """Of the blocks ``start … stop - 1`` and their equity at close ``k``; what stands in its row before
    the first line and behind the last is written here.

    Args:
        rows: Equity at all closes, ``[steps + 1, strategies]``, or at the last, in as many as there are.
        targets: ``[steps, 1, strategies]``.
        lines: Written: those of :class:`Rows`.
    """
    one, lanes = np.uint64(1), np.uint64(LANES)
    steps, row, at = np.uint64(len(targets)), rows[k % np.uint64(len(rows))], start * lanes
    count = min(np.uint64(len(row)) - at, (stop - start) * lanes)
    head = min((NUMBERS - address(row, at) // ITEM % NUMBERS) % NUMBERS, count)
    for j in range(head):
        row[at + j] = equity[j]
    for j in range(head + (count - head) // NUMBERS * NUMBERS, count):
        row[at + j] = equity[j]
    for which in range(stop - start):  # lines seldom begin where blocks do
        first = min(which * lanes + head, count)
        lines[which, np.uint64(0)] = first
        lines[which, one] = (min(first + lanes, count) - first) // NUMBERS
    return Rows(
        equity, row, at, (len(rows) > len(targets)) | (k == steps),
        targets[min(k, steps - one), 0], targets[min(k + one, steps - one), 0], lines,
    )  # fmt: skip


@inlined
def begin_stream(x: Rows, which: Index, blocks: Index) -> Stream:
    """Of one of the blocks."""
    lanes, later = np.uint64(LANES), which + min(AHEAD, blocks)
    first, lines = x.lines[which, np.uint64(0)], x.lines[which, np.uint64(1)]
    if later < blocks:
        return Stream(
            x.equity, first, x.row, x.at + first, lines, x.kept, x.weights, x.at + later * lanes
        )
    soon = x.at + (later - blocks) * lanes
    return Stream(x.equity, first, x.row, x.at + first, lines, x.kept, x.later, soon)


@inlined
def carry(x: Stream, begin: Index, end: Index) -> None:
    """Carry the lines ``begin … end - 1``, those of them that there are."""
    for line in range(begin, min(end, x.lines)):
        if x.kept:
            stream_eight(x.row, x.to + line * NUMBERS, x.equity, x.first + line * NUMBERS)
        fetch(x.weights, x.soon + line * NUMBERS)
