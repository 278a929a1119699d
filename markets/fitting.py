"""Orders cut to what fits: to the bar's volume, and to the limits beside what does not move."""

from __future__ import annotations

import math
from typing import Any

from foretrade.markets.accounts import PENDING, UNITS
from foretrade.markets.arithmetic import ROUNDING, room_share
from foretrade.markets.arrays import Floats, Index
from foretrade.markets.compiled import choose, compiled_part, compiled_phase, inlined
from foretrade.markets.reasons import LEVERAGE, NO_VOLUME_LEFT
from foretrade.markets.trading import (
    AFTER,
    BASE,
    CROWDED,
    FIXED,
    FROZEN,
    FROZEN_NET,
    GOAL,
    GOES,
    GROSS,
    KEPT,
    LIMIT,
    NET,
    REASON,
    SHARE,
    TILT,
    VALUED,
    VOLUME_CAP,
)


@compiled_phase
def cut_to_volume(hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> int:
    """Fix orders that are larger than the bar's volume allows at what it allows; how many."""
    cuts = 0
    for i in range(len(hs)):
        beyond = _beyond_volume(hs[i], s, ms[i], lanes)
        if beyond > 0:
            _fix_at_volume(hs[i], s, ms[i], lanes, terms.carries)
        cuts += beyond
    return cuts


@compiled_phase
def _beyond_volume(h: Floats, s: Floats, m: Floats, lanes: Index) -> int:
    beyond = 0
    for j in range(lanes):
        order = m[GOAL + j] + m[TILT + j] * _equity_to_come(s, j) - h[UNITS + j]
        beyond += _is_beyond(order, m[VOLUME_CAP + j]) & (m[GOES + j] > 0.0)
    return beyond


@compiled_part
def _fix_at_volume(h: Floats, s: Floats, m: Floats, lanes: Index, carries: bool) -> None:
    for j in range(lanes):
        held, cap = h[UNITS + j], m[VOLUME_CAP + j]
        order = m[GOAL + j] + m[TILT + j] * _equity_to_come(s, j) - held
        if _is_beyond(order, cap) & (m[GOES + j] > 0.0):
            m[GOAL + j] = held + math.copysign(cap, order)
            m[TILT + j] = 0.0
            m[GOES + j] = 1.0 if cap > 0.0 else 0.0
            m[REASON + j] += NO_VOLUME_LEFT
            h[PENDING + j] = order if carries else h[PENDING + j]


@inlined
def _is_beyond(order: float, cap: float) -> bool:
    beyond: bool = abs(order) > cap * (1.0 + ROUNDING)
    return beyond


@compiled_part
def make_room(hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> int:
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
        gross, net, frozen, frozen_net = s[GROSS + j], s[NET + j], s[FROZEN + j], s[FROZEN_NET + j]
        part = room_share(gross, net, frozen, frozen_net, max_leverage, max_net)
        # It grows with the equity, as ``share + fixed × (equity / after − 1)``; so do units asked for.
        by_gross = part == (max_leverage - frozen) / gross
        room = max_leverage if by_gross else math.copysign(max_net, frozen_net + net)
        s[FIXED + j] = room / (gross if by_gross else net) if (part > 0.0) & (part < 1.0) else 0.0
        if part == 0.0:  # the costs of it all leave no room; those of what fits before them may
            q = _equity_to_come(s, j) / s[BASE + j]
            part = room_share(gross * q, net * q, frozen * q, frozen_net * q, max_leverage, max_net)
            part = part if part < 1.0 else 0.0
        s[SHARE + j] = part
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
