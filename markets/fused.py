"""The ledger's step for what sweeps ask for most: one symbol, weights, proportional costs.

All strategies stand at the same bar, so prices and rates are numbers, and a few short loops over the
lanes take the place of the ledger's phases. The arithmetic is that of ``arithmetic.py`` in the ledger's
order, so the bits are the ledger's.

* A processor works on several lanes at once only while few operations wait for each other, so there are
  four loops instead of one: accrue, aim, charge, settle.
* In an *ordinary* bar of a block all accounts stand, can pay for their orders, and cannot be ruined by
  them; one comparison of a lane, while it aims, tells. Loops that need not look are shorter. Where a
  lane is not ordinary, the block takes the bar *carefully*, lane by lane whatever may happen.
* A group of blocks takes a bar together: weights are read and equity written in the order in which they
  lie in memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from foretrade.markets.accounts import ALIVE, LANES, RUINED, offsets
from foretrade.markets.arithmetic import (
    ROUNDING,
    borrowed,
    cash_after,
    cost_rate,
    is_beyond,
    keeps_limit,
    slope_of,
    within,
    yielded,
)
from foretrade.markets.arrays import Floats, Index, Ints
from foretrade.markets.compiled import compiled, inlined
from foretrade.markets.exchange import (
    AT_FILL,
    AT_MARK,
    AT_YEARS,
    NEXT_CLOSE,
    SAME_CLOSE,
    WEIGHTS,
    Exchange,
)
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

GROUP = 16  # blocks; what is kept of more would not fit the second cache
TAME = 1e6  # leverage up to which rounding cannot turn an ordinary account's equity negative

BOOKS = ("cash", "units", "cost_scale", "fallen")
CASH, UNITS, COST_SCALE, FALLEN = offsets(len(BOOKS))  # FALLEN: how many, in the first lane
SCRATCH = ("tilt", "order", "carry", "lost")
TILT, ORDER, CARRY, LOST = offsets(len(SCRATCH))
COUNTED = ("cut", "kept")  # whole numbers: see _ticks
CUT, KEPT = offsets(len(COUNTED))
LEVERAGE, BAND, COSTS, RUIN = (
    COUNTS + np.uint64(REASONS.index(name) * LANES) for name in ("leverage", "band", "costs", "ruin")
)


class Bar(NamedTuple):
    """What all strategies share in a step: prices, rates of the step, and limits.

    Args:
        scale: The strategies' level of costs, or the highest.
        room: The largest weight.
        tame: How many times the equity a position may be worth in an ordinary account.
    """

    valued: float
    fill: float
    inverse_fill: float
    mark: float
    fee: float
    half_spread: float
    borrow: float
    financing: float
    interest: float
    scale: float
    max_leverage: float
    room: float
    no_trade_band: float
    tame: float


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
    counts: Ints,
    scratch: Floats,
    tally: Floats,
    record: Record,
    first: int,
    last: int,
) -> int:
    """Do as :func:`foretrade.markets.replay.replay` does, if :func:`can_fuse` says so.

    Args:
        books: Memory of a group, ``[GROUP or fewer, BOOKS × LANES]``.
        counts: Likewise, ``[GROUP or fewer, COUNTED × LANES]``.
        scratch: Memory of one block, ``[SCRATCH × LANES]``.
        tally: Memory of a group, ``[GROUP or fewer, TALLY_FIELDS × LANES]``.

    Returns:
        How many targets are seen not to be finite; if any, the record is worth nothing.
    """
    strange, limited = 0, False
    carries, (scale, uniform) = _carries(exchange), _levels(cost_scale)
    for j in range(np.uint64(len(scratch))):
        scratch[j] = 0.0
    for start in range(np.uint64(first), np.uint64(last), np.uint64(len(books))):
        stop = min(start + np.uint64(len(books)), np.uint64(last))
        for block in range(start, stop):
            b, t, at, lanes = _block(books, tally, block, block - start, targets)
            _open(
                b,
                t,
                counts[block - start],
                record.equity[np.uint64(0)][at:],
                cost_scale[at:],
                lanes,
                cash,
            )
        for k in range(np.uint64(len(targets))):
            bar = _bar_at(exchange, np.uint64(row) + k + np.uint64(1), scale)
            for block in range(start, stop):
                b, t, at, lanes = _block(books, tally, block, block - start, targets)
                weights = targets[k, np.uint64(0)][at:]
                before = record.equity[k % np.uint64(len(record.equity))][at:]
                after = record.equity[(k + np.uint64(1)) % np.uint64(len(record.equity))][at:]
                fills = exchange.terms[0].fills
                if carries & (fills != SAME_CLOSE):
                    _accrue(b, t, scratch, lanes, bar, uniform)
                ordinary = b[FALLEN] == 0.0
                if ordinary:
                    ordinary = _aim(b, t, counts[block - start], scratch, weights, lanes, bar, limited)
                if ordinary:
                    _charge(b, t, scratch, lanes, bar, uniform)
                else:
                    limited |= _reaches_limit(weights, lanes, bar)
                    strange += _count_strange(weights, lanes)
                    _orders(
                        b, t, counts[block - start], scratch, weights, lanes, bar, True, True, True, 1
                    )
                    _charges(b, t, scratch, lanes, bar, False, True)
                if ordinary & (fills == NEXT_CLOSE):
                    lost = _settle(b, t, scratch, before, after, lanes, bar, uniform)
                elif fills == SAME_CLOSE:
                    lost = _trade(b, t, scratch, before, after, lanes, bar, False, True, True)
                else:
                    lost = _trade(b, t, scratch, before, after, lanes, bar, False, True, False)
                if lost > 0:
                    b[FALLEN] += lost
                    _liquidate(b, t, scratch, before, after, lanes, bar, fills == SAME_CLOSE)
                if record.moments:
                    for j in range(lanes):
                        tally_return(t, j, float(k + np.uint64(1)), before[j], after[j])
                        tally_drawdown(t, j, after[j])
                if lost > 0:
                    _close_lost(t, scratch, lanes, float(k + np.uint64(1)))
        for block in range(start, stop):
            b, t, at, lanes = _block(books, tally, block, block - start, targets)
            _close(t, counts[block - start], lanes, float(len(targets)))
            hand_over(t, record, at, lanes)
    return int(strange)


@inlined
def _block(books: Floats, tally: Floats, block: Index, which: Index, targets: Floats) -> Any:
    """Books and tally of a block, its first strategy, and how many it has."""
    at = block * np.uint64(LANES)
    return books[which], tally[which], at, min(np.uint64(targets.shape[2]) - at, np.uint64(LANES))


@inlined
def _carries(exchange: Exchange) -> bool:
    """Whether positions or cash ever cost or earn anything by being carried."""
    found = 0
    for row in range(np.uint64(len(exchange.rates))):
        for rate in range(np.uint64(2), np.uint64(5)):  # as costs.RATES
            found += exchange.rates[row, np.uint64(0), rate] != 0.0
    return found > 0


@inlined
def _levels(cost_scale: Floats) -> tuple[float, bool]:
    """The highest level of costs, and whether it is everybody's."""
    highest, others = cost_scale[0], 0
    for j in range(np.uint64(len(cost_scale))):
        highest = max(highest, cost_scale[j])
        others += cost_scale[j] != cost_scale[0]
    return highest, others == 0


@inlined
def _open(
    books: Floats, t: Floats, counts: Ints, equity: Floats, cost_scale: Floats, lanes: Index, cash: float
) -> None:
    books[FALLEN] = 0.0
    for j in range(lanes):
        books[CASH + j] = equity[j] = cash
        books[UNITS + j] = 0.0
        books[COST_SCALE + j] = cost_scale[j]
        counts[CUT + j] = counts[KEPT + j] = 0
        clear_tally(t, j, cash)


@inlined
def _close(t: Floats, counts: Ints, lanes: Index, count: float) -> None:
    for j in range(lanes):
        t[LEVERAGE + j] = float(counts[CUT + j])
        t[BAND + j] = float(counts[KEPT + j])
        close_tally(t, j, count, ALIVE)


@inlined
def _bar_at(exchange: Exchange, row: Index, scale: float) -> Bar:
    prices, terms = exchange.prices, exchange.terms[0]
    one, only = np.uint64(1), np.uint64(0)
    years, fill = prices[row, only, AT_YEARS], prices[row, only, AT_FILL]
    rates = exchange.rates[row if len(exchange.rates) > 1 else only, only]
    room = min(terms.max_leverage, terms.max_net)
    return Bar(
        prices[row - one, only, AT_MARK], fill, 1.0 / fill, prices[row, only, AT_MARK],
        rates[0], rates[1], rates[2] * years, rates[3] * years, rates[4] * years,  # as costs.RATES
        scale, terms.max_leverage, room, terms.no_trade_band,
        _tame(cost_rate(rates[0] * scale, rates[1] * scale), room),
    )  # fmt: skip


@inlined
def _tame(rate: float, room: float) -> float:
    """How many times the equity a position may be worth so that no order costs more than half of it.

    An order is worth at most the position and ``room`` times the equity, divided by a slope of at least
    ``1 - rate room``.
    """
    most = 0.5 * (1.0 - rate * room) / rate - room
    return min(most, TAME) if room < TAME else 0.0


@inlined
def _accrue(b: Floats, t: Floats, s: Floats, lanes: Index, bar: Bar, uniform: bool) -> None:
    if uniform & (b[FALLEN] == 0.0):
        _carry(b, t, s, lanes, bar, True, False)
    else:
        _carry(b, t, s, lanes, bar, False, True)


@inlined
def _carry(
    b: Floats, t: Floats, s: Floats, lanes: Index, bar: Bar, uniform: bool, careful: bool
) -> None:
    for j in range(lanes):
        scale, cash = (bar.scale if uniform else b[COST_SCALE + j]), b[CASH + j]
        borrow = borrowed(b[UNITS + j], bar.valued) * (bar.borrow * scale)
        earned = yielded(cash, bar.financing * scale, bar.interest) - borrow
        s[CARRY + j] = -earned
        stands = t[OVER + j] == ALIVE if careful else True
        b[CASH + j] = cash + earned if stands else cash


@inlined
def _reaches_limit(weights: Floats, lanes: Index, bar: Bar) -> bool:
    """Whether the limits cut a target; the loop is shorter where none did so far."""
    beyond = 0
    for j in range(lanes):
        beyond += abs(weights[j]) > bar.room
    return beyond > 0


@inlined
def _count_strange(weights: Floats, lanes: Index) -> int:
    strange = 0
    for j in range(lanes):
        strange += not np.isfinite(weights[j])
    return strange


@inlined
def _aim(
    b: Floats, t: Floats, counts: Ints, s: Floats, weights: Floats, lanes: Index, bar: Bar, cuts: bool
) -> bool:
    """Orders of an ordinary bar; if it is none, as if nothing had been done."""
    odd = 0
    for one in (1, -1):  # the second takes back what the first has counted
        odd = _ordinary_orders(b, t, counts, s, weights, lanes, bar, cuts, one)
        if odd == 0:
            break
    return odd == 0


@inlined
def _ordinary_orders(
    b: Floats,
    t: Floats,
    counts: Ints,
    s: Floats,
    weights: Floats,
    lanes: Index,
    bar: Bar,
    cuts: bool,
    one: int,
) -> int:
    """In a loop that is no longer than the rules ask for."""
    if bar.no_trade_band > 0.0:
        if cuts:
            return _orders(b, t, counts, s, weights, lanes, bar, True, True, False, one)
        return _orders(b, t, counts, s, weights, lanes, bar, False, True, False, one)
    if cuts:
        return _orders(b, t, counts, s, weights, lanes, bar, True, False, False, one)
    return _orders(b, t, counts, s, weights, lanes, bar, False, False, False, one)


@inlined
def _orders(
    b: Floats, t: Floats, counts: Ints, s: Floats, weights: Floats, lanes: Index, bar: Bar,
    cuts: bool, has_band: bool, careful: bool, one: int,
) -> int:  # fmt: skip
    """Targets → orders, were they free; how many lanes are not ordinary. Refusals count as ``one``."""
    odd = 0
    noise, band = ROUNDING * bar.inverse_fill, bar.no_trade_band * bar.inverse_fill
    for j in range(lanes):
        weight, units = weights[j], b[UNITS + j]
        value = units * bar.fill
        base = b[CASH + j] + value
        able = (t[OVER + j] == ALIVE) & (base > 0.0) if careful else True
        tame = abs(value) < bar.tame * base  # and so the equity is positive
        odd += not (tame & (abs(weight) < np.inf if cuts else abs(weight) <= bar.room))  # so is NaN
        if cuts:
            cut = abs(weight) > bar.room * (1.0 + ROUNDING)
            counts[CUT + j] += _ticks(cut & able, one)
            weight = within(weight, bar.room)
        tilt = weight * bar.inverse_fill
        away = tilt * base - units
        off = goes = is_beyond(away, noise, base)
        if has_band:
            keeps = keeps_limit(abs(value), base, bar.max_leverage)
            in_band = off & keeps & (not is_beyond(away, band, base))
            counts[KEPT + j] += _ticks(in_band & able, one)
            goes = off & (not in_band)
        s[TILT + j] = tilt
        s[ORDER + j] = away if goes & able else 0.0
    return odd


@inlined
def _ticks(happens: bool, one: int) -> int:
    """``one`` or 0. A choice between floats to add would become a branch, and that a store with a mask,
    which takes longer than all the rest of a loop."""
    ticks: int = -np.int64(happens) & one
    return ticks


@inlined
def _charge(b: Floats, t: Floats, s: Floats, lanes: Index, bar: Bar, uniform: bool) -> None:
    if uniform:
        _charges(b, t, s, lanes, bar, True, False)
    else:
        _charges(b, t, s, lanes, bar, False, False)


@inlined
def _charges(
    b: Floats, t: Floats, s: Floats, lanes: Index, bar: Bar, uniform: bool, careful: bool
) -> None:
    """Orders as they are after their costs; refuse those that no equity can pay for."""
    for j in range(lanes):
        tilt, away = s[TILT + j], s[ORDER + j]
        unit_cost = bar.fill * _rate(bar, bar.scale if uniform else b[COST_SCALE + j])
        slope = slope_of(away, tilt, unit_cost)
        order = away / slope
        if careful:
            left = b[CASH + j] + b[UNITS + j] * bar.fill - abs(order) * unit_cost
            refused = (away != 0.0) & (not ((slope > 0.0) & (left > 0.0)))
            t[COSTS + j] += 1.0 if refused else 0.0
            order = 0.0 if refused else order
        s[ORDER + j] = order


@inlined
def _rate(bar: Bar, scale: float) -> float:
    return cost_rate(bar.fee * scale, bar.half_spread * scale)


@inlined
def _settle(
    b: Floats, t: Floats, s: Floats, before: Floats, after: Floats, lanes: Index, bar: Bar, uniform: bool
) -> int:
    """Trade and mark, where nothing can go wrong any more."""
    if uniform:
        return _trade(b, t, s, before, after, lanes, bar, True, False, False)
    return _trade(b, t, s, before, after, lanes, bar, False, False, False)


@inlined
def _trade(
    b: Floats, t: Floats, s: Floats, before: Floats, after: Floats, lanes: Index, bar: Bar,
    uniform: bool, careful: bool, accrues: bool,
) -> int:  # fmt: skip
    """Trade, and mark; how many accounts were lost."""
    lost = 0
    for j in range(lanes):
        scale, order = (bar.scale if uniform else b[COST_SCALE + j]), s[ORDER + j]
        stands = t[OVER + j] == ALIVE if careful else True
        notional = abs(order) * bar.fill
        paid = notional * _rate(bar, scale)
        cash = cash_after(b[CASH + j], order, bar.fill, paid)
        units = b[UNITS + j] + order
        carry = s[CARRY + j]
        ruined = (order == 0.0) & (cash + units * bar.fill <= 0.0)
        if accrues:
            ruined = False  # it would have been at the mark before
            borrow = borrowed(units, bar.valued) * (bar.borrow * scale)
            earned = yielded(cash, bar.financing * scale, bar.interest) - borrow
            carry = -earned
            cash = cash + earned if stands else cash
        equity = cash + units * bar.mark
        if careful:
            lost += stands & (ruined | (equity <= 0.0))
        b[CASH + j] = cash
        b[UNITS + j] = units
        after[j] = equity
        tally_flows(t, j, before[j], notional, paid + carry, stands)
    return lost


@inlined
def _liquidate(
    b: Floats, t: Floats, s: Floats, before: Floats, after: Floats, lanes: Index, bar: Bar,
    fills_first: bool,
) -> None:  # fmt: skip
    """Sell what lost accounts hold, at the price at which their equity was not positive."""
    for j in range(lanes):
        cash, units = b[CASH + j], b[UNITS + j]
        ruined = (s[ORDER + j] == 0.0) & (cash + units * bar.fill <= 0.0) & (not fills_first)
        gone = (t[OVER + j] == ALIVE) & (ruined | (after[j] <= 0.0))
        s[LOST + j] = 1.0 if gone else 0.0
        if gone:
            price = bar.fill if ruined else bar.mark
            notional = abs(units) * price
            paid = notional * _rate(bar, b[COST_SCALE + j])
            b[CASH + j] = after[j] = cash_after(cash, -units, price, paid)
            b[UNITS + j] = 0.0
            t[RUIN + j] += 1.0
            tally_flows(t, j, before[j], notional, paid, True)


@inlined
def _close_lost(t: Floats, s: Floats, lanes: Index, count: float) -> None:
    for j in range(lanes):
        if s[LOST + j] > 0.0:
            close_tally(t, j, count, RUINED)
