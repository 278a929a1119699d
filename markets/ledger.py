"""The ledger: one accounting kernel for training, backtest and live.

An account is ``cash`` and ``units`` per symbol, a row in the arrays of a :class:`Book`. One step runs
from the close at which a decision was taken to the next close, in this order:

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

from foretrade.markets.arrays import Floats
from foretrade.markets.compiled import inlined
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


class Book(NamedTuple):
    """The books of ``n`` accounts; the kernel writes to them.

    Args:
        account: ``[n, len(ACCOUNT)]``; ``peak`` is the highest equity at a mark.
        units, entry: Held, and their average price paid, ``[n, symbols]``.
        flows: Amounts of the last step in quote currency, ``[n, len(FLOWS)]``; ``requested`` and
            ``achieved`` are gross weights at the fill, signed if there is one symbol.
        targets: Target weights of the next step, ``[n, symbols]``.
    """

    account: Floats
    units: Floats
    entry: Floats
    flows: Floats
    targets: Floats


class Prices(NamedTuple):
    """The prices that all accounts share.

    Args:
        mark: Close of each bar, or the last one of a symbol without a bar, ``[bars, symbols]``.
        fill: Price at which the step to a bar trades; NaN where a symbol cannot be traded.
        years: Calendar time since the close before, ``[bars]``.
        fills_first: The fill happens at the close before itself (an idealisation): what accrues
            over the step is then charged on what the fill has left.
    """

    mark: Floats
    fill: Floats
    years: Floats
    fills_first: bool


def new_book(accounts: int, symbols: int) -> Book:
    """Books without money."""
    return Book(
        np.zeros((accounts, len(ACCOUNT))),
        np.zeros((accounts, symbols)),
        np.zeros((accounts, symbols)),
        np.zeros((accounts, len(FLOWS))),
        np.zeros((accounts, symbols)),
    )


@inlined
def deposit(book: Book, n: int, cash: float) -> None:
    """Empty account ``n`` and put ``cash`` into it."""
    for k in range(book.account.shape[1]):
        book.account[n, k] = cash
    for i in range(book.units.shape[1]):
        book.units[n, i] = 0.0
        book.entry[n, i] = 0.0
    for k in range(book.flows.shape[1]):
        book.flows[n, k] = 0.0


@inlined
def step(book: Book, n: int, prices: Prices, row: int, terms: Terms) -> int:
    """Take account ``n`` from the close of bar ``row - 1`` to that of bar ``row``.

    Returns:
        ``ALIVE`` or ``RUINED``.
    """
    for k in range(book.flows.shape[1]):
        book.flows[n, k] = 0.0
    if not prices.fills_first:
        _accrue(book, n, prices, row, terms)
    equity = _go_to_fill(book, n, prices, row)
    if equity <= 0.0:
        _liquidate(book, n, prices, row, True, terms)
        return RUINED
    _rebalance(book, n, prices, row, equity, terms)
    if prices.fills_first:
        _accrue(book, n, prices, row, terms)
    equity = _go_to_mark(book, n, prices, row)
    book.account[n, EQUITY] = equity
    book.account[n, PEAK] = max(book.account[n, PEAK], equity)
    if equity <= 0.0:
        _liquidate(book, n, prices, row, False, terms)
        return RUINED
    return ALIVE


@inlined
def _accrue(book: Book, n: int, prices: Prices, row: int, terms: Terms) -> None:
    short_value = 0.0
    for i in range(book.units.shape[1]):
        short_value += max(-book.units[n, i] * prices.mark[row - 1, i], 0.0)
    cash, years = book.account[n, CASH], prices.years[row]
    borrow = short_value * terms.borrow * years
    financing = max(-cash, 0.0) * terms.financing * years
    interest = max(cash, 0.0) * terms.interest * years
    book.flows[n, BORROW] = borrow
    book.flows[n, FINANCING] = financing
    book.flows[n, INTEREST] = interest
    book.account[n, CASH] = cash + (interest - borrow - financing)


@inlined
def _fill_price(prices: Prices, row: int, i: int) -> float:
    """Price of a symbol at the fill: the last mark, if it cannot be traded."""
    price: float = prices.fill[row, i]
    last: float = prices.mark[row - 1, i]
    return price if np.isfinite(price) else last


@inlined
def _go_to_fill(book: Book, n: int, prices: Prices, row: int) -> float:
    """Equity at the fill prices, before anything is traded."""
    equity: float = book.account[n, CASH]
    gained = 0.0
    for i in range(book.units.shape[1]):
        price = _fill_price(prices, row, i)
        equity += book.units[n, i] * price
        gained += book.units[n, i] * (price - prices.mark[row - 1, i])
    book.flows[n, PRICE_PNL] = gained
    return equity


@inlined
def _go_to_mark(book: Book, n: int, prices: Prices, row: int) -> float:
    """Equity at the new close."""
    equity: float = book.account[n, CASH]
    gained = 0.0
    for i in range(book.units.shape[1]):
        equity += book.units[n, i] * prices.mark[row, i]
        gained += book.units[n, i] * (prices.mark[row, i] - _fill_price(prices, row, i))
    book.flows[n, PRICE_PNL] += gained
    return equity


@inlined
def _rebalance(book: Book, n: int, prices: Prices, row: int, equity: float, terms: Terms) -> None:
    symbols = book.units.shape[1]
    asked, held = 0.0, 0.0
    for i in range(symbols):
        asked += abs(book.targets[n, i])
        held += abs(book.units[n, i] * _fill_price(prices, row, i))
    shrink = min(1.0, terms.max_leverage / asked) if asked > 0.0 else 1.0
    band = terms.no_trade_band if held <= terms.max_leverage * equity else 0.0
    after = _equity_after_costs(book, n, prices, row, equity, shrink, band, terms)
    for i in range(symbols):
        price, target = prices.fill[row, i], book.targets[n, i] * shrink
        if _is_traded(book.units[n, i] * price, target, equity, band):
            _trade(book, n, i, target * after / price - book.units[n, i], price, terms)
    equity, held = book.account[n, CASH], 0.0
    for i in range(symbols):
        value = book.units[n, i] * _fill_price(prices, row, i)
        equity += value
        held += value if symbols == 1 else abs(value)
    book.flows[n, REQUESTED] = book.targets[n, 0] if symbols == 1 else asked
    book.flows[n, ACHIEVED] = held / equity
    book.flows[n, FILL_EQUITY] = equity


@inlined
def _is_traded(value: float, target: float, equity: float, band: float) -> bool:
    """Whether there is a price (``value`` is finite) and the target leaves the band."""
    return np.isfinite(value) and abs(target - value / equity) > max(band, ROUNDING)


@inlined
def _equity_after_costs(
    book: Book,
    n: int,
    prices: Prices,
    row: int,
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
    for _ in range(book.units.shape[1] + 2):
        offset, slope = 0.0, 1.0
        for i in range(book.units.shape[1]):
            value, target = book.units[n, i] * prices.fill[row, i], book.targets[n, i] * shrink
            if _is_traded(value, target, equity, band):
                side = 1.0 if target * after >= value else -1.0
                offset += side * value
                slope += rate * side * target
        solved = (equity + rate * offset) / slope
        if solved == after:
            break
        after = solved
    return after


@inlined
def _trade(book: Book, n: int, i: int, order: float, price: float, terms: Terms) -> None:
    notional, before = abs(order * price), book.units[n, i]
    fee, spread = notional * terms.fee, notional * terms.half_spread
    book.flows[n, TRADED] += notional
    book.flows[n, FEE] += fee
    book.flows[n, SPREAD] += spread
    book.account[n, CASH] -= order * price + (fee + spread)
    after = before + order
    if before * after <= 0.0:  # opened, closed or turned
        book.entry[n, i] = price if after != 0.0 else 0.0
    elif abs(after) > abs(before):
        book.entry[n, i] = (book.entry[n, i] * before + price * order) / after
    book.units[n, i] = after


@inlined
def _liquidate(book: Book, n: int, prices: Prices, row: int, at_fill: bool, terms: Terms) -> None:
    for i in range(book.units.shape[1]):
        price = _fill_price(prices, row, i) if at_fill else prices.mark[row, i]
        if book.units[n, i] != 0.0:
            _trade(book, n, i, -book.units[n, i], price, terms)
    book.account[n, EQUITY] = book.account[n, CASH]
    book.flows[n, FILL_EQUITY] = book.account[n, CASH]
    book.flows[n, ACHIEVED] = 0.0
