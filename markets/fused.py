"""The ledger's step for what sweeps ask for most: one symbol, weights, proportional costs.

All strategies stand at the same bar, so prices and rates are numbers, and three loops over the lanes
take the place of the ledger's phases. The arithmetic is that of ``arithmetic.py`` in the ledger's order,
so the bits are the ledger's. More loops would move more memory; in a single one the chain of operations
that wait for each other is too long for the processor to work on several lanes at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foretrade.markets.accounts import ALIVE, LANES, RUINED, offsets
from foretrade.markets.arithmetic import (
    borrowed,
    cash_after,
    equity_after,
    idle,
    is_off,
    keeps_limit,
    owed,
    room_share,
)
from foretrade.markets.arrays import Floats, Index
from foretrade.markets.compiled import compiled, inlined
from foretrade.markets.exchange import AT_FILL, AT_MARK, AT_YEARS, SAME_CLOSE, WEIGHTS, Exchange
from foretrade.markets.orders import REASONS
from foretrade.markets.tally import (
    COUNTS,
    OVER,
    Record,
    clear_tally,
    close_tally,
    hand_over,
    tally_drawdown,
    tally_flows,
    tally_return,
)

BOOKS = ("cash", "units", "cost_scale", "order", "carry", "lost")
CASH, UNITS, COST_SCALE, ORDER, CARRY, LOST = offsets(len(BOOKS))
LEVERAGE, BAND, COSTS, RUIN = (
    COUNTS + np.uint64(REASONS.index(name) * LANES) for name in ("leverage", "band", "costs", "ruin")
)


class Bar(NamedTuple):
    """What all strategies share in a step: prices, rates of the step, and limits."""

    valued: float
    fill: float
    inverse_fill: float
    mark: float
    fee: float
    half_spread: float
    borrow: float
    financing: float
    interest: float
    max_leverage: float
    max_net: float
    no_trade_band: float


def can_fuse(exchange: Exchange, rows: range) -> bool:
    """Whether :func:`replay_fused` does all that the steps from these rows ask for."""
    terms, fills = exchange.terms[0], exchange.prices[rows.start + 1 : rows.stop + 1, :, AT_FILL]
    limited = terms["lot_size"] or terms["minimum_order"] or np.isfinite(terms["max_participation"])
    phases = ("inside_margin", "has_exits", "has_actions", "has_delistings")
    return bool(
        fills.shape[1] == 1
        and np.isfinite(fills).all()
        and terms["sizing"] == WEIGHTS
        and terms["proportional"]
        and terms["compounds"]
        and not limited
        and not terms["maintenance_margin"]
        and not any(terms[phase] for phase in phases)
    )


@compiled
def replay_fused(
    targets: Floats,
    cost_scale: Floats,
    row: int,
    cash: float,
    exchange: Exchange,
    books: Floats,
    tally: Floats,
    record: Record,
    first: int,
    last: int,
) -> int:
    """Do as :func:`foretrade.markets.replay.replay` does, if :func:`can_fuse` says so.

    Args:
        books: Memory of one block, ``[BOOKS × LANES]``.

    Returns:
        How many targets are not finite; if there are any, the record is worth nothing.
    """
    one, kept, strange = np.uint64(1), np.uint64(len(record.equity)), 0
    for block in range(np.uint64(first), np.uint64(last)):
        at = block * np.uint64(LANES)
        lanes = min(np.uint64(targets.shape[2]) - at, np.uint64(LANES))
        _open(books, tally, record.equity[np.uint64(0)][at:], cost_scale[at:], lanes, cash)
        for k in range(np.uint64(len(targets))):
            bar = _bar_at(exchange, np.uint64(row) + k + one)
            weights = targets[k, np.uint64(0)][at:]
            before, after = record.equity[k % kept][at:], record.equity[(k + one) % kept][at:]
            fills_first = exchange.terms[0].fills == SAME_CLOSE
            if not fills_first:
                _accrue(books, tally, lanes, bar)
            reaches = _reaches_limit(weights, lanes, bar)
            strange += _count_strange(weights, lanes) if reaches else 0
            if _aim(books, tally, weights, lanes, bar, reaches) > 0:
                _refuse_unpaid(books, tally, lanes)
            if fills_first:
                lost = _settle(books, tally, before, after, lanes, bar, True)
            else:
                lost = _settle(books, tally, before, after, lanes, bar, False)
            if lost > 0:
                _liquidate(books, tally, before, after, lanes, bar, fills_first)
            if record.moments:
                for j in range(lanes):
                    tally_return(tally, j, float(k + one), before[j], after[j])
                    tally_drawdown(tally, j, after[j])
            if lost > 0:
                _close_lost(books, tally, lanes, float(k + one))
        _close(tally, lanes, float(len(targets)))
        hand_over(tally, record, at, lanes)
    return int(strange)


@inlined
def _open(
    books: Floats, t: Floats, equity: Floats, cost_scale: Floats, lanes: Index, cash: float
) -> None:
    for j in range(lanes):
        books[CASH + j] = equity[j] = cash
        books[UNITS + j] = 0.0
        books[COST_SCALE + j] = cost_scale[j]
        clear_tally(t, j, cash)


@inlined
def _close(t: Floats, lanes: Index, count: float) -> None:
    for j in range(lanes):
        close_tally(t, j, count, ALIVE)


@inlined
def _bar_at(exchange: Exchange, row: Index) -> Bar:
    prices, terms = exchange.prices, exchange.terms[0]
    one, only = np.uint64(1), np.uint64(0)
    years, fill = prices[row, only, AT_YEARS], prices[row, only, AT_FILL]
    rates = exchange.rates[row if len(exchange.rates) > 1 else only, only]
    return Bar(
        prices[row - one, only, AT_MARK], fill, 1.0 / fill, prices[row, only, AT_MARK],
        rates[0], rates[1], rates[2] * years, rates[3] * years, rates[4] * years,  # as costs.RATES
        terms.max_leverage, terms.max_net, terms.no_trade_band,
    )  # fmt: skip


@inlined
def _accrue(books: Floats, t: Floats, lanes: Index, bar: Bar) -> None:
    for j in range(lanes):
        scale, cash = books[COST_SCALE + j], books[CASH + j]
        borrow = borrowed(books[UNITS + j], bar.valued) * (bar.borrow * scale)
        financing = owed(cash) * (bar.financing * scale)
        interest = idle(cash) * bar.interest
        books[CARRY + j] = borrow + financing - interest
        books[CASH + j] = cash + (interest - borrow - financing) if t[OVER + j] == ALIVE else cash


@inlined
def _reaches_limit(weights: Floats, lanes: Index, bar: Bar) -> bool:
    """Whether the limits may cut a target; the loop that follows is shorter if not."""
    beyond = 0
    for j in range(lanes):
        beyond += not abs(weights[j]) <= bar.max_leverage  # so is NaN
    reaches: bool = (beyond > 0) | np.isfinite(bar.max_net)
    return reaches


@inlined
def _count_strange(weights: Floats, lanes: Index) -> int:
    strange = 0
    for j in range(lanes):
        strange += not np.isfinite(weights[j])
    return strange


@inlined
def _aim(books: Floats, t: Floats, weights: Floats, lanes: Index, bar: Bar, cuts: bool) -> int:
    """Targets → orders, in a loop that is no longer than the rules ask for."""
    if bar.no_trade_band > 0.0:
        if cuts:
            return _orders(books, t, weights, lanes, bar, True, True)
        return _orders(books, t, weights, lanes, bar, False, True)
    if cuts:
        return _orders(books, t, weights, lanes, bar, True, False)
    return _orders(books, t, weights, lanes, bar, False, False)


@inlined
def _orders(
    books: Floats, t: Floats, weights: Floats, lanes: Index, bar: Bar, cuts: bool, has_band: bool
) -> int:
    """Targets → orders, NaN where no equity can pay for one; how many of these."""
    unpaid = 0
    for j in range(lanes):
        units, scale, weight = books[UNITS + j], books[COST_SCALE + j], weights[j]
        value = units * bar.fill
        base = books[CASH + j] + value
        able = (t[OVER + j] == ALIVE) & (base > 0.0)
        if cuts:
            share = room_share(abs(weight), weight, 0.0, 0.0, bar.max_leverage, bar.max_net)
            weight *= share
            t[LEVERAGE + j] += 1.0 if (share < 1.0) & able else 0.0
        away = weight * base - value
        off = is_off(away, base)
        goes = able & off
        if has_band:
            band = bar.no_trade_band if keeps_limit(abs(value), base, bar.max_leverage) else 0.0
            in_band = off & (abs(away) <= band * base)
            t[BAND + j] += 1.0 if in_band & able else 0.0
            goes &= not in_band
        tilt = weight * bar.inverse_fill
        unit_cost = bar.fill * (bar.fee * scale + bar.half_spread * scale)
        after = equity_after(tilt * base - units, tilt, base, unit_cost)
        unpaid += goes & (after <= 0.0)
        order = tilt * after - units if after > 0.0 else np.nan
        books[ORDER + j] = order if goes else 0.0
    return unpaid


@inlined
def _refuse_unpaid(books: Floats, t: Floats, lanes: Index) -> None:
    for j in range(lanes):
        if np.isnan(books[ORDER + j]):
            books[ORDER + j] = 0.0
            t[COSTS + j] += 1.0


@inlined
def _settle(
    books: Floats, t: Floats, before: Floats, after: Floats, lanes: Index, bar: Bar, accrues: bool
) -> int:
    """Trade, and mark; how many accounts were lost."""
    lost = 0
    for j in range(lanes):
        scale, order, stands = books[COST_SCALE + j], books[ORDER + j], t[OVER + j] == ALIVE
        notional = abs(order) * bar.fill
        paid = notional * (bar.fee * scale) + notional * (bar.half_spread * scale)
        cash = cash_after(books[CASH + j], order, bar.fill, paid)
        units = books[UNITS + j] + order
        ruined = (order == 0.0) & (cash + units * bar.fill <= 0.0)
        carry = books[CARRY + j]
        if accrues:
            ruined = False  # it would have been at the mark before
            borrow = borrowed(units, bar.valued) * (bar.borrow * scale)
            financing = owed(cash) * (bar.financing * scale)
            interest = idle(cash) * bar.interest
            carry = borrow + financing - interest
            cash = cash + (interest - borrow - financing) if stands else cash
        equity = cash + units * bar.mark
        lost += stands & (ruined | (equity <= 0.0))
        books[CASH + j] = cash
        books[UNITS + j] = units
        after[j] = equity
        tally_flows(t, j, before[j], notional, paid + carry)
    return lost


@inlined
def _liquidate(
    books: Floats, t: Floats, before: Floats, after: Floats, lanes: Index, bar: Bar, fills_first: bool
) -> None:
    """Sell what lost accounts hold, at the price at which their equity was not positive."""
    for j in range(lanes):
        cash, units = books[CASH + j], books[UNITS + j]
        ruined = (books[ORDER + j] == 0.0) & (cash + units * bar.fill <= 0.0) & (not fills_first)
        gone = (t[OVER + j] == ALIVE) & (ruined | (after[j] <= 0.0))
        books[LOST + j] = 1.0 if gone else 0.0
        if gone:
            price, scale = (bar.fill if ruined else bar.mark), books[COST_SCALE + j]
            notional = abs(units) * price
            paid = notional * (bar.fee * scale) + notional * (bar.half_spread * scale)
            books[CASH + j] = after[j] = cash_after(cash, -units, price, paid)
            books[UNITS + j] = 0.0
            t[RUIN + j] += 1.0
            tally_flows(t, j, before[j], notional, paid)


@inlined
def _close_lost(books: Floats, t: Floats, lanes: Index, count: float) -> None:
    for j in range(lanes):
        if books[LOST + j] > 0.0:
            close_tally(t, j, count, RUINED)
