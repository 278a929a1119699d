"""The ledger's step for what sweeps ask for most: one symbol, weights, proportional costs.

A few loops over the lanes (``fused_loops.py``) take the place of the ledger's phases, and have its bits.
A group of blocks takes a bar together: weights are read and equity is written in the order in which they
lie in memory (``fused_stream.py``). What is kept of the group stays in the caches.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foretrade.markets.accounts import LANES
from foretrade.markets.arrays import Floats, Index, Ints, aligned
from foretrade.markets.compiled import compiled, inlined
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
from foretrade.markets.fused_books import (
    BOOKS,
    SCRATCH,
    Bar,
    Block,
    close_books,
    open_books,
    tally_moments,
)
from foretrade.markets.fused_care import count_strange, take_with_care
from foretrade.markets.fused_loops import take
from foretrade.markets.fused_stream import Stream, begin_stream, carry
from foretrade.markets.tally import TALLY_FIELDS, Record, hand_over
from foretrade.markets.vectors import flat

GROUP = 32  # blocks; what is kept of more would not fit the second cache


class Group(NamedTuple):
    """Memory of blocks that take each bar together.

    Args:
        books: A set for each block and a spare one, ``[blocks + 1, BOOKS × LANES]``.
        place: Where those of each block are, and last the spare one, ``[blocks + 1]``.
        fallen: How many accounts are over, ``[blocks, 1]``.
        tally: ``[blocks, TALLY_FIELDS × LANES]``.
        scratch: ``[SCRATCH × LANES]``.
        equity: That at close ``k`` in row ``k % 2``, ``[2, blocks, LANES]``.
    """

    books: Floats
    place: Ints
    fallen: Ints
    tally: Floats
    scratch: Floats
    equity: Floats


def new_group(blocks: int) -> Group:
    """Memory for so many blocks, or as many as take a bar together."""
    count = min(blocks, GROUP)
    place, fallen = np.arange(count + 1), np.zeros((count, 1), dtype=np.int64)
    books, tally = aligned(count + 1, len(BOOKS) * LANES), aligned(count, len(TALLY_FIELDS) * LANES)
    scratch, equity = aligned(len(SCRATCH) * LANES), aligned(2, count, LANES)
    return Group(books, place, fallen, tally, scratch, equity)


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
    one, two, steps, size = np.uint64(1), np.uint64(2), np.uint64(len(targets)), len(group.fallen)
    terms, uniform = exchange.terms[0], _is_uniform(cost_scale)
    strange, plain = 0, uniform & (not _carries(exchange)) & (not terms.no_trade_band > 0.0)
    for start in range(np.uint64(first), np.uint64(last), np.uint64(size)):
        stop = min(start + np.uint64(size), np.uint64(last))
        for n in range(start, stop):
            open_books(_block(group, n, n - start, cost_scale, targets[0, 0], np.uint64(0)), cash)
        for k in range(steps):
            bar, weights = _bar_at(exchange, np.uint64(row) + k + one), targets[k, 0]
            equity = flat(group.equity[k % two])
            for n in range(start, stop):
                block = _block(group, n, n - start, cost_scale, weights, k)
                stream = begin_stream(equity, record.equity, targets, k, n, start, stop)
                if (terms.fills != SAME_CLOSE) & (block.fallen[0] == 0):
                    if _take(block, bar, stream, uniform, plain, record.flows):
                        if record.moments:
                            tally_moments(block, float(k + one))
                        _exchange_books(group, n - start)
                        continue
                    plain = False  # perhaps a limit cuts targets
                else:
                    carry(stream, np.uint64(0), stream.lines)
                strange += count_strange(block)
                take_with_care(block, bar, terms.fills == SAME_CLOSE, float(k + one), record.moments)
        equity = flat(group.equity[steps % two])
        for n in range(start, stop):
            stream = begin_stream(equity, record.equity, targets, steps, n, start, stop)
            carry(stream, np.uint64(0), stream.lines)
            block = _block(group, n, n - start, cost_scale, targets[0, 0], steps)
            close_books(block, float(steps))
            hand_over(block.tally, record, n * np.uint64(LANES), block.lanes)
    return int(strange)


@inlined
def _block(group: Group, n: Index, which: Index, scale: Floats, weights: Floats, k: Index) -> Block:
    at, place, one, two = n * np.uint64(LANES), group.place, np.uint64(1), np.uint64(2)
    return Block(
        group.books[place[which]], group.books[place[len(group.fallen)]], group.tally[which],
        group.scratch, scale, weights, at, group.equity[k % two, which],
        group.equity[(k + one) % two, which], group.fallen[which],
        min(np.uint64(len(weights)) - at, np.uint64(LANES)),
    )  # fmt: skip


@inlined
def _exchange_books(group: Group, which: Index) -> None:
    """The spare set becomes the block's; what was the block's is spare, and still in the first cache."""
    place, spare = group.place, len(group.fallen)
    place[which], place[spare] = place[spare], place[which]


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
def _take(x: Block, bar: Bar, stream: Stream, uniform: bool, plain: bool, flows: bool) -> bool:
    """:func:`take`, in loops that are no longer than need be; a literal leaves no trace in them."""
    if plain:
        return take(x, bar, stream, x.scale[x.at], True, True, flows)
    if uniform:
        return take(x, bar, stream, x.scale[x.at], True, False, flows)
    return take(x, bar, stream, 0.0, False, False, flows)
