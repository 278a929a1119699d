"""Prices and costs of a step, laid out lane by lane: every account stands at a row of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from foretrade.markets.accounts import COST_SCALE, LANES, ROW
from foretrade.markets.arrays import Floats, Index, UInts
from foretrade.markets.compiled import compiled_part, inlined
from foretrade.markets.costs import PROPORTIONAL_RATES, RATES
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
    DELISTED,
    FEE_RATE,
    FILL,
    HIGH,
    INVERSE_VOLUME,
    LOW,
    MARK,
    NO_VOLUME,
    OPEN,
    OUT,
    VALUED,
    VOLUME,
    YEARS,
)

INTEREST_NUMBER = RATES.index("interest_bps_per_year")  # earned: not scaled as costs are
YEARLY = tuple(RATES.index(name) for name in RATES if name.endswith("_per_year"))


@compiled_part
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
        _lay_out_rates(a, clock, s, m, i, lanes, rates, terms.proportional)


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
    a: Floats,
    clock: UInts,
    s: Floats,
    m: Floats,
    i: Index,
    lanes: Index,
    rates: Floats,
    proportional: bool,
) -> None:
    """Rates at the account's cost level; yearly ones become those of the step."""
    count = PROPORTIONAL_RATES if proportional else len(RATES)
    for k in range(count):
        field = FEE_RATE + np.uint64(k * LANES)
        scales, yearly = k != INTEREST_NUMBER, k in YEARLY
        varies, constant = len(rates) > 1, rates[0, i, k]
        for j in range(lanes):
            rate = rates[clock[ROW + j], i, k] if varies else constant
            rate = rate * s[YEARS + j] if yearly else rate
            m[field + j] = rate * a[COST_SCALE + j] if scales else rate
