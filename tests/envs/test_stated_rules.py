"""Rules that docs/environment.md states in words, each with the numbers of a hand calculation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from gymnasium.vector import AutoresetMode
from numpy.testing import assert_allclose, assert_array_equal

from foretrade.envs.actions import DeltaActions, WeightActions
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.envs.vector import MarketVectorEnv
from foretrade.markets.bars import Bars, DataError
from foretrade.markets.costs import FREE, Costs
from foretrade.markets.fills import Fill
from foretrade.markets.reasons import reasons
from foretrade.markets.rules import Rules
from foretrade.markets.synthetic import random_walk
from foretrade.markets.table import Column, Table

pytestmark = pytest.mark.filterwarnings("ignore::foretrade.markets.fills.StaleOpenWarning")
FILLS: tuple[Fill, ...] = ("same_close", "next_open", "next_close")


def bars_of(close: Any, **fields: Any) -> Bars:
    closes = np.asarray(close, dtype=float)
    closes = closes[:, None] if closes.ndim == 1 else closes
    shaped = {
        name: np.asarray(values, dtype=float).reshape(closes.shape) for name, values in fields.items()
    }
    opens = shaped.pop("open", closes)
    prices = {"open": opens, "high": np.maximum(opens, closes), "low": np.minimum(opens, closes)}
    return Bars(
        symbols=tuple("ABC"[: closes.shape[1]]),
        closes_at=pd.date_range("2020-01-01 21:00", periods=len(closes), freq="D", tz="UTC"),
        close=closes,
        frequency="1D",
        periods_per_year=252.0,
        timezone="UTC",
        source="hand",
        **prices | {"volume": np.where(np.isnan(closes), np.nan, 1e6)} | shaped,
    )


def market(bars: Bars, unit: str = "ratio", **settings: Any) -> MarketEnv:
    shown = {Column("x", unit): np.where(np.isnan(bars.close), np.nan, 0.5)}
    return MarketEnv(
        bars, Table.from_columns(bars, shown), **{"costs": FREE, "initial_equity": 1000.0} | settings
    )


def play(env: MarketEnv, actions: list[Any]) -> list[dict[str, Any]]:
    env.reset(seed=0)
    infos = []
    for action in actions:
        _, reward, terminated, _, info = env.step(np.atleast_1d(np.asarray(action, np.float32)))
        infos.append(info | {"reward": reward, "why": reasons(np.ravel(info["reason"])[0])})
        if terminated:
            break
    return infos


@pytest.mark.parametrize("fill", FILLS)
def test_who_holds_more_than_the_margin_lets_is_called_before_a_fill_may_help(fill):
    rules = Rules(max_leverage=4.0, maintenance_margin=0.2)
    env = market(bars_of([100, 100, 80, 80, 80]), fill=fill, rules=rules, actions=WeightActions(-4, 4))
    infos = play(env, [4, 4, 4])
    assert len(infos) == 2  # 200 left against a position of 3,200
    assert infos[-1]["why"] == ("margin",)
    assert_allclose(infos[-1]["equity"], 200.0)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_inside_a_bar_the_margin_is_called_before_profits_are_taken(fill, side):
    far, near = (115.0, 55.0) if side > 0 else (145.0, 85.0)
    bars = bars_of([100] * 5, high=[100, 100, 100, far, 100], low=[100, 100, 100, near, 100])
    rules = Rules(max_leverage=2.0, maintenance_margin=0.25, margin_check="high_low")
    infos = play(
        market(bars, fill=fill, rules=rules, actions=WeightActions(-2, 2, take_profit=(0.1,))),
        [2 * side] * 4,
    )
    assert infos[-1]["why"] == ("margin",)
    assert_allclose(infos[-1]["equity"], 100.0)
    calm = Rules(max_leverage=2.0, maintenance_margin=0.25)
    infos = play(
        market(bars, fill=fill, rules=calm, actions=WeightActions(-2, 2, take_profit=(0.1,))),
        [2 * side] * 3,
    )
    assert infos[-1]["why"][-1] == "take_profit"


@pytest.mark.parametrize("more", [5, 50, 300, 500, 5e3, 3e4, 4e4, 1e6])
def test_of_a_delta_as_much_is_bought_as_fits_however_large_it_is(more):
    env = market(bars_of([100] * 4), costs=Costs(2, 1), actions=DeltaActions(-1e8, 1e8))
    info = play(env, [9.9, more])[-1]
    assert_allclose([info["achieved"], info["cash"]], [1.0, 0.0], atol=1e-9)
    pair = market(bars_of(np.full((4, 2), 100.0)), symbols=["A", "B"], costs=Costs(2, 1),
                  actions=DeltaActions(-1e8, 1e8))  # fmt: skip
    pair.reset()
    pair.step([9.9, 0.0])
    info = pair.step([0.0, more])[4]
    assert_allclose([info["achieved"].sum(), info["cash"]], [1.0, 0.0], atol=1e-9)


def test_of_a_delta_at_quadratic_costs_what_fits_is_traded():
    costs, rules = Costs(0, 0, 0, 0, quadratic=0.05), Rules(0.8)
    env = market(bars_of([100] * 4), costs=costs, rules=rules, actions=DeltaActions(-1e8, 1e8))
    info = play(env, [-7.0, -28.0])[-1]
    assert_allclose(info["achieved"], -0.8, rtol=1e-9)


@pytest.mark.parametrize("weight", [0.79, 0.8, 2.0])
def test_a_small_order_is_sent_or_not_whatever_the_target_beyond_it_was(weight):
    bars = bars_of([100] * 5, volume=[1e4, 1e4, 100, 100, 100])
    rules = Rules(0.8, max_participation=0.1, minimum_order=5000.0)
    env = market(bars, rules=rules, actions=WeightActions(-3, 3), initial_equity=1e6)
    infos = play(env, [0, weight, weight])
    assert [info["traded"] for info in infos] == [0, 0, 0]
    assert infos[-1]["why"][-2:] == ("volume", "minimum_order")


@pytest.mark.parametrize("weight", [-1.0, -3.0])
def test_beyond_the_leverage_limit_small_orders_are_sent(weight):
    rules = Rules(minimum_order=100.0)
    env = market(bars_of([100, 100, 103, 103]), rules=rules, actions=WeightActions(-3, 3))
    assert_allclose(play(env, [weight, weight])[-1]["achieved"], -1.0)


def test_what_could_not_be_traded_says_so_and_what_was_not_asked_for_says_nothing():
    gap = [[100, 100, 100], [100, 100, 100], [np.nan, np.nan, 100], [100, 100, 100]]
    env = market(bars_of(gap), symbols=["A", "B", "C"], actions="simplex")
    env.reset()
    env.step([1.0, 0.0, 0.0])
    info = env.step([0.0, 0.5, 0.5])[4]
    assert [reasons(code) for code in info["reason"]] == [("no_bar",), ("no_bar",), ("leverage",)]
    env = market(bars_of(np.full((4, 2), 100.0)), symbols=["A", "B"], actions=WeightActions(-2, 2))
    env.reset()
    assert [reasons(code) for code in env.step([2.0, 0.0])[4]["reason"]] == [("leverage",), ()]


def test_the_step_that_loses_the_account_pays_a_loss_under_differential_sharpe():
    calm = 100 + np.sin(np.arange(40))
    for last in (130.0, 300.0):
        env = market(bars_of([*calm, last]), reward="differential_sharpe")
        infos = play(env, [-1.0] * 40)
        if last == 300.0:
            assert infos[-1]["why"][-1] == "ruin"
            assert infos[-1]["reward"] <= infos[-1]["equity"] / infos[-2]["equity"] - 1 < -1


@pytest.mark.parametrize("fill", FILLS)
def test_a_stop_pays_the_impact_of_the_bar_in_which_it_is_hit(fill):
    for volume, impact in (([1e4, 1e4, 100, 1e4], 3.0), ([1e4, 100, 1e4, 1e4], 0.3)):
        bars = bars_of([100] * 4, low=[100, 100, 90, 100], volume=volume)
        env = market(bars, fill=fill, costs=Costs(0, 0, 0, 0, impact_bps=100),
                     rules=Rules(max_participation=1.0),
                     actions=WeightActions(-1, 1, stop_loss=(0.05,)))  # fmt: skip
        infos = play(env, [1.0, 1.0])
        assert infos[-1]["why"] == ("stop_loss",)
        if fill != "same_close":
            continue
        units = infos[0]["units"]
        assert_allclose(infos[-1]["impact"], units * 95 * 0.01 * (units / volume[2]) ** 0.5)
        assert abs(infos[-1]["impact"] / impact - 1) < 0.1


def test_the_excess_over_the_market_is_over_what_is_listed():
    rising = 100 * 1.01 ** np.arange(6)
    late = np.array([np.nan] * 5 + [50.0])
    env = market(bars_of(np.stack([rising, late], axis=1)), symbols=["A", "B"], reward="excess")
    env.reset()
    paid = [env.step([1.0, 0.0])[1] for _ in range(5)]
    assert_allclose(paid, [-np.log(1.01), 0, 0, 0, 0], atol=1e-12)  # bought at the first close
    gone = np.array([50.0] * 2 + [np.nan] * 4)
    rules = Rules(delist_after_bars=2)
    both = bars_of(np.stack([rising, gone], axis=1))
    env = market(both, symbols=["A", "B"], reward="excess", rules=rules)
    env.reset()
    paid = [env.step([1.0, 0.0])[1] for _ in range(5)]
    assert paid[1] > 1e-3  # a gap may end: B still counts, and stands still
    assert_allclose(paid[2:], 0.0, atol=1e-12)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_no_stop_is_hit_by_a_price_that_fell_by_a_dividend(side):
    bars = bars_of([100, 100, 90, 90], dividend=[0, 0, 10, 0])
    actions = WeightActions(-1, 1, stop_loss=(0.05,), take_profit=(0.05,))
    infos = play(market(bars, actions=actions), [side] * 3)
    assert [info["why"] for info in infos] == [()] * 3
    assert_allclose(infos[-1]["equity"], 1000.0)


def test_infos_of_ended_episodes_are_masked_as_in_gymnasium():
    env = market(random_walk(60), episodes=Episodes(5))
    batch = MarketVectorEnv(3, market=env, autoreset_mode=AutoresetMode.SAME_STEP)
    batch.reset(seed=0)
    batch.step(np.zeros((3, 1), np.float32))
    batch.reset(options={"reset_mask": np.array([True, False, False])})
    for _ in range(4):
        infos = batch.step(np.zeros((3, 1), np.float32))[4]
    assert_array_equal(infos["_final_info"], [False, True, True])
    assert_array_equal(infos["final_info"]["_equity"], infos["_final_info"])
    assert batch.describe().equals(env.describe())


def test_costs_that_a_curriculum_raises_beyond_the_equity_are_refused():
    bars = random_walk(60)
    with pytest.raises(ValueError, match="at a level of costs of 300"):
        market(bars, costs=Costs(30, 10), episodes=Episodes(cost_levels=(1.0, 300.0)))
    with pytest.raises(ValueError, match="at a level of costs of 400"):
        market(bars, costs=Costs(30, 10)).reset(options={"cost_scale": 400})


def test_a_gap_names_the_rows_that_can_be_played():
    closes = np.full(60, 100.0)
    closes[20] = np.nan
    with pytest.raises(
        DataError, match=r"rows=range\(21, 60\) is the longest, or trade it beside others"
    ):
        market(bars_of(closes))
    market(bars_of(closes), rows=range(21, 60))
    nothing = np.stack([np.full(9, 100.0), np.full(9, np.nan)], axis=1)
    with pytest.raises(DataError, match="hand: B: there is not one bar"):
        market(bars_of(nothing), symbols="B")


def test_one_column_may_be_named_alone_and_none_twice():
    bars = random_walk(300)
    assert MarketEnv(bars, observe="trend_200").view.current == ("trend_200",)
    for again in ({"observe": ["volume"] * 2}, {"observe": ["volume"], "window": ["volume"]}):
        with pytest.raises(ValueError, match="column 'volume' is asked for twice"):
            MarketEnv(bars, **again)


def test_settings_of_another_kind_are_refused_by_name():
    bars = random_walk(60)
    for settings, error, message in (
        ({"rules": None}, TypeError, r"rules must be Rules\(…\)"),
        ({"episodes": None}, TypeError, r"episodes must be Episodes"),
        ({"costs": 3.0}, TypeError, r"costs must be Costs"),
        ({"actions": 3}, TypeError, r"actions must be Actions\(…\), or one of 'weight'"),
        ({"reward": 3}, TypeError, r"reward must be Reward\(…\), or one of 'log_growth'"),
        ({"fill": None}, ValueError, "fill = None must be one of"),
        ({"lookback_bars": 2.0}, ValueError, "lookback_bars must be a whole number"),
        ({"initial_equity": np.nan}, ValueError, "initial_equity must be positive and finite"),
    ):
        with pytest.raises(error, match=message):
            market(bars, **settings)
    with pytest.raises(TypeError, match="bars must be Bars, the name of a packaged data set"):
        MarketEnv(pd.DataFrame({"close": [1.0, 2.0]}))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a batch is not rendered"):
        MarketVectorEnv(2, bars=bars, render_mode="rgb_array")


def test_several_markets_show_each_column_in_one_unit():
    first, second = random_walk(60, seed=1), random_walk(60, seed=2)
    tables = [
        Table.from_columns(bars, {Column("x", unit): np.full((60, 1), 0.5)})
        for bars, unit in ((first, "ratio"), (second, "USD"))
    ]
    with pytest.raises(DataError, match="column 'x' is in 'USD', but in 'ratio' in"):
        MarketEnv([first, second], tables)


def test_costs_by_symbol_are_equal_by_value_and_nobody_elses():
    fees = np.array([1.0, 2.0])
    costs = Costs(fees)
    assert costs == Costs(np.array([1.0, 2.0]))
    assert hash(costs) == hash(Costs(np.array([1.0, 2.0])))
    assert costs != Costs(np.array([1.0, 3.0]))
    fees[0] = 7.0
    assert_array_equal(costs.fee_bps, [1.0, 2.0])
