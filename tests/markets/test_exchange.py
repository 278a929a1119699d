"""What exchanges over the same bars share, and what they do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from foretrade.markets.costs import FREE
from foretrade.markets.exchange import make_exchange
from foretrade.markets.rules import Rules
from foretrade.markets.synthetic import random_walk

GAPS = [(20, 25, 0), (30, 60, 1)]


def market():
    bars = random_walk(80, symbols=2)
    fields = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close", "volume")}
    for start, stop, symbol in GAPS:
        for values in fields.values():
            values[start:stop, symbol] = np.nan
    return replace(bars, **fields)


def test_costs_and_limits_make_no_prices_anew():
    bars = market()
    one, other = (
        make_exchange(bars),
        make_exchange(bars, costs=FREE, rules=Rules(3.0, no_trade_band=0.1)),
    )
    assert one.prices is other.prices
    assert one.events is other.events


@pytest.mark.parametrize(
    "terms",
    [
        {"fill": "next_open"},
        {"fill": "same_close"},
        {"rules": Rules(max_participation=0.1)},
        {"rules": Rules(max_participation=0.1, lot_size=10.0)},
        {"rules": Rules(delist_after_bars=3)},
        {"halted": np.eye(80, 2, dtype=bool)},
    ],
)
def test_other_terms_have_prices_of_their_own(terms):
    bars = market()
    usual = make_exchange(bars)
    for _ in range(2):
        own, alone = make_exchange(bars, **terms), make_exchange(market(), **terms)
        for name in ("prices", "events"):
            assert_array_equal(getattr(own, name), getattr(alone, name))
        assert not all(
            np.array_equal(getattr(own, name), getattr(usual, name), equal_nan=True)
            for name in ("prices", "events")
        )
        assert_array_equal(make_exchange(bars).prices, usual.prices)


def test_bars_keep_no_more_panels_than_a_few():
    bars = market()
    for share in np.linspace(0.1, 1.0, 30):
        make_exchange(bars, rules=Rules(max_participation=float(share)))
    assert 0 < len(bars.derived) <= 8
