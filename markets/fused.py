"""The ledger's step for what sweeps ask for most: one symbol, weights, proportional costs.

A few short loops over the lanes (``fused_loops.py``) take the place of the ledger's phases, and have its
bits. A group of blocks takes a bar together: weights are read and equity is written in the order in
which they lie in memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foretrade.markets.accounts import LANES
from foretrade.markets.arithmetic import cost_rate
from foretrade.markets.arrays import Floats, Index, Ints, aligned
from foretrade.markets.compiled import compiled, compiled_part, inlined
from foretrade.markets.exchange import (
    AT_FILL,
    AT_MARK,
    AT_YEARS,
    NEXT_CLOSE,
    SAME_CLOSE,
    WEIGHTS,
    Exchange,
)
from foretrade.markets.fused_loops import (
    BOOKS,
    COUNTED,
    FALLEN,
    SCRATCH,
    Bar,
    Block,
    accrue,
    aim,
    charge,
    close_books,
    close_lost,
    count_cut,
    count_strange,
    liquidate,
    open_books,
    tally_moments,
    trade,
)
from foretrade.markets.tally import TALLY_FIELDS, Record, hand_over

GROUP = 16  # blocks; what is kept of more would not fit the second cache
TAME = 1e6  # leverage up to which rounding cannot turn an ordinary account's equity negative


class Group(NamedTuple):
    """Memory of blocks that take each bar together, ``[blocks, …]``, as :class:`Block` has it."""

    books: Floats
    tally: Floats
    counts: Ints
    scratch: Floats


def new_group(blocks: int) -> Group:
    """Memory for so many blocks, or as many as take a bar together."""
    count = min(blocks, GROUP)
    books, tally, counts = (
        aligned(count, len(fields) * LANES) for fields in (BOOKS, TALLY_FIELDS, COUNTED)
    )
    scratch = aligned(len(SCRATCH) * LANES)
    scratch[:] = 0.0
    return Group(books, tally, counts.view(np.int64), scratch)


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
    group: Group,
    record: Record,
    first: int,
    last: int,
) -> int:
    """Do as :func:`foretrade.markets.replay.replay` does, if :func:`can_fuse` says so.

    Returns:
        How many targets are seen not to be finite; if any, the record is worth nothing.
    """
    one, size, kept = np.uint64(1), np.uint64(len(group.books)), np.uint64(len(record.equity))
    scale, uniform, carries = _highest(cost_scale), _is_uniform(cost_scale), _carries(exchange)
    strange, limited = 0, False
    for start in range(np.uint64(first), np.uint64(last), size):
        stop = min(start + size, np.uint64(last))
        weights, before, after = targets[0, 0], record.equity[0], record.equity[one % kept]
        for n in range(start, stop):
            block = _block(group, n, n - start, weights, before, after)
            open_books(block, cost_scale[n * np.uint64(LANES) :], cash)
        for k in range(np.uint64(len(targets))):
            bar = _bar_at(exchange, np.uint64(row) + k + one, scale)
            weights = targets[k, 0]
            before, after = record.equity[k % kept], record.equity[(k + one) % kept]
            for n in range(start, stop):
                block = _block(group, n, n - start, weights, before, after)
                if carries & (exchange.terms[0].fills != SAME_CLOSE):
                    _accrue(block, bar, uniform)
                step = float(k + one)
                if _aim(block, bar, limited):
                    _execute(block, bar, uniform, exchange.terms[0].fills, step, record.moments)
                else:
                    strange += count_strange(block)
                    _take_with_care(block, bar, limited, exchange.terms[0].fills, step, record.moments)
                    limited |= count_cut(block, bar) > 0
        for n in range(start, stop):
            block = _block(group, n, n - start, weights, before, after)
            close_books(block, float(len(targets)))
            hand_over(block.tally, record, n * np.uint64(LANES), block.lanes)
    return int(strange)


@inlined
def _block(
    group: Group, n: Index, which: Index, weights: Floats, before: Floats, after: Floats
) -> Block:
    at = n * np.uint64(LANES)
    return Block(
        group.books[which], group.tally[which], group.counts[which], group.scratch,
        weights[at:], before[at:], after[at:], min(np.uint64(len(weights)) - at, np.uint64(LANES)),
    )  # fmt: skip


@inlined
def _highest(values: Floats) -> float:
    highest: float = values[0]
    for value in values:
        highest = max(highest, value)
    return highest


@inlined
def _is_uniform(values: Floats) -> bool:
    others = 0
    for value in values:
        others += value != values[0]
    return others == 0


@inlined
def _carries(exchange: Exchange) -> bool:
    """Whether positions or cash ever cost or earn anything by being carried."""
    found = 0
    for row in range(np.uint64(len(exchange.rates))):
        for rate in range(np.uint64(2), np.uint64(5)):  # as costs.RATES
            found += exchange.rates[row, np.uint64(0), rate] != 0.0
    return found > 0


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
    most: float = 0.5 * (1.0 - rate * room) / rate - room
    return min(most, TAME) if room < TAME else 0.0


@inlined
def _accrue(x: Block, bar: Bar, uniform: bool) -> None:
    if uniform & (x.books[FALLEN] == 0.0):
        accrue(x, bar, True, False)
    else:
        accrue(x, bar, False, True)


@inlined
def _aim(x: Block, bar: Bar, limited: bool) -> bool:
    """Aim as in an ordinary bar, and tell whether it is one.

    Args:
        limited: Whether limits have cut a target so far; a loop that does not look for them is shorter.
    """
    return x.books[FALLEN] == 0.0 and _aim_ordinarily(x, bar, limited, 1) == 0


@inlined
def _aim_ordinarily(x: Block, bar: Bar, cuts: bool, one: int) -> int:
    if bar.no_trade_band > 0.0:
        if cuts:
            return aim(x, bar, True, True, False, one)
        return aim(x, bar, False, True, False, one)
    if cuts:
        return aim(x, bar, True, False, False, one)
    return aim(x, bar, False, False, False, one)


@inlined
def _execute(x: Block, bar: Bar, uniform: bool, fills: int, step: float, moments: bool) -> None:
    """Trade and mark in an ordinary bar; only at another price than the fill's can it be the last."""
    if uniform:
        charge(x, bar, True, False)
    else:
        charge(x, bar, False, False)
    if fills != NEXT_CLOSE:
        _mark_with_care(x, bar, fills, step, moments)
        return
    if uniform:
        trade(x, bar, True, False, False)
    else:
        trade(x, bar, False, False, False)
    if moments:
        tally_moments(x, step)


@compiled_part
def _take_with_care(x: Block, bar: Bar, limited: bool, fills: int, step: float, moments: bool) -> None:
    """Take a bar in which an account is over, was lost at the fill, or cannot pay for its order."""
    if x.books[FALLEN] == 0.0:
        _aim_ordinarily(x, bar, limited, -1)  # take back what was counted
    aim(x, bar, True, True, True, 1)
    charge(x, bar, False, True)
    _mark_with_care(x, bar, fills, step, moments)


@compiled_part
def _mark_with_care(x: Block, bar: Bar, fills: int, step: float, moments: bool) -> None:
    """Trade and mark, and close the accounts that are lost."""
    fills_first = fills == SAME_CLOSE
    lost = _trade_with_care(x, bar, fills_first)
    if lost > 0:
        liquidate(x, bar, fills_first)
    if moments:
        tally_moments(x, step)
    if lost > 0:
        close_lost(x, step)


@inlined
def _trade_with_care(x: Block, bar: Bar, fills_first: bool) -> int:
    if fills_first:
        return trade(x, bar, False, True, True)
    return trade(x, bar, False, True, False)
