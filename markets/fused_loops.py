"""An *ordinary* bar of a fused sweep: all accounts of the block stand, and can pay for their orders with
half of what they have.

:func:`take` takes it from one set of books to another, and tells whether it was one. If not, nothing has
happened, and the block takes the bar by the loops of ``fused_care.py``.
"""

from __future__ import annotations

import numpy as np

from foretrade.markets.arithmetic import ROUNDING, cash_after, is_beyond, keeps_limit, slope_of, within
from foretrade.markets.arrays import Index
from foretrade.markets.compiled import choose, compiled_phase, inlined
from foretrade.markets.fused_books import CASH, CUT, KEPT, ORDER, UNITS, Bar, Block, earned_in, rate_of
from foretrade.markets.fused_stream import NUMBERS, Stream, carry
from foretrade.markets.tally import tally_flows

STRIP = np.uint64(64)  # lanes


@compiled_phase
def take(
    x: Block, bar: Bar, stream: Stream, scale: float, uniform: bool, plain: bool, flows: bool
) -> bool:
    """Take a bar as an ordinary one, from ``x.books`` to ``x.later``; whether it is one for each lane.

    Two loops take less time than one: of a shorter one the processor has more turns at work at once. The
    stream goes along with strips of the first.

    Args:
        scale: The level of costs, if it is ``uniform``.
        plain: Whether nothing is carried at a cost, no band is set and no target cut.
        flows: Whether turnover and cost are tallied.
    """
    for begin in range(np.uint64(0), x.lanes, STRIP):
        end = min(begin + STRIP, x.lanes)
        _order(x, bar, begin, end, scale, uniform, plain)
        carry(stream, begin // NUMBERS, (begin + STRIP) // NUMBERS)
    ordinary = _fill(x, bar, scale, uniform, plain)
    if ordinary & flows:
        _add_flows(x, bar, scale, uniform, plain)
    return ordinary


@inlined
def _order(
    x: Block, bar: Bar, begin: Index, end: Index, scale: float, uniform: bool, plain: bool
) -> None:
    """Orders of the lanes ``begin … end - 1``, into the scratch, after what is carried."""
    books, later = x.books, x.later
    noise, band = ROUNDING * bar.inverse_fill, bar.no_trade_band * bar.inverse_fill
    for j in range(begin, end):
        level = scale if uniform else x.scale[x.at + j]
        weight, units, cash = x.weights[x.at + j], books[UNITS + j], books[CASH + j]
        if not plain:
            cash += earned_in(cash, units, bar, level)
            later[CASH + j] = cash
            cut, count = abs(weight) > bar.room * (1.0 + ROUNDING), books[CUT + j]
            later[CUT + j] = choose(cut, count + 1.0, count)
            weight = within(weight, bar.room)
        value = units * bar.fill
        base, tilt = cash + value, weight * bar.inverse_fill
        away = tilt * base - units
        goes = is_beyond(away, noise, base)
        if not plain:
            in_band = goes & keeps_limit(abs(value), base, bar.max_leverage)
            in_band &= not is_beyond(away, band, base)
            count = books[KEPT + j]
            later[KEPT + j] = choose(in_band, count + 1.0, count)
            goes &= not in_band
        slope = slope_of(away, tilt, bar.fill * rate_of(bar, level))
        x.scratch[ORDER + j] = choose(goes, away / slope, 0.0)


@inlined
def _fill(x: Block, bar: Bar, scale: float, uniform: bool, plain: bool) -> bool:
    """Fill and mark; whether targets are sound, half of the equity pays for orders, and some is left."""
    books, later, cashes, ordinary = x.books, x.later, x.books if plain else x.later, True
    most = bar.room if plain else np.finfo(np.float64).max
    for j in range(x.lanes):
        order, units, cash = x.scratch[ORDER + j], books[UNITS + j], cashes[CASH + j]
        base, bought = cash + units * bar.fill, order * bar.fill
        paid = abs(bought) * rate_of(bar, scale if uniform else x.scale[x.at + j])
        cash = cash_after(cash, bought, paid)
        units += order
        equity = cash + units * bar.mark
        sound = abs(x.weights[x.at + j]) <= most  # NaN is not
        ordinary &= sound & (paid + paid < base) & (equity > 0.0)
        later[CASH + j] = cash
        later[UNITS + j] = units
        x.after[j] = equity
    return ordinary


@inlined
def _add_flows(x: Block, bar: Bar, scale: float, uniform: bool, plain: bool) -> None:
    """Add what an ordinary bar traded and paid, by the books before it."""
    for j in range(x.lanes):
        level = scale if uniform else x.scale[x.at + j]
        notional = abs(x.scratch[ORDER + j] * bar.fill)
        paid = notional * rate_of(bar, level)
        if not plain:
            paid -= earned_in(x.books[CASH + j], x.books[UNITS + j], bar, level)
        tally_flows(x.tally, j, x.before[j], notional, paid, True)
