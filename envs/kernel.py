"""The environment's step, compiled: one source for one account and for many."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from foretrade.envs.observation import ACCOUNT, HOLDING_BARS
from foretrade.envs.rewards import reward
from foretrade.markets import ledger
from foretrade.markets.arrays import Bools, Float32s, Floats, Ints
from foretrade.markets.ledger import Terms

ROW, LAST_ROW, BARS_HELD = range(3)


class Market(NamedTuple):
    """What every account of an environment shares, read-only.

    Args:
        rows: Normalised columns of the table, ``[bars, columns]``.
        low, high: Bounds of the whole observation, ``[columns + account entries]``.
        close: Close of each bar; fill: price at which the step to it trades; ``[bars]``.
        years: Calendar time since the close before, ``[bars]``.
        fills_first: Whether that price is the close before (an idealisation).
        reward: Number of the reward.
        initial_equity: In quote currency.
        terms: Costs and limits.
    """

    rows: Float32s
    low: Float32s
    high: Float32s
    close: Floats
    fill: Floats
    years: Floats
    fills_first: bool
    reward: int
    initial_equity: float
    terms: Terms


class Accounts(NamedTuple):
    """State of ``n`` accounts, a row each, and what their last step gave.

    Args:
        account: ``[n, len(ledger.ACCOUNT)]``; units, entry: ``[n, 1]``.
        flows: ``[n, len(ledger.FLOWS)]``.
        clock: Row, last row of the episode, bars since the last trade, ``[n, 3]``.
        targets: Target weights of the next step, ``[n, 1]``.
        rewards: ``[n]``; terminated, truncated: ``[n]``.
    """

    account: Floats
    units: Floats
    entry: Floats
    flows: Floats
    clock: Ints
    targets: Floats
    rewards: Floats
    terminated: Bools
    truncated: Bools


def new_accounts(n: int) -> Accounts:
    """``n`` accounts that have not begun."""
    return Accounts(
        np.zeros((n, len(ledger.ACCOUNT))),
        np.zeros((n, 1)),
        np.zeros((n, 1)),
        np.zeros((n, len(ledger.FLOWS))),
        np.zeros((n, 3), dtype=np.int64),
        np.zeros((n, 1)),
        np.zeros(n),
        np.zeros(n, dtype=np.bool_),
        np.zeros(n, dtype=np.bool_),
    )


@njit(cache=True, error_model="numpy")
def begin(market: Market, accounts: Accounts, i: int, start: int, length: int, seen: Float32s) -> None:
    """Put account ``i`` in cash at row ``start`` for ``length`` decisions, and observe into ``seen``."""
    accounts.account[i, :] = market.initial_equity
    accounts.units[i, 0] = 0.0
    accounts.entry[i, 0] = 0.0
    accounts.flows[i, :] = 0.0
    accounts.clock[i, ROW] = start
    accounts.clock[i, LAST_ROW] = start + length
    accounts.clock[i, BARS_HELD] = 0
    accounts.rewards[i] = 0.0
    accounts.terminated[i] = False
    accounts.truncated[i] = False
    _observe(market, accounts, i, seen)


@njit(cache=True, error_model="numpy")
def advance(market: Market, accounts: Accounts, i: int, seen: Float32s) -> None:
    """One step of account ``i`` to its target weight, and observe into ``seen``."""
    row = accounts.clock[i, ROW] + 1
    before = accounts.account[i, ledger.EQUITY]
    status = ledger.step(
        accounts.account[i],
        accounts.units[i],
        accounts.entry[i],
        accounts.flows[i],
        accounts.targets[i],
        market.close[row - 1 : row],
        market.fill[row : row + 1],
        market.close[row : row + 1],
        market.years[row],
        market.terms,
        market.fills_first,
    )
    accounts.clock[i, ROW] = row
    traded = accounts.flows[i, ledger.TRADED] > 0.0
    accounts.clock[i, BARS_HELD] = 0 if traded else accounts.clock[i, BARS_HELD] + 1
    accounts.rewards[i] = reward(market.reward, before, accounts.account[i, ledger.EQUITY])
    accounts.terminated[i] = status == ledger.RUINED
    accounts.truncated[i] = status == ledger.ALIVE and row == accounts.clock[i, LAST_ROW]
    _observe(market, accounts, i, seen)


@njit(cache=True, error_model="numpy")
def advance_many(market: Market, accounts: Accounts, playing: Bools, seen: Float32s) -> int:
    """One step of every account that is ``playing``; the number of episodes that ended.

    ``seen`` is ``[n, entries]``; rows of accounts that do not play keep their values.
    """
    ended = 0
    for i in range(playing.size):
        if playing[i]:
            advance(market, accounts, i, seen[i])
            ended += accounts.terminated[i] or accounts.truncated[i]
    return ended


@njit(cache=True, error_model="numpy")
def _observe(market: Market, accounts: Accounts, i: int, seen: Float32s) -> None:
    row, columns = accounts.clock[i, ROW], market.rows.shape[1]
    seen[:columns] = market.rows[row]
    equity, units = accounts.account[i, ledger.EQUITY], accounts.units[i, 0]
    weight, unrealised, held, drawdown, cash = 0.0, 0.0, 0.0, -1.0, 0.0
    if equity > 0.0:  # else ruined: nothing is held, and nothing more can be decided
        close = market.close[row]
        weight = units * close / equity
        if units != 0.0:
            unrealised = math.copysign(1.0, units) * math.log(close / accounts.entry[i, 0])
        held = min(accounts.clock[i, BARS_HELD] / HOLDING_BARS, 1.0)
        drawdown = equity / accounts.account[i, ledger.PEAK] - 1.0
        cash = accounts.account[i, ledger.CASH] / equity
    state = (weight, unrealised, held, drawdown, cash)
    for k in range(len(state)):
        entry = columns + k
        seen[entry] = min(max(state[k], market.low[entry]), market.high[entry])


assert len(ACCOUNT) == 5, "_observe writes the five entries of the account, in their order"
