"""One trade of one account, and the workspace in which a block of accounts takes a step."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from foretrade.markets.accounts import (
    CASH,
    ENTRY,
    FEE,
    HELD_BARS,
    IMPACT,
    LANES,
    PRICE_PNL,
    SPREAD,
    TRADED,
    UNITS,
)  # fmt: skip  # isort: skip
from foretrade.markets.arrays import Floats, Index
from foretrade.markets.compiled import inlined

WORK_FIELDS = (
    "before", "base", "after", "limit", "band", "cost", "slope", "gross", "net", "frozen", "frozen_net",
    "seen_drawdown", "seen_cash",
)  # fmt: skip
QUOTE_FIELDS = (
    "valued", "mark", "fill", "open", "high", "low", "inverse_volume", "volume", "delisted", "out",
    "weight", "goal", "tilt", "goes", "wanted", "exit",
    "fee_rate", "half_spread", "borrow_rate", "financing_rate", "interest_rate",
    "fee_per_unit", "minimum_fee", "impact_rate", "quadratic",
    "seen_weight", "seen_unrealised", "seen_held", "seen_pending",
)  # fmt: skip

(
    BEFORE, BASE, AFTER, LIMIT, BAND, COST, SLOPE, GROSS, NET, FROZEN, FROZEN_NET,
    SEEN_DRAWDOWN, SEEN_CASH,
) = (np.uint64(k * LANES) for k in range(len(WORK_FIELDS)))  # fmt: skip
(
    VALUED, MARK, FILL, OPEN, HIGH, LOW, INVERSE_VOLUME, VOLUME, DELISTED, OUT,
    WEIGHT, GOAL, TILT, GOES, WANTED, EXIT,
    FEE_RATE, HALF_SPREAD, BORROW_RATE, FINANCING_RATE, INTEREST_RATE,
    FEE_PER_UNIT, MINIMUM_FEE, IMPACT_RATE, QUADRATIC,
    SEEN_WEIGHT, SEEN_UNREALISED, SEEN_HELD, SEEN_PENDING,
) = (np.uint64(k * LANES) for k in range(len(QUOTE_FIELDS)))  # fmt: skip
NO_VOLUME = 1e300  # inverse of the volume of a bar without any: finite, so that nothing of it is nothing


class Workspace(NamedTuple):
    """Memory for one step of one block; whoever steps blocks at the same time needs one each.

    Args:
        account: ``[WORK_FIELDS × LANES]``.
        quotes: ``[symbols, QUOTE_FIELDS × LANES]``.
    """

    account: Floats
    quotes: Floats


def new_workspace(symbols: int) -> Workspace:
    """An empty workspace."""
    return Workspace(np.zeros(len(WORK_FIELDS) * LANES), np.zeros((symbols, len(QUOTE_FIELDS) * LANES)))


@inlined
def revalue(a: Floats, h: Floats, m: Floats, j: Index, price: float) -> None:
    """Take the position of a symbol to another price."""
    a[PRICE_PNL + j] += h[UNITS + j] * (price - m[VALUED + j])
    m[VALUED + j] = price


@inlined
def trade(a: Floats, h: Floats, m: Floats, j: Index, order: float) -> None:
    """Buy ``order`` units (sell, if negative) at the price at which the symbol is valued, and pay."""
    price, size, held = m[VALUED + j], abs(order), h[UNITS + j]
    notional = size * price
    least = m[MINIMUM_FEE + j] if size > 0.0 else 0.0
    fee = notional * m[FEE_RATE + j] + size * m[FEE_PER_UNIT + j]
    fee = fee if fee > least else least
    spread = notional * m[HALF_SPREAD + j]
    participation = min(size * m[INVERSE_VOLUME + j], 1.0)
    impact = notional * m[IMPACT_RATE + j] * math.sqrt(participation)
    impact += 0.5 * m[QUADRATIC + j] * size * size
    a[FEE + j] += fee
    a[SPREAD + j] += spread
    a[IMPACT + j] += impact
    a[TRADED + j] += notional
    a[CASH + j] -= order * price + (fee + spread + impact)
    units, entry = held + order, h[ENTRY + j]
    averaged = (entry * held + price * order) / units
    entry = averaged if abs(units) > abs(held) else entry
    entry = price if held * units <= 0.0 else entry  # opened, or turned
    h[ENTRY + j] = entry if units != 0.0 else 0.0
    h[UNITS + j] = units
    h[HELD_BARS + j] = 0.0 if order != 0.0 else h[HELD_BARS + j]
