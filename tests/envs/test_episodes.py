"""Episodes: where they begin, which path they take, at which costs, and that seeds decide it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.markets.bars import Bars
from foretrade.markets.costs import FREE, Costs
from foretrade.markets.synthetic import random_walk
from foretrade.markets.table import Column, Table

BARS = random_walk(900, seed=6)
PANEL = random_walk(400, symbols=4, seed=6)
HOLD = np.ones(1, np.float32)


def starts(env: MarketEnv, count: int, key: str = "row") -> list:
    return [env.reset(seed=0 if i == 0 else None)[1][key] for i in range(count)]


def test_starts_are_uniform_over_what_fits():
    env = MarketEnv(BARS, rows=range(300, 420), episodes=Episodes(20, random_start=True))
    drawn = starts(env, 4000)
    assert (min(drawn), max(drawn)) == (300, 399)
    assert stats.chisquare(np.bincount(np.array(drawn) - 300)).pvalue > 1e-4


def test_a_seed_decides_all_later_episodes():
    env = MarketEnv(BARS, episodes=Episodes(20, random_start=True, cost_range=(0.5, 2.0)))
    once, again = starts(env, 20), starts(env, 20)
    assert once == again
    assert len(set(once)) > 15
    other = MarketEnv(BARS, episodes=Episodes(20, random_start=True))
    assert [other.reset(seed=s)[1]["row"] for s in range(5)] != once[:5]


def test_each_episode_draws_one_of_several_markets():
    env = MarketEnv(PANEL, symbols="each")
    markets = starts(env, 400, "market")
    assert stats.chisquare(np.bincount(markets)).pvalue > 1e-4
    _, info = env.reset(options={"market": 2})
    assert (info["market"], env.symbols) == (2, ("WALK2",))
    row = info["row"]
    info = env.step(HOLD)[-1]
    assert (info["row"], info["close"]) == (row + 1, PANEL.close[row + 1, 2])

    mixed = MarketEnv([BARS, PANEL], episodes=Episodes(50))
    for market, bars in enumerate((BARS, PANEL)):
        _, info = mixed.reset(options={"market": market, "start": 320})
        assert mixed.bars.source == bars.source
        assert (info["row"], info["close"]) == (320, bars.close[320, 0])
        for row in range(321, 371):
            *_, truncated, info = mixed.step(HOLD)
            assert info["close"] == bars.close[row, 0]
        assert truncated


def test_costs_are_drawn_log_uniformly_and_charged():
    env = MarketEnv(BARS, episodes=Episodes(5, cost_range=(0.25, 4.0)), costs=Costs(10, 0, 0, 0))
    levels = starts(env, 2000, "cost_scale")
    uniform = (np.log(levels) - np.log(0.25)) / np.log(16)
    assert stats.kstest(uniform, "uniform").pvalue > 1e-4
    _, info = env.reset(options={"cost_scale": 3.0})
    info = env.step(HOLD)[-1]
    assert_allclose(info["fee"], 3e-3 * info["traded"])
    assert env.reset(options={"cost_scale": 0.0})[1]["cost_scale"] == 0.0
    assert env.step(HOLD)[-1]["fee"] == 0.0


def test_a_curriculum_raises_the_costs_level_by_level():
    env = MarketEnv(BARS, episodes=Episodes(5, cost_levels=(0.0, 0.5, 1.0), episodes_per_level=3))
    assert starts(env, 11, "cost_scale") == [0.0] * 3 + [0.5] * 3 + [1.0] * 5


def test_a_bootstrapped_path_is_made_of_blocks_of_the_history():
    episodes = Episodes(3000, bootstrap_bars=10.0)
    env = MarketEnv(random_walk(4000, seed=2), rows=range(300, 4000), episodes=episodes, costs=FREE)
    _, info = env.reset(seed=1)
    rows, equity = [info["row"]], [info["equity"]]
    for _ in range(3000):
        *_, truncated, info = env.step(HOLD)
        rows.append(info["row"])
        equity.append(info["equity"])
    assert truncated
    close = env.bars.close[:, 0]
    came_from = np.array(rows[1:]) - 1
    jumps = came_from != np.array(rows[:-1])
    assert 0.08 < jumps.mean() < 0.12  # blocks of ten bars on average
    # What is held earns the return of each drawn bar, and nothing at the joints (after the first fill).
    earned = np.array(equity[2:]) / np.array(equity[1:-1])
    assert_allclose(earned, (close[rows[2:]] / close[came_from[1:]]), rtol=1e-9)
    assert min(rows) >= 300
    assert max(rows) < 4000


def test_bootstrapping_history_away_keeps_the_mean_return():
    """Over many jumps every bar is as likely as any other."""
    env = MarketEnv(BARS, rows=range(300, 900), episodes=Episodes(500, bootstrap_bars=3.0))
    rows = []
    for seed in range(40):
        env.reset(seed=seed)
        rows += [env.step(HOLD)[-1]["row"] for _ in range(499)]
    counts = np.bincount(np.array(rows) - 300, minlength=600)
    assert counts[5:].min() > 5
    assert abs(np.mean(rows) - 600) < 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bars": -1}, "bars must be 0 or more"),
        ({"cost_range": (2.0, 1.0)}, "two positive factors in order"),
        ({"cost_levels": ()}, "factors of 0 or more"),
        ({"bootstrap_bars": 0.5}, "0 or at least 1"),
    ],
)
def test_impossible_episodes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Episodes(**arguments)


def test_impossible_options_are_refused():
    env = MarketEnv([BARS, PANEL], episodes=Episodes(10))
    for options, message in (
        ({"market": 2}, "market 2 is none of 0 … 1"),
        ({"start": 300}, "a start needs a market"),
        ({"market": 0, "start": 895}, "does not fit into"),
        ({"episode_bars": 0}, "an episode of one or more decisions"),
        ({"cost_scale": -1.0}, "cost_scale must be a finite number of at least 0"),
        ({"begin": 3}, "unknown reset options: begin"),
    ):
        with pytest.raises(ValueError, match=message):
            env.reset(options=options)


def late_listing() -> Bars:
    """Constant prices; the second symbol is listed at row 30 and gone after row 80."""
    close = np.full((120, 2), 100.0)
    close[:30, 1] = close[81:, 1] = np.nan
    flat = random_walk(120, symbols=2)
    volume = np.where(np.isnan(close), np.nan, 1e6)
    return replace(flat, open=close, high=close, low=close, close=close, volume=volume)


def test_a_bootstrapped_path_mints_no_money_on_listings_and_gaps():
    bars = late_listing()
    table = Table.from_columns(bars, {Column("x", "ratio"): np.ones_like(bars.close)})
    episodes = Episodes(110, bootstrap_bars=3)
    env = MarketEnv(bars, table, symbols=bars.symbols, episodes=episodes, costs=FREE)
    for seed in range(20):
        _, info = env.reset(seed=seed)
        over = False
        while not over:
            *_, terminated, over, info = env.step(np.array([0.0, 1.0], np.float32))
            assert not terminated
            assert info["equity"] == 1e6
    never = np.full((120, 2), 100.0)
    never[:60, 0] = never[60:, 1] = np.nan
    gaps = replace(bars, **dict.fromkeys(("open", "high", "low", "close", "volume"), never))
    table = Table.from_columns(gaps, {Column("x", "ratio"): np.ones_like(gaps.close)})
    with pytest.raises(ValueError, match="no row of .* has a bar of every symbol"):
        MarketEnv(gaps, table, symbols=gaps.symbols, episodes=Episodes(9, bootstrap_bars=3))
