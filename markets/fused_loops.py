"""A bar of a fused sweep that is an ordinary one (``fused_bounds.py``): all accounts of the block stand,
and can pay for their orders with half of what they have.

:func:`take` takes it from one set of books to another, and tells whether targets were such as the bounds
suppose. If not, nothing has happened, and the block takes the bar by the loops of ``fused_care.py``.
"""

from __future__ import annotations

import numpy as np

from foretrade.markets.arithmetic import ROUNDING, cash_after, is_beyond, keeps_limit, slope_of, within
from foretrade.markets.arrays import Index
from foretrade.markets.compiled import choose, compiled_phase, inlined
from foretrade.markets.fused_books import (
    CASH,
    COUNTED,
    CUT,
    KEPT,
    ORDER,
    STRIP,
    UNITS,
    Bar,
    Block,
    earned_in,
    rate_of,
)
from foretrade.markets.fused_bounds import WIDE
from foretrade.markets.fused_stream import NUMBERS, Stream, carry
from foretrade.markets.tally import tally_flows


@compiled_phase
def take(
    x: Block, bar: Bar, stream: Stream, scale: float, uniform: bool, plain: bool, flows: bool
) -> bool:
    """Take an ordinary bar, from ``x.books`` to ``x.later``; whether the targets are sound.

    Two loops take less time than one: of a shorter one the processor has more turns at work at once. The
    stream goes along with them.

    Args:
        scale: The level of costs, if it is ``uniform``.
        plain: Whether nothing is carried at a cost, no band is set and no target cut.
        flows: Whether turnover and cost are tallied.
    """
    sound = True
    for begin in range(np.uint64(0), x.width, STRIP):
        sound &= _order(x, bar, begin, scale, uniform, plain)
        carry(stream, begin // NUMBERS, (begin + STRIP) // NUMBERS)
    for begin in range(np.uint64(0), x.width, STRIP):
        _fill(x, bar, begin, scale, uniform, plain)
    if sound & flows:
        _add_flows(x, bar, scale, uniform, plain)
    return sound


@inlined
def _order(x: Block, bar: Bar, begin: Index, scale: float, uniform: bool, plain: bool) -> bool:
    """Orders of a strip, into the scratch, after what is carried; whether its targets are sound."""
    books, later, sound = x.books, x.later, True
    noise, band = ROUNDING * bar.inverse_fill, bar.no_trade_band * bar.inverse_fill
    widest = min(bar.room, WIDE) if plain | (bar.room > WIDE) else np.finfo(np.float64).max
    for j in range(begin, begin + STRIP):
        level = scale if uniform else x.scale[j]
        weight, units, cash = x.weights[x.at + j], books[UNITS + j], books[CASH + j]
        sound &= abs(weight) <= widest  # NaN is not
        if not plain:
            cash += earned_in(cash, units, bar, level)
            later[CASH + j] = cash
            cut, count = abs(weight) > bar.room * (1.0 + ROUNDING), books[COUNTED + j]
            count = choose(cut, count + CUT, count)
            weight = within(weight, bar.room)
        value = units * bar.fill
        base, tilt = cash + value, weight * bar.inverse_fill
        away = tilt * base - units
        goes = is_beyond(away, noise, base)
        if not plain:
            in_band = goes & keeps_limit(abs(value), base, bar.max_leverage)
            in_band &= not is_beyond(away, band, base)
            later[COUNTED + j] = choose(in_band, count + KEPT, count)
            goes &= not in_band
        slope = slope_of(away, tilt, bar.fill * rate_of(bar, level))
        x.scratch[ORDER + j] = choose(goes, away / slope, 0.0)
    return sound


@inlined
def _fill(x: Block, bar: Bar, begin: Index, scale: float, uniform: bool, plain: bool) -> None:
    """Fill the orders of a strip, and mark."""
    books, later, cashes = x.books, x.later, x.books if plain else x.later
    for j in range(begin, begin + STRIP):
        order = x.scratch[ORDER + j]
        bought = order * bar.fill
        paid = abs(bought) * rate_of(bar, scale if uniform else x.scale[j])
        cash, units = cash_after(cashes[CASH + j], bought, paid), books[UNITS + j] + order
        later[CASH + j] = cash
        later[UNITS + j] = units
        x.after[j] = cash + units * bar.mark


@inlined
def _add_flows(x: Block, bar: Bar, scale: float, uniform: bool, plain: bool) -> None:
    """Add what an ordinary bar traded and paid, by the books before it."""
    for j in range(x.lanes):
        level = scale if uniform else x.scale[j]
        notional = abs(x.scratch[ORDER + j] * bar.fill)
        paid = notional * rate_of(bar, level)
        if not plain:
            paid -= earned_in(x.books[CASH + j], x.books[UNITS + j], bar, level)
        tally_flows(x.tally, j, x.before[j], notional, paid, True)
