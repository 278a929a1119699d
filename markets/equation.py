"""The equation that keeps the costs of a trade inside the weights."""

from __future__ import annotations

import math
from typing import Any

from foretrade.markets.accounts import UNITS
from foretrade.markets.arithmetic import cost_rate, slope_of
from foretrade.markets.arrays import Floats, Index
from foretrade.markets.compiled import choose, compiled_phase, inlined
from foretrade.markets.trading import (
    AFTER,
    BASE,
    COST,
    FEE_PER_UNIT,
    FEE_RATE,
    GOAL,
    GOES,
    HALF_SPREAD,
    IMPACT_RATE,
    INVERSE_VOLUME,
    MINIMUM_FEE,
    ORDER,
    QUADRATIC,
    SHARE,
    SLOPE,
    TILT,
    VALUED,
)

NEWTON_STEPS = 64
SOLVED, CLOSE = 1e-13, 1e-9  # of the equity: steps too small to be taken, and to be followed


@compiled_phase
def solve(hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> None:
    """Equity ``e`` after the trade: ``e + Σ cost_i(|goal_i + tilt_i e − units_i|) = base``.

    Each cost is convex in the size of its order, so the left side is convex in ``e``; Newton's iterates
    from an ``e`` that is too large fall onto the largest root, and a lane is done once the next would
    fall by next to nothing. A lane with proportional costs alone keeps its closed form, whatever other
    bars charge: ``m[ORDER]`` holds its order. Where that is NaN, the order follows from the equity.
    """
    if terms.compounds & (len(hs) == 1):
        _solve_one(hs[0], s, ms[0], lanes, terms.proportional)
        return
    for i in range(len(ms)):
        for j in range(lanes):
            ms[i, ORDER + j] = math.nan
    for j in range(lanes):
        s[AFTER + j] = s[BASE + j]
    if terms.compounds:
        _solve_many(hs, s, ms, lanes)


@inlined
def _solve_one(h: Floats, s: Floats, m: Floats, lanes: Index, proportional: bool) -> None:
    """One symbol at proportional costs has a closed form; others begin from there: they leave less."""
    if proportional:
        for j in range(lanes):
            _solve_linearly(h, s, m, j)
        return
    for j in range(lanes):
        pays = _solve_linearly(h, s, m, j)
        others = m[FEE_PER_UNIT + j] + m[MINIMUM_FEE + j] + m[IMPACT_RATE + j] + m[QUADRATIC + j]
        s[SHARE + j] = choose(pays & (others > 0.0), 0.0, 1.0)  # whose equation is solved
    for _ in range(NEWTON_STEPS):
        if _approach(h, s, m, lanes) == 0:
            break


@inlined
def _solve_linearly(h: Floats, s: Floats, m: Floats, j: Index) -> bool:
    """Whether there is an order, and equity to pay for it."""
    base, tilt, goes = s[BASE + j], m[TILT + j], m[GOES + j] > 0.0
    unit_cost = m[VALUED + j] * cost_rate(m[FEE_RATE + j], m[HALF_SPREAD + j])
    order = m[GOAL + j] + tilt * base - h[UNITS + j]
    slope = slope_of(order, tilt, unit_cost)
    order = order / slope
    after = choose(slope > 0.0, base - abs(order) * unit_cost, -1.0)
    after = choose(goes, after, base)
    m[ORDER + j] = order
    s[AFTER + j] = after
    pays: bool = goes & (after > 0.0)
    return pays


@compiled_phase
def _approach(h: Floats, s: Floats, m: Floats, lanes: Index) -> int:
    """A step of Newton's for one symbol; how many lanes need another.

    The next one would fall by at most half the curvature times the square of this one, unless the order
    changes its side on the way, or the minimum fee begins or ends.
    """
    falling = 0
    for j in range(lanes):
        after, base, solves = s[AFTER + j], s[BASE + j], s[SHARE + j] == 0.0
        size, fee_left, unit_fee, curve, cost, slope = _costs_of(m, j, after, h[UNITS + j])
        slope = 1.0 + slope
        step = (after + cost - base) / slope
        change = m[TILT + j] * step
        falls = solves & (slope > 0.0) & (step > SOLVED * after)
        bends = curve * (change * change) > SOLVED * (after - step) * size
        bends |= (size < abs(change)) | (fee_left < unit_fee * abs(change))
        rootless = solves & (slope <= 0.0) & (cost > 0.0)  # no equity can pay for these
        s[AFTER + j] = after - choose(rootless, after + 1.0, choose(falls, step, 0.0))
        s[SHARE + j] = choose(falls & bends, 0.0, 1.0)
        m[ORDER + j] += choose(falls, math.nan, 0.0)
        falling += falls & bends
    return falling


@inlined
def _solve_many(hs: Floats, s: Floats, ms: Floats, lanes: Index) -> None:
    for j in range(lanes):
        s[SHARE + j] = 0.0  # of the lanes' equations that are solved already
    for _ in range(NEWTON_STEPS):
        for j in range(lanes):
            s[COST + j] = 0.0
            s[SLOPE + j] = 1.0
        for i in range(len(hs)):
            h, m = hs[i], ms[i]
            for j in range(lanes):
                _, _, _, _, cost, slope = _costs_of(m, j, s[AFTER + j], h[UNITS + j])
                s[COST + j] += cost
                s[SLOPE + j] += slope
        falling = 0
        for j in range(lanes):
            falling += _fall(s, j, s[COST + j], s[SLOPE + j])
        if falling == 0:
            break


@inlined
def _fall(s: Floats, j: Index, cost: float, slope: float) -> bool:
    """One step of Newton's; whether the lane needs another."""
    after, base, solves = s[AFTER + j], s[BASE + j], s[SHARE + j] == 0.0
    step = (after + cost - base) / slope
    falls = solves & (slope > 0.0) & (step > SOLVED * after)
    rootless = solves & (slope <= 0.0) & (cost > 0.0)  # no equity can pay for these
    again: bool = falls & (step > CLOSE * (after - step))
    s[AFTER + j] = after - choose(rootless, after + 1.0, choose(falls, step, 0.0))
    s[SHARE + j] = choose(again, 0.0, 1.0)
    return again


@inlined
def _costs_of(
    m: Floats, j: Index, after: float, units: float
) -> tuple[float, float, float, float, float, float]:
    """What the order costs that an equity of ``after`` asks for.

    Returns:
        Size of the order; how far its fee is from the minimum; the fee of a unit; half of the second
        derivative by the size, times the size; the cost; how the cost changes with the equity. The last
        two are 0 where no order goes.
    """
    price, tilt, goes = m[VALUED + j], m[TILT + j], m[GOES + j]
    order = m[GOAL + j] + tilt * after - units
    size, side = abs(order), choose(order >= 0.0, tilt, -tilt)
    unit_fee = price * m[FEE_RATE + j] + m[FEE_PER_UNIT + j]
    least = choose(size > 0.0, m[MINIMUM_FEE + j], 0.0)
    fee = size * unit_fee
    above = fee > least
    root = m[IMPACT_RATE + j] * math.sqrt(min(size * m[INVERSE_VOLUME + j], 1.0))
    bend = m[QUADRATIC + j] * size
    rate = price * (m[HALF_SPREAD + j] + root)
    cost = choose(above, fee, least) + size * (rate + 0.5 * bend)
    slope = choose(above, unit_fee, 0.0) + rate + 0.5 * price * root + bend
    curve = 0.375 * price * root + 0.5 * bend
    return size, abs(fee - least), unit_fee, curve, goes * cost, goes * slope * side
