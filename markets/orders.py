"""From targets to orders: limits, sizes, and the equation that keeps costs inside the weights."""

from __future__ import annotations

import math
from typing import Any

from foretrade.markets.accounts import ALIVE, CASH, PENDING, STATUS, UNITS
from foretrade.markets.arithmetic import ROUNDING, is_beyond, keeps_limit, room_share, within
from foretrade.markets.arrays import Floats, Index
from foretrade.markets.compiled import compiled_part, compiled_phase, inlined
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


@inlined
def rebalance(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> None:
    """Trade every symbol to its target, at the prices at which it is valued now.

    A weight is a fraction of the equity that is left **after** the costs of the trade.
    ``s[BASE]`` holds the equity (or notional) before it.
    """
    _limit(a, hs, s, ms, lanes, terms)
    _aim(a, hs, s, ms, lanes, terms)
    if len(hs) > 1:
        _join(s, ms, lanes)
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
    _record(a, hs, s, ms, lanes, terms)


@compiled_phase
def _limit(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> None:
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
def _aim(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> None:
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


@compiled_part
def _cut_to_volume(hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> int:
    """Fix orders that are larger than the bar's volume allows at what it allows; how many."""
    lot, carries, cuts = terms.lot_size, terms.carries, 0
    lot_or_one = lot if lot > 0.0 else 1.0
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        for j in range(lanes):
            held, after = h[UNITS + j], _equity_to_come(s, j)
            order = m[GOAL + j] + m[TILT + j] * after - held
            cap = terms.max_participation * m[VOLUME + j]
            cap = math.floor(cap / lot_or_one + ROUNDING) * lot_or_one if lot > 0.0 else cap
            cut = (m[GOES + j] > 0.0) & (abs(order) > cap * (1.0 + ROUNDING))
            m[GOAL + j] = held + math.copysign(cap, order) if cut else m[GOAL + j]
            m[TILT + j] = 0.0 if cut else m[TILT + j]
            m[GOES + j] = 0.0 if cap <= 0.0 else m[GOES + j]
            m[REASON + j] += NO_VOLUME_LEFT if cut else 0.0
            h[PENDING + j] = order if carries & cut else h[PENDING + j]
            cuts += cut
    return cuts


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
    equity: float = s[AFTER + j] if s[AFTER + j] > 0.0 else s[BASE + j]
    return equity


@compiled_phase
def _execute(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any) -> None:
    carries, compounds, lot = terms.carries, terms.compounds, terms.lot_size
    minimum = terms.minimum_order
    in_lots, solved = lot > 0.0, compounds & (len(hs) == 1)
    lot = lot if in_lots else 1.0
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        for j in range(lanes):
            held, after = h[UNITS + j], s[AFTER + j]
            goes, broke = m[GOES + j] > 0.0, compounds & (after <= 0.0)
            order = m[GOAL + j] + m[TILT + j] * after - held
            order = m[ORDER + j] if solved & (m[ORDER + j] == m[ORDER + j]) else order  # not NaN
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
