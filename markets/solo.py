"""The ledger's fill and mark for accounts of one symbol: the phases' arithmetic in fewer, longer loops.

What is summed over symbols elsewhere is a number here, so nothing of it goes through memory. The bits
are those of the phases (``tests/envs/test_vector.py``).
"""

from __future__ import annotations

from typing import Any

from foretrade.markets import exits, orders, targets
from foretrade.markets.accounts import ALIVE, CASH, EQUITY, PEAK, STATUS, UNITS
from foretrade.markets.arithmetic import ROUNDING, borrowed, idle, is_beyond, keeps_limit, owed, within
from foretrade.markets.arrays import Floats, Index
from foretrade.markets.compiled import choose, compiled_phase, inlined
from foretrade.markets.exchange import WEIGHTS
from foretrade.markets.reasons import IN_BAND, LEVERAGE, MINIMUM_ORDER
from foretrade.markets.trading import (
    BASE,
    BORROW,
    BORROW_RATE,
    FILL,
    FINANCING,
    FINANCING_RATE,
    GOAL,
    GOES,
    GROSS,
    HELD,
    INTEREST,
    INTEREST_RATE,
    INVERSE_FILL,
    MARK,
    NET,
    OUT,
    PRICE_PNL,
    REASON,
    REQUESTED,
    TARGET,
    TILT,
    VALUED,
)


@compiled_phase
def accrue(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any, tells: Any) -> None:
    """Charge and pay what the calendar time of the step costs and earns."""
    h, m, compounds = hs[0], ms[0], terms.compounds
    for j in range(lanes):
        cash = a[CASH + j]
        lent = choose(compounds, cash, 0.0)
        borrow = borrowed(h[UNITS + j], m[VALUED + j]) * m[BORROW_RATE + j]
        financing, interest = owed(lent) * m[FINANCING_RATE + j], idle(lent) * m[INTEREST_RATE + j]
        if tells is not None:
            s[BORROW + j] = borrow
            s[FINANCING + j] = financing
            s[INTEREST + j] = interest
        a[CASH + j] = cash + (interest - borrow - financing)


@inlined
def fill(
    a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any, tells: Any, seldom: Any
) -> None:
    """Go to the fill price, see whether the account still stands, and trade to the target."""
    h, m = hs[0], ms[0]
    lost, odd = _value(a, h, s, m, lanes, terms, tells)
    if lost > 0:
        exits.call_margin(a, hs, s, ms, lanes, terms.maintenance_margin, terms.compounds)
    if (odd == 0) & (terms.sizing == WEIGHTS) & (not terms.carries):
        _aim(a, h, s, m, lanes, terms, tells)
    else:
        targets.limit(a, hs, s, ms, lanes, terms)
        targets.aim(a, hs, s, ms, lanes, terms)
    orders.settle(a, hs, s, ms, lanes, terms, tells, seldom)


@compiled_phase
def _value(
    a: Floats, h: Floats, s: Floats, m: Floats, lanes: Index, terms: Any, tells: Any
) -> tuple[int, int]:
    """Value the account at the fill price; how many fall short of their margin, and how many cannot be
    traded."""
    compounds, notional, lost, odd = terms.compounds, terms.notional, 0, 0
    maintenance = terms.maintenance_margin
    for j in range(lanes):
        price, valued, units = m[FILL + j], m[VALUED + j], h[UNITS + j]
        quoted, stays = price == price, m[OUT + j] == 0.0  # a price of NaN does not equal itself
        price = choose(quoted & stays, price, valued)
        value = units * price
        net, gross = a[CASH + j] + value, abs(value)
        if tells is not None:
            s[PRICE_PNL + j] += units * (price - valued)
        s[NET + j] = net
        s[GROSS + j] = gross
        s[BASE + j] = choose(compounds, net, notional)
        m[VALUED + j] = price
        lost += ((net <= 0.0) | (net < maintenance * gross)) & (a[STATUS + j] == ALIVE)
        odd += stays & (not quoted)
    return lost, odd


@compiled_phase
def _aim(a: Floats, h: Floats, s: Floats, m: Floats, lanes: Index, terms: Any, tells: Any) -> None:
    """Orders to the weights, or to what the limits leave of them."""
    compounds, band, minimum = terms.compounds, terms.no_trade_band, terms.minimum_order
    max_leverage, room = terms.max_leverage, min(terms.max_leverage, terms.max_net)
    for j in range(lanes):
        price, base, asked = m[VALUED + j], s[BASE + j], m[TARGET + j]
        units, inverse = h[UNITS + j], m[INVERSE_FILL + j]
        trades = (a[STATUS + j] == ALIVE) & (m[OUT + j] == 0.0)
        cut, weight = trades & (abs(asked) > room * (1.0 + ROUNDING)), within(asked, room)
        tilt = choose(compounds, weight * inverse, 0.0)
        goal = choose(compounds, 0.0, weight * base * inverse)
        away = goal + tilt * base - units
        gross = abs(units * price)
        keeps = keeps_limit(gross, base, max_leverage)
        off = is_beyond(away, ROUNDING * inverse, base) & trades
        in_band = off & (not is_beyond(away, choose(keeps, band, 0.0) * inverse, base))
        small = off & (not in_band) & (abs(away) * price < minimum) & keeps
        m[TILT + j] = tilt
        m[GOAL + j] = goal
        m[GOES + j] = choose(off & (not in_band) & (not small), 1.0, 0.0)
        s[HELD + j] = gross
        if tells is not None:
            m[REQUESTED + j] = asked
            reason = choose(in_band, IN_BAND, 0.0) + choose(small, MINIMUM_ORDER, 0.0)
            m[REASON + j] += reason + choose(cut, LEVERAGE, 0.0)


@inlined
def mark(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any, tells: Any) -> None:
    """Value everything at the close, and check the margin."""
    if _close(a, hs[0], s, ms[0], lanes, terms.maintenance_margin, tells) > 0:
        exits.call_margin_at_close(a, hs, s, ms, lanes, terms)


@compiled_phase
def _close(
    a: Floats, h: Floats, s: Floats, m: Floats, lanes: Index, maintenance: float, tells: Any
) -> int:
    """Value the account at the close; how many have fallen short of their margin, or had before."""
    short = 0
    for j in range(lanes):
        price, units = m[MARK + j], h[UNITS + j]
        value = units * price
        net, gross = a[CASH + j] + value, abs(value)
        if tells is not None:
            s[PRICE_PNL + j] += units * (price - m[VALUED + j])
        m[VALUED + j] = price
        s[NET + j] = net
        s[GROSS + j] = gross
        a[EQUITY + j] = net
        peak = a[PEAK + j]
        a[PEAK + j] = choose(net > peak, net, peak)
        short += (net <= 0.0) | (net < maintenance * gross) | (a[STATUS + j] != ALIVE)
    return short
