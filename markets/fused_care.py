"""A bar of a fused sweep in which an account is over or lost, or may not be able to pay for its order.

These loops look at everything.
"""

from __future__ import annotations

import numpy as np

from foretrade.markets.accounts import ALIVE, RUINED
from foretrade.markets.arithmetic import ROUNDING, cash_after, is_beyond, keeps_limit, slope_of, within
from foretrade.markets.compiled import compiled_part, inlined
from foretrade.markets.fused_books import (
    CARRY,
    CASH,
    COSTS,
    COUNTED,
    CUT,
    KEPT,
    LOST,
    ORDER,
    RUIN,
    TILT,
    UNITS,
    Bar,
    Block,
    earned_in,
    rate_of,
    tally_moments,
)
from foretrade.markets.tally import OVER, close_tally, tally_flows


@compiled_part
def take_with_care(
    x: Block, bar: Bar, gearing: float, fills_first: bool, step: float, moments: bool
) -> None:
    """Take a bar in which an account is over or lost, or may not be able to pay for its order.

    Args:
        gearing: The largest at the close that the next bar may suppose to be an ordinary one.
    """
    if not fills_first:
        _accrue(x, bar)
    _aim(x, bar)
    _charge(x, bar)
    lost = _trade_in_turn(x, bar, fills_first)
    if lost > 0:
        _liquidate(x, bar, fills_first)
    if moments:
        tally_moments(x, step)
    if lost > 0:
        _close_lost(x, step)
    x.wild[0] = _count_wild(x, bar, gearing)


@inlined
def _trade_in_turn(x: Block, bar: Bar, fills_first: bool) -> int:
    return _trade(x, bar, True) if fills_first else _trade(x, bar, False)


@inlined
def _accrue(x: Block, bar: Bar) -> None:
    """Pay borrow and financing, and earn interest, on what is carried."""
    for j in range(x.lanes):
        cash = x.books[CASH + j]
        earned = earned_in(cash, x.books[UNITS + j], bar, x.scale[j])
        x.scratch[CARRY + j] = -earned
        x.books[CASH + j] = cash + (earned if x.tally[OVER + j] == ALIVE else 0.0)


@inlined
def _aim(x: Block, bar: Bar) -> None:
    """Targets → orders, were they free."""
    noise, band = ROUNDING * bar.inverse_fill, bar.no_trade_band * bar.inverse_fill
    for j in range(x.lanes):
        weight, units = x.weights[x.at + j], x.books[UNITS + j]
        value = units * bar.fill
        base = x.books[CASH + j] + value
        able = (x.tally[OVER + j] == ALIVE) & (base > 0.0)
        cut = able & (abs(weight) > bar.room * (1.0 + ROUNDING))
        tilt = within(weight, bar.room) * bar.inverse_fill
        away = tilt * base - units
        off = able & is_beyond(away, noise, base)
        in_band = off & keeps_limit(abs(value), base, bar.max_leverage)
        in_band &= not is_beyond(away, band, base)
        x.books[COUNTED + j] += (CUT if cut else 0.0) + (KEPT if in_band else 0.0)
        x.scratch[TILT + j] = tilt
        x.scratch[ORDER + j] = away if off & (not in_band) else 0.0


@inlined
def _charge(x: Block, bar: Bar) -> None:
    """Orders as they are after their costs; refuse those that no equity can pay for."""
    for j in range(x.lanes):
        away = x.scratch[ORDER + j]
        unit_cost = bar.fill * rate_of(bar, x.scale[j])
        slope = slope_of(away, x.scratch[TILT + j], unit_cost)
        order = away / slope
        left = x.books[CASH + j] + x.books[UNITS + j] * bar.fill - abs(order) * unit_cost
        refused = (away != 0.0) & (not ((slope > 0.0) & (left > 0.0)))
        x.tally[COSTS + j] += 1.0 if refused else 0.0
        x.scratch[ORDER + j] = 0.0 if refused else order


@inlined
def _trade(x: Block, bar: Bar, accrues: bool) -> int:
    """Trade, accrue if orders fill at the close before, and mark; how many accounts were lost."""
    lost = 0
    for j in range(x.lanes):
        order, carry, stands = x.scratch[ORDER + j], x.scratch[CARRY + j], x.tally[OVER + j] == ALIVE
        notional = abs(order) * bar.fill
        paid = notional * rate_of(bar, x.scale[j])
        cash = cash_after(x.books[CASH + j], order * bar.fill, paid)
        units = x.books[UNITS + j] + order
        ruined = (order == 0.0) & (cash + units * bar.fill <= 0.0)
        if accrues:
            ruined = False  # it would have been at the mark before
            earned = earned_in(cash, units, bar, x.scale[j])
            carry = -earned
            cash += earned if stands else 0.0
        equity = cash + units * bar.mark
        lost += stands & (ruined | (equity <= 0.0))
        x.books[CASH + j] = cash
        x.books[UNITS + j] = units
        x.after[j] = equity
        tally_flows(x.tally, j, x.before[j], notional, paid + carry, stands)
    return lost


@inlined
def _liquidate(x: Block, bar: Bar, fills_first: bool) -> None:
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
            paid = notional * rate_of(bar, x.scale[j])
            b[CASH + j] = x.after[j] = cash_after(cash, -units * price, paid)
            b[UNITS + j] = 0.0
            t[RUIN + j] += 1.0
            tally_flows(t, j, x.before[j], notional, paid, True)


@inlined
def _close_lost(x: Block, count: float) -> None:
    """End the tallies of the accounts that were lost just now."""
    for j in range(x.lanes):
        if x.scratch[LOST + j] > 0.0:
            close_tally(x.tally, j, count, RUINED)


@inlined
def _count_wild(x: Block, bar: Bar, gearing: float) -> int:
    wild = 0
    for j in range(x.lanes):
        keeps = abs(x.books[UNITS + j]) * bar.mark <= gearing * x.after[j]
        wild += not (keeps & (x.tally[OVER + j] == ALIVE))
    return wild


@inlined
def count_counted(x: Block) -> int:
    """Accounts of which a target was cut, or kept by the band, at any time."""
    counted = 0
    for j in range(x.lanes):
        counted += x.books[COUNTED + j] > 0.0
    return counted


@inlined
def count_strange(x: Block) -> int:
    """Targets that are not finite."""
    strange = 0
    for j in range(x.lanes):
        strange += not np.isfinite(x.weights[x.at + j])
    return strange
