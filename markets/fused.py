"""The ledger's step for what sweeps ask for most: one symbol, weights, proportional costs.

A loop over the lanes, or a few (``fused_loops.py``), take the place of the ledger's phases, and have its
bits. A group of blocks takes a bar together: weights are read and equity is written in the order in
which they lie in memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foretrade.markets.accounts import LANES
from foretrade.markets.arrays import Floats, Index, Ints, aligned
from foretrade.markets.compiled import compiled, compiled_part, inlined
from foretrade.markets.exchange import (
    AT_FILL,
    AT_INVERSE_FILL,
    AT_MARK,
    AT_VALUED,
    AT_YEARS,
    SAME_CLOSE,
    WEIGHTS,
    Exchange,
)
from foretrade.markets.fused_loops import (
    BOOKS,
    SCRATCH,
    Bar,
    Block,
    accrue,
    aim,
    charge,
    close_books,
    close_lost,
    count_strange,
    liquidate,
    open_books,
    take,
    tally_moments,
    trade,
)
from foretrade.markets.tally import TALLY_FIELDS, Record, hand_over
from foretrade.markets.vectors import fetch, fetch_to_write

GROUP = 8  # blocks; what is kept of more would not fit the second cache
AHEAD = np.uint64(4)  # blocks; what is asked for so early is there when its turn comes


class Group(NamedTuple):
    """Memory of blocks that take each bar together.

    Args:
        books: A set for each block and a spare one, ``[blocks + 1, BOOKS × LANES]``.
        place: Where those of each block are, and last the spare one, ``[blocks + 1]``.
        fallen: How many accounts are over, ``[blocks, 1]``.
        tally: ``[blocks, TALLY_FIELDS × LANES]``.
        scratch: ``[SCRATCH × LANES]``.
    """

    books: Floats
    place: Ints
    fallen: Ints
    tally: Floats
    scratch: Floats


def new_group(blocks: int) -> Group:
    """Memory for so many blocks, or as many as take a bar together."""
    count = min(blocks, GROUP)
    place, fallen = np.arange(count + 1), np.zeros((count, 1), dtype=np.int64)
    books, tally = aligned(count + 1, len(BOOKS) * LANES), aligned(count, len(TALLY_FIELDS) * LANES)
    return Group(books, place, fallen, tally, aligned(len(SCRATCH) * LANES))


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
    one, size, kept = np.uint64(1), np.uint64(len(group.fallen)), np.uint64(len(record.equity))
    terms, uniform = exchange.terms[0], _is_uniform(cost_scale)
    strange, plain = 0, uniform & (not _carries(exchange)) & (not terms.no_trade_band > 0.0)
    for start in range(np.uint64(first), np.uint64(last), size):
        stop = min(start + size, np.uint64(last))
        weights, before, after = targets[0, 0], record.equity[0], record.equity[one % kept]
        for n in range(start, stop):
            open_books(_block(group, n, n - start, cost_scale, weights, before, after), cash)
        for k in range(np.uint64(len(targets))):
            bar = _bar_at(exchange, np.uint64(row) + k + one)
            weights = targets[k, 0]
            before, after = record.equity[k % kept], record.equity[(k + one) % kept]
            for n in range(start, stop):
                _fetch_ahead(targets, record.equity, k, n, start, stop)
                block = _block(group, n, n - start, cost_scale, weights, before, after)
                if (terms.fills != SAME_CLOSE) & (block.fallen[0] == 0):
                    odd = _take(block, bar, uniform, plain)
                    if odd & plain:  # perhaps only because a limit cuts a target
                        plain = False
                        odd = _take(block, bar, uniform, plain)
                    if not odd:
                        _exchange_books(group, n - start)
                        if record.moments:
                            tally_moments(block, float(k + one))
                        continue
                strange += count_strange(block)
                _take_with_care(block, bar, terms.fills == SAME_CLOSE, float(k + one), record.moments)
        for n in range(start, stop):
            block = _block(group, n, n - start, cost_scale, weights, before, after)
            close_books(block, float(len(targets)))
            hand_over(block.tally, record, n * np.uint64(LANES), block.lanes)
    return int(strange)


@inlined
def _block(
    group: Group, n: Index, which: Index, scale: Floats, weights: Floats, before: Floats, after: Floats
) -> Block:
    at, place = n * np.uint64(LANES), group.place
    return Block(
        group.books[place[which]], group.books[place[len(group.fallen)]], group.tally[which],
        group.scratch, scale[at:], weights[at:], before[at:], after[at:], group.fallen[which],
        min(np.uint64(len(weights)) - at, np.uint64(LANES)),
    )  # fmt: skip


@inlined
def _exchange_books(group: Group, which: Index) -> None:
    """The spare set becomes the block's; what was the block's is spare, and still in the first cache."""
    place, spare = group.place, len(group.fallen)
    place[which], place[spare] = place[spare], place[which]


@inlined
def _fetch_ahead(targets: Floats, equity: Floats, k: Index, n: Index, start: Index, stop: Index) -> None:
    """Have the cache bring what the block reads and writes whose turn comes ``AHEAD`` blocks later."""
    later, one = n + min(AHEAD, stop - start), np.uint64(1)
    if later >= stop:  # in the next bar
        later, k = start + (later - stop), min(k + one, np.uint64(len(targets) - 1))
    weights, after = targets[k, 0], equity[(k + one) % np.uint64(len(equity))]
    at, end = later * np.uint64(LANES), np.uint64(len(weights))
    for j in range(at, min(at + np.uint64(LANES), end), np.uint64(8)):  # a line holds eight
        fetch(weights, j)
        fetch_to_write(after, j)


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
def _bar_at(exchange: Exchange, row: Index) -> Bar:
    prices, terms, only = exchange.prices, exchange.terms[0], np.uint64(0)
    price, years = prices[row, only], prices[row, only, AT_YEARS]
    rates = exchange.rates[row if len(exchange.rates) > 1 else only, only]
    return Bar(
        price[AT_VALUED], price[AT_FILL], price[AT_INVERSE_FILL], price[AT_MARK],
        rates[0], rates[1], rates[2] * years, rates[3] * years, rates[4] * years,  # as costs.RATES
        terms.max_leverage, min(terms.max_leverage, terms.max_net), terms.no_trade_band,
    )  # fmt: skip


@inlined
def _take(x: Block, bar: Bar, uniform: bool, plain: bool) -> bool:
    """:func:`take`, in a loop that is no longer than need be; a literal leaves no trace in it."""
    if plain:
        return take(x, bar, x.scale[0], True, True)
    if uniform:
        return take(x, bar, x.scale[0], True, False)
    return take(x, bar, 0.0, False, False)


@compiled_part
def _take_with_care(x: Block, bar: Bar, fills_first: bool, step: float, moments: bool) -> None:
    """Take a bar in which an account is over or lost, or may not be able to pay for its order."""
    if not fills_first:
        accrue(x, bar)
    aim(x, bar)
    charge(x, bar)
    lost = _trade(x, bar, fills_first)
    if lost > 0:
        liquidate(x, bar, fills_first)
    if moments:
        tally_moments(x, step)
    if lost > 0:
        close_lost(x, step)


@inlined
def _trade(x: Block, bar: Bar, fills_first: bool) -> int:
    return trade(x, bar, True) if fills_first else trade(x, bar, False)
