"""Given targets, played by many accounts over the same bars: the ledger, a block at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from foretrade.markets import ledger
from foretrade.markets.accounts import ALIVE, EQUITY, LANES, ROW, STATUS, Accounts
from foretrade.markets.arrays import Floats, Index
from foretrade.markets.compiled import compiled, compiled_part, inlined
from foretrade.markets.exchange import Exchange
from foretrade.markets.orders import REASONS
from foretrade.markets.tally import COUNTS, OVER, TALLY_FIELDS, clear_tally, tally_step
from foretrade.markets.trading import (
    BEFORE,
    BORROW,
    FEE,
    FINANCING,
    IMPACT,
    INTEREST,
    REASON,
    SPREAD,
    TARGET,
    TRADED,
    Workspace,
)


class Record(NamedTuple):
    """What replays leave behind, written column by column.

    Args:
        equity: At the closes, ``[steps + 1, strategies]``; with a single row, that of the last close.
        status: Of the accounts, ``[strategies]``.
        tallies: ``[TALLY_FIELDS, strategies]``.
        moments: Whether the moments of returns and the drawdown are tallied.
    """

    equity: Floats
    status: Floats
    tallies: Floats
    moments: bool


def new_record(steps: int, strategies: int, *, keeps_equity: bool) -> Record:
    """Memory for the outcome of so many strategies; moments take the place of equity."""
    equity = np.empty((steps + 1 if keeps_equity else 1, strategies))
    tallies = np.empty((len(TALLY_FIELDS), strategies))
    return Record(equity, np.empty(strategies), tallies, not keeps_equity)


@compiled
def replay(
    targets: Floats,
    cost_scale: Floats,
    row: int,
    cash: float,
    exchange: Exchange,
    accounts: Accounts,
    work: Workspace,
    tally: Floats,
    record: Record,
    first: int,
    last: int,
) -> None:
    """Play the strategies in the blocks ``first … last - 1``.

    Args:
        targets: ``[steps, symbols, strategies]``, those of step ``k`` decided at the close of bar
            ``row + k``.
        cost_scale: ``[strategies]``.
        accounts: Memory of one block.
        tally: Likewise, ``[TALLY_FIELDS × LANES]``.
    """
    a, hs, clock = accounts.account[0], accounts.holdings[0], accounts.clock[0]
    s, ms, terms = work.account, work.quotes, exchange.terms[0]
    for block in range(np.uint64(first), np.uint64(last)):
        at = block * np.uint64(LANES)
        lanes = min(np.uint64(targets.shape[2]) - at, np.uint64(LANES))
        for j in range(lanes):
            ledger.deposit(a, hs, j, cash, cost_scale[at + j])
            clock[ROW + j] = np.uint64(row)
            clear_tally(tally, j, cash)
            record.equity[0, at + j] = cash
        for k in range(np.uint64(len(targets))):
            for i in range(np.uint64(len(hs))):
                for j in range(lanes):
                    ms[i, TARGET + j] = targets[k, i, at + j]
            ledger.step(a, hs, clock, s, ms, lanes, exchange.prices, exchange.rates, terms)
            _note(a, s, ms, tally, lanes, at, k, record)
        for j in range(lanes):
            record.status[at + j] = tally[OVER + j]
            for field in range(np.uint64(len(TALLY_FIELDS))):
                record.tallies[field, at + j] = tally[field * np.uint64(LANES) + j]


@compiled_part
def _note(
    a: Floats, s: Floats, ms: Floats, t: Floats, lanes: Index, at: Index, k: Index, record: Any
) -> None:
    """Tally a step and write the equity; an account that is over keeps what was left to it."""
    one, keeps = np.uint64(1), len(record.equity) > 1
    before_row = k if keeps else np.uint64(0)
    row = k + one if keeps else np.uint64(0)
    for j in range(lanes):
        after = a[EQUITY + j] if t[OVER + j] == ALIVE else record.equity[before_row, at + j]
        paid = s[FEE + j] + s[SPREAD + j] + s[IMPACT + j]
        paid += s[BORROW + j] + s[FINANCING + j] - s[INTEREST + j]
        tally_step(t, j, s[BEFORE + j], after, s[TRADED + j], paid, record.moments)
        record.equity[row, at + j] = after
    for i in range(len(ms)):
        for j in range(lanes):
            if (ms[i, REASON + j] != 0.0) & (t[OVER + j] == ALIVE):
                _count(t, j, ms[i, REASON + j])
    for j in range(lanes):
        t[OVER + j] = a[STATUS + j]


@inlined
def _count(t: Floats, j: Index, reason: float) -> None:
    code = np.uint64(reason)
    for k in range(np.uint64(len(REASONS))):
        if code >> k & np.uint64(1):
            t[COUNTS + k * np.uint64(LANES) + j] += 1.0
