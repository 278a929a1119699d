"""What is kept of the strategies of a fused sweep, a block at a time, and what they share in a bar.

All strategies stand at the same bar, so prices and rates are numbers. The arithmetic is that of
``arithmetic.py`` in the ledger's order, so the bits are the ledger's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foretrade.markets.accounts import ALIVE, LANES, offsets
from foretrade.markets.arithmetic import borrowed, cost_rate, yielded
from foretrade.markets.arrays import Floats, Index, Ints
from foretrade.markets.compiled import inlined
from foretrade.markets.reasons import REASONS
from foretrade.markets.tally import COUNTS, clear_tally, close_tally, tally_drawdown, tally_return

STRIP = np.uint64(64)  # lanes; loops of ordinary bars take as many at once, be they in use or not
BOOKS = ("cash", "units", "counts")
CASH, UNITS, COUNTED = offsets(len(BOOKS))
CUT, KEPT = 2.0**26, 1.0  # added to the counts for a target that a limit cuts, or the band keeps
MOST_STEPS = 2**26 - 1  # whose counts do not mix
SCRATCH = ("tilt", "order", "carry", "lost")
TILT, ORDER, CARRY, LOST = offsets(len(SCRATCH))
LEVERAGE, BAND, COSTS, RUIN = (
    COUNTS + np.uint64(REASONS.index(name) * LANES) for name in ("leverage", "band", "costs", "ruin")
)


class Block(NamedTuple):
    """A block of strategies in a step.

    Args:
        books: ``[BOOKS × LANES]``.
        later: Likewise: those after the step, if it is an ordinary one.
        tally: ``[TALLY_FIELDS × LANES]``.
        scratch: What loops tell each other, ``[SCRATCH × LANES]``.
        scale: Level of costs, ``[LANES]``.
        weights: Targets of each strategy.
        at: Where in them the block's begin.
        before: Equity at the close before, ``[LANES]``.
        after: Equity at this close, ``[LANES]``.
        wild: How many accounts are over or beyond the bounds that ordinary bars suppose, ``[1]``.
        lanes: How many are in use.
        width: Likewise, in whole strips.
    """

    books: Floats
    later: Floats
    tally: Floats
    scratch: Floats
    scale: Floats
    weights: Floats
    at: Index
    before: Floats
    after: Floats
    wild: Ints
    lanes: Index
    width: Index


class Bar(NamedTuple):
    """What all strategies share in a step: prices, rates of the step, and limits.

    Args:
        room: The largest weight.
    """

    valued: float
    fill: float
    inverse_fill: float
    mark: float
    fee: float
    half_spread: float
    borrow: float
    financing: float
    interest: float
    max_leverage: float
    room: float
    no_trade_band: float


@inlined
def open_books(x: Block, cash: float, scale: Floats, n: Index) -> None:
    """Put ``cash`` into every account of block ``n``, and note its levels of costs."""
    x.wild[0] = 0
    for j in range(x.width):
        for k in range(len(BOOKS)):
            x.books[k * LANES + j] = 0.0
        x.books[CASH + j] = x.before[j] = cash
        clear_tally(x.tally, j, cash)
    for j in range(x.lanes):
        x.scale[j] = scale[n * np.uint64(LANES) + j]


@inlined
def close_books(x: Block, count: float) -> None:
    """End the tallies with step number ``count``."""
    for j in range(x.lanes):
        cut = np.floor(x.books[COUNTED + j] / CUT)
        x.tally[LEVERAGE + j] = cut
        x.tally[BAND + j] = x.books[COUNTED + j] - cut * CUT
        close_tally(x.tally, j, count, ALIVE)


@inlined
def tally_moments(x: Block, count: float) -> None:
    """Add the returns of step number ``count``."""
    for j in range(x.lanes):
        tally_return(x.tally, j, count, x.before[j], x.after[j])
        tally_drawdown(x.tally, j, x.after[j])


@inlined
def rate_of(bar: Bar, scale: float) -> float:
    """What an order pays of its notional, at that level of costs."""
    return cost_rate(bar.fee * scale, bar.half_spread * scale)


@inlined
def earned_in(cash: float, units: float, bar: Bar, scale: float) -> float:
    """What cash and units earn by being carried to the bar."""
    borrow = borrowed(units, bar.valued) * (bar.borrow * scale)
    return yielded(cash, bar.financing * scale, bar.interest) - borrow
