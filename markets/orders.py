"""From targets to orders: limits, sizes, and the equation that keeps costs inside the weights."""

from __future__ import annotations

import math
from typing import Any

from foretrade.markets.accounts import ALIVE, CASH, PENDING, STATUS, UNITS
from foretrade.markets.arithmetic import (
    ROUNDING,
    equity_after,
    is_off,
    keeps_limit,
    room_share,
)
from foretrade.markets.arrays import Floats, Index
from foretrade.markets.compiled import compiled_part, compiled_phase, inlined
from foretrade.markets.exchange import DELTAS, WEIGHTS
from foretrade.markets.trading import (
    ACHIEVED,
    AFTER,
    BAND,
    BASE,
    COST,
    FEE_PER_UNIT,
    FEE_RATE,
    FILL,
    FILL_EQUITY,
    FROZEN,
    FROZEN_NET,
    GOAL,
    GOES,
    GROSS,
    HALF_SPREAD,
    HELD,
    IMPACT_RATE,
    INVERSE,
    INVERSE_VOLUME,
    KEPT,
    LIMIT,
    MINIMUM_FEE,
    NET,
    OUT,
    QUADRATIC,
    REASON,
    REQUESTED,
    SHARE,
    SLOPE,
    TARGET,
    TILT,
    VALUED,
    VOLUME,
    WEIGHT,
    trade,
)

REASONS = (
    "leverage", "band", "no_bar", "volume", "lot", "minimum_order", "costs",
    "stop_loss", "take_profit", "margin", "ruin", "delisted",
)  # fmt: skip
"""Why a symbol got another weight than was asked for; several may hold at once."""
(
    LEVERAGE, IN_BAND, NO_BAR, NO_VOLUME_LEFT, LOT, MINIMUM_ORDER, COSTS_EXCEED,
    STOPPED, TOOK_PROFIT, MARGIN_CALL, RUIN, DELISTING,
) = (float(1 << k) for k in range(len(REASONS)))  # fmt: skip

NEWTON_STEPS = 64


@inlined
def rebalance(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> None:
    """Trade every symbol to its target, at the prices at which it is valued now.

    A weight is a fraction of the equity that is left **after** the costs of the trade.
    ``s[BASE]`` holds the equity (or notional) before it.
    """
    _limit(a, hs, s, ms, lanes, terms)
    _aim(a, hs, s, ms, lanes, terms)
    if len(hs) > 1:
        _make_room(hs, s, ms, lanes, terms)
    _solve(a, hs, s, ms, lanes, terms)
    _execute(a, hs, s, ms, lanes, terms)
    _record(a, hs, s, ms, lanes, terms)


@compiled_phase
def _limit(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> None:
    """How much of the targets the gross and the net limit let through."""
    sizing = terms.sizing
    max_leverage, max_net, band = terms.max_leverage, terms.max_net, terms.no_trade_band
    for j in range(lanes):
        s[GROSS + j] = s[NET + j] = s[FROZEN + j] = s[FROZEN_NET + j] = s[HELD + j] = 0.0
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        for j in range(lanes):
            price, base, target = m[VALUED + j], s[BASE + j], m[TARGET + j]
            held = h[UNITS + j]
            goal = held + target + h[PENDING + j] if sizing == DELTAS else target
            weight = target if sizing == WEIGHTS else goal * price / base
            value = held * price
            fillable = (m[FILL + j] == m[FILL + j]) & (m[OUT + j] == 0.0)  # not NaN
            fillable &= a[STATUS + j] == ALIVE
            m[WEIGHT + j] = weight
            m[GOAL + j] = goal
            m[GOES + j] = 1.0 if fillable else 0.0
            m[INVERSE + j] = 1.0 / price
            s[GROSS + j] += abs(weight) if fillable else 0.0
            s[NET + j] += weight if fillable else 0.0
            s[FROZEN + j] += 0.0 if fillable else abs(value)
            s[FROZEN_NET + j] += 0.0 if fillable else value
            s[HELD + j] += abs(value)
    for j in range(lanes):
        s[FROZEN + j] /= s[BASE + j]
        s[FROZEN_NET + j] /= s[BASE + j]
        s[LIMIT + j] = room_share(
            s[GROSS + j], s[NET + j], s[FROZEN + j], s[FROZEN_NET + j], max_leverage, max_net
        )
        s[BAND + j] = band if keeps_limit(s[HELD + j], s[BASE + j], max_leverage) else 0.0


@compiled_part
def _make_room(hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> None:
    """Cut what orders add to positions to what fits, if others are held up by band, volume or size."""
    max_leverage, max_net = terms.max_leverage + ROUNDING, terms.max_net + ROUNDING
    for j in range(lanes):
        s[GROSS + j] = s[NET + j] = s[FROZEN + j] = s[FROZEN_NET + j] = 0.0
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        for j in range(lanes):
            held, price = h[UNITS + j], m[VALUED + j] / s[BASE + j]
            goal = m[GOAL + j] + m[TILT + j] * s[BASE + j] if m[GOES + j] > 0.0 else held
            kept = goal if abs(goal) <= abs(held) else held
            kept = 0.0 if goal * held < 0.0 else kept
            s[GROSS + j] += abs(goal - kept) * price
            s[NET + j] += (goal - kept) * price
            s[FROZEN + j] += abs(kept) * price
            s[FROZEN_NET + j] += kept * price
            m[KEPT + j] = kept
    for j in range(lanes):
        s[SHARE + j] = room_share(
            s[GROSS + j], s[NET + j], s[FROZEN + j], s[FROZEN_NET + j], max_leverage, max_net
        )
    for i in range(len(hs)):
        m = ms[i]
        for j in range(lanes):
            goal, kept = m[GOAL + j] + m[TILT + j] * s[BASE + j], m[KEPT + j]
            cut = (s[SHARE + j] < 1.0) & (m[GOES + j] > 0.0) & (goal != kept)
            m[GOAL + j] = kept + s[SHARE + j] * (m[GOAL + j] - kept) if cut else m[GOAL + j]
            m[TILT + j] = s[SHARE + j] * m[TILT + j] if cut else m[TILT + j]
            m[REASON + j] += LEVERAGE if cut & (s[LIMIT + j] >= 1.0) else 0.0


@compiled_phase
def _aim(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> None:
    """Orders as ``goal + tilt × equity after costs − units``, where there is to be one."""
    by_weight, compounds, carries = terms.sizing == WEIGHTS, terms.compounds, terms.carries
    minimum, max_participation = terms.minimum_order, terms.max_participation
    max_leverage = terms.max_leverage
    lot, has_volume = terms.lot_size, math.isfinite(terms.max_participation)
    lot_or_one = lot if lot > 0.0 else 1.0
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        for j in range(lanes):
            price, base, held, limit = m[VALUED + j], s[BASE + j], h[UNITS + j], s[LIMIT + j]
            fillable = m[GOES + j] > 0.0
            weight = m[WEIGHT + j] * limit
            away = weight * base - held * price
            off = is_off(away, base)
            band = 0.0 if carries & (h[PENDING + j] != 0.0) else s[BAND + j]
            in_band = off & (abs(away) <= band * base)
            small = off & (not in_band) & (abs(away) < minimum)
            small &= keeps_limit(s[HELD + j], base, max_leverage)
            goes = fillable & off & (not in_band) & (not small)
            floats = by_weight | (limit < 1.0)  # else the number of units is known exactly
            tilt = weight * m[INVERSE + j] if compounds & floats else 0.0
            goal = weight * base * m[INVERSE + j] if floats else m[GOAL + j]
            goal = 0.0 if compounds & floats else goal
            wanted = goal + tilt * base - held
            cap = max_participation * m[VOLUME + j] if has_volume else math.inf
            cap = (
                math.floor(cap / lot_or_one + ROUNDING) * lot_or_one if (lot > 0.0) & has_volume else cap
            )
            cut = goes & (abs(wanted) > cap)
            m[GOAL + j] = held + math.copysign(cap, wanted) if cut else goal
            m[TILT + j] = 0.0 if cut else tilt
            m[GOES + j] = 1.0 if goes & (cap > 0.0) else 0.0
            reason = LEVERAGE if (limit < 1.0) & fillable else 0.0
            reason += IN_BAND if in_band & fillable else 0.0
            reason += MINIMUM_ORDER if small & fillable else 0.0
            reason += NO_VOLUME_LEFT if cut else 0.0
            missing = (m[OUT + j] == 0.0) & (a[STATUS + j] == ALIVE) & (not fillable)
            missing &= off
            reason += NO_BAR if missing else 0.0
            m[REASON + j] += reason
            waits = cut | missing | (small & (h[PENDING + j] != 0.0))
            h[PENDING + j] = wanted if carries & waits else 0.0


@compiled_phase
def _solve(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> None:
    """Equity ``e`` after the trade: ``e + Σ cost_i(|goal_i + tilt_i e − units_i|) = base``.

    Each cost is convex in the size of its order, so the left side is convex in ``e``; Newton's iterates
    from ``e = base`` fall onto the largest root, and a lane is done once they fall no more.
    """
    for j in range(lanes):
        s[AFTER + j] = s[BASE + j]
    if (len(hs) == 1) & terms.proportional & terms.compounds:
        _solve_linear(hs[0], s, ms[0], lanes)
        return
    for _ in range(NEWTON_STEPS if terms.compounds else 0):
        for j in range(lanes):
            s[COST + j] = 0.0
            s[SLOPE + j] = 1.0
        for i in range(len(hs)):
            h, m = hs[i], ms[i]
            for j in range(lanes):
                price, tilt = m[VALUED + j], m[TILT + j]
                order = m[GOAL + j] + tilt * s[AFTER + j] - h[UNITS + j]
                size, side = abs(order), (tilt if order >= 0.0 else -tilt)
                unit_fee = price * m[FEE_RATE + j] + m[FEE_PER_UNIT + j]
                least = m[MINIMUM_FEE + j]
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
        falling = 0
        for j in range(lanes):
            after = s[AFTER + j]
            solved = after - (after + s[COST + j] - s[BASE + j]) / s[SLOPE + j]
            falls = (solved < after) & (s[SLOPE + j] > 0.0)
            rootless = (s[SLOPE + j] <= 0.0) & (s[COST + j] > 0.0)  # no equity can pay for these orders
            solved = solved if falls else after
            s[AFTER + j] = -1.0 if rootless else solved
            falling += falls
        if falling == 0:
            break


@inlined
def _solve_linear(h: Floats, s: Floats, m: Floats, lanes: Index) -> None:
    """The same for one symbol at proportional costs, which needs no iteration."""
    for j in range(lanes):
        base, tilt = s[BASE + j], m[TILT + j]
        unit_cost = m[VALUED + j] * (m[FEE_RATE + j] + m[HALF_SPREAD + j])
        after = equity_after(m[GOAL + j] + tilt * base - h[UNITS + j], tilt, base, unit_cost)
        s[AFTER + j] = after if m[GOES + j] > 0.0 else base


@compiled_phase
def _execute(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> None:
    carries, compounds, lot = terms.carries, terms.compounds, terms.lot_size
    minimum = terms.minimum_order
    in_lots = lot > 0.0
    lot = lot if in_lots else 1.0
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        for j in range(lanes):
            held, after = h[UNITS + j], s[AFTER + j]
            goes, broke = m[GOES + j] > 0.0, compounds & (after <= 0.0)
            order = m[GOAL + j] + m[TILT + j] * after - held
            whole = math.copysign(math.floor(abs(held + order) / lot + ROUNDING) * lot, held + order)
            rounded = whole - held if in_lots else order
            m[REASON + j] += COSTS_EXCEED if goes & broke else 0.0
            m[REASON + j] += LOT if goes & (abs(rounded - order) > ROUNDING * lot) else 0.0
            too_small = (abs(rounded) * m[VALUED + j] < minimum) & (s[LIMIT + j] >= 1.0)
            m[REASON + j] += MINIMUM_ORDER if goes & (not broke) & too_small & (rounded != 0.0) else 0.0
            done = rounded if goes & (not broke) & (not too_small) else 0.0
            left = h[PENDING + j] - done
            h[PENDING + j] = left if carries & (h[PENDING + j] != 0.0) else 0.0
            trade(a, h, s, m, j, done, terms.proportional)


@compiled_phase
def _record(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> None:
    """What was asked for and what was got, in weights at the fill."""
    compounds = terms.compounds
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
            m[REQUESTED + j] = m[WEIGHT + j]
            m[ACHIEVED + j] = h[UNITS + j] * m[VALUED + j] / base
    for j in range(lanes):
        s[FILL_EQUITY + j] = s[AFTER + j]


def reasons(code: float) -> tuple[str, ...]:
    """Names of the flags in a reason."""
    return tuple(name for k, name in enumerate(REASONS) if int(code) >> k & 1)
