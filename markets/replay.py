"""Given targets, played by many accounts over the same bars: the ledger, a block at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from foretrade.markets import ledger
from foretrade.markets.accounts import ALIVE, EQUITY, LANES, ROW, STATUS, Accounts
from foretrade.markets.arrays import Floats, Index
from foretrade.markets.compiled import choose, compiled, compiled_part, compiled_phase
from foretrade.markets.exchange import Exchange
from foretrade.markets.reasons import REASONS
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
    s, ms = work
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
            ledger.step_any(a, hs, clock, s, ms, lanes, exchange, False)
            _note(a, s, ms, tally, lanes, at, k, record)
        hand_over(tally, record, at, lanes)


@compiled_part
def _note(
    a: Floats, s: Floats, ms: Floats, t: Floats, lanes: Index, at: Index, k: Index, record: Any
) -> None:
    """Tally a step and write the equity; an account that is over keeps what was left to it."""
    one, kept = np.uint64(1), np.uint64(len(record.equity))
    before, after = record.equity[k % kept], record.equity[(k + one) % kept]
    for j in range(lanes):
        after[at + j] = choose(t[OVER + j] == ALIVE, a[EQUITY + j], before[at + j])
    if record.flows:
        for j in range(lanes):
            paid = s[FEE + j] + s[SPREAD + j] + s[IMPACT + j]
            paid += s[BORROW + j] + s[FINANCING + j] - s[INTEREST + j]
            tally_flows(t, j, s[BEFORE + j], s[TRADED + j], paid, t[OVER + j] == ALIVE)
    if record.moments:
        for j in range(lanes):
            tally_return(t, j, float(k + one), s[BEFORE + j], after[at + j])
            tally_drawdown(t, j, after[at + j])
    for i in range(len(ms)):
        _count(t, ms[i], lanes)
    for j in range(lanes):
        close_tally(t, j, float(k + one), a[STATUS + j])


@compiled_phase
def _count(t: Floats, m: Floats, lanes: Index) -> None:
    """Count the reasons that anybody has."""
    found = 0
    for j in range(lanes):
        found |= int(m[REASON + j])
    for k in range(np.uint64(len(REASONS))):
        if found >> np.int64(k) & 1:
            _count_one(t, m, lanes, k)


@compiled_phase
def _count_one(t: Floats, m: Floats, lanes: Index, k: Index) -> None:
    for j in range(lanes):
        has = int(m[REASON + j]) >> np.int64(k) & 1
        t[COUNTS + k * np.uint64(LANES) + j] += choose(t[OVER + j] == ALIVE, float(has), 0.0)
