"""Orders: the equation that keeps costs inside the weights, and their execution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from foretrade.markets.accounts import CASH, PENDING, UNITS
from foretrade.markets.arithmetic import ROUNDING, keeps_limit
from foretrade.markets.arrays import Floats, Index
from foretrade.markets.compiled import choose, compiled_part, compiled_phase, inlined
from foretrade.markets.equation import solve
from foretrade.markets.exchange import WEIGHTS
from foretrade.markets.fitting import cut_to_volume, make_room
from foretrade.markets.reasons import COSTS_EXCEED, LOT, MINIMUM_ORDER
from foretrade.markets.targets import aim, join, limit
from foretrade.markets.trading import (
    ACHIEVED,
    AFTER,
    BASE,
    FILL_EQUITY,
    GOAL,
    GOES,
    HELD,
    ORDER,
    REASON,
    REQUESTED,
    TILT,
    VALUED,
    trade,
)

ROUNDS = 16  # to cut orders to what fits: what a cut saves in costs makes the next one smaller


@inlined
def rebalance(
    a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any, tells: Any
) -> None:
    """Trade every symbol to its target, at the prices at which it is valued now.

    A weight is a fraction of the equity that is left **after** the costs of the trade.
    ``s[BASE]`` holds the equity (or notional) before it.
    """
    limit(a, hs, s, ms, lanes, terms)
    aim(a, hs, s, ms, lanes, terms)
    if len(hs) > 1:
        join(s, ms, lanes)
    settle(a, hs, s, ms, lanes, terms, tells, True)


@inlined
def settle(
    a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any, tells: Any, seldom: Any
) -> None:
    """Find the equity that the orders' costs leave, cut what does not fit, and trade."""
    has_volume = math.isfinite(terms.max_participation)
    fits = (len(hs) == 1) & (terms.sizing == WEIGHTS)  # a single weight fits as it is
    for _ in range(ROUNDS + len(hs)):
        solve(hs, s, ms, lanes, terms)
        cuts = cut_to_volume(hs, s, ms, lanes, terms) if has_volume else 0
        if seldom is not None and (cuts == 0) & (not fits):
            cuts = make_room(hs, s, ms, lanes, terms)
        if cuts == 0:
            break
    _execute(a, hs, s, ms, lanes, terms, tells)
    if tells is not None and tells:
        record(a, hs, s, ms, lanes, terms)


@inlined
def _execute(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any, tells: Any) -> None:
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        if _order(h, s, m, lanes) > 0:
            _refuse(s, m, lanes)
        if (terms.lot_size > 0.0) | (terms.minimum_order > 0.0):
            _round(h, s, m, lanes, terms.lot_size, terms.minimum_order, terms.max_leverage, tells)
        if terms.carries:
            for j in range(lanes):
                left = h[PENDING + j] - m[ORDER + j]
                h[PENDING + j] = left if h[PENDING + j] != 0.0 else 0.0
        if terms.proportional:
            _trade_cheaply(a, h, s, m, lanes, tells)
        else:
            _trade(a, h, s, m, lanes, tells)


@compiled_phase
def _trade_cheaply(a: Floats, h: Floats, s: Floats, m: Floats, lanes: Index, tells: Any) -> None:
    for j in range(lanes):
        trade(a, h, s, m, j, m[ORDER + j], True, tells)


@compiled_phase
def _trade(a: Floats, h: Floats, s: Floats, m: Floats, lanes: Index, tells: Any) -> None:
    for j in range(lanes):
        trade(a, h, s, m, j, m[ORDER + j], False, tells)


@compiled_phase
def _order(h: Floats, s: Floats, m: Floats, lanes: Index) -> int:
    """The orders; how many nobody can pay for."""
    unpaid = 0
    for j in range(lanes):
        after, goes = s[AFTER + j], m[GOES + j] > 0.0
        pays = after > 0.0
        order = m[GOAL + j] + m[TILT + j] * after - h[UNITS + j]
        order = choose(m[ORDER + j] == m[ORDER + j], m[ORDER + j], order)
        m[ORDER + j] = choose(goes & pays, order, 0.0)
        unpaid += goes & (not pays)
    return unpaid


@compiled_part
def _refuse(s: Floats, m: Floats, lanes: Index) -> None:
    for j in range(lanes):
        m[REASON + j] += COSTS_EXCEED if (m[GOES + j] > 0.0) & (not s[AFTER + j] > 0.0) else 0.0


@compiled_phase
def _round(
    h: Floats, s: Floats, m: Floats, lanes: Index, lot: float, minimum: float, max_leverage: float,
    tells: Any,
) -> None:  # fmt: skip
    """Round positions to lots towards zero, and drop orders that are too small, unless the account is
    beyond its leverage limit."""
    for j in range(lanes):
        held, order = h[UNITS + j], m[ORDER + j]
        goal = held + order
        whole = math.copysign(np.floor(abs(goal) / lot + ROUNDING) * lot, goal)
        rounded = choose((order != 0.0) & (lot > 0.0), whole - held, order)
        rounded = choose(abs(rounded) > ROUNDING * lot, rounded, 0.0)
        short = abs(rounded) * m[VALUED + j] < minimum
        small = short & keeps_limit(s[HELD + j], s[BASE + j], max_leverage) & (rounded != 0.0)
        if tells is not None:
            reason = choose(abs(rounded - order) > ROUNDING * lot, LOT, 0.0)
            m[REASON + j] += reason + choose(small, MINIMUM_ORDER, 0.0)
        m[ORDER + j] = choose(small, 0.0, rounded)


@compiled_phase
def record(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> None:
    """What was asked for and what was got, in weights at the fill."""
    compounds, in_units = terms.compounds, terms.sizing != WEIGHTS
    for j in range(lanes):
        s[AFTER + j] = a[CASH + j]
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        for j in range(lanes):
            s[AFTER + j] += h[UNITS + j] * m[VALUED + j]
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        for j in range(lanes):
            base = s[AFTER + j] if compounds else s[BASE + j]
            base = base if base != 0.0 else 1.0
            price, asked = m[VALUED + j], m[REQUESTED + j]
            m[REQUESTED + j] = asked * price / base if in_units else asked
            m[ACHIEVED + j] = h[UNITS + j] * price / base
    for j in range(lanes):
        s[FILL_EQUITY + j] = s[AFTER + j]
