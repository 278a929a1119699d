"""One trade of one account, and the workspace in which a block of accounts takes a step."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from foretrade.markets.accounts import CASH, ENTRY, HELD_BARS, LANES, PENDING, UNITS, offsets
from foretrade.markets.arithmetic import cash_after, cost_rate
from foretrade.markets.arrays import Floats, Index, aligned
from foretrade.markets.compiled import choose, compiled_part, inlined
from foretrade.markets.exchange import PRICE_FIELDS

FLOWS = (
    "fill_equity", "price_pnl", "dividend", "fee", "spread", "impact",
    "borrow", "financing", "interest", "traded",
)  # fmt: skip
WORK_FIELDS = (
    *FLOWS, "reward",
    "before", "base", "after", "limit", "band", "cost", "slope", "gross", "net", "frozen", "frozen_net",
    "held", "share", "fixed", "crowded", "inverse_base", "seen_drawdown",
    "seen_cash",
)  # fmt: skip
QUOTE_FIELDS = (
    "requested", "achieved", "reason", "target", "stop_loss", "take_profit",
    *PRICE_FIELDS, "high", "low", "out",
    "weight", "goal", "tilt", "goes", "kept", "order", "exit", "profit", "inverse",
    "fee_rate", "half_spread", "borrow_rate", "financing_rate", "interest_rate",
    "fee_per_unit", "minimum_fee", "impact_rate", "quadratic",
    "seen_weight", "seen_unrealised", "seen_held", "seen_pending",
)  # fmt: skip

(
    FILL_EQUITY, PRICE_PNL, DIVIDEND, FEE, SPREAD, IMPACT, BORROW, FINANCING, INTEREST, TRADED, REWARD,
    BEFORE, BASE, AFTER, LIMIT, BAND, COST, SLOPE, GROSS, NET, FROZEN, FROZEN_NET,
    HELD, SHARE, FIXED, CROWDED, INVERSE_BASE, SEEN_DRAWDOWN, SEEN_CASH,
) = offsets(len(WORK_FIELDS))  # fmt: skip
(
    REQUESTED, ACHIEVED, REASON, TARGET, STOP_LOSS, TAKE_PROFIT,
    MARK, FILL, VALUED, YEARS, OPEN, INVERSE_FILL, INVERSE_VOLUME, VOLUME_CAP, HIGH, LOW, OUT,
    WEIGHT, GOAL, TILT, GOES, KEPT, ORDER, EXIT, PROFIT, INVERSE,
    FEE_RATE, HALF_SPREAD, BORROW_RATE, FINANCING_RATE, INTEREST_RATE,
    FEE_PER_UNIT, MINIMUM_FEE, IMPACT_RATE, QUADRATIC,
    SEEN_WEIGHT, SEEN_UNREALISED, SEEN_HELD, SEEN_PENDING,
) = offsets(len(QUOTE_FIELDS))  # fmt: skip


class Workspace(NamedTuple):
    """Memory for one step of one block; whoever steps blocks at the same time needs one each.

    Args:
        account: ``[WORK_FIELDS × LANES]``.
        quotes: ``[symbols, QUOTE_FIELDS × LANES]``.
    """

    account: Floats
    quotes: Floats

    def view(self, name: str) -> Floats:
        """A field of every lane, to read and write: ``[lanes]``, or of a quote ``[symbols, lanes]``."""
        if name in WORK_FIELDS:
            lanes: Floats = self.account.reshape(-1, LANES)[WORK_FIELDS.index(name)]
            return lanes
        by_symbol: Floats = self.quotes.reshape(len(self.quotes), -1, LANES)
        return by_symbol[:, QUOTE_FIELDS.index(name)]


def new_workspace(symbols: int) -> Workspace:
    """An empty workspace."""
    account = aligned(len(WORK_FIELDS) * LANES, page_offset=512)
    return Workspace(account, aligned(symbols, len(QUOTE_FIELDS) * LANES, page_offset=768))


@inlined
def revalue(s: Floats, h: Floats, m: Floats, j: Index, price: float) -> None:
    """Take the position of a symbol to another price."""
    s[PRICE_PNL + j] += h[UNITS + j] * (price - m[VALUED + j])
    m[VALUED + j] = price


@inlined
def trade(
    a: Floats, h: Floats, s: Floats, m: Floats, j: Index, order: float, proportional: bool, tells: Any
) -> None:
    """Buy ``order`` units (sell, if negative) at the price at which the symbol is valued, and pay."""
    price, size, held = m[VALUED + j], abs(order), h[UNITS + j]
    notional = size * price
    by_rate = notional * m[FEE_RATE + j]
    paid = notional * cost_rate(m[FEE_RATE + j], m[HALF_SPREAD + j])
    fee = by_rate
    if not proportional:
        least = choose(size > 0.0, m[MINIMUM_FEE + j], 0.0)
        fee += size * m[FEE_PER_UNIT + j]
        fee = choose(fee > least, fee, least)
        participation = min(size * m[INVERSE_VOLUME + j], 1.0)
        impact = notional * m[IMPACT_RATE + j] * math.sqrt(participation)
        impact += 0.5 * m[QUADRATIC + j] * size * size
        paid += fee - by_rate + impact
        if tells is not None:
            s[IMPACT + j] += impact
    if tells is not None:
        s[FEE + j] += fee
        s[SPREAD + j] += notional * m[HALF_SPREAD + j]
        s[TRADED + j] += notional
    a[CASH + j] = cash_after(a[CASH + j], order * price, paid)
    units, entry = held + order, h[ENTRY + j]
    averaged = (entry * held + price * order) / units
    entry = choose(abs(units) > abs(held), averaged, entry)
    entry = choose(held * units <= 0.0, price, entry)  # opened, or turned
    h[ENTRY + j] = choose(units != 0.0, entry, 0.0)
    h[UNITS + j] = units
    h[HELD_BARS + j] *= choose(order != 0.0, 0.0, 1.0)


@compiled_part
def close_out(a: Floats, h: Floats, s: Floats, m: Floats, j: Index, reason: float) -> None:
    """Sell what a lane holds of a symbol at the price at which it is valued, and drop its orders."""
    if h[UNITS + j] != 0.0:
        m[REASON + j] += reason
        trade(a, h, s, m, j, -h[UNITS + j], False, True)
    h[PENDING + j] = 0.0
    m[OUT + j] = 1.0
