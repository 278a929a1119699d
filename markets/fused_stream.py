"""A fused sweep's traffic with the memory, which goes on while bars are computed.

Equity is written past the caches, whole lines at a time, for nobody reads it soon; a processor that is
given many of them at once waits for the memory. So a block's loops carry a few along with each strip of
lanes, and have as many lines of weights brought that will be needed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foretrade.markets.accounts import LANES
from foretrade.markets.arrays import LINE, Floats, Index
from foretrade.markets.compiled import inlined
from foretrade.markets.vectors import address, fetch, stream_eight

ITEM = np.uint64(8)  # bytes of a number
NUMBERS = np.uint64(LINE) // ITEM  # in a line
AHEAD = np.uint64(8)  # blocks; what is asked for so early is there when its turn comes


class Stream(NamedTuple):
    """Lines that a block has to carry along.

    Args:
        equity: At the close before, of all blocks that take bars together.
        first: Where in it the lines begin.
        row: Where it is kept, ``[strategies]``.
        to: Where in it they begin.
        lines: How many.
        kept: Whether it is kept at all.
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
def begin_stream(
    equity: Floats, rows: Floats, targets: Floats, k: Index, n: Index, start: Index, stop: Index
) -> Stream:
    """Of block ``n`` of the blocks ``start … stop - 1``: their equity at close ``k``.

    Lines seldom begin where blocks do; so a block's part begins and ends where lines do. What stands in
    the row before the first line and behind the last is written here.

    Args:
        rows: Equity at all closes, ``[steps + 1, strategies]``, or at the last, in as many as there are.
        targets: ``[steps, 1, strategies]``.
    """
    one, lanes, at = np.uint64(1), np.uint64(LANES), start * np.uint64(LANES)
    steps, row = np.uint64(len(targets)), rows[k % np.uint64(len(rows))]
    count = min(np.uint64(len(row)) - at, (stop - start) * lanes)
    head = (
        NUMBERS - address(row, at) // ITEM % NUMBERS
    ) % NUMBERS  # numbers before the first whole line
    begin = min((n - start) * lanes + head, count) if n > start else np.uint64(0)
    end = min((n + one - start) * lanes + head, count) if n + one < stop else count
    first = begin if n > start else min(head, end)
    lines = (end - first) // NUMBERS
    for j in range(begin, first):
        row[at + j] = equity[j]
    for j in range(first + lines * NUMBERS, end):
        row[at + j] = equity[j]
    later = n + min(AHEAD, stop - start)
    step, block = (k, later) if later < stop else (k + one, later - (stop - start))
    return Stream(
        equity, first, row, at + first, lines, (len(rows) > len(targets)) | (k == steps),
        targets[min(step, steps - one), 0], block * lanes,
    )  # fmt: skip


@inlined
def carry(x: Stream, begin: Index, end: Index) -> None:
    """Carry the lines ``begin … end - 1``, those of them that there are."""
    for line in range(begin, min(end, x.lines)):
        if x.kept:
            stream_eight(x.row, x.to + line * NUMBERS, x.equity, x.first + line * NUMBERS)
        fetch(x.weights, x.soon + line * NUMBERS)
