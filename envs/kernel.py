"""The environment's step, compiled: one source for one account and for many."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from foretrade.envs import episodes, rewards
from foretrade.envs.actions import GRID, SIMPLEX
from foretrade.envs.behaviour import SUMS, count
from foretrade.envs.episodes import NO_WISH
from foretrade.envs.writing import TOLD, TOLD_PER_SYMBOL, forget, observe, tell
from foretrade.markets import exchange, ledger
from foretrade.markets.accounts import ALIVE, EPISODE, LANES, LENGTH, ROW, STATUS, STEPS, Accounts
from foretrade.markets.arrays import AnyArray, Bools, Float32s, Floats, Index, Ints, UInts
from foretrade.markets.compiled import compiled, compiled_part, inlined
from foretrade.markets.trading import MARK, REWARD, STOP_LOSS, TAKE_PROFIT, TARGET

TERMS = np.dtype(  # ours first: numba would take a record that begins as the exchange's for one
    [(name, np.float64) for name in ("risk_aversion", "adaptation", "tail", "turnover_penalty")]
    + [(name, np.float64) for name in ("jump", "log_low", "log_spread", "low", "high")]
    + [(name, np.int64) for name in ("reward", "bars", "episodes_per_level", "kind", "stops", "takes")]
    + [("random_start", np.bool_)]
    + [(name, exchange.TERMS[name]) for name in exchange.TERMS.names or ()],
    align=True,
)
"""Constants of the environment's kernel: those of the exchange, of rewards, episodes and actions."""


class Market(NamedTuple):
    """What every account of an environment shares, read-only.

    Args:
        window: Normalised columns shown over a lookback, ``[bars, symbols × columns]``.
        current: Normalised columns shown of the last bar only, likewise.
        lookback_bars: Bars of the window.
        prices, rates, terms: Those of the exchange; its terms are of type :data:`TERMS`.
        reference: Log return of the benchmark, and variance of each symbol, ``[bars, 1 + symbols]``.
        levels: Targets, stops and profit targets to choose from, ``[3, most]``.
        limits: Least and largest entry of each part of an action, ``[parts, 2]``.
        blocks: First row and row after the last of each market, and where its landings begin and end,
            ``[markets, 4]``.
        landings: Rows at which every symbol has a bar, where a bootstrapped path may go on.
        cost_levels: The curriculum.
    """

    window: Float32s
    current: Float32s
    lookback_bars: int
    prices: Floats
    rates: Floats
    terms: AnyArray
    reference: Floats
    levels: Floats
    limits: Floats
    blocks: Ints
    landings: Ints
    cost_levels: Floats


class Outcome(NamedTuple):
    """What the last step gave each of ``n`` accounts.

    Args:
        rewards: ``[n]``; terminated, truncated: ``[n]``.
        told: What infos tell, in the order of ``TOLD`` and ``TOLD_PER_SYMBOL``, ``[n, names]``; nobody
            asks if it is empty.
        sums, asked: What :func:`foretrade.envs.behaviour.count` adds up, ``[SUMS, n]`` and
            ``[n, symbols, bins]``; likewise.
    """

    rewards: Floats
    terminated: Bools
    truncated: Bools
    told: Floats
    sums: Floats
    asked: Ints


def new_outcome(n: Index, symbols: int, *, tells: bool, bins: int = 0) -> Outcome:
    """Nothing yet.

    Args:
        bins: Into which targets are counted; 0 counts nothing.
    """
    names = len(TOLD) + symbols * len(TOLD_PER_SYMBOL)
    told, counted = np.zeros((n if tells else 0, names)), n if bins else 0
    sums, asked = np.zeros((len(SUMS), counted)), np.zeros((counted, symbols, bins), dtype=np.int64)
    ends = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
    return Outcome(np.zeros(n), *ends, told, sums, asked)


NOBODY: Bools = np.zeros(0, dtype=np.bool_)
"""No account is to begin anew."""

# The entry points take plain tuples: a NamedTuple costs a microsecond to unpack at each call.


@compiled
def begin(
    market: Any, accounts: Any, work: Any, outcome: Any, which: Ints, wish: Floats, seen: Float32s
) -> None:
    """Begin the next episodes of some accounts, and observe.

    Args:
        which: Numbers of the accounts.
        wish: See :func:`foretrade.envs.episodes.begin`.
        seen: ``[accounts, entries]``; the accounts write their own rows of it.
    """
    market, accounts, outcome = Market(*market), Accounts(*accounts), Outcome(*outcome)
    for n in which:
        _begin(market, accounts, work, outcome, np.uint64(n), wish, seen)


@inlined
def _begin(
    market: Market,
    accounts: Accounts,
    work: Any,
    outcome: Outcome,
    n: Index,
    wish: Floats,
    seen: Float32s,
) -> None:
    block, lane = n // np.uint64(LANES), n % np.uint64(LANES)
    a, hs, clock = accounts.account[block], accounts.holdings[block], accounts.clock[block]
    episodes.begin(a, hs, clock, lane, market.blocks, market.cost_levels, market.terms[0], wish)
    clock[EPISODE + lane] += np.uint64(1)
    outcome.rewards[n] = 0.0
    outcome.terminated[n] = False
    outcome.truncated[n] = False
    for i in range(len(hs)):
        work[1][i, MARK + lane] = market.prices[clock[ROW + lane], i, exchange.AT_MARK]
    observe(market, a, hs, clock, work[0], work[1], lane, lane + np.uint64(1), n - lane, seen)
    if outcome.told.size > 0:
        forget(work[0], work[1], lane)
        tell(market, a, hs, clock, work[0], work[1], lane, lane + np.uint64(1), n - lane, outcome.told)


@compiled
def advance(
    market: Any, accounts: Any, work: Any, outcome: Any, actions: Floats, restart: Bools, seen: Float32s,
    first: Index, last: Index,
) -> int:  # fmt: skip
    """One step of the accounts in the blocks ``first … last - 1``.

    Args:
        actions: ``[accounts, entries]``.
        restart: ``[accounts]``: begin the next episode instead, with a reward of 0.
        seen: ``[accounts, entries]``, written.

    Returns:
        How many episodes ended; or, if entry ``k`` of ``actions`` is outside its space, ``−1 − k``, and
        nothing has happened.
    """
    market, accounts, outcome = Market(*market), Accounts(*accounts), Outcome(*outcome)
    bad = _first_outside(actions, market.limits, len(accounts.holdings[0]), first, last)
    if bad >= 0:
        return -1 - bad
    ended = 0
    for block in range(np.uint64(first), np.uint64(last)):
        a, hs, clock = accounts.account[block], accounts.holdings[block], accounts.clock[block]
        lanes, n = ledger.lanes_of(accounts, block), block * np.uint64(LANES)
        _aim(market, work[1], lanes, n, actions)
        if market.terms[0].jump > 0.0:
            episodes.jump(
                hs, clock, lanes, market.prices, market.blocks, market.landings, market.terms[0].jump
            )
        ledger.step(a, hs, clock, work[0], work[1], lanes, market.prices, market.rates, market.terms[0])
        rewards.pay(a, hs, clock, work[0], work[1], lanes, market.reference, market.terms[0])
        ended += _finish(a, clock, work[0], lanes, n, outcome)
        observe(market, a, hs, clock, work[0], work[1], np.uint64(0), lanes, n, seen)
        if outcome.told.size > 0:
            tell(market, a, hs, clock, work[0], work[1], np.uint64(0), lanes, n, outcome.told)
        if outcome.sums.size > 0:
            count(market, work[0], work[1], lanes, n, actions, outcome.sums, outcome.asked)
    if restart.size > 0:
        for who in range(np.uint64(first * LANES), np.uint64(min(last * LANES, accounts.total))):
            if restart[who]:
                ended -= int(outcome.terminated[who] | outcome.truncated[who])
                _begin(market, accounts, work, outcome, who, NO_WISH, seen)
    return int(ended)


@compiled
def first_outside(actions: Floats, limits: Floats, symbols: int) -> int:
    """Number of the first entry of all actions that is outside its space, or −1."""
    return _first_outside(actions, limits, symbols, 0, len(actions) // LANES + 1)


@inlined
def _first_outside(actions: Floats, limits: Floats, symbols: int, first: Index, last: Index) -> int:
    """Number of the first entry of the blocks' actions that is outside its space, or −1."""
    width, values = np.uint64(actions.shape[1]), actions.reshape(-1)
    begin, end = np.uint64(first * LANES), np.uint64(min(last * LANES, len(actions)))
    outside = 0
    for column in range(width):
        low, high = limits[column // np.uint64(symbols)]
        for n in range(begin, end):
            value = values[n * width + column]
            outside += not (low <= value) & (value <= high)  # NaN is in no interval
    if outside == 0:
        return -1
    for at in range(begin * width, end * width):
        low, high = limits[at % width // np.uint64(symbols)]
        if not (low <= values[at]) & (values[at] <= high):
            return int(np.int64(at))  # not unsigned, as a counter of a loop is
    return -1


@compiled_part
def _finish(a: Floats, clock: UInts, s: Floats, lanes: Index, n: Index, outcome: Outcome) -> int:
    """Count the decision, and hand out what it gave; how many episodes ended."""
    ended = 0
    for j in range(lanes):
        clock[STEPS + j] += np.uint64(1)
        terminated = a[STATUS + j] != ALIVE
        truncated = (not terminated) & (clock[STEPS + j] == clock[LENGTH + j])
        outcome.rewards[n + j] = s[REWARD + j]
        outcome.terminated[n + j] = terminated
        outcome.truncated[n + j] = truncated
        ended += int(terminated | truncated)
    return ended


@compiled_part
def _aim(market: Market, ms: Floats, lanes: Index, n: Index, actions: Floats) -> None:
    """Make targets and exits of actions."""
    terms, levels, symbols = market.terms[0], market.levels, np.uint64(len(ms))
    low, high, in_grid = terms.low, terms.high, terms.kind == GRID
    for i in range(symbols):
        m = ms[i]
        for j in range(lanes):
            value = actions[n + j, i]
            if in_grid:
                value = levels[0, np.int64(value)]
            m[TARGET + j] = min(max(value, low), high)
    if terms.kind == SIMPLEX:
        _onto_simplex(ms, lanes)
    if terms.has_exits:
        _set_exits(ms, lanes, n, actions, symbols, terms.stops, levels[1], in_grid, STOP_LOSS)
        column = symbols * np.uint64(2 if terms.stops > 1 else 1)
        _set_exits(ms, lanes, n, actions, column, terms.takes, levels[2], in_grid, TAKE_PROFIT)


@inlined
def _onto_simplex(ms: Floats, lanes: Index) -> None:
    for j in range(lanes):
        total = 0.0
        for i in range(len(ms)):
            total += ms[i, TARGET + j]
        for i in range(len(ms)):
            ms[i, TARGET + j] /= max(total, 1.0)


@inlined
def _set_exits(
    ms: Floats,
    lanes: Index,
    n: Index,
    actions: Floats,
    column: Index,
    count: int,
    levels: Floats,
    in_grid: bool,
    field: Index,
) -> None:
    """Stops, or profit targets: the one level there is, or what the action says from ``column`` on."""
    for i in range(np.uint64(len(ms))):
        for j in range(lanes):
            value = levels[0] if count == 1 else actions[n + j, column + i]
            if (count > 1) & in_grid:
                value = levels[np.int64(value)]
            ms[i, field + j] = value
