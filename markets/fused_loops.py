"""The loops over the lanes of a block that take the place of the ledger's phases in a fused sweep.

All strategies stand at the same bar, so prices and rates are numbers. The arithmetic is that of
``arithmetic.py`` in the ledger's order, so the bits are the ledger's.

An *ordinary* bar is one in which all accounts of the block stand and can pay for their orders with half
of what they have. :func:`take` takes it in one loop, from one set of books to another, and tells whether
it was one. If not, nothing has happened: the block takes the bar *carefully*, by loops that look at
everything.
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
from foretrade.markets.compiled import choose, compiled_phase, inlined
from foretrade.markets.reasons import REASONS
from foretrade.markets.tally import (
    COUNTS,
    OVER,
    TALLY_FIELDS,
    clear_tally,
    close_tally,
    tally_drawdown,
    tally_flows,
    tally_return,
)

FLOWS = TALLY_FIELDS[:2]
BOOKS = (*FLOWS, "cash", "units", "cut", "kept")  # so that what adds flows to tallies adds them to books
TURNOVER, COST, CASH, UNITS, CUT, KEPT = offsets(len(BOOKS))
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
        scratch: What careful loops tell each other, ``[SCRATCH × LANES]``.
        scale: Level of costs, ``[lanes]`` or more, as the next three.
        weights: Targets.
        before: Equity at the close before.
        after: Equity at this close.
        fallen: How many accounts are over, ``[1]``.
        lanes: How many are in use.
    """

    books: Floats
    later: Floats
    tally: Floats
    scratch: Floats
    scale: Floats
    weights: Floats
    before: Floats
    after: Floats
    fallen: Ints
    lanes: Index


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
def open_books(x: Block, cash: float) -> None:
    """Put ``cash`` into every account."""
    x.fallen[0] = 0
    for j in range(x.lanes):
        for k in range(len(BOOKS)):
            x.books[k * LANES + j] = 0.0
        x.books[CASH + j] = x.before[j] = cash
        clear_tally(x.tally, j, cash)


@inlined
def close_books(x: Block, count: float) -> None:
    """End the tallies with step number ``count``."""
    for j in range(x.lanes):
        for k in range(len(FLOWS)):
            x.tally[k * LANES + j] = x.books[k * LANES + j]
        x.tally[LEVERAGE + j] = x.books[CUT + j]
        x.tally[BAND + j] = x.books[KEPT + j]
        close_tally(x.tally, j, count, ALIVE)


@compiled_phase
def take(x: Block, bar: Bar, scale: float, uniform: bool, plain: bool) -> bool:
    """Take a bar as an ordinary one, from ``x.books`` to ``x.later``; whether it is none for a lane.

    Args:
        scale: The level of costs, if it is ``uniform``.
        plain: Whether nothing is carried at a cost, no band is set and no target cut.
    """
    books, later, odd = x.books, x.later, False
    noise, band = ROUNDING * bar.inverse_fill, bar.no_trade_band * bar.inverse_fill
    most = bar.room if plain else np.finfo(np.float64).max
    for j in range(x.lanes):
        level = scale if uniform else x.scale[j]
        rate = cost_rate(bar.fee * level, bar.half_spread * level)
        weight, units, cash, earned = x.weights[j], books[UNITS + j], books[CASH + j], 0.0
        odd_weight = not abs(weight) <= most  # so is NaN
        if not plain:
            earned = _earned(cash, units, bar, level)
            cash += earned
            cut = abs(weight) > bar.room * (1.0 + ROUNDING)
            later[CUT + j] = books[CUT + j] + choose(cut, 1.0, 0.0)
            weight = within(weight, bar.room)
        value = units * bar.fill
        base, tilt = cash + value, weight * bar.inverse_fill
        away = tilt * base - units
        goes = is_beyond(away, noise, base)
        if not plain:
            in_band = goes & keeps_limit(abs(value), base, bar.max_leverage)
            in_band &= not is_beyond(away, band, base)
            later[KEPT + j] = books[KEPT + j] + choose(in_band, 1.0, 0.0)
            goes &= not in_band
        order = choose(goes, away / slope_of(away, tilt, bar.fill * rate), 0.0)
        bought = order * bar.fill
        notional = abs(bought)
        paid = notional * rate
        cash = cash_after(cash, bought, paid)
        units += order
        equity = cash + units * bar.mark
        odd |= odd_weight | (not ((paid < 0.5 * base) & (equity > 0.0)))
        later[CASH + j] = cash
        later[UNITS + j] = units
        x.after[j] = equity
        inverse = 1.0 / x.before[j]
        later[TURNOVER + j] = books[TURNOVER + j] + notional * inverse
        later[COST + j] = books[COST + j] + (paid - earned) * inverse
    return odd


@inlined
def _earned(cash: float, units: float, bar: Bar, scale: float) -> float:
    borrow = borrowed(units, bar.valued) * (bar.borrow * scale)
    return yielded(cash, bar.financing * scale, bar.interest) - borrow


@inlined
def accrue(x: Block, bar: Bar) -> None:
    """Pay borrow and financing, and earn interest, on what is carried."""
    for j in range(x.lanes):
        cash = x.books[CASH + j]
        earned = _earned(cash, x.books[UNITS + j], bar, x.scale[j])
        x.scratch[CARRY + j] = -earned
        x.books[CASH + j] = cash + (earned if x.tally[OVER + j] == ALIVE else 0.0)


@inlined
def aim(x: Block, bar: Bar) -> None:
    """Targets → orders, were they free."""
    noise, band = ROUNDING * bar.inverse_fill, bar.no_trade_band * bar.inverse_fill
    for j in range(x.lanes):
        weight, units = x.weights[j], x.books[UNITS + j]
        value = units * bar.fill
        base = x.books[CASH + j] + value
        able = (x.tally[OVER + j] == ALIVE) & (base > 0.0)
        cut = able & (abs(weight) > bar.room * (1.0 + ROUNDING))
        tilt = within(weight, bar.room) * bar.inverse_fill
        away = tilt * base - units
        off = able & is_beyond(away, noise, base)
        in_band = off & keeps_limit(abs(value), base, bar.max_leverage)
        in_band &= not is_beyond(away, band, base)
        x.books[CUT + j] += 1.0 if cut else 0.0
        x.books[KEPT + j] += 1.0 if in_band else 0.0
        x.scratch[TILT + j] = tilt
        x.scratch[ORDER + j] = away if off & (not in_band) else 0.0


@inlined
def charge(x: Block, bar: Bar) -> None:
    """Orders as they are after their costs; refuse those that no equity can pay for."""
    for j in range(x.lanes):
        away = x.scratch[ORDER + j]
        unit_cost = bar.fill * _rate(x, bar, j)
        slope = slope_of(away, x.scratch[TILT + j], unit_cost)
        order = away / slope
        left = x.books[CASH + j] + x.books[UNITS + j] * bar.fill - abs(order) * unit_cost
        refused = (away != 0.0) & (not ((slope > 0.0) & (left > 0.0)))
        x.tally[COSTS + j] += 1.0 if refused else 0.0
        x.scratch[ORDER + j] = 0.0 if refused else order


@inlined
def _rate(x: Block, bar: Bar, j: Index) -> float:
    return cost_rate(bar.fee * x.scale[j], bar.half_spread * x.scale[j])


@inlined
def trade(x: Block, bar: Bar, accrues: bool) -> int:
    """Trade, accrue if orders fill at the close before, and mark; how many accounts were lost."""
    lost = 0
    for j in range(x.lanes):
        order, carry, stands = x.scratch[ORDER + j], x.scratch[CARRY + j], x.tally[OVER + j] == ALIVE
        notional = abs(order) * bar.fill
        paid = notional * _rate(x, bar, j)
        cash = cash_after(x.books[CASH + j], order * bar.fill, paid)
        units = x.books[UNITS + j] + order
        ruined = (order == 0.0) & (cash + units * bar.fill <= 0.0)
        if accrues:
            ruined = False  # it would have been at the mark before
            earned = _earned(cash, units, bar, x.scale[j])
            carry = -earned
            cash += earned if stands else 0.0
        equity = cash + units * bar.mark
        lost += stands & (ruined | (equity <= 0.0))
        x.books[CASH + j] = cash
        x.books[UNITS + j] = units
        x.after[j] = equity
        tally_flows(x.books, j, x.before[j], notional, paid + carry, stands)
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
            paid = notional * _rate(x, bar, j)
            b[CASH + j] = x.after[j] = cash_after(cash, -units * price, paid)
            b[UNITS + j] = 0.0
            x.fallen[0] += 1
            t[RUIN + j] += 1.0
            tally_flows(b, j, x.before[j], notional, paid, True)


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
def count_strange(x: Block) -> int:
    """Targets that are not finite."""
    strange = 0
    for j in range(x.lanes):
        strange += not np.isfinite(x.weights[j])
    return strange
