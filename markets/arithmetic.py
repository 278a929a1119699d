"""What moves money, as functions of numbers: one source for the ledger's phases and the sweep's loop.

They hold no branch that is more than a choice between two values, so that the compiler computes several
accounts with each instruction. A division takes as long as several other operations; so prices are
multiplied by their inverse, and limits of weights are tested in money.
"""

from __future__ import annotations

from foretrade.markets.compiled import inlined

ROUNDING = 1e-9  # a weight this close to its target is on it; what is left is float noise


@inlined
def borrowed(units: float, price: float) -> float:
    """Market value of a short position; 0 of a long one."""
    short = -units * price
    return short if short > 0.0 else 0.0


@inlined
def owed(cash: float) -> float:
    """What negative cash owes."""
    return -cash if cash < 0.0 else 0.0


@inlined
def idle(cash: float) -> float:
    """Positive cash."""
    return cash if cash > 0.0 else 0.0


@inlined
def room_share(
    gross: float, net: float, frozen: float, frozen_net: float, max_leverage: float, max_net: float
) -> float:
    """The largest part of target weights that fits beside positions that stay as they are."""
    room = max_leverage - frozen
    share = room / gross if gross > room else 1.0
    total = frozen_net + net
    edge = max_net if total > 0.0 else -max_net
    outwards = (abs(total) > max_net) & (net * total > 0.0)  # else the targets bring the net inwards
    by_net = (edge - frozen_net) / net if outwards else 1.0
    share = share if share < by_net else by_net
    share = 1.0 if share > 1.0 - ROUNDING else share
    return share if share > 0.0 else 0.0


@inlined
def keeps_limit(gross: float, base: float, max_leverage: float) -> bool:
    """Whether positions of ``gross`` market value keep to the leverage limit."""
    keeps: bool = gross <= (max_leverage + ROUNDING) * base
    return keeps


@inlined
def is_off(away: float, base: float) -> bool:
    """Whether a position is ``away`` from its target by more than rounding, in money."""
    off: bool = abs(away) > ROUNDING * base
    return off


@inlined
def equity_after(order: float, tilt: float, base: float, unit_cost: float) -> float:
    """Equity ``e`` that an order of ``order + tilt (e − base)`` units leaves, at a cost of each unit.

    The order keeps its side while ``e`` falls from ``base``, so ``e + unit_cost |…| = base`` is linear.
    Not positive if no equity can pay for the order.
    """
    slope = 1.0 + unit_cost * (tilt if order >= 0.0 else -tilt)
    after = base - abs(order) * unit_cost / slope
    return after if slope > 0.0 else -1.0


@inlined
def cash_after(cash: float, order: float, price: float, paid: float) -> float:
    """Cash after an order that costs ``paid``."""
    return cash - (order * price + paid)
