"""Prices and costs of a step, laid out lane by lane: every account stands at a row of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from foretrade.markets.accounts import COST_SCALE, LANES, ROW
from foretrade.markets.arrays import Floats, Index, UInts
from foretrade.markets.compiled import compiled_part, compiled_phase, inlined
from foretrade.markets.exchange import (
    AT_HIGH,
    AT_INVERSE_VOLUME,
    AT_VOLUME_CAP,
    EVENT_FIELDS,
    PRICE_FIELDS,
)
from foretrade.markets.trading import (
    BORROW_RATE,
    FEE_PER_UNIT,
    FEE_RATE,
    FINANCING_RATE,
    HALF_SPREAD,
    HIGH,
    IMPACT_RATE,
    INTEREST_RATE,
    INVERSE_VOLUME,
    LOW,
    MARK,
    MINIMUM_FEE,
    OUT,
    QUADRATIC,
    VOLUME_CAP,
    YEARS,
)
from foretrade.markets.vectors import collect_eight, collect_two, flat

FIRST_PRICE = MARK  # the others follow, in the order of the panel


@compiled_phase
def lay_out(
    a: Floats, clock: UInts, ms: Floats, lanes: Index, prices: Floats, events: Floats, rates: Floats,
    terms: Any,
) -> None:  # fmt: skip
    """Advance the clocks by a bar, and lay out its prices and costs."""
    one, last = np.uint64(1), np.uint64(prices.shape[0] - 1)
    for j in range(lanes):
        clock[ROW + j] = min(clock[ROW + j] + one, last)
    symbols = np.uint64(len(ms))
    for i in range(symbols):
        m = ms[i]
        _lay_out_prices(clock, m, i, symbols, lanes, flat(prices))
        if terms.has_exits | terms.inside_margin:
            _lay_out_extremes(clock, m, i, symbols, lanes, flat(events))
        for j in range(lanes):
            m[OUT + j] = 0.0
        _lay_out_rates(a, clock, m, i, lanes, rates, terms.proportional)


@inlined
def _lay_out_prices(
    clock: UInts, m: Floats, i: Index, symbols: Index, lanes: Index, panel: Floats
) -> None:
    """All fields of a bar: they stand in one line, which is read at once if there are lanes enough."""
    fields, eight = np.uint64(len(PRICE_FIELDS)), np.uint64(8)
    whole = lanes - lanes % eight
    for j in range(np.uint64(0), whole, eight):
        collect_eight(
            panel, clock, ROW + j, symbols * fields, i * fields, m, FIRST_PRICE + j, np.uint64(LANES)
        )
    for j in range(whole, lanes):
        at = (clock[ROW + j] * symbols + i) * fields
        for k in range(fields):
            m[FIRST_PRICE + k * np.uint64(LANES) + j] = panel[at + k]


@inlined
def _lay_out_extremes(
    clock: UInts, m: Floats, i: Index, symbols: Index, lanes: Index, panel: Floats
) -> None:
    fields, eight = np.uint64(len(EVENT_FIELDS)), np.uint64(8)
    whole, at = lanes - lanes % eight, i * fields + AT_HIGH
    for j in range(np.uint64(0), whole, eight):
        collect_two(panel, clock, ROW + j, symbols * fields, at, m, HIGH + j, np.uint64(LANES))
    for j in range(whole, lanes):
        start = clock[ROW + j] * symbols * fields + at
        m[HIGH + j], m[LOW + j] = panel[start], panel[start + np.uint64(1)]


@compiled_part
def lay_out_volume(clock: UInts, ms: Floats, lanes: Index, prices: Floats, bars_back: int) -> None:
    """Lay out the volume of so many bars before the clock's."""
    for i in range(np.uint64(len(ms))):
        m = ms[i]
        for j in range(lanes):
            row = clock[ROW + j] - np.uint64(bars_back)
            m[INVERSE_VOLUME + j] = prices[row, i, AT_INVERSE_VOLUME]
            m[VOLUME_CAP + j] = prices[row, i, AT_VOLUME_CAP]


@inlined
def _lay_out_rates(
    a: Floats, clock: UInts, m: Floats, i: Index, lanes: Index, rates: Floats, proportional: bool
) -> None:
    """Costs at the account's level; those of every bar are alike, or each bar has its own."""
    if len(rates) > 1:
        for j in range(lanes):
            its = _rates_at(rates, clock[ROW + j], i)
            _set_proportional(m, j, its, a[COST_SCALE + j], m[YEARS + j])
            _set_others(m, j, its, a[COST_SCALE + j])
        return
    its = _rates_at(rates, np.uint64(0), i)
    for j in range(lanes):
        _set_proportional(m, j, its, a[COST_SCALE + j], m[YEARS + j])
    if not proportional:
        for j in range(lanes):
            _set_others(m, j, its, a[COST_SCALE + j])


@inlined
def _rates_at(rates: Floats, row: Index, i: Index) -> tuple[float, ...]:
    """The costs of a bar, in the order of ``costs.RATES``, as numbers: loops over lanes vectorise."""
    return (
        rates[row, i, np.uint64(0)],
        rates[row, i, np.uint64(1)],
        rates[row, i, np.uint64(2)],
        rates[row, i, np.uint64(3)],
        rates[row, i, np.uint64(4)],
        rates[row, i, np.uint64(5)],
        rates[row, i, np.uint64(6)],
        rates[row, i, np.uint64(7)],
        rates[row, i, np.uint64(8)],
    )


@inlined
def _set_proportional(m: Floats, j: Index, rates: tuple[float, ...], scale: float, years: float) -> None:
    """Yearly rates become the step's."""
    m[FEE_RATE + j] = rates[0] * scale
    m[HALF_SPREAD + j] = rates[1] * scale
    m[BORROW_RATE + j] = rates[2] * years * scale
    m[FINANCING_RATE + j] = rates[3] * years * scale
    m[INTEREST_RATE + j] = rates[4] * years  # earned: not scaled as costs are


@inlined
def _set_others(m: Floats, j: Index, rates: tuple[float, ...], scale: float) -> None:
    """What is not proportional to a trade."""
    m[FEE_PER_UNIT + j] = rates[5] * scale
    m[MINIMUM_FEE + j] = rates[6] * scale
    m[IMPACT_RATE + j] = rates[7] * scale
    m[QUADRATIC + j] = rates[8] * scale
