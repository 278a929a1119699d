"""The loops over the lanes of a block that take the place of the ledger's phases in a fused sweep.

All strategies stand at the same bar, so prices and rates are numbers. The arithmetic is that of
``arithmetic.py`` in the ledger's order, so the bits are the ledger's. A processor works on several lanes
at once only while few operations wait for each other, so there are four loops instead of one: accrue,
aim, charge, trade.

In an *ordinary* bar all accounts of the block stand, can pay for their orders, and cannot be ruined by
them; one comparison of a lane, while it aims, tells. Loops that need not look are shorter. Where a lane
is not ordinary, the block takes the bar *carefully*. Flags that are given as literals leave no trace in
the loop.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foretrade.markets.accounts import ALIVE, LANES, RUINED, offsets
from foretrade.markets.arithmetic import (
    ROUNDING,
    borrowed,
    cash_after,
    cost_rate,
    is_beyond,
    keeps_limit,
    slope_of,
    within,
    yielded,
)
from foretrade.markets.arrays import Floats, Index, Ints
from foretrade.markets.compiled import inlined
from foretrade.markets.orders import REASONS
from foretrade.markets.tally import (
    COUNTS,
    OVER,
    clear_tally,
    close_tally,
    tally_drawdown,
    tally_flows,
    tally_return,
)

BOOKS = ("cash", "units", "cost_scale", "fallen")
CASH, UNITS, COST_SCALE, FALLEN = offsets(len(BOOKS))  # FALLEN: how many, in the first lane
SCRATCH = ("tilt", "order", "carry", "lost")
TILT, ORDER, CARRY, LOST = offsets(len(SCRATCH))
COUNTED = ("cut", "kept")  # whole numbers: see _ticks
CUT, KEPT = offsets(len(COUNTED))
LEVERAGE, BAND, COSTS, RUIN = (
    COUNTS + np.uint64(REASONS.index(name) * LANES) for name in ("leverage", "band", "costs", "ruin")
)


class Block(NamedTuple):
    """A block of strategies in a step.

    Args:
        books: ``[BOOKS × LANES]``.
        tally: ``[TALLY_FIELDS × LANES]``.
        counts: ``[COUNTED × LANES]``.
        scratch: What the loops tell each other, ``[SCRATCH × LANES]``.
        weights: ``[lanes]`` or more, as the next two.
        before: Equity at the close before.
        after: Equity at this close.
        lanes: How many are in use.
    """

    books: Floats
    tally: Floats
    counts: Ints
    scratch: Floats
    weights: Floats
    before: Floats
    after: Floats
    lanes: Index


class Bar(NamedTuple):
    """What all strategies share in a step: prices, rates of the step, and limits.

    Args:
        scale: The strategies' level of costs, or the highest.
        room: The largest weight.
        tame: How many times the equity a position may be worth in an ordinary account.
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
    scale: float
    max_leverage: float
    room: float
    no_trade_band: float
    tame: float


@inlined
def open_books(x: Block, cost_scale: Floats, cash: float) -> None:
    """Put ``cash`` into every account."""
    x.books[FALLEN] = 0.0
    for j in range(x.lanes):
        x.books[CASH + j] = x.before[j] = cash
        x.books[UNITS + j] = 0.0
        x.books[COST_SCALE + j] = cost_scale[j]
        x.counts[CUT + j] = x.counts[KEPT + j] = 0
        clear_tally(x.tally, j, cash)


@inlined
def close_books(x: Block, count: float) -> None:
    """End the tallies with step number ``count``."""
    for j in range(x.lanes):
        x.tally[LEVERAGE + j] = float(x.counts[CUT + j])
        x.tally[BAND + j] = float(x.counts[KEPT + j])
        close_tally(x.tally, j, count, ALIVE)


@inlined
def accrue(x: Block, bar: Bar, uniform: bool, careful: bool) -> None:
    """Pay borrow and financing, and earn interest, on what is carried."""
    b, s = x.books, x.scratch
    for j in range(x.lanes):
        cash = b[CASH + j]
        earned = _earned(cash, b[UNITS + j], bar, bar.scale if uniform else b[COST_SCALE + j])
        s[CARRY + j] = -earned
        stands = x.tally[OVER + j] == ALIVE if careful else True
        b[CASH + j] = cash + earned if stands else cash


@inlined
def _earned(cash: float, units: float, bar: Bar, scale: float) -> float:
    borrow = borrowed(units, bar.valued) * (bar.borrow * scale)
    return yielded(cash, bar.financing * scale, bar.interest) - borrow


@inlined
def aim(x: Block, bar: Bar, cuts: bool, has_band: bool, careful: bool, one: int) -> int:
    """Targets → orders, were they free; how many lanes are not ordinary. Refusals count as ``one``."""
    b, s, odd = x.books, x.scratch, 0
    noise, band = ROUNDING * bar.inverse_fill, bar.no_trade_band * bar.inverse_fill
    for j in range(x.lanes):
        weight, units = x.weights[j], b[UNITS + j]
        value = units * bar.fill
        base = b[CASH + j] + value
        able = (x.tally[OVER + j] == ALIVE) & (base > 0.0) if careful else True
        tame = abs(value) < bar.tame * base  # and so the equity is positive
        odd += not (tame & (abs(weight) < np.inf if cuts else abs(weight) <= bar.room))  # so is NaN
        if cuts:
            cut = abs(weight) > bar.room * (1.0 + ROUNDING)
            x.counts[CUT + j] += _ticks(cut & able, one)
            weight = within(weight, bar.room)
        tilt = weight * bar.inverse_fill
        away = tilt * base - units
        off = goes = is_beyond(away, noise, base)
        if has_band:
            keeps = keeps_limit(abs(value), base, bar.max_leverage)
            in_band = off & keeps & (not is_beyond(away, band, base))
            x.counts[KEPT + j] += _ticks(in_band & able, one)
            goes = off & (not in_band)
        s[TILT + j] = tilt
        s[ORDER + j] = away if goes & able else 0.0
    return odd


@inlined
def _ticks(happens: bool, one: int) -> int:
    """``one`` or 0. A choice between floats to add would become a branch, and that a store with a mask,
    which takes longer than all the rest of a loop."""
    return -int(happens) & one


@inlined
def charge(x: Block, bar: Bar, uniform: bool, careful: bool) -> None:
    """Orders as they are after their costs; refuse those that no equity can pay for."""
    b, s = x.books, x.scratch
    for j in range(x.lanes):
        tilt, away = s[TILT + j], s[ORDER + j]
        unit_cost = bar.fill * _rate(bar, bar.scale if uniform else b[COST_SCALE + j])
        slope = slope_of(away, tilt, unit_cost)
        order = away / slope
        if careful:
            left = b[CASH + j] + b[UNITS + j] * bar.fill - abs(order) * unit_cost
            refused = (away != 0.0) & (not ((slope > 0.0) & (left > 0.0)))
            x.tally[COSTS + j] += 1.0 if refused else 0.0
            order = 0.0 if refused else order
        s[ORDER + j] = order


@inlined
def _rate(bar: Bar, scale: float) -> float:
    return cost_rate(bar.fee * scale, bar.half_spread * scale)


@inlined
def trade(x: Block, bar: Bar, uniform: bool, careful: bool, accrues: bool) -> int:
    """Trade, accrue if orders fill at the close before, and mark; how many accounts were lost."""
    b, s, t, lost = x.books, x.scratch, x.tally, 0
    for j in range(x.lanes):
        scale, order = (bar.scale if uniform else b[COST_SCALE + j]), s[ORDER + j]
        stands = t[OVER + j] == ALIVE if careful else True
        notional = abs(order) * bar.fill
        paid = notional * _rate(bar, scale)
        cash = cash_after(b[CASH + j], order, bar.fill, paid)
        units = b[UNITS + j] + order
        carry = s[CARRY + j]
        ruined = (order == 0.0) & (cash + units * bar.fill <= 0.0)
        if accrues:
            ruined = False  # it would have been at the mark before
            earned = _earned(cash, units, bar, scale)
            carry = -earned
            cash = cash + earned if stands else cash
        equity = cash + units * bar.mark
        if careful:
            lost += stands & (ruined | (equity <= 0.0))
        b[CASH + j] = cash
        b[UNITS + j] = units
        x.after[j] = equity
        tally_flows(t, j, x.before[j], notional, paid + carry, stands)
    return lost


@inlined
def liquidate(x: Block, bar: Bar, fills_first: bool) -> None:
    """Sell what lost accounts hold, at the price at which their equity was not positive."""
    b, s, t = x.books, x.scratch, x.tally
    for j in range(x.lanes):
        cash, units = b[CASH + j], b[UNITS + j]
        ruined = (s[ORDER + j] == 0.0) & (cash + units * bar.fill <= 0.0) & (not fills_first)
        gone = (t[OVER + j] == ALIVE) & (ruined | (x.after[j] <= 0.0))
        s[LOST + j] = 1.0 if gone else 0.0
        if gone:
            price = bar.fill if ruined else bar.mark
            notional = abs(units) * price
            paid = notional * _rate(bar, b[COST_SCALE + j])
            b[CASH + j] = x.after[j] = cash_after(cash, -units, price, paid)
            b[UNITS + j] = 0.0
            b[FALLEN] += 1.0
            t[RUIN + j] += 1.0
            tally_flows(t, j, x.before[j], notional, paid, True)


@inlined
def close_lost(x: Block, count: float) -> None:
    """End the tallies of the accounts that were lost just now."""
    for j in range(x.lanes):
        if x.scratch[LOST + j] > 0.0:
            close_tally(x.tally, j, count, RUINED)


@inlined
def tally_moments(x: Block, count: float) -> None:
    """Add the returns of step number ``count``."""
    for j in range(x.lanes):
        tally_return(x.tally, j, count, x.before[j], x.after[j])
        tally_drawdown(x.tally, j, x.after[j])


@inlined
def count_cut(x: Block, bar: Bar) -> int:
    """Targets that the limits cut."""
    cut = 0
    for j in range(x.lanes):
        cut += abs(x.weights[j]) > bar.room
    return cut


@inlined
def count_strange(x: Block) -> int:
    """Targets that are not finite."""
    strange = 0
    for j in range(x.lanes):
        strange += not np.isfinite(x.weights[j])
    return strange
