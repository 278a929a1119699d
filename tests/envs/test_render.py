"""A picture shows the trades that the ledger made, where they filled, and no others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import matplotlib.dates
import numpy as np
import pytest
from numpy.testing import assert_allclose

from foretrade.envs.actions import DeltaActions, WeightActions
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.envs.render import Trade, episode_figure, trades
from foretrade.markets.bars import Bars
from foretrade.markets.costs import Costs
from foretrade.markets.reasons import reasons
from foretrade.markets.rules import Rules
from foretrade.markets.synthetic import random_walk
from foretrade.markets.table import Column, Table

WALK = random_walk(500, seed=1)
PANEL = random_walk(500, symbols=3, seed=1)


def splitting(bars: Bars) -> Bars:
    """The same bars with splits, so that prices fall to a half or rise to the triple of themselves."""
    split = np.ones(bars.close.shape)
    split[[305, 330, 360]] = np.array([2.0, 1 / 3, 1.5])[:, None]
    fallen = np.cumprod(split, axis=0)
    prices = {name: getattr(bars, name) / fallen for name in ("open", "high", "low", "close")}
    return replace(bars, split=split, **prices)


def watched(bars: Bars, **options: Any) -> MarketEnv:
    nothing = Table.from_columns(bars, {Column("nothing", "flag"): np.zeros(bars.close.shape)})
    return MarketEnv(bars, nothing, symbols=bars.symbols, render_mode="rgb_array", **options)


def play(env: MarketEnv, actions: np.ndarray, **options: Any) -> list[dict[str, Any]]:
    env.reset(seed=5, options=options)
    for action in actions:
        if any(env.step(np.atleast_1d(action).astype(np.float32))[2:4]):
            break
    return env._history


def drawn(steps: list[dict[str, Any]], names: tuple[str, ...] = ()) -> list[np.ndarray]:
    """Places of the markers, buys and sales."""
    price = episode_figure(steps, "title", names).axes[0]
    return [np.asarray(marks.get_offsets()) for marks in price.collections]


@pytest.mark.parametrize("bars", [splitting(WALK), splitting(PANEL)], ids=["one", "several"])
@pytest.mark.parametrize("bootstrap_bars", [0.0, 7.0])
@pytest.mark.parametrize("fill", ["next_close", "next_open", "same_close"])
def test_there_is_a_marker_where_units_were_traded_and_nowhere_else(bars, bootstrap_bars, fill):
    env = watched(
        bars,
        actions=DeltaActions(-100, 100),
        fill=fill,
        rules=Rules(20.0),
        episodes=Episodes(150, bootstrap_bars=bootstrap_bars),
    )
    rng = np.random.default_rng(0)
    asked = rng.integers(-1, 2, (150, len(bars.symbols))) * 50.0
    steps = play(env, asked, start=290)
    made = trades(steps)
    assert len(steps) == 151
    assert {(t.step, t.symbol): t.side for t in made} == {
        (k + 1, i): int(np.sign(x)) for k, row in enumerate(asked) for i, x in enumerate(row) if x
    }
    for k, step in enumerate(steps):
        its = [trade for trade in made if trade.step == k]
        assert (step["traded"] > 0) == (len(its) > 0)
        size = np.abs(np.atleast_1d(step["units"] - step["carried"]))
        if fill == "same_close":  # which was before the split
            size /= bars.split[step["row"]]
        assert_allclose(sum(t.price * size[t.symbol] for t in its), step["traded"], rtol=1e-9)


def test_a_split_is_no_trade():
    env = watched(splitting(WALK), actions=DeltaActions(-100, 100))
    steps = play(env, np.array([50.0, *np.zeros(80)]), start=300)
    assert steps[-1]["units"] != steps[1]["units"]
    assert [(trade.step, trade.side) for trade in trades(steps)] == [(1, 1)]
    bought, sold = drawn(steps)
    assert (len(bought), len(sold)) == (1, 0)


@pytest.mark.parametrize("fill", ["next_close", "next_open", "same_close"])
@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("symbols", [1, 3])
@pytest.mark.parametrize("margin_check", ["close", "high_low"])
def test_an_exit_inside_a_bar_is_drawn_where_it_filled(fill, side, symbols, margin_check):
    bars = WALK if symbols == 1 else PANEL
    actions = WeightActions(-1.0, 1.0, stop_loss=(0.03,), take_profit=(0.03,))
    rules = Rules(1.0, margin_check=margin_check)
    env = watched(bars, actions=actions, fill=fill, rules=rules, costs=Costs(0, 0, 0, 0))
    asked = np.zeros((150, symbols))
    asked[:, 0] = side
    steps = play(env, asked, start=300)
    made = [trade for trade in trades(steps) if trade.symbol == 0]
    exits = 0
    for k, step in enumerate(steps):
        if not set(reasons(np.atleast_1d(step["reason"])[0])) & {"stop_loss", "take_profit"}:
            continue
        exits += 1
        its = [trade for trade in made if trade.step == k]
        assert its[-1].side == -side
        assert bars.low[step["row"], 0] <= its[-1].price <= bars.high[step["row"], 0]
        carried = abs(np.atleast_1d(step["carried"])[0])
        if len(its) == 1 and (side == 1 or fill == "next_close"):  # no other trade in that bar
            assert_allclose(its[0].price * carried, step["traded"], rtol=1e-9)
    assert exits > 3


def test_what_is_bought_and_stopped_in_one_bar_is_drawn_twice():
    low = WALK.low.copy()
    low[301] = WALK.open[301] * 0.9
    bars = replace(WALK, low=low)
    env = watched(bars, actions=WeightActions(0.0, 1.0, stop_loss=(0.05,)), fill="next_open")
    steps = play(env, np.ones(1), start=300)
    opened = bars.open[301, 0]
    assert steps[1]["units"] == 0
    assert trades(steps) == [Trade(1, 0, 1, opened), Trade(1, 0, -1, pytest.approx(opened * 0.95))]


def test_what_ruin_sold_at_is_not_told_and_not_drawn():
    scale = np.where(np.arange(500) < 310, 1.0, 0.4)[:, None]
    prices = {name: getattr(WALK, name) * scale for name in ("open", "high", "low", "close")}
    rules = Rules(1.9)
    env = watched(replace(WALK, **prices), rules=rules, actions=WeightActions(0.0, 1.9))
    steps = play(env, np.full(40, 1.9), start=305)
    assert len(steps) == 6
    assert reasons(steps[-1]["reason"]) == ("ruin",)
    assert steps[-1]["units"] == 0
    assert all(trade.step < len(steps) - 1 for trade in trades(steps))


def test_trades_of_several_symbols_stand_on_their_lines():
    env = watched(PANEL, actions=DeltaActions(-100, 100))
    asked = np.zeros((20, 3))
    asked[4, 1], asked[9, 2] = 10.0, -10.0
    steps = play(env, asked, start=300)
    bought, sold = drawn(steps, PANEL.symbols)
    first = PANEL.close[300]
    dates = matplotlib.dates.date2num([steps[5]["date"], steps[10]["date"]])
    assert_allclose(bought, [[dates[0], PANEL.close[305, 1] / first[1]]])
    assert_allclose(sold, [[dates[1], PANEL.close[310, 2] / first[2]]])


def test_a_path_that_leaps_in_time_is_drawn_over_its_steps():
    for bootstrap_bars, label in ((0.0, ""), (7.0, "step")):
        env = watched(WALK, episodes=Episodes(100, bootstrap_bars=bootstrap_bars))
        steps = play(env, np.ones(100), start=100)
        figure = episode_figure(steps, "title")
        assert figure.axes[-1].get_xlabel() == label
        (line,) = figure.axes[0].get_lines()
        x = np.asarray(line.get_xdata(orig=False))
        assert (np.diff(x) > 0).all()
        if label:
            assert (x == np.arange(101)).all()
        assert env.render().shape == (400, 640, 3)


def test_the_first_frame_is_of_its_week():
    env = watched(WALK)
    env.reset(seed=0)
    axes = episode_figure(env._history, "x").axes[0]
    first, last = axes.get_xlim()
    assert 7 < last - first < 21
