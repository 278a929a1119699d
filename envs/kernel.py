"""The environment's step, compiled: one source for one account and for many."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from foretrade.envs import episodes, rewards
from foretrade.envs.actions import GRID, SIMPLEX
from foretrade.envs.behaviour import count
from foretrade.envs.episodes import NO_WISH
from foretrade.envs.stage import NOWHERE, Stage, stage_at
from foretrade.envs.writing import forget, observe, tell
from foretrade.markets import exchange, ledger
from foretrade.markets.accounts import ALIVE, EPISODE, LANES, LENGTH, ROW, STATUS, STEPS
from foretrade.markets.arrays import Bools, Float32s, Floats, Index, Ints, UInts
from foretrade.markets.compiled import compiled, compiled_part, compiled_phase, inlined
from foretrade.markets.trading import MARK, REWARD, STOP_LOSS, TAKE_PROFIT, TARGET
from foretrade.markets.vectors import flat

ROWS, ROWS32 = numba.float64[:, ::1], numba.float32[:, ::1]
BEGIN = (numba.uint64, numba.int64[::1], numba.float64[::1], ROWS32, numba.int64)
ADVANCE = (numba.uint64, ROWS, numba.bool_[::1], ROWS32, numba.int64, numba.int64, numba.int64)
ADVANCE_ONE = (numba.uint64, ROWS, ROWS32)
"""Types of what :func:`begin`, :func:`advance` and :func:`advance_one` take."""


@compiled
def begin(address: int, which: Ints, wish: Floats, seen: Float32s, side: int) -> None:
    """Begin the next episodes of some accounts, and observe; neighbours in a block do so together.

    Args:
        address: Of the :class:`Stage`.
        which: Numbers of the accounts.
        wish: See :func:`foretrade.envs.episodes.begin`.
        seen: ``[accounts, entries]``; the accounts write their own rows of it.
        side: Which of the two arrays it is a part of, in which windows slide.
    """
    _begin_each(stage_at(address), which, wish, seen, side)


@inlined
def _begin_each(stage: Stage, which: Ints, wish: Floats, seen: Float32s, side: int) -> None:
    first = 0
    while first < len(which):
        last = first + 1
        while last < len(which) and which[last] == which[last - 1] + 1 and which[last] % LANES > 0:
            last += 1
        _begin(stage, np.uint64(which[first]), np.uint64(last - first), wish, seen, side)
        first = last


@compiled_part
def _begin(
    stage: Stage, n: Index, count: Index, wish: Floats, seen: Float32s, side: int
) -> None:  # fmt: skip
    market, accounts, (s, ms), outcome = stage
    block, lane, terms = n // np.uint64(LANES), n % np.uint64(LANES), market.terms[0]
    a, hs, clock = accounts.account[block], accounts.holdings[block], accounts.clock[block]
    first, end = block * np.uint64(LANES), lane + count
    for j in range(lane, end):
        episodes.begin(a, hs, clock, j, market.blocks, market.cost_levels, terms, wish)
        clock[EPISODE + j] += np.uint64(1)
        if outcome.shown.size > 0:
            outcome.shown[side, first + j] = NOWHERE  # whatever stood there is of another episode
        for i in range(len(hs)):
            ms[i, MARK + j] = market.prices[clock[ROW + j], i, exchange.AT_MARK]
    observe(
        market.window, market.current, market.lookback_bars, terms,
        a, hs, clock, s, ms, lane, end, first, seen, outcome.shown[side],
    )  # fmt: skip
    if outcome.told.size > 0:
        for j in range(lane, end):
            forget(s, ms, j)
        tell(market.prices, a, hs, clock, s, ms, lane, end, first, outcome.told)


@compiled
def advance(
    address: int, actions: Floats, restart: Bools, seen: Float32s, side: int, first: Index, last: Index
) -> int:
    """One step of the accounts in the blocks ``first … last - 1``.

    Args:
        address: Of the :class:`Stage`.
        actions: ``[accounts, entries]``.
        restart: ``[accounts]``: begin the next episode instead, with a reward of 0.
        seen: ``[accounts, entries]``, written.
        side: Which of the two arrays it is a part of, in which windows slide.

    Returns:
        How many episodes ended; or, if entry ``k`` of ``actions`` is outside its space, ``−1 − k``, and
        nothing has happened.
    """
    stage = stage_at(address)
    tells = stage.outcome.told.size > 0
    return _advance_blocks(stage, actions, restart, seen, side, first, last, ledger.step, tells)


@compiled
def advance_symbol(
    address: int, actions: Floats, restart: Bools, seen: Float32s, side: int, first: Index, last: Index
) -> int:
    """The same where there is one symbol."""
    stage = stage_at(address)
    tells = stage.outcome.told.size > 0
    return _advance_blocks(stage, actions, restart, seen, side, first, last, ledger.step_one, tells)


@compiled
def advance_symbol_untold(
    address: int, actions: Floats, restart: Bools, seen: Float32s, side: int, first: Index, last: Index
) -> int:
    """The same where nobody asks what the step consisted of, but for its reward."""
    return _advance_blocks(
        stage_at(address), actions, restart, seen, side, first, last, ledger.step_one, None
    )


@compiled
def advance_one(address: int, actions: Floats, seen: Float32s) -> int:
    """The same for a stage's only account, in a third of the time: the code is short."""
    return _advance_one(stage_at(address), actions, seen, ledger.step, True)


@compiled
def advance_one_symbol(address: int, actions: Floats, seen: Float32s) -> int:
    """The same where there is one symbol."""
    return _advance_one(stage_at(address), actions, seen, ledger.step_one, True)


@compiled
def advance_one_plainly(address: int, actions: Floats, seen: Float32s) -> int:
    """The same where nothing of :func:`foretrade.markets.exchange.asks_seldom` is asked for, and no path
    is bootstrapped."""
    return _advance_one(stage_at(address), actions, seen, ledger.step_one, None)


@inlined
def _advance_blocks(
    stage: Stage, actions: Floats, restart: Bools, seen: Float32s, side: int, first: Index, last: Index,
    step: Any, tells: Any,
) -> int:  # fmt: skip
    accounts, outcome, symbols = stage.accounts, stage.outcome, len(stage.work.quotes)
    bad = _first_outside(actions, stage.market.limits, symbols, first, last)
    if bad >= 0:
        return -1 - bad
    ended = 0
    for block in range(np.uint64(first), np.uint64(last)):
        lanes, n = ledger.lanes_of(accounts, block), block * np.uint64(LANES)
        done = _advance(stage, block, lanes, actions, seen, side, step, tells, True)
        if (done > 0) & (len(outcome.over) > 0):
            _note(outcome, ended, n, lanes)
        ended += done
        if tells is not None and outcome.sums.size > 0:
            s, ms = stage.work
            count(stage.market.terms[0], s, ms, lanes, n, actions, outcome.sums, outcome.asked)
    if restart.size > 0:
        for who in range(np.uint64(first * LANES), np.uint64(min(last * LANES, accounts.total))):
            if restart[who]:
                ended -= int(outcome.terminated[who] | outcome.truncated[who])
                outcome.rewards[who] = 0.0
                outcome.terminated[who] = outcome.truncated[who] = False
                _begin(stage, who, np.uint64(1), NO_WISH, seen, side)
    elif 0 < ended <= len(outcome.over):
        which = outcome.over[:ended]
        _keep(which, seen, outcome.last)
        _begin_each(stage, which, NO_WISH, seen, side)
    return int(ended)


@compiled_part
def _keep(which: Ints, seen: Float32s, last: Float32s) -> None:
    """Copy what these accounts see."""
    for k in range(np.uint64(len(which))):
        who = np.uint64(which[k])
        for entry in range(np.uint64(seen.shape[1])):
            last[k, entry] = seen[who, entry]


@compiled_part
def _note(outcome: Any, known: int, n: Index, lanes: Index) -> None:
    """Note which lanes ended, after those of other blocks that are known."""
    for who in range(n, n + lanes):
        if (outcome.terminated[who] | outcome.truncated[who]) & (known < len(outcome.over)):
            outcome.over[known] = np.int64(who)
            known += 1


@inlined
def _advance_one(stage: Stage, actions: Floats, seen: Float32s, step: Any, seldom: Any) -> int:
    bad = _first_outside(actions, stage.market.limits, len(stage.work.quotes), 0, 1)
    if bad >= 0:
        return -1 - bad
    tells = stage.outcome.told.size > 0
    return _advance(stage, np.uint64(0), np.uint64(1), actions, seen, 0, step, tells, seldom)


@inlined
def _advance(
    stage: Stage, block: Index, lanes: Index, actions: Floats, seen: Float32s, side: int, step: Any,
    tells: Any, seldom: Any,
) -> int:  # fmt: skip
    market, accounts, (s, ms), outcome = stage
    none, n, terms, prices = np.uint64(0), block * np.uint64(LANES), market.terms[0], market.prices
    a, hs, clock = accounts.account[block], accounts.holdings[block], accounts.clock[block]
    _aim(terms, market.levels, ms, lanes, n, actions, seldom)
    if seldom is not None and terms.jump > 0.0:
        in_units = terms.sizing != exchange.WEIGHTS
        episodes.jump(hs, clock, ms, lanes, prices, market.blocks, market.landings, terms.jump, in_units)
    step(a, hs, clock, s, ms, lanes, prices, market.events, market.rates, terms, tells, seldom)
    rewards.pay(a, hs, clock, s, ms, lanes, market.reference, terms)
    ended = _finish(a, clock, s, lanes, n, outcome.rewards, outcome.terminated, outcome.truncated)
    observe(
        market.window, market.current, market.lookback_bars, terms,
        a, hs, clock, s, ms, none, lanes, n, seen, outcome.shown[side],
    )  # fmt: skip
    if tells is not None and tells:
        tell(prices, a, hs, clock, s, ms, none, lanes, n, outcome.told)
    return ended


@compiled
def first_outside(actions: Floats, limits: Floats, symbols: int) -> int:
    """Number of the first entry of all actions that is outside its space, or −1."""
    return _first_outside(actions, limits, symbols, 0, len(actions) // LANES + 1)


@compiled_phase
def _first_outside(actions: Floats, limits: Floats, symbols: int, first: Index, last: Index) -> int:
    """Number of the first entry of the blocks' actions that is outside its space, or −1."""
    width, values = np.uint64(actions.shape[1]), flat(actions)
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


@compiled_phase
def _finish(
    a: Floats, clock: UInts, s: Floats, lanes: Index, n: Index, paid: Floats, terminated: Bools,
    truncated: Bools,
) -> int:  # fmt: skip
    """Count the decision, and hand out what it gave; how many episodes ended."""
    ended = 0
    for j in range(lanes):
        clock[STEPS + j] += np.uint64(1)
        lost = a[STATUS + j] != ALIVE
        over = (not lost) & (clock[STEPS + j] == clock[LENGTH + j])
        paid[n + j] = s[REWARD + j]
        terminated[n + j] = lost
        truncated[n + j] = over
        ended += int(lost | over)
    return ended


@compiled_phase
def _aim(
    terms: Any, levels: Floats, ms: Floats, lanes: Index, n: Index, actions: Floats, seldom: Any
) -> None:
    """Make targets and exits of actions."""
    symbols = np.uint64(len(ms))
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
    if seldom is not None and terms.has_exits:
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
