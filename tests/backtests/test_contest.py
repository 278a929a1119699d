"""Rules over whole blocks: the bits of stepping the market; and who forecasters are compared with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretrade.agents.baselines import FollowForecast, MeanVariance, Rule, VolatilityTarget
from foretrade.backtests.contest import (
    Played,
    asked_weights,
    oracle_weights,
    play_agent,
    play_chance,
    play_targets,
    random_weights,
    read_played,
    write_played,
)
from foretrade.backtests.standings import median_seed
from foretrade.envs.actions import PositionActions, WeightActions
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.markets.costs import Costs
from foretrade.markets.features import compute_features
from foretrade.markets.rules import Rules
from foretrade.markets.synthetic import random_walk
from foretrade.markets.table import Column, Table

BARS = random_walk(420, seed=8)
FEATURES = compute_features(BARS)
ROWS = range(300, 400)
LEVELS = (0.0, 1.0, 3.0)
COSTS = Costs(fee_bps=5, half_spread_bps=2, borrow_bps_per_year=300)


def table(seed):
    rng = np.random.default_rng(seed)
    mean, std = rng.normal(0, 1e-3, len(BARS)), rng.uniform(0.005, 0.02, len(BARS))
    columns = {
        Column("x.mean", "log return"): mean,
        Column("x.mean.unscaled", "return"): mean,
        Column("x.std.unscaled", "return"): std,
    }
    own = Table.from_columns(BARS, {column: v[:, None] for column, v in columns.items()})
    return FEATURES.join(own)


def market(seed=0, scale=1.0, **options):
    return MarketEnv(
        BARS,
        table(seed),
        rows=ROWS,
        costs=COSTS,
        observe=["x.mean", "x.mean.unscaled", "x.std.unscaled", "volatility_21"],
        episodes=Episodes(cost_levels=(scale,)),
        **options,
    )


RULES = (
    lambda env: FollowForecast(env.layout, env.actions, column="x.mean"),
    lambda env: VolatilityTarget(env.layout, env.actions, column="x.mean"),
    lambda env: MeanVariance(
        env.layout, env.actions, column="x.mean.unscaled", std_column="x.std.unscaled"
    ),
)


@settings(max_examples=12)
@given(
    st.sampled_from(RULES),
    st.integers(0, 1000),
    st.sampled_from([0.0, 0.2]),
    st.sampled_from(["next_open", "next_close"]),
    st.sampled_from([WeightActions(), WeightActions(-0.5, 2.0), PositionActions((-1.0, 0.0, 0.5, 1.0))]),
)
def test_a_rule_over_the_block_has_the_bits_of_stepping_it(make, seed, band, fill, actions):
    options = {"fill": fill, "actions": actions}
    options["rules"] = Rules(no_trade_band=band, max_leverage=2.0)
    env = market(seed, **options)
    whole = play_targets(env, asked_weights(make(env), env)[:, None], LEVELS, delays=True)[0]
    markets = [market(seed, scale, **options) for scale in LEVELS]
    stepped = play_agent(make(env), markets, delayed_at=LEVELS.index(1.0))
    assert np.array_equal(whole.equity, stepped.equity)
    assert np.array_equal(whole.later, stepped.later)
    assert not np.array_equal(whole.later, whole.equity[:, LEVELS.index(1.0)])
    assert np.allclose(whole.turnover, stepped.turnover, rtol=1e-12)


def test_another_table_with_the_same_columns_may_stand_in():
    env, rule = market(0), RULES[2](market(0))
    assert np.array_equal(asked_weights(rule, env, table(7)), asked_weights(rule, market(7)))
    assert not np.array_equal(asked_weights(rule, env, table(7)), asked_weights(rule, env))


def test_mean_variance_sizes_by_mean_over_variance():
    env = market(3)
    asked = asked_weights(RULES[2](env), env)
    mean, std = (
        env.table.column(f"x.{p}.unscaled")[ROWS.start : ROWS.stop - 1, 0] for p in ("mean", "std")
    )
    assert np.allclose(asked, np.clip(mean / (5 * std**2), -1, 1), rtol=1e-5)


def test_a_rule_that_looks_at_its_account_has_to_be_stepped():
    class Stubborn(Rule):
        def weights(self, observation):
            return self.entry(observation, "account.weight")

    env = market()
    with pytest.raises(ValueError, match="Stubborn reads the account"):
        asked_weights(Stubborn(env.layout, env.actions), env)


def test_nobody_beats_the_oracle():
    env = market()
    oracle = play_targets(env, oracle_weights(env, -1.0, 1.0)[:, None], (0.0,))[0]
    best = (
        np.abs(np.diff(BARS.close[ROWS.start + 1 : ROWS.stop, 0])) / BARS.close[ROWS.start + 1 : -21, 0]
    )
    assert np.allclose(oracle.returns[1:, 0], best[: len(oracle.returns) - 1], atol=1e-12)
    chance = random_weights(len(ROWS) - 1, 20, -1.0, 1.0, switches=25, seed=0)
    for other in play_targets(env, chance, (0.0,)):
        assert oracle.equity[-1, 0] > other.equity[-1, 0]


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (0.0, 1.0), (0.0, 3.0), (-0.5, 2.0), (-4.0, 4.0)])
@pytest.mark.parametrize("share", [0.25, 0.6])
def test_chance_trades_as_much_as_it_is_told(bounds, share):
    """Rebalancing counts, too: the policy that is shown turns over what the forecasters do."""
    rules = Rules(no_trade_band=0.2, max_leverage=max(1.0, *map(abs, bounds)))
    told = share * (bounds[1] - bounds[0]) * BARS.periods_per_year
    again = [play_chance(market(), 60, bounds, LEVELS, rules, turnover=told, seed=1) for _ in range(2)]
    assert all(np.array_equal(a.equity, b.equity) for a, b in zip(*again, strict=True))
    assert median_seed(again[0], LEVELS).turnover[1] == pytest.approx(told, rel=0.15)


def test_a_position_that_is_rebalanced_too_much_is_never_switched():
    rules = Rules(no_trade_band=0.2, max_leverage=12.0)
    played = play_chance(market(), 20, (-12.0, 12.0), LEVELS, rules, turnover=10.0, seed=1)
    fixed = play_targets(market(), np.full((len(ROWS) - 1, 1), 12.0), LEVELS, rules)[0]
    assert fixed.turnover[1] > 10
    assert any(np.array_equal(one.equity, fixed.equity) for one in played)


def test_switches_are_as_many_as_asked_and_begin_on_either_side():
    few = random_weights(100, 400, -1.0, 1.0, switches=7.25, seed=1)
    more = random_weights(100, 400, -1.0, 1.0, switches=20.0, seed=1)
    counts = np.count_nonzero(np.diff(few, axis=0), axis=0)
    assert set(counts) == {7, 8}
    assert counts.mean() == pytest.approx(7.25, abs=0.1)
    assert (np.count_nonzero(np.diff(more, axis=0), axis=0) == 20).all()
    assert ((np.diff(few, axis=0) != 0) <= (np.diff(more, axis=0) != 0)).all()
    assert abs((few[0] == 1.0).mean() - 0.5) < 0.1


def test_ruin_ends_a_strategy_at_every_level_alike():
    env = market(rules=Rules(max_leverage=100.0), actions=WeightActions(-100.0, 100.0))
    targets = np.full((len(ROWS) - 1, 1), 90.0)
    played = play_targets(env, targets, LEVELS)[0]
    assert played.ruined.all()
    assert np.isfinite(played.returns).all()
    assert (played.returns[-1] == 0).all()


def test_what_was_played_is_kept_and_damage_is_noticed(tmp_path):
    path = tmp_path / "x.safetensors"
    one = Played(np.ones((3, 2)), np.zeros(2), np.zeros(2))
    assert read_played(path) is None
    write_played(path, {"b": one, "a": Played(np.eye(2), np.ones(2), np.zeros(2))})
    first = path.read_bytes()
    found = read_played(path)
    assert list(found) == ["b", "a"]
    assert np.array_equal(found["a"].equity, np.eye(2))
    write_played(path, {"b": one, "a": Played(np.eye(2), np.ones(2), np.zeros(2))})
    assert path.read_bytes() == first
    path.write_bytes(first[:-8] + b"12345678")
    assert read_played(path) is None
    path.write_bytes(first[:20])
    assert read_played(path) is None
