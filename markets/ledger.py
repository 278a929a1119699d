"""The ledger: one accounting kernel for training, backtest and live.

An account is ``cash`` and ``units`` per symbol. One step runs from the close at which a decision
was taken to the next close, in this order:

1. *accrue*: borrow on shorts, financing on negative cash and interest on positive cash, for the
   calendar time of the step, on what was carried out of the decision's close;
2. *fill* (before 1, if it happens at the decision's own close): trade to the target weights at the
   fill price. A weight is a fraction of the equity that is left **after** the
   costs of that trade, so a weight of 1 is reachable;
3. *mark*: value everything at the new close.

Identity at every step: Δequity = price P&L − fee − spread − borrow − financing + interest.
If equity is not positive at the fill or at the mark, all is sold there at cost: the account is
ruined, for good.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from foretrade.markets.arrays import Floats
from foretrade.markets.costs import BPS, Costs

SECONDS_PER_YEAR = 365 * 24 * 3600.0

ACCOUNT = ("cash", "equity", "peak")
FLOWS = (
    "requested", "achieved", "fill_equity",
    "price_pnl", "fee", "spread", "borrow", "financing", "interest", "traded",
)  # fmt: skip
CASH, EQUITY, PEAK = range(len(ACCOUNT))
(
    REQUESTED, ACHIEVED, FILL_EQUITY,
    PRICE_PNL, FEE, SPREAD, BORROW, FINANCING, INTEREST, TRADED,
) = range(len(FLOWS))  # fmt: skip

ALIVE, RUINED = 0, 1
ROUNDING = 1e-9  # a weight this close to its target is on it; what is left is float noise


class Terms(NamedTuple):
    """Costs as fractions, and limits: the constants of the kernel.

    ``max_leverage`` bounds the sum of absolute weights at the fill; a target that differs from
    the current weight by no more than ``no_trade_band`` is not traded, unless the limit is exceeded.
    """

    fee: float
    half_spread: float
    borrow: float
    financing: float
    interest: float
    max_leverage: float
    no_trade_band: float


def terms(costs: Costs, *, max_leverage: float = 1.0, no_trade_band: float = 0.0) -> Terms:
    """Kernel constants of a cost model.

    Raises:
        ValueError: A limit is impossible, or costs and leverage together leave no equity.
    """
    if not (np.isfinite(max_leverage) and max_leverage > 0):
        raise ValueError(f"max_leverage must be positive, got {max_leverage}")
    if not (np.isfinite(no_trade_band) and no_trade_band >= 0):
        raise ValueError(f"no_trade_band must not be negative, got {no_trade_band}")
    if costs.trade_rate * max_leverage >= 1:
        raise ValueError("fee and half-spread times max_leverage must stay below 1")
    return Terms(
        costs.fee_bps * BPS,
        costs.half_spread_bps * BPS,
        costs.borrow_bps_per_year * BPS,
        costs.financing_bps_per_year * BPS,
        costs.interest_bps_per_year * BPS,
        max_leverage,
        no_trade_band,
    )


@njit(cache=True, error_model="numpy")
def step(
    account: Floats,
    units: Floats,
    entry: Floats,
    flows: Floats,
    targets: Floats,
    last_close: Floats,
    fill: Floats,
    close: Floats,
    years: float,
    terms: Terms,
    fills_first: bool = False,
) -> int:
    """Advance one account by one bar, in place; ``ALIVE`` or ``RUINED``.

    Args:
        account: ``[len(ACCOUNT)]``; ``peak`` is the highest equity at a mark.
        units, entry: Held, and their average price paid, ``[symbols]``.
        flows: ``[len(FLOWS)]``, overwritten with this step's amounts in quote currency;
            ``requested`` and ``achieved`` are gross weights at the fill, signed for one symbol.
        targets: Target weights, ``[symbols]``.
        last_close, fill, close: Prices, ``[symbols]``; a symbol whose fill price is NaN is not
            traded, and must carry its last price as ``close``.
        years: Calendar time from the last close to this one.
        fills_first: The fill happens at the last close itself (an idealisation): what accrues
            over the step is then charged on what the fill has left.
    """
    flows[:] = 0.0
    if not fills_first:
        _accrue(account, units, flows, last_close, years, terms)
    equity = account[CASH]
    for i in range(units.size):
        price = fill[i] if np.isfinite(fill[i]) else last_close[i]
        equity += units[i] * price
        flows[PRICE_PNL] += units[i] * (price - last_close[i])
    if equity <= 0.0:
        _liquidate(account, units, entry, flows, fill, last_close, terms)
        return RUINED
    _rebalance(account, units, entry, flows, targets, fill, last_close, equity, terms)
    if fills_first:
        _accrue(account, units, flows, last_close, years, terms)
    equity = account[CASH]
    for i in range(units.size):
        price = fill[i] if np.isfinite(fill[i]) else last_close[i]
        equity += units[i] * close[i]
        flows[PRICE_PNL] += units[i] * (close[i] - price)
    account[EQUITY] = equity
    account[PEAK] = max(account[PEAK], equity)
    if equity <= 0.0:
        _liquidate(account, units, entry, flows, close, close, terms)
        return RUINED
    return ALIVE


@njit(cache=True, error_model="numpy")
def _accrue(
    account: Floats, units: Floats, flows: Floats, last_close: Floats, years: float, terms: Terms
) -> None:
    short_value = 0.0
    for i in range(units.size):
        short_value += max(-units[i] * last_close[i], 0.0)
    flows[BORROW] = short_value * terms.borrow * years
    flows[FINANCING] = max(-account[CASH], 0.0) * terms.financing * years
    flows[INTEREST] = max(account[CASH], 0.0) * terms.interest * years
    account[CASH] += flows[INTEREST] - flows[BORROW] - flows[FINANCING]


@njit(cache=True, error_model="numpy")
def _rebalance(
    account: Floats,
    units: Floats,
    entry: Floats,
    flows: Floats,
    targets: Floats,
    fill: Floats,
    last_close: Floats,
    equity: float,
    terms: Terms,
) -> None:
    gross = 0.0
    for i in range(units.size):
        gross += abs(targets[i])
    shrink = min(1.0, terms.max_leverage / gross) if gross > 0.0 else 1.0
    band = terms.no_trade_band if _gross(units, fill, last_close) <= terms.max_leverage * equity else 0.0
    after = _equity_after_costs(units, targets, fill, equity, shrink, band, terms)
    for i in range(units.size):
        flows[REQUESTED] += targets[i] if units.size == 1 else abs(targets[i])
        target = targets[i] * shrink
        if _is_traded(units[i] * fill[i], target, equity, band):
            _trade(account, units, entry, flows, i, target * after / fill[i] - units[i], fill[i], terms)
    flows[FILL_EQUITY] = account[CASH]
    held = 0.0
    for i in range(units.size):
        price = fill[i] if np.isfinite(fill[i]) else last_close[i]
        flows[FILL_EQUITY] += units[i] * price
        held += units[i] * price if units.size == 1 else abs(units[i] * price)
    flows[ACHIEVED] = held / flows[FILL_EQUITY]


@njit(cache=True, error_model="numpy")
def _gross(units: Floats, fill: Floats, last_close: Floats) -> float:
    """Absolute value of all positions at the fill."""
    gross = 0.0
    for i in range(units.size):
        gross += abs(units[i] * (fill[i] if np.isfinite(fill[i]) else last_close[i]))
    return gross


@njit(cache=True, error_model="numpy")
def _is_traded(value: float, target: float, equity: float, band: float) -> bool:
    """Whether there is a price (``value`` is finite) and the target leaves the band."""
    return np.isfinite(value) and abs(target - value / equity) > max(band, ROUNDING)


@njit(cache=True, error_model="numpy")
def _equity_after_costs(
    units: Floats,
    targets: Floats,
    fill: Floats,
    equity: float,
    shrink: float,
    band: float,
    terms: Terms,
) -> float:
    """Solve ``e = equity − c Σ |w_i e − v_i|`` for the equity ``e`` left after the trade.

    ``e + c Σ |w_i e − v_i|`` is increasing and piecewise linear in ``e`` because
    ``c Σ |w_i| < 1``. Starting from ``equity``, Newton's iterates fall onto the root from above,
    and each but the last passes a kink, of which there is one a symbol.
    """
    rate = terms.fee + terms.half_spread
    after = equity
    for _ in range(units.size + 2):
        offset, slope = 0.0, 1.0
        for i in range(units.size):
            value, target = units[i] * fill[i], targets[i] * shrink
            if _is_traded(value, target, equity, band):
                side = 1.0 if target * after >= value else -1.0
                offset += side * value
                slope += rate * side * target
        solved = (equity + rate * offset) / slope
        if solved == after:
            break
        after = solved
    return after


@njit(cache=True, error_model="numpy")
def _trade(
    account: Floats,
    units: Floats,
    entry: Floats,
    flows: Floats,
    i: int,
    order: float,
    price: float,
    terms: Terms,
) -> None:
    notional = abs(order * price)
    flows[TRADED] += notional
    flows[FEE] += notional * terms.fee
    flows[SPREAD] += notional * terms.half_spread
    account[CASH] -= order * price + notional * (terms.fee + terms.half_spread)
    after = units[i] + order
    if units[i] * after <= 0.0:  # opened, closed or turned
        entry[i] = price if after != 0.0 else 0.0
    elif abs(after) > abs(units[i]):
        entry[i] = (entry[i] * units[i] + price * order) / after
    units[i] = after


@njit(cache=True, error_model="numpy")
def _liquidate(
    account: Floats,
    units: Floats,
    entry: Floats,
    flows: Floats,
    price: Floats,
    otherwise: Floats,
    terms: Terms,
) -> None:
    for i in range(units.size):
        at = price[i] if np.isfinite(price[i]) else otherwise[i]
        if units[i] != 0.0:
            _trade(account, units, entry, flows, i, -units[i], at, terms)
    account[EQUITY] = account[CASH]
    flows[FILL_EQUITY] = account[CASH]
    flows[ACHIEVED] = 0.0
