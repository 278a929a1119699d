"""The environment's step, compiled: one source for one account and for many."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from foretrade.envs.observation import ACCOUNT, HOLDING_BARS
from foretrade.envs.rewards import reward
from foretrade.markets import ledger
from foretrade.markets.arrays import Bools, Float32s, Floats, Ints
from foretrade.markets.compiled import compiled, inlined
from foretrade.markets.ledger import Book, Prices, Terms

ROW, LAST_ROW, BARS_HELD = range(3)


class Market(NamedTuple):
    """What every account of an environment shares, read-only.

    Args:
        rows: Normalised columns of the table, ``[bars, columns]``.
        low, high: Bounds of the whole observation, ``[columns + account entries]``.
        prices: What orders fill at and positions are worth.
        terms: Costs and limits.
        reward: Number of the reward.
        initial_equity: In quote currency.
    """

    rows: Float32s
    low: Float32s
    high: Float32s
    prices: Prices
    terms: Terms
    reward: int
    initial_equity: float


class Accounts(NamedTuple):
    """State of ``n`` accounts, a row each, and what their last step gave.

    Args:
        book: Money and positions.
        clock: Row, last row of the episode, bars since the last trade, ``[n, 3]``.
        rewards: ``[n]``; terminated, truncated: ``[n]``.
    """

    book: Book
    clock: Ints
    rewards: Floats
    terminated: Bools
    truncated: Bools


def new_accounts(n: int) -> Accounts:
    """``n`` accounts that have not begun."""
    return Accounts(
        ledger.new_book(n, 1),
        np.zeros((n, 3), dtype=np.int64),
        np.zeros(n),
        np.zeros(n, dtype=np.bool_),
        np.zeros(n, dtype=np.bool_),
    )


@compiled
def begin(market: Market, accounts: Accounts, n: int, start: int, length: int, seen: Float32s) -> None:
    """Put account ``n`` in cash at row ``start`` for ``length`` decisions, and observe.

    ``seen`` is ``[accounts, entries]``; the account writes its own row of it.
    """
    ledger.deposit(accounts.book, n, market.initial_equity)
    accounts.clock[n, ROW] = start
    accounts.clock[n, LAST_ROW] = start + length
    accounts.clock[n, BARS_HELD] = 0
    accounts.rewards[n] = 0.0
    accounts.terminated[n] = False
    accounts.truncated[n] = False
    _observe(market, accounts, n, seen)


@compiled
def advance(market: Market, accounts: Accounts, playing: Bools, seen: Float32s) -> int:
    """One step of every account that is ``playing`` to its targets; how many episodes ended.

    ``seen`` is ``[accounts, entries]``; rows of accounts that do not play keep their values.
    """
    ended = 0
    for n in range(playing.size):
        if playing[n]:
            _advance(market, accounts, n)
            _observe(market, accounts, n, seen)
            ended += accounts.terminated[n] or accounts.truncated[n]
    return ended


@inlined
def _advance(market: Market, accounts: Accounts, n: int) -> None:
    book, row = accounts.book, accounts.clock[n, ROW] + 1
    before = book.account[n, ledger.EQUITY]
    status = ledger.step(book, n, market.prices, row, market.terms)
    traded = book.flows[n, ledger.TRADED] > 0.0
    accounts.clock[n, ROW] = row
    accounts.clock[n, BARS_HELD] = 0 if traded else accounts.clock[n, BARS_HELD] + 1
    accounts.rewards[n] = reward(market.reward, before, book.account[n, ledger.EQUITY])
    accounts.terminated[n] = status == ledger.RUINED
    accounts.truncated[n] = status == ledger.ALIVE and row == accounts.clock[n, LAST_ROW]


@inlined
def _observe(market: Market, accounts: Accounts, n: int, seen: Float32s) -> None:
    book, row = accounts.book, np.uintp(accounts.clock[n, ROW])
    who, columns = np.uintp(n), np.uintp(market.rows.shape[1])
    for column in range(columns):  # unsigned: without wrap-around checks the copy is vectorised
        seen[who, column] = market.rows[row, column]
    equity, units = book.account[n, ledger.EQUITY], book.units[n, 0]
    weight, unrealised, held, drawdown, cash = 0.0, 0.0, 0.0, -1.0, 0.0
    if equity > 0.0:  # else ruined: nothing is held, and nothing more can be decided
        close = market.prices.mark[row, 0]
        weight = units * close / equity
        if units != 0.0:
            unrealised = math.copysign(1.0, units) * math.log(close / book.entry[n, 0])
        held = min(accounts.clock[n, BARS_HELD] / HOLDING_BARS, 1.0)
        drawdown = equity / book.account[n, ledger.PEAK] - 1.0
        cash = book.account[n, ledger.CASH] / equity
    state = (weight, unrealised, held, drawdown, cash)
    for k in range(len(state)):
        entry = columns + np.uintp(k)
        seen[who, entry] = min(max(state[k], market.low[entry]), market.high[entry])


assert len(ACCOUNT) == 5, "_observe writes the five entries of the account, in their order"
