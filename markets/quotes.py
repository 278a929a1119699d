"""Prices and costs of a step, laid out lane by lane: every account stands at a row of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from foretrade.markets.accounts import COST_SCALE, ROW
from foretrade.markets.arrays import Floats, Index, UInts
from foretrade.markets.compiled import compiled_phase, inlined
from foretrade.markets.exchange import (
    AT_DELISTING,
    AT_FILL,
    AT_HIGH,
    AT_LOW,
    AT_MARK,
    AT_OPEN,
    AT_VOLUME,
    AT_YEARS,
)
from foretrade.markets.trading import (
    BORROW_RATE,
    DELISTED,
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
    for j in range(lanes):
        s[YEARS + j] = prices[clock[ROW + j], np.uint64(0), AT_YEARS]
    for i in range(len(ms)):
        m = ms[i]
        for j in range(lanes):
            row = clock[ROW + j]
            m[VALUED + j] = prices[row - one, i, AT_MARK]
            m[FILL + j] = prices[row, i, AT_FILL]
            m[MARK + j] = prices[row, i, AT_MARK]
            m[OUT + j] = 0.0
        _lay_out_rest(clock, m, i, lanes, prices, terms)
        if len(rates) > 1:
            for j in range(lanes):
                its = rates[clock[ROW + j], i]
                _lay_out_rates(m, j, its, a[COST_SCALE + j], s[YEARS + j], terms.proportional)
        else:
            for j in range(lanes):
                its = rates[np.uint64(0), i]
                _lay_out_rates(m, j, its, a[COST_SCALE + j], s[YEARS + j], terms.proportional)


@inlined
def _lay_out_rest(clock: UInts, m: Floats, i: Index, lanes: Index, prices: Floats, terms: Any) -> None:
    """What only some rules read of a bar."""
    if terms.has_exits | terms.inside_margin:
        for j in range(lanes):
            row = clock[ROW + j]
            m[OPEN + j] = prices[row, i, AT_OPEN]
            m[HIGH + j] = prices[row, i, AT_HIGH]
            m[LOW + j] = prices[row, i, AT_LOW]
    if np.isfinite(terms.max_participation):
        for j in range(lanes):
            volume = prices[clock[ROW + j], i, AT_VOLUME]
            m[VOLUME + j] = volume
            m[INVERSE_VOLUME + j] = 1.0 / volume if volume > 0.0 else NO_VOLUME
    if terms.has_delistings:
        for j in range(lanes):
            m[DELISTED + j] = prices[clock[ROW + j], i, AT_DELISTING]


@inlined
def _lay_out_rates(
    m: Floats, j: Index, rates: Floats, scale: float, years: float, proportional: bool
) -> None:
    """Costs at the account's level, in the order of ``costs.RATES``; yearly ones become the step's."""
    m[FEE_RATE + j] = rates[0] * scale
    m[HALF_SPREAD + j] = rates[1] * scale
    m[BORROW_RATE + j] = rates[2] * years * scale
    m[FINANCING_RATE + j] = rates[3] * years * scale
    m[INTEREST_RATE + j] = rates[4] * years  # earned: not scaled as costs are
    if not proportional:
        m[FEE_PER_UNIT + j] = rates[5] * scale
        m[MINIMUM_FEE + j] = rates[6] * scale
        m[IMPACT_RATE + j] = rates[7] * scale
        m[QUADRATIC + j] = rates[8] * scale
