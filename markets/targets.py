"""From targets to orders: what the limits let through, and what is worth an order."""

from __future__ import annotations

from typing import Any

from foretrade.markets.accounts import ALIVE, PENDING, STATUS, UNITS
from foretrade.markets.arithmetic import ROUNDING, is_beyond, keeps_limit, room_share, within
from foretrade.markets.arrays import Floats, Index
from foretrade.markets.compiled import compiled_part, compiled_phase
from foretrade.markets.exchange import DELTAS, WEIGHTS
from foretrade.markets.reasons import IN_BAND, LEVERAGE, MINIMUM_ORDER, NO_BAR
from foretrade.markets.trading import (
    BAND,
    BASE,
    CROWDED,
    FILL,
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
    OUT,
    REASON,
    REQUESTED,
    SHARE,
    TARGET,
    TILT,
    VALUED,
    WEIGHT,
)


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
            weight = within(m[WEIGHT + j], room) if clips & fillable else weight
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
            reason = LEVERAGE if (limit < 1.0) & fillable & (m[WEIGHT + j] != 0.0) else 0.0
            reason += IN_BAND if in_band & fillable else 0.0
            reason += MINIMUM_ORDER if small & fillable else 0.0
            asked = m[WEIGHT + j] * base * m[INVERSE + j] - held
            missing = (m[OUT + j] == 0.0) & (a[STATUS + j] == ALIVE) & (not fillable)
            missing &= is_beyond(asked, ROUNDING * m[INVERSE + j], base)
            reason += NO_BAR if missing else 0.0
            m[REASON + j] += reason
            waits = missing | (small & (h[PENDING + j] != 0.0))
            h[PENDING + j] = goal + tilt * base - held if carries & waits else 0.0


@compiled_part
def join(s: Floats, ms: Floats, lanes: Index) -> None:
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
