"""From targets to orders: limits, sizes, and the equation that keeps costs inside the weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from foretrade.markets.accounts import ALIVE, CASH, PENDING, STATUS, UNITS
from foretrade.markets.arithmetic import ROUNDING, is_beyond, keeps_limit, room_share, within
from foretrade.markets.arrays import Floats, Index
from foretrade.markets.compiled import choose, compiled_part, compiled_phase, inlined
from foretrade.markets.equation import solve
from foretrade.markets.exchange import DELTAS, WEIGHTS
from foretrade.markets.trading import (
    ACHIEVED,
    AFTER,
    BAND,
    BASE,
    CROWDED,
    FILL,
    FILL_EQUITY,
    FIXED,
    FROZEN,
    FROZEN_NET,
    GOAL,
    GOES,
    GROSS,
    HELD,
    INVERSE,
    KEPT,
    LIMIT,
    NET,
    ORDER,
    OUT,
    REASON,
    REQUESTED,
    SHARE,
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

ROUNDS = 16  # to cut orders to what fits: what a cut saves in costs makes the next one smaller


@compiled_phase
def rebalance(
    a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any, tells: bool
) -> None:
    """Trade every symbol to its target, at the prices at which it is valued now.

    A weight is a fraction of the equity that is left **after** the costs of the trade.
    ``s[BASE]`` holds the equity (or notional) before it.
    """
    limit(a, hs, s, ms, lanes, terms)
    aim(a, hs, s, ms, lanes, terms)
    if len(hs) > 1:
        _join(s, ms, lanes)
    settle(a, hs, s, ms, lanes, terms)
    if tells:
        record(a, hs, s, ms, lanes, terms)


@compiled_phase
def settle(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> None:
    """Find the equity that the orders' costs leave, cut what does not fit, and trade."""
    has_volume = math.isfinite(terms.max_participation)
    fits = (len(hs) == 1) & (terms.sizing == WEIGHTS)  # a single weight fits as it is
    for _ in range(ROUNDS + len(hs)):
        solve(hs, s, ms, lanes, terms)
        cuts = _cut_to_volume(hs, s, ms, lanes, terms) if has_volume else 0
        if (cuts == 0) & (not fits):
            cuts = _make_room(hs, s, ms, lanes, terms)
        if cuts == 0:
            break
    _execute(a, hs, s, ms, lanes, terms)


@compiled_phase
def limit(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> None:
    """How much of the targets the gross and the net limit let through."""
    sizing = terms.sizing
    max_leverage, max_net, band = terms.max_leverage, terms.max_net, terms.no_trade_band
    for j in range(lanes):
        s[GROSS + j] = s[NET + j] = s[FROZEN + j] = s[FROZEN_NET + j] = s[HELD + j] = 0.0
        s[CROWDED + j] = 0.0
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
            m[REQUESTED + j] = weight if sizing == WEIGHTS else goal
            s[GROSS + j] += abs(weight) if fillable else 0.0
            s[NET + j] += weight if fillable else 0.0
            s[FROZEN + j] += 0.0 if fillable else abs(value)
            s[FROZEN_NET + j] += 0.0 if fillable else value
            s[HELD + j] += abs(value)
    for j in range(lanes):
        s[FROZEN + j] /= s[BASE + j]
        s[FROZEN_NET + j] /= s[BASE + j]
        share = room_share(
            s[GROSS + j], s[NET + j], s[FROZEN + j], s[FROZEN_NET + j], max_leverage, max_net
        )
        s[LIMIT + j] = 1.0 if sizing == DELTAS else share  # who asks for no trade gets none
        s[BAND + j] = band if keeps_limit(s[HELD + j], s[BASE + j], max_leverage) else 0.0


@compiled_phase
def aim(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> None:
    """Orders as ``goal + tilt × equity after costs − units``, where there is to be one."""
    by_weight, compounds, carries = terms.sizing == WEIGHTS, terms.compounds, terms.carries
    minimum, max_leverage = terms.minimum_order, terms.max_leverage
    clips, room = by_weight & (len(hs) == 1), min(max_leverage, terms.max_net)
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        for j in range(lanes):
            price, base, held, limit = m[VALUED + j], s[BASE + j], h[UNITS + j], s[LIMIT + j]
            fillable = m[GOES + j] > 0.0
            weight = m[WEIGHT + j] * limit
            weight = within(m[WEIGHT + j], room) if clips else weight
            floats = by_weight | (limit < 1.0)  # else the number of units is known exactly
            tilt = weight * m[INVERSE + j] if compounds & floats else 0.0
            goal = weight * base * m[INVERSE + j] if floats else m[GOAL + j]
            goal = 0.0 if compounds & floats else goal
            away = goal + tilt * base - held
            off = is_beyond(away, ROUNDING * m[INVERSE + j], base)
            band = 0.0 if carries & (h[PENDING + j] != 0.0) else s[BAND + j]
            in_band = off & (not is_beyond(away, band * m[INVERSE + j], base))
            small = off & (not in_band) & (abs(away) * price < minimum)
            small &= keeps_limit(s[HELD + j], base, max_leverage)
            goes = fillable & off & (not in_band) & (not small)
            m[GOAL + j] = goal
            m[TILT + j] = tilt
            m[GOES + j] = 1.0 if goes else 0.0
            joins = fillable & (not off) & (tilt != 0.0) & (s[BAND + j] == 0.0)
            m[KEPT + j] = 1.0 if joins else 0.0
            reason = LEVERAGE if (limit < 1.0) & fillable else 0.0
            reason += IN_BAND if in_band & fillable else 0.0
            reason += MINIMUM_ORDER if small & fillable else 0.0
            missing = (m[OUT + j] == 0.0) & (a[STATUS + j] == ALIVE) & (not fillable)
            missing &= off
            reason += NO_BAR if missing else 0.0
            m[REASON + j] += reason
            waits = missing | (small & (h[PENDING + j] != 0.0))
            h[PENDING + j] = goal + tilt * base - held if carries & waits else 0.0


@compiled_part
def _join(s: Floats, ms: Floats, lanes: Index) -> None:
    """Let symbols that are on their targets follow the equity, if orders of others cost some of it."""
    for j in range(lanes):
        s[SHARE + j] = 0.0
    for i in range(len(ms)):
        for j in range(lanes):
            s[SHARE + j] += ms[i, GOES + j]
    for i in range(len(ms)):
        for j in range(lanes):
            joins = (s[SHARE + j] > 0.0) & (ms[i, KEPT + j] > 0.0)
            ms[i, GOES + j] = 1.0 if joins else ms[i, GOES + j]


@compiled_phase
def _cut_to_volume(hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> int:
    """Fix orders that are larger than the bar's volume allows at what it allows; how many."""
    cuts, share, lot = 0, terms.max_participation, terms.lot_size
    for i in range(len(hs)):
        beyond = _beyond_volume(hs[i], s, ms[i], lanes, share, lot)
        if beyond > 0:
            _fix_at_volume(hs[i], s, ms[i], lanes, share, lot, terms.carries)
        cuts += beyond
    return cuts


@compiled_phase
def _beyond_volume(h: Floats, s: Floats, m: Floats, lanes: Index, share: float, lot: float) -> int:
    beyond = 0
    for j in range(lanes):
        order = m[GOAL + j] + m[TILT + j] * _equity_to_come(s, j) - h[UNITS + j]
        beyond += _is_beyond(order, _cap(m[VOLUME + j], share, lot)) & (m[GOES + j] > 0.0)
    return beyond


@compiled_part
def _fix_at_volume(
    h: Floats, s: Floats, m: Floats, lanes: Index, share: float, lot: float, carries: bool
) -> None:
    for j in range(lanes):
        held, cap = h[UNITS + j], _cap(m[VOLUME + j], share, lot)
        order = m[GOAL + j] + m[TILT + j] * _equity_to_come(s, j) - held
        if _is_beyond(order, cap) & (m[GOES + j] > 0.0):
            m[GOAL + j] = held + math.copysign(cap, order)
            m[TILT + j] = 0.0
            m[GOES + j] = 1.0 if cap > 0.0 else 0.0
            m[REASON + j] += NO_VOLUME_LEFT
            h[PENDING + j] = order if carries else h[PENDING + j]


@inlined
def _cap(volume: float, share: float, lot: float) -> float:
    """The most that a bar lets trade."""
    cap: float = share * volume
    whole = np.floor(cap / lot + ROUNDING) * lot
    most: float = choose(lot > 0.0, whole, cap)
    return most


@inlined
def _is_beyond(order: float, cap: float) -> bool:
    beyond: bool = abs(order) > cap * (1.0 + ROUNDING)
    return beyond


@compiled_part
def _make_room(hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> int:
    """Cut what orders add to positions to what fits beside what does not float with the equity: units
    asked for, and what is held up by band, volume or size; how many orders were cut."""
    max_leverage, max_net, cuts = terms.max_leverage, terms.max_net, 0
    for j in range(lanes):
        s[GROSS + j] = s[NET + j] = s[FROZEN + j] = s[FROZEN_NET + j] = 0.0
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        for j in range(lanes):
            after = _equity_to_come(s, j)
            held, price = h[UNITS + j], m[VALUED + j] / after
            goal = m[GOAL + j] + m[TILT + j] * after if m[GOES + j] > 0.0 else held
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
        # It grows with the equity, as ``share + fixed × (equity / after − 1)``; so do units asked for.
        gross, net, part = s[GROSS + j], s[NET + j], s[SHARE + j]
        by_gross = part == (max_leverage - s[FROZEN + j]) / gross
        room = max_leverage if by_gross else math.copysign(max_net, s[FROZEN_NET + j] + net)
        s[FIXED + j] = room / (gross if by_gross else net) if (part > 0.0) & (part < 1.0) else 0.0
    for i in range(len(hs)):
        m = ms[i]
        for j in range(lanes):
            after, share, kept, tilt = _equity_to_come(s, j), s[SHARE + j], m[KEPT + j], m[TILT + j]
            cut = (share < 1.0) & (m[GOES + j] > 0.0) & (m[GOAL + j] + tilt * after != kept)
            added = m[GOAL + j] - kept
            fixed = s[FIXED + j] if tilt == 0.0 else 0.0
            m[GOAL + j] = kept + (share - fixed) * added if cut else m[GOAL + j]
            m[TILT + j] = (share * tilt + fixed * added / after) if cut else tilt
            m[REASON + j] += LEVERAGE if cut & (s[LIMIT + j] >= 1.0) & (s[CROWDED + j] == 0.0) else 0.0
            cuts += cut
    for j in range(lanes):
        s[CROWDED + j] = 1.0 if s[SHARE + j] < 1.0 else s[CROWDED + j]
    return cuts


@inlined
def _equity_to_come(s: Floats, j: Index) -> float:
    """Equity after the orders' costs; before them, if it cannot pay for them all."""
    equity: float = choose(s[AFTER + j] > 0.0, s[AFTER + j], s[BASE + j])
    return equity


@compiled_phase
def _execute(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> None:
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        if _order(h, s, m, lanes, terms.compounds & (len(hs) == 1)) > 0:
            _refuse(s, m, lanes)
        if (terms.lot_size > 0.0) | (terms.minimum_order > 0.0):
            _round(h, s, m, lanes, terms.lot_size, terms.minimum_order)
        if terms.carries:
            for j in range(lanes):
                left = h[PENDING + j] - m[ORDER + j]
                h[PENDING + j] = left if h[PENDING + j] != 0.0 else 0.0
        if terms.proportional:
            _trade_cheaply(a, h, s, m, lanes)
        else:
            _trade(a, h, s, m, lanes)


@compiled_phase
def _trade_cheaply(a: Floats, h: Floats, s: Floats, m: Floats, lanes: Index) -> None:
    for j in range(lanes):
        trade(a, h, s, m, j, m[ORDER + j], True)


@compiled_phase
def _trade(a: Floats, h: Floats, s: Floats, m: Floats, lanes: Index) -> None:
    for j in range(lanes):
        trade(a, h, s, m, j, m[ORDER + j], False)


@compiled_phase
def _order(h: Floats, s: Floats, m: Floats, lanes: Index, solved: bool) -> int:
    """The orders; how many nobody can pay for.

    Args:
        solved: Whether the equation left the orders in ``m[ORDER]``, where they are not NaN.
    """
    if not solved:
        for j in range(lanes):
            m[ORDER + j] = math.nan
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


@compiled_part
def _round(h: Floats, s: Floats, m: Floats, lanes: Index, lot: float, minimum: float) -> None:
    """Round positions to lots towards zero, and drop orders that are too small, but those that a limit
    asks for."""
    for j in range(lanes):
        held, order = h[UNITS + j], m[ORDER + j]
        goal = held + order
        whole = math.copysign(np.floor(abs(goal) / lot + ROUNDING) * lot, goal)
        rounded = choose((order != 0.0) & (lot > 0.0), whole - held, order)
        short = abs(rounded) * m[VALUED + j] < minimum
        small = short & (s[LIMIT + j] >= 1.0) & (rounded != 0.0)
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


def reasons(code: float) -> tuple[str, ...]:
    """Names of the flags in a reason."""
    return tuple(name for k, name in enumerate(REASONS) if int(code) >> k & 1)
