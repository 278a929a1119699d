"""The ledger's step for what sweeps ask for most: one symbol, weights, proportional costs.

A few loops over the lanes (``fused_loops.py``) take the place of the ledger's phases, and have its bits.
A group of blocks takes a bar together: weights are read and equity is written in the order in which they
lie in memory (``fused_stream.py``). What is kept of the group stays in the caches.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foretrade.markets.accounts import LANES
from foretrade.markets.arrays import Floats, Index, Ints, UInts, aligned
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
    MOST_STEPS,
    SCRATCH,
    STRIP,
    Bar,
    Block,
    close_books,
    open_books,
    tally_moments,
)
from foretrade.markets.fused_bounds import gearing_closed, is_ordinary
from foretrade.markets.fused_care import count_counted, count_strange, take_with_care
from foretrade.markets.fused_loops import take
from foretrade.markets.fused_stream import Stream, begin_rows, begin_stream, carry
from foretrade.markets.tally import TALLY_FIELDS, Record, hand_over
from foretrade.markets.vectors import flat

GROUP = 32  # blocks; what is kept of more would not fit the second cache


class Group(NamedTuple):
    """Memory of blocks that take each bar together.

    Args:
        books: A set for each block and a spare one, ``[blocks + 1, BOOKS × LANES]``.
        place: Where those of each block are, and last the spare one, ``[blocks + 1]``.
        sizes: Lanes of each block that are in use, and as many in whole strips, ``[blocks, 2]``.
        lines: Where the lines begin that each carries to the memory, and how many they are, likewise.
        wild: How many accounts take bars with care, ``[blocks, 1]``.
        scale: Levels of costs, ``[blocks, LANES]``.
        part: Targets of a block of which only a part is in use, ``[LANES]``.
        tally: ``[blocks, TALLY_FIELDS × LANES]``.
        scratch: ``[SCRATCH × LANES]``.
        equity: That at close ``k`` in row ``k % 2``, ``[2, blocks, LANES]``.
    """

    books: Floats
    place: UInts
    sizes: UInts
    lines: UInts
    wild: Ints
    scale: Floats
    part: Floats
    tally: Floats
    scratch: Floats
    equity: Floats


def new_group(blocks: int) -> Group:
    """Memory for so many blocks, or as many as take a bar together."""
    count = min(blocks, GROUP)
    books = aligned(count + 1, len(BOOKS) * LANES, page_offset=0)
    place = np.arange(count + 1, dtype=np.uint64)
    sizes, lines = (np.zeros((count, 2), dtype=np.uint64) for _ in range(2))
    wild, tally = np.zeros((count, 1), dtype=np.int64), aligned(count, len(TALLY_FIELDS) * LANES)
    scale, part = aligned(count, LANES), aligned(LANES)
    scratch = aligned(len(SCRATCH) * LANES, page_offset=768)  # what is stored of some lanes is never
    equity = aligned(2, count, LANES, page_offset=448)  # where the next ones are loaded from
    return Group(books, place, sizes, lines, wild, scale, part, tally, scratch, equity)


def can_fuse(exchange: Exchange, rows: range) -> bool:
    """Whether :func:`replay_fused` does all that the steps from these rows ask for."""
    terms, fills = exchange.terms[0], exchange.prices[rows.start + 1 : rows.stop + 1, :, AT_FILL]
    limited = terms["lot_size"] or terms["minimum_order"] or np.isfinite(terms["max_participation"])
    phases = ("inside_margin", "has_exits", "has_actions", "has_delistings")
    return bool(
        fills.shape[1] == 1
        and len(rows) <= MOST_STEPS
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
    one, two, steps, size = np.uint64(1), np.uint64(2), np.uint64(len(targets)), len(group.wild)
    terms, (least, level) = exchange.terms[0], _range_of(cost_scale)
    uniform, strange = least == level, 0
    plain = uniform & (not _carries(exchange)) & (not terms.no_trade_band > 0.0)
    fills_first = terms.fills == SAME_CLOSE
    for start in range(np.uint64(first), np.uint64(last), np.uint64(size)):
        stop, gearing = min(start + np.uint64(size), np.uint64(last)), 0.0
        for n in range(start, stop):
            _measure(group, n - start, n, np.uint64(len(cost_scale)))
            open_books(_block(group, n - start, n, targets[0, 0], np.uint64(0)), cash, cost_scale, n)
        for k in range(steps):
            bar, weights = _bar_at(exchange, np.uint64(row) + k + one), targets[k, 0]
            ordinary = is_ordinary(bar, gearing, level) & (not fills_first)
            gearing = gearing_closed(bar)
            equity = flat(group.equity[k % two])
            traffic = begin_rows(equity, record.equity, targets, k, start, stop, group.lines)
            for n in range(start, stop):
                block = _block(group, n - start, n, weights, k)
                stream = begin_stream(traffic, n - start, stop - start)
                if ordinary & (block.wild[0] == 0):
                    if _take(block, bar, stream, level, uniform, plain, record.flows):
                        if record.moments:
                            tally_moments(block, float(k + one))
                        _exchange_books(group, n - start)
                        continue
                    plain = False  # perhaps a limit cuts targets
                else:
                    carry(stream, np.uint64(0), stream.lines)
                strange += count_strange(block)
                take_with_care(block, bar, gearing, fills_first, float(k + one), record.moments)
                plain &= count_counted(block) == 0  # plain loops would leave counts behind
        equity = flat(group.equity[steps % two])
        traffic = begin_rows(equity, record.equity, targets, steps, start, stop, group.lines)
        for n in range(start, stop):
            stream = begin_stream(traffic, n - start, stop - start)
            carry(stream, np.uint64(0), stream.lines)
            block = _block(group, n - start, n, targets[0, 0], steps)
            close_books(block, float(steps))
            hand_over(block.tally, record, n * np.uint64(LANES), block.lanes)
    return int(strange)


@inlined
def _measure(group: Group, which: Index, n: Index, strategies: Index) -> None:
    """Note the sizes of block ``n``: what it reads from memory the compiler cannot work out again, for
    each loop that uses it."""
    lanes = min(strategies - n * np.uint64(LANES), np.uint64(LANES))
    group.sizes[which, np.uint64(0)] = lanes
    group.sizes[which, np.uint64(1)] = (lanes + STRIP - np.uint64(1)) // STRIP * STRIP


@inlined
def _block(group: Group, which: Index, n: Index, row: Floats, k: Index) -> Block:
    """Block ``n`` at close ``k``, before the targets in a row."""
    place, one, two = group.place, np.uint64(1), np.uint64(2)
    lanes, width = group.sizes[which, np.uint64(0)], group.sizes[which, one]
    weights, at = _laid_out(group.part, row, n * np.uint64(LANES), lanes)
    return Block(
        group.books[place[which]], group.books[place[len(group.wild)]], group.tally[which],
        group.scratch, group.scale[which], weights, at, group.equity[k % two, which],
        group.equity[(k + one) % two, which], group.wild[which], lanes, width,
    )  # fmt: skip


@inlined
def _laid_out(part: Floats, row: Floats, at: Index, lanes: Index) -> tuple[Floats, Index]:
    """Where a block's targets are: those of a part of one are copied to where there is room for all."""
    if lanes == np.uint64(LANES):
        return row, at
    for j in range(lanes):
        part[j] = row[at + j]
    return part, np.uint64(0)


@inlined
def _exchange_books(group: Group, which: Index) -> None:
    """The spare set becomes the block's; what was the block's is spare, and still in the first cache."""
    place, spare = group.place, len(group.wild)
    place[which], place[spare] = place[spare], place[which]


@inlined
def _range_of(values: Floats) -> tuple[float, float]:
    least = most = values[0]
    for value in values:
        least, most = min(least, value), max(most, value)
    return least, most


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
def _take(
    x: Block, bar: Bar, stream: Stream, level: float, uniform: bool, plain: bool, flows: bool
) -> bool:
    """:func:`take`, in loops that are no longer than need be; a literal leaves no trace in them."""
    if plain:
        return take(x, bar, stream, level, True, True, flows)
    if uniform:
        return take(x, bar, stream, level, True, False, flows)
    return take(x, bar, stream, 0.0, False, False, flows)
