"""Exits nobody decides at that moment: stops, profit targets, margin calls, ruin, delisting.

Inside a bar only its open, high and low are known, not their order, so the rule is pessimistic: a price
that opens beyond a level fills at the open; inside the bar stops are hit first, then margins are called,
and only then are profits taken.
Forced exits pay the ordinary costs, with an impact of at most the bar's whole volume.
"""

from __future__ import annotations

from typing import Any

from foretrade.markets.accounts import ALIVE, CALLED, CASH, ENTRY, EQUITY, ROW, RUINED, STATUS, UNITS
from foretrade.markets.arrays import Floats, Index, UInts
from foretrade.markets.compiled import (
    choose,
    compiled_apart,
    compiled_part,
    compiled_phase,
    inlined,
    stand_alone,
)
from foretrade.markets.exchange import AT_DELISTING
from foretrade.markets.reasons import DELISTING, MARGIN_CALL, RUIN, STOPPED, TOOK_PROFIT
from foretrade.markets.trading import (
    ACHIEVED,
    EXIT,
    FILL_EQUITY,
    GROSS,
    HIGH,
    LOW,
    NET,
    OPEN,
    OUT,
    PROFIT,
    REASON,
    STOP_LOSS,
    TAKE_PROFIT,
    close_out,
    revalue,
)


@compiled_part
def stop_out(
    a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, at_open: bool, inside: bool
) -> int:
    """Close positions whose stop was touched, and trade them no more in this step.

    Levels are fractions of the average entry price, from the decision in force; inf is none.

    Args:
        at_open: Whether to look at the open; there profits are taken, too.
        inside: Whether to look inside the bar.

    Returns:
        How many positions have touched their profit target inside the bar: :func:`take_profit` is next.
    """
    wins = 0
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        touched = 0
        for j in range(lanes):
            entry, side = h[ENTRY + j], choose(h[UNITS + j] > 0.0, 1.0, -1.0)
            stop = entry * (1.0 - side * m[STOP_LOSS + j])
            take = entry * (1.0 + side * m[TAKE_PROFIT + j])
            first, high, low = m[OPEN + j], m[HIGH + j], m[LOW + j]
            worst, best = choose(side > 0.0, low, high), choose(side > 0.0, high, low)
            wins_it = side * (best - take) >= 0.0
            level = choose(inside & (side * (worst - stop) <= 0.0), stop, 0.0)
            gap = at_open & ((side * (first - stop) <= 0.0) | (side * (first - take) >= 0.0))
            level = choose(gap, first, level)
            trades = (h[UNITS + j] != 0.0) & (first == first)  # without a tradable bar the open is NaN
            level = choose(trades, level, 0.0)
            m[EXIT + j] = choose(m[OUT + j] == 0.0, level, m[EXIT + j])  # who is out keeps his price
            touched += level > 0.0
            m[PROFIT + j] = choose(trades & wins_it, take, 0.0)
            wins += trades & wins_it
        if touched > 0:
            for j in range(lanes):
                if m[EXIT + j] > 0.0:
                    _exit(a, h, s, m, j)
    return wins


@compiled_part
def take_profit(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index) -> None:
    """Close positions that have touched their profit target, unless something else closed them."""
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        for j in range(lanes):
            if (m[PROFIT + j] > 0.0) & (m[OUT + j] == 0.0):
                m[EXIT + j] = m[PROFIT + j]
                _exit(a, h, s, m, j)


@compiled_apart
def _exit(a: Floats, h: Floats, s: Floats, m: Floats, j: Index) -> None:
    """Apart, so that only lanes to which it happens have it computed: these are few."""
    stand_alone()
    if h[UNITS + j] == 0.0:
        return
    side = 1.0 if h[UNITS + j] > 0.0 else -1.0
    gain = side * (m[EXIT + j] - h[ENTRY + j])
    revalue(s, h, m, j, m[EXIT + j])
    close_out(a, h, s, m, j, TOOK_PROFIT if gain > 0.0 else STOPPED)


@compiled_part
def sell_delisted(
    a: Floats, hs: Floats, clock: UInts, s: Floats, ms: Floats, lanes: Index, events: Floats
) -> None:
    """Sell what is held of symbols that count as delisted from now on, at their last price."""
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        for j in range(lanes):
            if (events[clock[ROW + j], i, AT_DELISTING] > 0.0) & (h[UNITS + j] != 0.0):
                close_out(a, h, s, m, j, DELISTING)


@compiled_part
def call_margin_inside(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> None:
    """Check the margin with all longs at their low and all shorts at their high at once."""
    maintenance = terms.maintenance_margin
    if (len(hs) == 1) & _all_stand(a, hs[0], ms[0], lanes, maintenance):
        return
    for j in range(lanes):
        s[NET + j], s[GROSS + j] = a[CASH + j], 0.0
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        for j in range(lanes):
            units = h[UNITS + j]
            worst = choose(units > 0.0, m[LOW + j], m[HIGH + j])
            s[NET + j] += units * worst
            s[GROSS + j] += abs(units) * worst
    called = 0
    for j in range(lanes):
        called += (s[GROSS + j] > 0.0) & _falls_short(s, j, maintenance)
    if called == 0:
        return
    for j in range(lanes):
        if (s[GROSS + j] > 0.0) & _falls_short(s, j, maintenance):
            for i in range(len(hs)):
                h, m = hs[i], ms[i]
                worst = m[LOW + j] if h[UNITS + j] > 0.0 else m[HIGH + j]
                revalue(s, h, m, j, worst)
            _liquidate(a, hs, s, ms, j, s[NET + j])


@compiled_phase
def _all_stand(a: Floats, h: Floats, m: Floats, lanes: Index, maintenance: float) -> bool:
    """Whether no margin is called of a symbol's positions, if it is all that the accounts hold."""
    called = 0
    for j in range(lanes):
        units = h[UNITS + j]
        worst = choose(units > 0.0, m[LOW + j], m[HIGH + j])
        equity, gross = a[CASH + j] + units * worst, abs(units) * worst
        called += (gross > 0.0) & ((equity <= 0.0) | (equity < maintenance * gross))
    return called == 0


@compiled_phase
def call_margin(
    a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, maintenance: float, compounds: bool
) -> None:
    """Liquidate accounts whose equity ``s[NET]`` is not positive, or below the maintenance margin.

    ``s[GROSS]`` is the gross value of their positions.
    """
    called = 0
    for j in range(lanes):
        called += (a[STATUS + j] == ALIVE) & _falls_short(s, j, maintenance)
    if (called == 0) | (not compounds):
        return
    for j in range(lanes):
        if (a[STATUS + j] == ALIVE) & _falls_short(s, j, maintenance):
            _liquidate(a, hs, s, ms, j, s[NET + j])


@compiled_phase
def call_margin_at_close(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> None:
    """Check the margin at the mark; an account that is over keeps what is left to it."""
    call_margin(a, hs, s, ms, lanes, terms.maintenance_margin, terms.compounds)
    for j in range(lanes):
        stands = a[STATUS + j] == ALIVE
        a[EQUITY + j] = choose(stands, s[NET + j], a[CASH + j])
        s[FILL_EQUITY + j] = choose(stands, s[FILL_EQUITY + j], a[CASH + j])


@inlined
def _falls_short(s: Floats, j: Index, maintenance: float) -> bool:
    """Whether the equity ``s[NET]`` is not positive, or below the margin of positions ``s[GROSS]``."""
    equity, needed = s[NET + j], maintenance * s[GROSS + j]
    short: bool = (equity <= 0.0) | (equity < needed)
    return short


@inlined
def _liquidate(a: Floats, hs: Floats, s: Floats, ms: Floats, j: Index, equity: float) -> None:
    a[STATUS + j] = CALLED if equity > 0.0 else RUINED
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        m[REASON + j] += MARGIN_CALL if equity > 0.0 else RUIN
        close_out(a, h, s, m, j, 0.0)
        m[ACHIEVED + j] = 0.0
