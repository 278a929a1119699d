"""The ledger: one accounting kernel for training, backtest and live.

An account is cash and units per symbol. One step runs from the close at which a decision was taken to
the next close, in this order:

1. *fill*, if orders fill at the decision's own close (an idealisation);
2. *corporate actions* of the new bar: splits multiply units, dividends are paid on the units carried
   into it (shorts pay them);
3. *accrue*: borrow on shorts, financing on negative cash and interest on positive cash, for the
   calendar time of the step, on what is carried;
4. *fill*, if orders fill at the new open;
5. *inside the bar*: stops, the margin at high and low, and profit targets, if asked for;
6. *fill*, if orders fill at the new close;
7. *mark*: value everything at the new close, and check the margin (as each fill does before it trades).

A weight is a fraction of the equity that is left **after** the costs of the trade, so a weight of 1 is
reachable. Identity at every step: Δequity = price P&L + dividend + interest − fee − spread − impact −
borrow − financing. Equity that is not positive at a fill or a mark is ruin, equity below the
maintenance margin a margin call: all is sold there at cost, and the account trades no more.
A dividend also takes its part off the entry price, so that no stop is hit by a price that fell by it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from foretrade.markets import exits, solo
from foretrade.markets.accounts import (
    ACCOUNT_FIELDS,
    CASH,
    COST_SCALE,
    EQUITY,
    HELD_BARS,
    HOLDING_FIELDS,
    LANES,
    PEAK,
    ROW,
    UNITS,
    Accounts,
)
from foretrade.markets.arithmetic import borrowed, idle, owed
from foretrade.markets.arrays import Floats, Index, UInts
from foretrade.markets.compiled import compiled, compiled_phase, inlined
from foretrade.markets.corporate import adjust
from foretrade.markets.exchange import (
    NEXT_CLOSE,
    NEXT_OPEN,
    SAME_CLOSE,
    WEIGHTS,
    Exchange,
)
from foretrade.markets.orders import rebalance
from foretrade.markets.quotes import lay_out, lay_out_volume
from foretrade.markets.trading import (
    BASE,
    BEFORE,
    BORROW,
    BORROW_RATE,
    DIVIDEND,
    FEE,
    FILL,
    FINANCING,
    FINANCING_RATE,
    GROSS,
    IMPACT,
    INTEREST,
    INTEREST_RATE,
    MARK,
    NET,
    OUT,
    PRICE_PNL,
    REASON,
    SPREAD,
    TRADED,
    VALUED,
    Workspace,
    revalue,
)


@inlined
def step(
    a: Floats, hs: Floats, clock: UInts, s: Floats, ms: Floats, lanes: Index, prices: Floats,
    events: Floats, rates: Floats, terms: Any, tells: Any, seldom: Any,
) -> None:  # fmt: skip
    """Take the first ``lanes`` accounts of a block from their row's close to the next row's.

    Args:
        tells: Whether anybody asks for what was achieved at the fill; ``None`` if nobody asks for that,
            for reasons or for the step's flows, so that they are not summed either.
        seldom: ``None`` if the terms ask for none of what :func:`exchange.asks_seldom` names, so that it
            is not even compiled.
    """
    _take_step(
        a, hs, clock, s, ms, lanes, prices, events, rates, terms, tells, seldom, _accrue, _fill, _mark
    )  # fmt: skip


@inlined
def step_one(
    a: Floats, hs: Floats, clock: UInts, s: Floats, ms: Floats, lanes: Index, prices: Floats,
    events: Floats, rates: Floats, terms: Any, tells: Any, seldom: Any,
) -> None:  # fmt: skip
    """The same, faster, where there is one symbol."""
    _take_step(
        a, hs, clock, s, ms, lanes, prices, events, rates, terms, tells, seldom,
        solo.accrue, solo.fill, solo.mark,
    )  # fmt: skip


@inlined
def step_any(
    a: Floats, hs: Floats, clock: UInts, s: Floats, ms: Floats, lanes: Index, exchange: Exchange,
    tells: bool,
) -> None:  # fmt: skip
    """Whichever of the two it takes; who knows beforehand calls that, and need not compile the other."""
    prices, events, rates, terms = exchange
    if len(hs) == 1:
        step_one(a, hs, clock, s, ms, lanes, prices, events, rates, terms[0], tells, True)
    else:
        step(a, hs, clock, s, ms, lanes, prices, events, rates, terms[0], tells, True)


@inlined
def _take_step(
    a: Floats, hs: Floats, clock: UInts, s: Floats, ms: Floats, lanes: Index, prices: Floats,
    events: Floats, rates: Floats, terms: Any, tells: Any, seldom: Any, accrue: Any, fill: Any,
    mark: Any,
) -> None:  # fmt: skip
    """The order of events."""
    lay_out(a, clock, ms, lanes, prices, events, rates, terms)
    if seldom is not None and terms.fills == SAME_CLOSE:
        lay_out_volume(clock, ms, lanes, prices, 1)
    _begin(a, hs, s, lanes)
    if tells is not None:
        _clear(s, ms, lanes, terms)
    for moment in range(3):  # the close before, the open, the close
        if moment == NEXT_OPEN:
            if seldom is not None and terms.fills == SAME_CLOSE:
                lay_out_volume(clock, ms, lanes, prices, 0)
            if seldom is not None and terms.has_actions:
                adjust(a, hs, clock, s, ms, lanes, events, terms.sizing != WEIGHTS)
            accrue(a, hs, s, ms, lanes, terms, tells)
        if seldom is not None:
            _exit(a, hs, clock, s, ms, lanes, events, terms, moment)
        if terms.fills == moment:
            fill(a, hs, s, ms, lanes, terms, tells, seldom)
    mark(a, hs, s, ms, lanes, terms, tells)


@inlined
def _exit(
    a: Floats, hs: Floats, clock: UInts, s: Floats, ms: Floats, lanes: Index, events: Floats, terms: Any,
    moment: int,
) -> None:  # fmt: skip
    """What nobody decides at that moment."""
    inside, wins = moment == NEXT_CLOSE, 0  # there the worst comes first
    if terms.has_exits & (inside | ((moment == NEXT_OPEN) & (terms.fills == NEXT_OPEN))):
        at_open = (moment == NEXT_OPEN) | (terms.fills != NEXT_OPEN)
        wins = exits.stop_out(a, hs, s, ms, lanes, at_open, inside)
    if terms.inside_margin & inside:
        exits.call_margin_inside(a, hs, s, ms, lanes, terms)
    if wins > 0 and inside:
        exits.take_profit(a, hs, s, ms, lanes)
    if terms.has_delistings & (moment == max(terms.fills, NEXT_OPEN)):
        exits.sell_delisted(a, hs, clock, s, ms, lanes, events)


@compiled_phase
def _begin(a: Floats, hs: Floats, s: Floats, lanes: Index) -> None:
    for j in range(lanes):
        s[BEFORE + j] = a[EQUITY + j]
    for i in range(len(hs)):
        h = hs[i]
        for j in range(lanes):
            h[HELD_BARS + j] += 1.0


@compiled_phase
def _clear(s: Floats, ms: Floats, lanes: Index, terms: Any) -> None:
    """Begin the sums of the step; what its terms never add to stays at nothing."""
    for j in range(lanes):
        s[PRICE_PNL + j] = s[FEE + j] = s[SPREAD + j] = s[TRADED + j] = s[BORROW + j] = 0.0
    if not terms.proportional:
        for j in range(lanes):
            s[IMPACT + j] = 0.0
    if terms.has_actions:
        for j in range(lanes):
            s[DIVIDEND + j] = 0.0
    for i in range(len(ms)):
        m = ms[i]
        for j in range(lanes):
            m[REASON + j] = 0.0


@compiled_phase
def _accrue(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any, tells: Any) -> None:
    compounds = terms.compounds
    first = ms[0]
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        for j in range(lanes):
            s[BORROW + j] += borrowed(h[UNITS + j], m[VALUED + j]) * m[BORROW_RATE + j]
    for j in range(lanes):
        cash = a[CASH + j] if compounds else 0.0
        financing = owed(cash) * first[FINANCING_RATE + j]
        interest = idle(cash) * first[INTEREST_RATE + j]
        s[FINANCING + j] = financing
        s[INTEREST + j] = interest
        a[CASH + j] += interest - s[BORROW + j] - financing


@compiled_phase
def _fill(
    a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any, tells: Any, seldom: Any
) -> None:
    """Go to the fill prices, see whether the account still stands, and trade."""
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        for j in range(lanes):
            price, valued = m[FILL + j], m[VALUED + j]
            trades = (price == price) & (m[OUT + j] == 0.0)  # a price of NaN does not equal itself
            revalue(s, h, m, j, price if trades else valued)
    _sum_up(a, hs, s, ms, lanes)
    exits.call_margin(a, hs, s, ms, lanes, terms.maintenance_margin, terms.compounds)
    compounds, notional = terms.compounds, terms.notional
    for j in range(lanes):
        s[BASE + j] = s[NET + j] if compounds else notional
    rebalance(a, hs, s, ms, lanes, terms, tells)


@compiled_phase
def _mark(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index, terms: Any, tells: Any) -> None:
    """Value everything at the close, and check the margin."""
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        for j in range(lanes):
            revalue(s, h, m, j, m[MARK + j])
    _sum_up(a, hs, s, ms, lanes)
    for j in range(lanes):
        a[PEAK + j] = max(a[PEAK + j], s[NET + j])
    exits.call_margin_at_close(a, hs, s, ms, lanes, terms)


@compiled_phase
def _sum_up(a: Floats, hs: Floats, s: Floats, ms: Floats, lanes: Index) -> None:
    """Equity into ``s[NET]``, gross value of the positions into ``s[GROSS]``."""
    for j in range(lanes):
        s[NET + j], s[GROSS + j] = a[CASH + j], 0.0
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        for j in range(lanes):
            value = h[UNITS + j] * m[VALUED + j]
            s[NET + j] += value
            s[GROSS + j] += abs(value)


@inlined
def deposit(a: Floats, hs: Floats, j: Index, cash: float, cost_scale: float) -> None:
    """Empty one lane of a block and put ``cash`` into it; its clock keeps episode and key."""
    for k in range(np.uint64(len(ACCOUNT_FIELDS))):
        a[k * np.uint64(LANES) + j] = 0.0
    for i in range(len(hs)):
        for k in range(np.uint64(len(HOLDING_FIELDS))):
            hs[i, k * np.uint64(LANES) + j] = 0.0
    a[CASH + j] = a[EQUITY + j] = a[PEAK + j] = cash
    a[COST_SCALE + j] = cost_scale


@compiled
def open_accounts(accounts: Accounts, cash: float, row: int) -> None:
    """Put ``cash`` into every account, at the close of ``row``."""
    for n in range(np.uint64(accounts.total)):
        block, lane = n // np.uint64(LANES), n % np.uint64(LANES)
        deposit(accounts.account[block], accounts.holdings[block], lane, cash, 1.0)
        accounts.clock[block, ROW + lane] = np.uint64(row)


@compiled
def step_block(accounts: Accounts, work: Workspace, exchange: Exchange) -> None:
    """One step of the accounts of the first block, to the targets that stand in the workspace."""
    a, hs, clock = accounts.account[0], accounts.holdings[0], accounts.clock[0]
    lanes = lanes_of(accounts, np.uint64(0))
    step_any(a, hs, clock, work.account, work.quotes, lanes, exchange, True)


@inlined
def lanes_of(accounts: Accounts, block: Index) -> Index:
    """How many lanes of a block are in use."""
    left = np.uint64(accounts.total) - block * np.uint64(LANES)
    return left if left < np.uint64(LANES) else np.uint64(LANES)
