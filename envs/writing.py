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
from foretrade.markets.compiled import compiled_part, compiled_phase, inlined
from foretrade.markets.exchange import AT_FILL, AT_MARK
from foretrade.markets.trading import (
    ACHIEVED,
    FLOWS,
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

TOLD = ("row", "market", "cash", "equity", "cost_scale", *FLOWS)
TOLD_PER_SYMBOL = ("units", "requested", "achieved", "reason", "close", "fill_price")


@compiled_phase
def observe(
    window: Float32s, current: Float32s, lookback_bars: Index, terms: Any, a: Floats, hs: Floats,
    clock: UInts, s: Floats, ms: Floats, first: Index, last: Index, n: Index, seen: Float32s,
) -> None:  # fmt: skip
    """Write what the lanes ``first … last - 1`` see; their block begins at account ``n``."""
    _look_at_account(terms, a, hs, s, ms, first, last)
    length = np.uint64(lookback_bars) * np.uint64(window.shape[1])
    _copy_rows(window, np.uint64(lookback_bars), clock, first, last, n, seen, np.uint64(0))
    _copy_rows(current, np.uint64(1), clock, first, last, n, seen, length)
    at = length + np.uint64(current.shape[1])
    carries = terms.carries
    for i in range(len(ms)):
        m = ms[i]
        for j in range(first, last):
            seen[n + j, at] = m[SEEN_WEIGHT + j]
            seen[n + j, at + np.uint64(1)] = m[SEEN_UNREALISED + j]
            seen[n + j, at + np.uint64(2)] = m[SEEN_HELD + j]
            if carries:
                seen[n + j, at + np.uint64(3)] = m[SEEN_PENDING + j]
        at += np.uint64(4) if carries else np.uint64(3)
    for j in range(first, last):
        seen[n + j, at] = s[SEEN_DRAWDOWN + j]
        seen[n + j, at + np.uint64(1)] = s[SEEN_CASH + j]


@inlined
def _copy_rows(
    rows: Float32s, span: Index, clock: UInts, first: Index, last: Index, n: Index, seen: Float32s,
    at: Index,
) -> None:  # fmt: skip
    """Copy the last ``span`` rows, as they stand in memory, into each observation from ``at`` on."""
    width, values = np.uint64(rows.shape[1]), rows.reshape(-1)
    length = span * width
    if length > np.uint64(0):
        for j in range(first, last):
            begins = (clock[ROW + j] + np.uint64(1) - span) * width
            for k in range(length):
                seen[n + j, at + k] = values[begins + k]


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
    compounds, notional = terms.compounds, terms.notional
    for j in range(first, last):
        equity = a[EQUITY + j]
        base = equity if compounds else notional
        lives = (a[STATUS + j] == ALIVE) & (base > 0.0)
        s[SEEN_CASH + j] = _bounded(a[CASH + j] / base, BOUND) if lives else 0.0
        s[SEEN_DRAWDOWN + j] = max(min(equity / a[PEAK + j] - 1.0, 0.0), -1.0) if lives else -1.0
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        for j in range(first, last):
            base = a[EQUITY + j] if compounds else notional
            lives = (a[STATUS + j] == ALIVE) & (base > 0.0)
            price, units, entry = m[MARK + j], h[UNITS + j], h[ENTRY + j]
            side = 1.0 if units > 0.0 else -1.0
            holds = lives & (units != 0.0)
            held = h[HELD_BARS + j] / HOLDING_BARS
            m[SEEN_WEIGHT + j] = _bounded(units * price / base, BOUND) if holds else 0.0
            m[SEEN_UNREALISED + j] = _bounded(side * (price / entry - 1.0), BOUND) if holds else 0.0
            m[SEEN_HELD + j] = (held if held < 1.0 else 1.0) if lives else 0.0
            m[SEEN_PENDING + j] = _bounded(h[PENDING + j] * price / base, BOUND) if lives else 0.0


@inlined
def _bounded(value: float, bound: float) -> float:
    value = value if value < bound else bound
    return value if value > -bound else -bound
