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
from foretrade.markets.vectors import copy_eight, copy_sixteen, fetch, fetch_to_write, flat

AHEAD = np.uint64(8)  # accounts; what is asked for so early is there when its turn comes
SLIDE = np.uint64(2)  # bars that a window goes on from one use of an array to the next: there are two
TOLD = ("row", "market", "cash", "equity", "cost_scale", *FLOWS)
TOLD_PER_SYMBOL = ("units", "requested", "achieved", "reason", "close", "fill_price")


@inlined
def observe(
    window: Float32s, current: Float32s, lookback_bars: Index, terms: Any, a: Floats, hs: Floats,
    clock: UInts, s: Floats, ms: Floats, first: Index, last: Index, n: Index, seen: Float32s,
    shown: UInts, write: Any,
) -> None:  # fmt: skip
    """Write what the lanes ``first … last - 1`` see; their block begins at account ``n``.

    Observation by observation, so that each goes through the cache once.

    Args:
        shown: Row at which the window ends that stands in ``seen`` already, ``SLIDE`` bars too far to
            the left, ``[accounts]``; empty if every window is to be written whole.
        write: :func:`write_one`, or :func:`write_many`.
    """
    _look_at_account(terms, a, hs, s, ms, first, last)
    each, width = np.uint64(window.shape[1]), np.uint64(current.shape[1])
    write(
        flat(window), each, np.uint64(lookback_bars) * each, flat(current), width, clock, s, ms, first,
        last, n, flat(seen), np.uint64(seen.shape[1]), shown, terms.carries,
    )  # fmt: skip


@compiled_apart
def write_one(
    old: Float32s, each: Index, length: Index, new: Float32s, width: Index, clock: UInts, s: Floats,
    ms: Floats, first: Index, last: Index, n: Index, into: Float32s, entries: Index, shown: UInts,
    carries: bool,
) -> None:  # fmt: skip
    """Of one symbol. A loop over symbols inside, be it of one turn, takes the registers of the copy: a
    step in a batch would take longer, so this is no case of :func:`write_many`."""
    stand_alone()
    m, to, one = ms[0], (n + first) * entries, np.uint64(1)
    slides, fresh = shown.size > 0, SLIDE * each
    for j in range(first, last):
        ahead = clock[ROW + min(j + AHEAD, last - one)]
        _fetch(new, ahead * width, width)
        if slides:
            _fetch(old, (ahead + one) * each - fresh, fresh)
            _fetch_place(into, to + AHEAD * entries, length - fresh, entries)
        _write_columns(old, each, length, new, width, clock[ROW + j], into, to, shown, n + j)
        at = to + length + width
        _write_position(m, j, into, at)
        if carries:
            into[at + np.uint64(3)] = m[SEEN_PENDING + j]
            at += one
        _write_money(s, j, into, at + np.uint64(3))
        to += entries


@compiled_apart
def write_many(
    old: Float32s, each: Index, length: Index, new: Float32s, width: Index, clock: UInts, s: Floats,
    ms: Floats, first: Index, last: Index, n: Index, into: Float32s, entries: Index, shown: UInts,
    carries: bool,
) -> None:  # fmt: skip
    """Of several symbols."""
    stand_alone()
    to = (n + first) * entries
    for j in range(first, last):
        _write_columns(old, each, length, new, width, clock[ROW + j], into, to, shown, n + j)
        at = to + length + width
        for i in range(np.uint64(len(ms))):
            _write_position(ms[i], j, into, at)
            if carries:
                into[at + np.uint64(3)] = ms[i, SEEN_PENDING + j]
            at += np.uint64(4 if carries else 3)
        _write_money(s, j, into, at)
        to += entries


@inlined
def _fetch(columns: Float32s, start: Index, length: Index) -> None:
    """Have the cache bring some entries; more than two lines of it are seldom needed."""
    fetch(columns, start)
    fetch(columns, start + length - np.uint64(1))


@inlined
def _fetch_place(into: Float32s, to: Index, tail: Index, entries: Index) -> None:
    """Have the cache bring the end of an observation, of which the rest stands there already."""
    for k in range(tail, entries, np.uint64(16)):
        fetch_to_write(into, to + k)


@inlined
def _write_columns(
    old: Float32s, each: Index, length: Index, new: Float32s, width: Index, row: Index, into: Float32s,
    to: Index, shown: UInts, who: Index,
) -> None:  # fmt: skip
    """Copy the window that ends with a row, if any is shown, or what of it does not stand there already;
    and what is shown of the row alone."""
    end = (row + np.uint64(1)) * each
    if shown.size > 0:
        stood, shown[who] = shown[who], row
        if stood + SLIDE == row:
            fresh = SLIDE * each
            _copy(into, to + length - fresh, old, end - fresh, fresh)
        else:
            _copy(into, to, old, end - length, length)
    elif length > 0:
        _copy(into, to, old, end - length, length)
    _copy(into, to + length, new, row * width, width)


@inlined
def _copy(target: Float32s, to: Index, source: Float32s, start: Index, length: Index) -> None:
    eight, sixteen = np.uint64(8), np.uint64(16)
    if length > np.uint64(32):
        _copy_long(target, to, source, start, length)
    elif length >= sixteen:
        copy_sixteen(target, to, source, start)
        copy_sixteen(target, to + length - sixteen, source, start + length - sixteen)
    elif length >= eight:
        copy_eight(target, to, source, start)
        copy_eight(target, to + length - eight, source, start + length - eight)
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
def _write_position(m: Floats, j: Index, into: Float32s, to: Index) -> None:
    into[to] = m[SEEN_WEIGHT + j]
    into[to + np.uint64(1)] = m[SEEN_UNREALISED + j]
    into[to + np.uint64(2)] = m[SEEN_HELD + j]


@inlined
def _write_money(s: Floats, j: Index, into: Float32s, to: Index) -> None:
    into[to] = s[SEEN_DRAWDOWN + j]
    into[to + np.uint64(1)] = s[SEEN_CASH + j]


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
