"""Limits, volume and targets hold for what an order is after its costs, not before them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from foretrade.envs.actions import DeltaActions, UnitActions, UnitPositionActions
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.markets.bars import Bars
from foretrade.markets.costs import Costs
from foretrade.markets.reasons import reasons
from foretrade.markets.rules import Rules
from foretrade.markets.synthetic import random_walk
from foretrade.markets.table import Column, Table


def flat_bars(prices: Any, volume: float = 1e9) -> Bars:
    close = np.asarray(prices, dtype=float)
    close = close[:, None] if close.ndim == 1 else close
    dates = pd.date_range("2020-01-01 21:00", periods=len(close), freq="D", tz="UTC")
    names = tuple("AB"[: close.shape[1]])
    volumes = np.full(close.shape, volume)
    return Bars(names, dates, close, close, close, close, volumes, "1D", 252.0, "UTC", "flat")


def market(bars: Bars, **settings: Any) -> MarketEnv:
    table = Table.from_columns(bars, {Column("nothing", "ratio"): np.zeros(bars.close.shape)})
    return MarketEnv(bars, table, **settings)


@pytest.mark.parametrize("fee_bps", [0, 10, 100])
@pytest.mark.parametrize(
    ("actions", "all_in", "hold"),
    [
        (DeltaActions(-50, 50), [10.0], [0.0]),
        (UnitActions(-50, 50), [10.0], [10.0]),
        (UnitPositionActions((-10.0, 0.0, 10.0)), 2, 2),
    ],
)
def test_units_for_all_the_cash_leave_no_debt(actions, all_in, hold, fee_bps):
    env = market(flat_bars([100.0] * 5), actions=actions, initial_equity=1000.0, costs=Costs(fee_bps, 0))
    env.reset()
    info = env.step(all_in)[4]
    assert_allclose([info["cash"], info["achieved"]], [0.0, 1.0], atol=1e-9)
    assert_allclose(info["units"], 10 / (1 + fee_bps * 1e-4), rtol=1e-12)
    assert reasons(info["reason"]) == (("leverage",) if fee_bps else ())
    assert env.step(hold)[4]["traded"] == 0.0


@pytest.mark.parametrize("units", [3.0, -4.0])
def test_units_within_the_limits_are_held_and_weigh_what_was_asked(units):
    env = market(
        flat_bars([100.0] * 4), actions=UnitActions(-9, 9), initial_equity=1e3, costs=Costs(100, 0)
    )
    env.reset()
    info = env.step([units])[4]
    assert info["units"] == units
    assert info["reason"] == 0.0
    assert info["requested"] == info["achieved"] == units * 100 / info["equity"]


@pytest.mark.parametrize("net", [None, 0.5])
def test_several_symbols_in_units_keep_to_gross_and_net_limit_after_costs(net):
    env = market(
        flat_bars([[100.0, 50.0]] * 5),
        symbols=("A", "B"),
        actions=DeltaActions(-20, 20),
        initial_equity=1000.0,
        costs=Costs(80, 20, minimum_fee=1.0),
        rules=Rules(max_net=net),
    )
    env.reset()
    for action in ([4.0, 4.0], [2.0, 8.0], [-12.0, 3.0]):
        info = env.step(action)[4]
        weights = info["achieved"]
        assert np.abs(weights).sum() <= 1 + 1e-9
        assert abs(weights.sum()) <= (net or np.inf) + 1e-9


def test_a_delta_of_zero_trades_nothing_whatever_the_others_ask_for():
    env = market(
        flat_bars([[100.0, 100.0]] * 5),
        symbols=("A", "B"),
        actions=DeltaActions(-20, 20),
        initial_equity=1000.0,
        costs=Costs(10, 0, 0, 0),
    )
    env.reset()
    env.step([8.0, 0.0])
    info = env.step([0.0, 8.0])[4]
    assert info["units"][0] == 8.0
    assert_allclose(info["achieved"].sum(), 1.0, rtol=1e-9)
    assert [reasons(code) for code in info["reason"]] == [(), ("leverage",)]


def test_a_delta_of_zero_trades_nothing_when_prices_have_carried_the_account_beyond_its_limit():
    env = market(
        flat_bars([100.0, 100.0, 60.0, 60.0]),
        actions=DeltaActions(-50, 50),
        initial_equity=1000.0,
        costs=Costs(10, 0, 0, 0),
        rules=Rules(max_leverage=2.0),
    )
    env.reset()
    env.step([15.0])
    info = env.step([0.0])[4]
    assert info["achieved"] > 2.0
    assert (info["traded"], info["reason"]) == (0.0, 0.0)
    assert env.step([1.0])[4]["traded"] == 0.0  # there is no room for more


def test_an_order_is_cut_to_the_volume_that_it_has_after_costs():
    env = market(
        flat_bars([100.0] * 4, volume=9990.0),
        actions="simplex",
        costs=Costs(0, 0, impact_bps=500.0),
        rules=Rules(max_participation=1.0),
    )
    env.reset()
    info = env.step([1.0])[4]  # 10,000 units before costs, 9,524 after them
    assert_allclose([info["achieved"], info["cash"]], [1.0, 0.0], atol=1e-6)
    assert reasons(info["reason"]) == ()


def test_a_sale_that_only_its_costs_push_beyond_the_volume_is_cut():
    env = market(
        flat_bars([100.0] * 4, volume=1000.0),
        initial_equity=200_100.0,
        costs=Costs(200, 0),
        rules=Rules(max_participation=1.0),
    )
    env.reset()
    env.step([-0.2])
    info = env.step([-0.69])[4]
    assert abs(info["traded"]) <= 1000 * 100 * (1 + 1e-9)


def test_a_weight_on_its_target_follows_the_equity_that_others_cost():
    bars = flat_bars([[100.0, 100.0]] * 5)
    env = market(bars, symbols=("A", "B"), costs=Costs(100, 0, 0, 0), rules=Rules(max_leverage=2.0))
    env.reset()
    env.step([0.0, 1.0])
    info = env.step([1.0, 1.0])[4]
    assert_allclose(info["achieved"], [1.0, 1.0], rtol=1e-12)
    assert env.step([1.0, 1.0])[4]["traded"] == 0.0


def test_units_asked_for_keep_their_value_over_a_seam():
    prices = np.r_[np.full(50, 100.0), np.full(50, 400.0)]  # no price moves but by a jump
    env = market(
        flat_bars(prices), actions=UnitActions(-1e4, 1e4), episodes=Episodes(80, bootstrap_bars=3.0)
    )
    _, info = env.reset(seed=2)
    info = env.step([2000.0])[4]
    closes = set()
    for _ in range(30):
        before = info
        info = env.step([before["units"]])[4]
        closes.add(info["close"])
        if before["close"] == info["close"] or info["row"] != before["row"] + 1:
            assert info["traded"] <= 1e-6
    assert closes == {100.0, 400.0}


def test_deltas_keep_their_value_over_a_seam():
    prices = np.r_[np.full(50, 100.0), np.full(50, 400.0)]
    env = market(
        flat_bars(prices), actions=DeltaActions(-1e4, 1e4), episodes=Episodes(80, bootstrap_bars=2.0)
    )
    _, info = env.reset(seed=2)
    for k in range(30):
        before = info
        info = env.step([100.0 if k % 2 else -100.0])[4]
        if info["row"] != before["row"] + 1:
            assert_allclose(info["traded"], 100 * before["close"], rtol=1e-9)


@pytest.mark.parametrize("rate", ["minimum_fee", "fee_per_unit", "quadratic"])
def test_costs_of_later_bars_change_no_bit_of_earlier_ones(rate):
    bars = random_walk(400, seed=3)
    later = np.zeros((400, 1))
    later[380:] = 0.5
    books = []
    for level in (0.0, 1.0):
        costs = replace(Costs(), **{rate: later * level})
        env = MarketEnv(bars, costs=costs)
        env.action_space.seed(1)
        env.reset(seed=0)
        rows, info = [], {"row": 0}
        while info["row"] < 379:
            _, reward, _, _, info = env.step(env.action_space.sample())
            rows.append((reward, info["equity"], info["cash"], info["units"]))
        books.append(np.array(rows))
    assert len(books[0]) > 99
    assert_array_equal(books[0], books[1])
