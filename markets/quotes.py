"""Prices and costs of a step, laid out lane by lane: every account stands at a row of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from foretrade.markets.accounts import COST_SCALE, ROW
from foretrade.markets.arrays import Floats, Index, UInts
from foretrade.markets.compiled import choose, compiled_part, compiled_phase, inlined
from foretrade.markets.exchange import (
    AT_FILL,
    AT_HIGH,
    AT_LOW,
    AT_MARK,
    AT_OPEN,
    AT_VALUED,
    AT_VOLUME,
    AT_YEARS,
    PRICE_FIELDS,
)
from foretrade.markets.trading import (
    BORROW_RATE,
    FEE_PER_UNIT,
    FEE_RATE,
    FILL,
    FINANCING_RATE,
    HALF_SPREAD,
    HIGH,
    IMPACT_RATE,
    INTEREST_RATE,
    INVERSE_VOLUME,
    LOW,
    MARK,
    MINIMUM_FEE,
    NO_VOLUME,
    OPEN,
    OUT,
    QUADRATIC,
    VALUED,
    VOLUME,
    YEARS,
)


@compiled_phase
def lay_out(
    a: Floats,
    clock: UInts,
    s: Floats,
    ms: Floats,
    lanes: Index,
    prices: Floats,
    rates: Floats,
    terms: Any,
) -> None:
    """Advance the clocks by a bar, and lay out its prices and costs."""
    one, last = np.uint64(1), np.uint64(prices.shape[0] - 1)
    for j in range(lanes):
        clock[ROW + j] = min(clock[ROW + j] + one, last)
    symbols, has_volume = np.uint64(len(ms)), np.isfinite(terms.max_participation)
    for i in range(symbols):
        m = ms[i]
        _lay_out_prices(clock, s, m, i, symbols, lanes, prices.reshape(-1), has_volume)
        if terms.has_exits | terms.inside_margin:
            for j in range(lanes):
                row = clock[ROW + j]
                m[OPEN + j] = prices[row, i, AT_OPEN]
                m[HIGH + j] = prices[row, i, AT_HIGH]
                m[LOW + j] = prices[row, i, AT_LOW]
        for j in range(lanes):
            m[OUT + j] = 0.0
        _lay_out_rates(a, clock, s, m, i, lanes, rates, terms.proportional)


@inlined
def _lay_out_prices(
    clock: UInts, s: Floats, m: Floats, i: Index, symbols: Index, lanes: Index, flat: Floats,
    has_volume: bool,
) -> None:  # fmt: skip
    fields = np.uint64(len(PRICE_FIELDS))
    for j in range(lanes):
        at = (clock[ROW + j] * symbols + i) * fields
        m[VALUED + j] = flat[at + AT_VALUED]
        m[FILL + j] = flat[at + AT_FILL]
        m[MARK + j] = flat[at + AT_MARK]
        m[VOLUME + j] = flat[at + AT_VOLUME]
        s[YEARS + j] = flat[at + AT_YEARS]  # the same of each symbol
    if has_volume:
        _invert_volume(m, lanes)


@compiled_part
def lay_out_volume(
    clock: UInts, ms: Floats, lanes: Index, prices: Floats, terms: Any, bars_back: int
) -> None:
    """Lay out the volume of so many bars before the clock's, if anybody asks for it."""
    if np.isfinite(terms.max_participation):
        for i in range(np.uint64(len(ms))):
            m = ms[i]
            for j in range(lanes):
                m[VOLUME + j] = prices[clock[ROW + j] - np.uint64(bars_back), i, AT_VOLUME]
            _invert_volume(m, lanes)


@inlined
def _invert_volume(m: Floats, lanes: Index) -> None:
    for j in range(lanes):
        inverse = 1.0 / m[VOLUME + j]
        m[INVERSE_VOLUME + j] = choose(inverse < NO_VOLUME, inverse, NO_VOLUME)


@inlined
def _lay_out_rates(
    a: Floats, clock: UInts, s: Floats, m: Floats, i: Index, lanes: Index, rates: Floats,
    proportional: bool,
) -> None:  # fmt: skip
    """Costs at the account's level; those of every bar are alike, or each bar has its own."""
    if len(rates) > 1:
        for j in range(lanes):
            its = _rates_at(rates, clock[ROW + j], i)
            _set_proportional(m, j, its, a[COST_SCALE + j], s[YEARS + j])
            _set_others(m, j, its, a[COST_SCALE + j])
        return
    its = _rates_at(rates, np.uint64(0), i)
    for j in range(lanes):
        _set_proportional(m, j, its, a[COST_SCALE + j], s[YEARS + j])
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
