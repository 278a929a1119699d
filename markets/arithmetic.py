"""What moves money, as functions of numbers: one source for the ledger's phases and the sweep's loop.

They hold no branch that is more than a choice between two values, so that the compiler computes several
accounts with each instruction. A division takes as long as several other operations; so there are few,
and prices are multiplied by their inverse.
"""

from __future__ import annotations

from foretrade.markets.compiled import inlined, turn

ROUNDING = 1e-9  # a weight this close to its target is on it; what is left is float noise


@inlined
def borrowed(units: float, price: float) -> float:
    """Market value of a short position; 0 of a long one."""
    short = units * -price  # the sign of a price that many share is turned once
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
def yielded(cash: float, financing: float, interest: float) -> float:
    """What cash earns in a step: as :func:`idle` at one rate, or as :func:`owed` at the other."""
    return cash * (financing if cash < 0.0 else interest)


@inlined
def room_share(
    gross: float, net: float, frozen: float, frozen_net: float, max_leverage: float, max_net: float
) -> float:
    """The largest part of target weights that fits beside positions that stay as they are."""
    room = max_leverage - frozen
    share = room / gross if gross + frozen > max_leverage * (1.0 + ROUNDING) else 1.0
    total = frozen_net + net
    edge = max_net if total > 0.0 else -max_net
    along = net if total > 0.0 else -net  # not positive: the targets bring the net inwards
    outwards = (along > ROUNDING * gross) & (abs(total) > max_net * (1.0 + ROUNDING))
    by_net = (edge - frozen_net) / net if outwards else 1.0
    share = share if share < by_net else by_net
    return share if share > 0.0 else 0.0


@inlined
def within(weight: float, room: float) -> float:
    """The weight, or the largest on its side that there is room for."""
    weight = weight if weight < room else room
    return weight if weight > -room else -room


@inlined
def keeps_limit(gross: float, base: float, max_leverage: float) -> bool:
    """Whether positions of ``gross`` market value keep to the leverage limit."""
    keeps: bool = gross <= (max_leverage + ROUNDING) * base
    return keeps


@inlined
def is_beyond(away: float, part: float, base: float) -> bool:
    """Whether a position is more units ``away`` from its target than ``part`` units for each unit of
    equity."""
    beyond: bool = abs(away) > part * base
    return beyond


@inlined
def slope_of(order: float, tilt: float, unit_cost: float) -> float:
    """Units less to trade for each unit traded: its cost lowers the equity that the weight is held of.

    An order of ``order + tilt (e − base)`` units, where ``e`` is the equity that it leaves, keeps its
    side while ``e`` falls from ``base``; so ``e + unit_cost |…| = base`` is linear, and solved by
    ``order / slope`` units. No equity can pay for the order if the slope is not positive.
    """
    slope: float = 1.0 + unit_cost * turn(tilt, order)
    return slope


@inlined
def cost_rate(fee: float, half_spread: float) -> float:
    """What an order at proportional costs pays of its notional."""
    return fee + half_spread


@inlined
def cash_after(cash: float, bought: float, paid: float) -> float:
    """Cash after an order of ``bought`` notional (sold, if negative) that costs ``paid``."""
    return cash - (bought + paid)
