"""The equation that keeps the costs of a trade inside the weights."""

from __future__ import annotations

import math
from typing import Any

from foretrade.markets.accounts import UNITS
from foretrade.markets.arithmetic import cost_rate, slope_of
from foretrade.markets.arrays import Floats, Index
from foretrade.markets.compiled import compiled_phase, inlined
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


@compiled_phase
def solve(hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> None:
    """Equity ``e`` after the trade: ``e + Σ cost_i(|goal_i + tilt_i e − units_i|) = base``.

    Each cost is convex in the size of its order, so the left side is convex in ``e``; Newton's iterates
    from ``e = base`` fall onto the largest root, and a lane is done once they fall no more.
    """
    for j in range(lanes):
        s[AFTER + j] = s[BASE + j]
        s[SHARE + j] = 0.0  # of the lanes' equations that are solved already
    if not terms.compounds:
        return
    if len(hs) == 1:
        _solve_linear(hs[0], s, ms[0], lanes, terms.proportional)
        if terms.proportional:
            return
    for _ in range(NEWTON_STEPS):
        for j in range(lanes):
            s[COST + j] = 0.0
            s[SLOPE + j] = 1.0
        for i in range(len(hs)):
            _add_costs(hs[i], s, ms[i], lanes)
        falling = 0
        for j in range(lanes):
            after, solves = s[AFTER + j], s[SHARE + j] == 0.0
            solved = after - (after + s[COST + j] - s[BASE + j]) / s[SLOPE + j]
            falls = solves & (solved < after) & (s[SLOPE + j] > 0.0)
            rootless = (
                solves & (s[SLOPE + j] <= 0.0) & (s[COST + j] > 0.0)
            )  # no equity can pay for these
            solved = solved if falls else after
            s[AFTER + j] = -1.0 if rootless else solved
            falling += falls
        if falling == 0:
            break


@inlined
def _solve_linear(h: Floats, s: Floats, m: Floats, lanes: Index, all_proportional: bool) -> None:
    """One symbol at proportional costs needs no iteration; nor do its lanes without any others now,
    whatever the other bars charge. ``m[ORDER]`` is NaN where the order follows from the equity alone."""
    for j in range(lanes):
        base, tilt = s[BASE + j], m[TILT + j]
        unit_cost = m[VALUED + j] * cost_rate(m[FEE_RATE + j], m[HALF_SPREAD + j])
        order = m[GOAL + j] + tilt * base - h[UNITS + j]
        slope = slope_of(order, tilt, unit_cost)
        order = order / slope
        after = base - abs(order) * unit_cost if slope > 0.0 else -1.0
        after = after if m[GOES + j] > 0.0 else base
        m[ORDER + j] = order
        if all_proportional:
            s[AFTER + j] = after
        else:
            extra = m[FEE_PER_UNIT + j] + m[MINIMUM_FEE + j] + m[IMPACT_RATE + j] + m[QUADRATIC + j]
            m[ORDER + j] = order if extra == 0.0 else math.nan
            s[SHARE + j] = 1.0 if extra == 0.0 else 0.0
            s[AFTER + j] = after if extra == 0.0 else base


@inlined
def _add_costs(h: Floats, s: Floats, m: Floats, lanes: Index) -> None:
    """What the order of a symbol costs at ``s[AFTER]``, and how that changes with it."""
    for j in range(lanes):
        price, tilt = m[VALUED + j], m[TILT + j]
        order = m[GOAL + j] + tilt * s[AFTER + j] - h[UNITS + j]
        size, side = abs(order), (tilt if order >= 0.0 else -tilt)
        unit_fee = price * m[FEE_RATE + j] + m[FEE_PER_UNIT + j]
        least = m[MINIMUM_FEE + j] if size > 0.0 else 0.0
        fee = size * unit_fee
        above = fee > least
        root = m[IMPACT_RATE + j] * math.sqrt(min(size * m[INVERSE_VOLUME + j], 1.0))
        bend = m[QUADRATIC + j] * size
        rate = price * (m[HALF_SPREAD + j] + root)
        cost = (fee if above else least) + size * (rate + 0.5 * bend)
        slope = (unit_fee if above else 0.0) + rate + 0.5 * price * root + bend
        goes = m[GOES + j]
        s[COST + j] += goes * cost
        s[SLOPE + j] += goes * slope * side
