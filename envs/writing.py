"""Observations and infos, written account by account into arrays that the caller gives."""

from __future__ import annotations

from typing import Any

import numpy as np

from foretrade.envs.observation import BOUND, HOLDING_BARS
from foretrade.markets.accounts import (
    ALIVE,
    CASH,
    COST_SCALE,
    ENTRY,
    EQUITY,
    HELD_BARS,
    LANES,
    MARKET,
    PEAK,
    PENDING,
    ROW,
    STATUS,
    UNITS,
)
from foretrade.markets.arrays import Float32s, Floats, Index, UInts
from foretrade.markets.compiled import (
    choose,
    compiled_apart,
    compiled_part,
    compiled_phase,
    inlined,
    stand_alone,
)
from foretrade.markets.exchange import AT_FILL, AT_MARK
from foretrade.markets.trading import (
    ACHIEVED,
    FLOWS,
    INVERSE_BASE,
    MARK,
    REASON,
    REQUESTED,
    SEEN_CASH,
    SEEN_DRAWDOWN,
    SEEN_HELD,
    SEEN_PENDING,
    SEEN_UNREALISED,
    SEEN_WEIGHT,
)
from foretrade.markets.vectors import (
    copy_eight,
    copy_four,
    copy_sixteen,
    flat,
    spread_four,
    spread_two,
)

SLIDE = np.uint64(2)  # bars that a window goes on from one use of an array to the next: there are two
TOLD = ("row", "market", "cash", "equity", "cost_scale", *FLOWS)
TOLD_PER_SYMBOL = ("units", "requested", "achieved", "reason", "close", "fill_price")


@inlined
def observe(
    window: Float32s, current: Float32s, lookback_bars: Index, terms: Any, a: Floats, hs: Floats,
    clock: UInts, s: Floats, ms: Floats, first: Index, last: Index, n: Index, seen: Float32s,
    shown: UInts,
) -> None:  # fmt: skip
    """Write what the lanes ``first … last - 1`` see; their block begins at account ``n``.

    Args:
        shown: Row at which the window ends that stands in ``seen`` already, ``SLIDE`` bars too far to
            the left, ``[accounts]``; empty if every window is to be written whole.
    """
    _look_at_account(terms, a, hs, s, ms, first, last)
    write(window, current, lookback_bars, clock, s, ms, first, last, n, seen, shown, terms.carries)


@compiled_apart
def write(
    window: Float32s, current: Float32s, lookback_bars: Index, clock: UInts, s: Floats, ms: Floats,
    first: Index, last: Index, n: Index, seen: Float32s, shown: UInts, carries: bool,
) -> None:  # fmt: skip
    """What is shown of the market, of each position, and of the money, each in a loop of its own: one
    loop over it all would keep most of what it needs on the stack."""
    stand_alone()
    each, width = np.uint64(window.shape[1]), np.uint64(current.shape[1])
    length, entries = np.uint64(lookback_bars) * each, np.uint64(seen.shape[1])
    into, to = flat(seen), (n + first) * entries
    if length > 0:
        _write_windows(flat(window), each, length, clock, first, last, n, into, to, entries, shown)
    to += length
    _copy_rows(flat(current), width, width, clock, first, last, into, to, entries)
    to += width
    for i in range(np.uint64(len(ms))):
        _write_position(ms[i], first, last, into, to, entries, carries)
        to += np.uint64(4 if carries else 3)
    _write_money(s, first, last, into, to, entries)


@inlined
def _write_windows(
    old: Float32s, each: Index, length: Index, clock: UInts, first: Index, last: Index, n: Index,
    into: Float32s, to: Index, entries: Index, shown: UInts,
) -> None:  # fmt: skip
    """Copy the windows, or what of them does not stand there already."""
    if shown.size == 0:
        _copy_rows(old, each, length, clock, first, last, into, to, entries)
        return
    fresh, others = SLIDE * each, 0
    for j in range(first, last):
        others += shown[n + j] + SLIDE != clock[ROW + j]
    if others == 0:
        _copy_rows(old, each, fresh, clock, first, last, into, to + length - fresh, entries)
    else:
        end = to + length
        for j in range(first, last):
            row = clock[ROW + j]
            part = fresh if shown[n + j] + SLIDE == row else length
            _copy(into, end - part, old, (row + np.uint64(1)) * each - part, part)
            end += entries
    for j in range(first, last):
        shown[n + j] = clock[ROW + j]


@compiled_part
def _copy_rows(
    source: Float32s, each: Index, length: Index, clock: UInts, first: Index, last: Index,
    into: Float32s, to: Index, entries: Index,
) -> None:  # fmt: skip
    """For each lane: copy what ends with its row, of ``each`` entries, into its observation."""
    one, four, eight = np.uint64(1), np.uint64(4), np.uint64(8)
    if eight <= length <= eight + eight + eight:
        two = length >= eight + eight
        left = length - (eight + eight if two else eight)
        for j in range(first, last):
            start = (clock[ROW + j] + one) * each - length
            copy_eight(into, to, source, start)
            if two:
                copy_eight(into, to + eight, source, start + eight)
            if left > four:
                copy_eight(into, to + length - eight, source, start + length - eight)
            elif left > 0:  # more than is left would lie in two lines of the cache more often
                copy_four(into, to + length - four, source, start + length - four)
            to += entries
    else:
        for j in range(first, last):
            _copy(into, to, source, (clock[ROW + j] + one) * each - length, length)
            to += entries


@inlined
def _copy(target: Float32s, to: Index, source: Float32s, start: Index, length: Index) -> None:
    if length >= np.uint64(16):
        _copy_long(target, to, source, start, length)
    else:
        for k in range(length):
            target[to + k] = source[start + k]


@compiled_apart
def _copy_long(target: Float32s, to: Index, source: Float32s, start: Index, length: Index) -> None:
    """Apart, so that its loop takes no register of those around it."""
    stand_alone()
    sixteen = np.uint64(16)
    rest = length - sixteen
    for k in range(np.uint64(0), rest, sixteen):
        copy_sixteen(target, to + k, source, start + k)
    copy_sixteen(target, to + rest, source, start + rest)


@inlined
def _write_position(
    m: Floats, first: Index, last: Index, into: Float32s, to: Index, entries: Index, carries: bool
) -> None:  # fmt: skip
    """What waits is only shown if it can; else what comes behind is written over it."""
    eight, fields = np.uint64(8), np.uint64(4 if carries else 3)
    whole = last - (last - first) % eight
    for j in range(first, whole, eight):
        spread_four(m, SEEN_WEIGHT + j, np.uint64(LANES), into, to, entries)
        to += eight * entries
    for j in range(whole, last):
        for k in range(fields):
            into[to + k] = m[SEEN_WEIGHT + k * np.uint64(LANES) + j]
        to += entries


@inlined
def _write_money(
    s: Floats, first: Index, last: Index, into: Float32s, to: Index, entries: Index
) -> None:  # fmt: skip
    eight = np.uint64(8)
    whole = last - (last - first) % eight
    for j in range(first, whole, eight):
        spread_two(s, SEEN_DRAWDOWN + j, np.uint64(LANES), into, to, entries)
        to += eight * entries
    for j in range(whole, last):
        into[to] = s[SEEN_DRAWDOWN + j]
        into[to + np.uint64(1)] = s[SEEN_CASH + j]
        to += entries


@compiled_phase
def tell(
    prices: Floats,
    a: Floats,
    hs: Floats,
    clock: UInts,
    s: Floats,
    ms: Floats,
    first: Index,
    last: Index,
    n: Index,
    told: Floats,
) -> None:
    """Write what infos tell of the lanes ``first … last - 1``, in the order of the names above."""
    flows = np.uint64(len(FLOWS))
    for j in range(first, last):
        row, who = clock[ROW + j], n + j
        told[who, 0] = row
        told[who, 1] = clock[MARKET + j]
        told[who, 2] = a[CASH + j]
        told[who, 3] = a[EQUITY + j]
        told[who, 4] = a[COST_SCALE + j]
        for k in range(flows):
            told[who, np.uint64(5) + k] = s[k * np.uint64(LANES) + j]
        at = np.uint64(5) + flows
        for i in range(len(hs)):
            h, m = hs[i], ms[i]
            told[who, at] = h[UNITS + j]
            told[who, at + np.uint64(1)] = m[REQUESTED + j]
            told[who, at + np.uint64(2)] = m[ACHIEVED + j]
            told[who, at + np.uint64(3)] = m[REASON + j]
            told[who, at + np.uint64(4)] = prices[row, i, AT_MARK]
            told[who, at + np.uint64(5)] = prices[row, i, AT_FILL]
            at += np.uint64(6)


@compiled_part
def forget(s: Floats, ms: Floats, j: Index) -> None:
    """Nothing has happened in a lane: clear what :func:`tell` reads of the workspace."""
    for k in range(np.uint64(len(FLOWS))):
        s[k * np.uint64(LANES) + j] = 0.0
    for i in range(len(ms)):
        m = ms[i]
        m[REQUESTED + j] = m[ACHIEVED + j] = m[REASON + j] = 0.0


@inlined
def _look_at_account(
    terms: Any, a: Floats, hs: Floats, s: Floats, ms: Floats, first: Index, last: Index
) -> None:
    """State of the account as fractions; a ruined one holds nothing and has lost everything."""
    _look_at_money(a, s, first, last, terms.compounds, terms.notional)
    for i in range(len(hs)):
        _look_at_position(hs[i], s, ms[i], first, last)
        if terms.carries:
            h, m = hs[i], ms[i]
            for j in range(first, last):
                waiting = h[PENDING + j] * m[MARK + j] * s[INVERSE_BASE + j]
                m[SEEN_PENDING + j] = _bounded(waiting, BOUND)


@compiled_phase
def _look_at_money(
    a: Floats, s: Floats, first: Index, last: Index, compounds: bool, notional: float
) -> None:
    for j in range(first, last):
        equity = a[EQUITY + j]
        base = choose(compounds, equity, notional)
        lives = (a[STATUS + j] == ALIVE) & (base > 0.0)
        inverse = choose(lives, 1.0 / base, 0.0)
        drawdown = equity / a[PEAK + j] - 1.0
        drawdown = choose(drawdown < 0.0, drawdown, 0.0)
        s[SEEN_DRAWDOWN + j] = choose(lives & (drawdown > -1.0), drawdown, -1.0)
        s[SEEN_CASH + j] = _bounded(a[CASH + j] * inverse, BOUND)
        s[INVERSE_BASE + j] = inverse


@compiled_phase
def _look_at_position(h: Floats, s: Floats, m: Floats, first: Index, last: Index) -> None:
    for j in range(first, last):
        price, units, inverse = m[MARK + j], h[UNITS + j], s[INVERSE_BASE + j]
        gain = price / h[ENTRY + j] - 1.0
        gain = choose(units > 0.0, gain, -gain)
        held = h[HELD_BARS + j] * (1.0 / HOLDING_BARS)
        holds = (units != 0.0) & (inverse > 0.0)
        m[SEEN_WEIGHT + j] = _bounded(units * price * inverse, BOUND)
        m[SEEN_UNREALISED + j] = choose(holds, _bounded(gain, BOUND), 0.0)
        m[SEEN_HELD + j] = choose(inverse > 0.0, choose(held < 1.0, held, 1.0), 0.0)


@inlined
def _bounded(value: float, bound: float) -> float:
    value = choose(value < bound, value, bound)
    bounded: float = choose(value > -bound, value, -bound)
    return bounded
