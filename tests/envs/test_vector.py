"""The batch is as many single environments, bit for bit, in every mode and with every option."""

from __future__ import annotations

import pickle
import sys
from dataclasses import replace
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ledger_account import fixed_notional

from foretrade.envs import kernel
from foretrade.envs.actions import (
    DeltaActions,
    InvalidAction,
    PositionActions,
    SimplexActions,
    UnitActions,
    WeightActions,
)
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.envs.rewards import Reward
from foretrade.envs.vector import MarketVectorEnv
from foretrade.markets.accounts import LANES
from foretrade.markets.arrays import read_only
from foretrade.markets.bars import Bars
from foretrade.markets.compiled import bound
from foretrade.markets.costs import Costs
from foretrade.markets.exchange import asks_seldom
from foretrade.markets.rules import Rules
from foretrade.markets.synthetic import random_walk

WALK = random_walk(420, volatility=0.08, seed=9)  # wild enough for leveraged accounts to be ruined
PANEL = random_walk(380, symbols=3, volatility=0.06, seed=4)
MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]
bps = st.sampled_from([0.0, 3.0, 40.0])


def with_actions_and_gaps(bars: Bars) -> Bars:
    """A split, dividends, and bars that are missing, in the end for good."""
    split, dividend = np.ones_like(bars.close), np.zeros_like(bars.close)
    split[300, 0], dividend[290::9, 0] = 2.0, 0.7
    fields = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close", "volume")}
    for values in fields.values():
        values[310:314, 1] = np.nan
        values[330:, 2] = np.nan
    return replace(bars, split=split, dividend=dividend, **fields)


GAPPY = with_actions_and_gaps(PANEL)

BY_BAR = np.random.default_rng(0).uniform(0, 30, (len(WALK), 1))  # of WALK alone
costs = st.builds(
    Costs,
    bps,
    bps,
    bps,
    bps,
    bps,
    fee_per_unit=st.sampled_from([0.0, 0.01]),
    minimum_fee=st.sampled_from([0.0, 5.0]),
    impact_bps=bps,
    quadratic=st.sampled_from([0.0, 1e-3]),
)
rules = (
    st.builds(
        Rules,
        max_leverage=st.sampled_from([1.0, 3.0]),
        max_net=st.sampled_from([None, 0.5]),
        no_trade_band=st.sampled_from([0.0, 0.2]),
        lot_size=st.sampled_from([0.0, 10.0]),
        minimum_order=st.sampled_from([0.0, 1e5]),
        max_participation=st.sampled_from([0.01, 1.0]),
        unfilled=st.sampled_from(["cancel", "carry"]),
        maintenance_margin=st.sampled_from([0.0, 0.3]),
        margin_check=st.sampled_from(["close", "high_low"]),
        delist_after_bars=st.sampled_from([0, 3]),
    )
    | fixed_notional
)
NONE, SOME = (np.inf,), (0.02, 0.05)
levels = {
    "stop_loss": st.sampled_from([NONE, (0.03,), SOME]),
    "take_profit": st.sampled_from([NONE, SOME]),
}
actions = st.one_of(
    st.builds(
        WeightActions,
        st.sampled_from([-1.0, 0.0, -3.0, -0.3]),
        st.sampled_from([1.0, 0.3, 3.0]),
        **levels,
    ),
    st.builds(PositionActions, st.sampled_from([(-1.0, 0.0, 1.0), (0.0, 0.5, 1.0, 3.0)]), **levels),
    st.builds(SimplexActions, **levels),
    st.builds(UnitActions, st.just(-5e3), st.just(5e3), **levels),
    st.builds(DeltaActions, st.just(-5e3), st.just(5e3), **levels),
)
rewards = st.builds(
    Reward,
    st.sampled_from([
        "log_growth", "simple_return", "differential_sharpe", "mean_variance", "drawdown", "cvar",
        "excess",
    ]),
    turnover_penalty=st.sampled_from([0.0, 0.1]),
)  # fmt: skip
episodes = st.builds(
    Episodes,
    st.sampled_from([0, 1, 7, 30]),
    st.booleans(),
    bootstrap_bars=st.sampled_from([0.0, 1.0, 6.0]),
    cost_range=st.sampled_from([(1.0, 1.0), (0.5, 2.0)]),
    cost_levels=st.sampled_from([(1.0,), (0.0, 1.0)]),
    episodes_per_level=st.just(2),
)
markets = st.sampled_from([
    {"bars": WALK},
    {"bars": [WALK, random_walk(330, seed=3)]},
    {"bars": PANEL, "symbols": "each"},
    {"bars": PANEL, "symbols": PANEL.symbols},
    {"bars": [PANEL, GAPPY], "symbols": PANEL.symbols},
    {"bars": GAPPY, "symbols": GAPPY.symbols},
    {"bars": WALK, "lookback_bars": 5, "window": ["return_lag_0", "volume"]},
    {"bars": PANEL, "symbols": PANEL.symbols[1:], "lookback_bars": 3, "as_dict": True},
])  # fmt: skip
options = st.fixed_dictionaries(
    {
        "fill": st.sampled_from(["next_close", "next_open", "same_close"]),
        "costs": costs,
        "rules": rules,
        "actions": actions,
        "reward": rewards,
        "episodes": episodes,
    }
)


def same(one: dict, many: dict, i: int) -> None:
    for key, value in one.items():
        assert np.array_equal(many[key][i], value, equal_nan=True), key


def equal(one: Any, many: Any, i: int) -> bool:
    """Whether an observation is row ``i`` of a batch's."""
    if isinstance(many, np.ndarray) and many.dtype == object:
        many, i = many[i], ...
    if isinstance(one, dict):
        return all(np.array_equal(many[key][i], value) for key, value in one.items())
    return np.array_equal(many[i], one)


def make(chosen: dict, market: dict) -> MarketEnv:
    fixed = chosen["rules"].accounting == "fixed_notional"
    if fixed and chosen["reward"].name in ("log_growth", "drawdown", "excess"):
        chosen = chosen | {"reward": replace(chosen["reward"], name="simple_return")}
    if market["bars"] is WALK and chosen["costs"].fee_bps:
        chosen = chosen | {"costs": replace(chosen["costs"], fee_bps=BY_BAR)}
    return MarketEnv(**market, **chosen)


@settings(max_examples=60)
@given(options, markets, st.integers(1, 4), st.sampled_from(MODES), st.integers(0, 99), st.booleans())
def test_the_batch_equals_single_environments_bit_for_bit(chosen, market, n, mode, seed, lean):
    market = make(chosen, market)
    batch = MarketVectorEnv(n, market=market, autoreset_mode=mode, copy=not lean)
    singles = [market.copy() for _ in range(n)]
    rng = np.random.default_rng(seed)
    batch.action_space.seed(seed)

    seen, infos = batch.reset(seed=seed)
    for i, single in enumerate(singles):
        observation, info = single.reset(seed=seed + i)
        assert equal(observation, seen, i)
        same(info, infos, i)
    over = np.zeros(n, dtype=bool)
    for _ in range(int(rng.integers(20, 60))):
        actions = batch.action_space.sample()
        if mode is AutoresetMode.DISABLED and over.any():
            seen, infos = batch.reset(options={"reset_mask": over})
            for i in np.flatnonzero(over):
                observation, info = singles[i].reset()
                assert equal(observation, seen, i)
            over[:] = False
        seen, rewards, terminated, truncated, infos = batch.step(actions)
        for i, single in enumerate(singles):
            if mode is AutoresetMode.NEXT_STEP and over[i]:
                observation, info = single.reset()
                outcome = (0.0, False, False)
            else:
                observation, *outcome, info = single.step(actions[i])
                if mode is AutoresetMode.SAME_STEP and (outcome[1] or outcome[2]):
                    assert infos["_final_obs"][i]
                    assert equal(observation, infos["final_obs"], i)
                    same(info, infos["final_info"], i)
                    observation, info = single.reset()
            assert (rewards[i], terminated[i], truncated[i]) == tuple(outcome)
            assert equal(observation, seen, i)
            assert market.observation_space.contains(observation)
            same(info, infos, i)
        over = terminated | truncated


alone = st.sampled_from([
    {"bars": WALK},
    {"bars": [WALK, random_walk(330, seed=3)]},
    {"bars": PANEL, "symbols": "each"},
    {"bars": GAPPY, "symbols": GAPPY.symbols[:1]},
    {"bars": WALK, "halted": np.random.default_rng(1).uniform(size=(len(WALK), 1)) < 0.2},
])  # fmt: skip


@settings(max_examples=60)
@given(options, alone, st.integers(0, 99))
def test_one_symbol_by_the_phases_for_many_gives_the_same_bits(chosen, market, seed):
    """So it does where nobody asks for more than observations, rewards and ends."""
    market = make(chosen, market)
    short, long = (MarketVectorEnv(6, market=market, copy=False) for _ in range(2))
    long._advances = bound(kernel.advance, *kernel.ADVANCE)
    untold = MarketVectorEnv(6, market=market, copy=False, infos=False)
    seen = short.reset(seed=seed)[0]
    assert np.array_equal(seen, long.reset(seed=seed)[0])
    assert np.array_equal(seen, untold.reset(seed=seed)[0])
    short.action_space.seed(seed)
    for _ in range(40):
        actions = short.action_space.sample()
        *one, told = short.step(actions)
        *other, also_told = long.step(actions)
        *third, nothing = untold.step(actions)
        for mine, theirs, silent in zip(one, other, third, strict=True):
            assert np.array_equal(mine, theirs)
            assert np.array_equal(mine, silent)
        for name, values in told.items():
            assert np.array_equal(values, also_told[name], equal_nan=True), name
        assert not nothing


ordinary = st.fixed_dictionaries(
    {
        "fill": st.sampled_from(["next_close", "next_open"]),
        "costs": costs,
        "rules": rules,
        "actions": st.sampled_from([WeightActions(-3.0, 3.0), PositionActions(), SimplexActions()]),
        "reward": rewards,
    }
)


@given(ordinary, alone, st.integers(0, 99))
def test_a_market_that_asks_for_nothing_seldom_gets_the_same_bits_with_less_code(chosen, market, seed):
    lean = make(chosen, market)
    assume(not asks_seldom(lean.market.terms[0]))
    whole, seat = lean.copy(), lean.seat
    whole.seat.advance = partial(
        bound(kernel.advance_one_symbol, *kernel.ADVANCE_ONE),
        whole.seat._stage.address, whole.seat.actions, whole.seat._seen,
    )  # fmt: skip
    assert seat.advance.func is bound(kernel.advance_one_plainly, *kernel.ADVANCE_ONE)
    assert np.array_equal(lean.reset(seed=seed)[0], whole.reset(seed=seed)[0])
    lean.action_space.seed(seed)
    over = False
    for _ in range(60):
        if over:
            break
        action = lean.action_space.sample()
        seen, *one, told = lean.step(action)
        also_seen, *other, also_told = whole.step(action)
        assert np.array_equal(seen, also_seen)
        assert one == other
        assert str(told) == str(also_told)  # NaN equals itself
        over = any(one[1:])


@pytest.mark.parametrize("symbols", [1, 3])
def test_blocks_and_threads_do_not_show(symbols):
    """More accounts than a block holds, stepped by one thread and by two, and each alone."""
    n, episodes = LANES + 7, Episodes(9, random_start=True)
    market = MarketEnv(PANEL, symbols=PANEL.symbols[:symbols], episodes=episodes)
    lean = {"market": market, "autoreset_mode": AutoresetMode.SAME_STEP, "infos": False}
    one, two = MarketVectorEnv(n, **lean), MarketVectorEnv(n, threads=2, **lean)
    singles = [market.copy() for _ in range(n)]
    seen, _ = one.reset(seed=3)
    assert np.array_equal(seen, two.reset(seed=3)[0])
    assert np.array_equal(seen, [single.reset(seed=3 + i)[0] for i, single in enumerate(singles)])
    one.action_space.seed(0)
    for _ in range(25):
        actions = one.action_space.sample()
        results, threaded = one.step(actions), two.step(actions)
        for mine, theirs in zip(results[:4], threaded[:4], strict=True):
            assert np.array_equal(mine, theirs)
        for i, single in enumerate(singles):
            _, reward, *ends, _ = single.step(actions[i])
            assert results[1][i] == reward
            if any(ends):
                single.reset()
    two.close()


def test_observations_go_into_the_callers_buffers():
    market = MarketEnv(WALK)
    buffers = tuple(np.full((3, len(market.layout.entries)), np.nan, np.float32) for _ in range(2))
    batch = MarketVectorEnv(3, market=market, copy=False, buffers=buffers)
    before, _ = batch.reset(seed=0)
    kept = before.copy()
    after = batch.step(np.ones((3, 1), np.float32))[0]
    assert {id(before), id(after)} == {id(buffers[0]), id(buffers[1])}
    assert np.array_equal(before, kept)
    first, second = buffers
    for accounts, wrong in (
        (2, buffers),
        (3, (first,)),
        (3, (first, read_only(second))),
        (3, (first, first)),
    ):
        with pytest.raises(ValueError, match="two different writable contiguous float32 arrays"):
            MarketVectorEnv(accounts, market=market, buffers=wrong)


@pytest.mark.parametrize("mode", MODES)
def test_gymnasium_makes_it(mode):
    env = gymnasium.make_vec(
        "foretrade/Market-v0",
        num_envs=3,
        vectorization_mode="vector_entry_point",
        bars=WALK,
        episodes=Episodes(5, random_start=True),
        autoreset_mode=mode,
    )
    assert isinstance(env.unwrapped, MarketVectorEnv)
    assert env.metadata["autoreset_mode"] is mode
    observation, _ = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    recorded = gymnasium.wrappers.vector.RecordEpisodeStatistics(env)
    recorded.reset(seed=1)
    for _ in range(5):
        infos = recorded.step(env.action_space.sample())[-1]
    assert infos["episode"]["l"].tolist() == [5, 5, 5]
    env.close()


def test_memory_per_account_is_its_observation_and_half_a_kilobyte():
    market = MarketEnv(WALK, episodes=Episodes(3))
    mode = AutoresetMode.SAME_STEP
    batch = MarketVectorEnv(16_384, market=market, autoreset_mode=mode, copy=False, infos=False)
    assert batch.env.market.prices is market.market.prices
    batch.reset(seed=0)
    arrays = (*batch._accounts[:3], *batch._outcome, batch._ended, batch._rows)
    held = sum(array.nbytes for array in arrays) / 16_384
    assert held <= 512
    for _ in range(3):  # to the ends, what was seen last is kept, too
        batch.step(np.zeros((16_384, 1), dtype=np.float32))
    shown = (*batch._screens._memory, batch._last._memory, batch._last._rows, batch._last._told)
    views = 16_384 * sys.getsizeof(batch._last._rows[0])
    assert held * 16_384 + sum(array.nbytes for array in shown) + views < 100e6


def test_a_batch_travels_between_processes():
    batch = MarketVectorEnv(3, bars=WALK, episodes=Episodes(9, random_start=True))
    batch.reset(seed=5)
    twin = pickle.loads(pickle.dumps(batch))
    batch.action_space.seed(0)
    for _ in range(20):
        actions = batch.action_space.sample()
        for one, two in zip(batch.step(actions)[:4], twin.step(actions)[:4], strict=True):
            assert np.array_equal(one, two)


def test_a_batch_unpickled_from_memory_that_nobody_may_write_to_goes_on():
    """As workers get it that are handed arrays by memory map or shared memory."""
    batch = MarketVectorEnv(3, bars=WALK, episodes=Episodes(9, random_start=True))
    batch.reset(seed=5)
    parts = []
    data = pickle.dumps(batch, protocol=5, buffer_callback=parts.append)
    twin = pickle.loads(data, buffers=[bytes(part) for part in parts])
    batch.action_space.seed(0)
    for _ in range(20):
        actions = batch.action_space.sample()
        assert np.array_equal(batch.step(actions)[0], twin.step(actions)[0])


def test_a_state_of_another_market_is_refused():
    settings = {"episodes": Episodes(20), "autoreset_mode": AutoresetMode.SAME_STEP}
    far = MarketVectorEnv(2, bars=WALK, **settings)
    far.reset(options={"start": 390})
    near = MarketVectorEnv(2, bars=random_walk(330, seed=3), **settings)
    near.reset(seed=0)
    with pytest.raises(
        ValueError, match=r"account 0 stands at row 390 of market 0, after 0 of 20 steps"
    ):
        near.set_state(far.state())


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("mode", MODES)
def test_a_refused_action_changes_nothing(mode, threads):
    market = MarketEnv(WALK, episodes=Episodes(7, random_start=True))
    batch = MarketVectorEnv(LANES + 7, market=market, autoreset_mode=mode, threads=threads)
    twin = MarketVectorEnv(LANES + 7, market=market, autoreset_mode=mode)
    for one in (batch, twin):
        one.reset(seed=0)
    batch.action_space.seed(1)
    for step in range(17):
        if mode is AutoresetMode.DISABLED and step % 7 == 0:
            for one in (batch, twin):
                one.reset()
        good = batch.action_space.sample()
        before = {name: values.copy() for name, values in batch.state().items()}
        if mode is not AutoresetMode.NEXT_STEP or step % 8 != 7:  # else no action counts
            for wrong in (0, LANES, LANES + 6):
                bad = good.copy()
                bad[wrong] = np.nan
                with pytest.raises(InvalidAction, match=f"account {wrong}: "):
                    batch.step(bad)
        for name, values in batch.state().items():
            assert np.array_equal(values, before[name]), name
        for mine, theirs in zip(batch.step(good)[:4], twin.step(good)[:4], strict=True):
            assert np.array_equal(mine, theirs)
    batch.close()
    with pytest.raises(RuntimeError, match="closed"):
        batch.reset()


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="num_envs and threads must be at least 1"):
        MarketVectorEnv(0, bars=WALK)
    with pytest.raises(ValueError, match="not both"):
        MarketVectorEnv(2, market=MarketEnv(WALK), bars=WALK)
    batch = MarketVectorEnv(2, bars=WALK, autoreset_mode=AutoresetMode.DISABLED, episodes=Episodes(1))
    with pytest.raises(RuntimeError, match="call reset"):
        batch.step(np.zeros((2, 1), np.float32))
    with pytest.raises(ValueError, match="the first reset"):
        batch.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(ValueError, match="3 seeds for 2 accounts"):
        batch.reset(seed=[1, 2, 3])
    batch.reset(seed=0)
    with pytest.raises(InvalidAction, match=r"account 1: action\[0\] = nan is not within"):
        batch.step(np.array([[0.0], [np.nan]]))
    with pytest.raises(InvalidAction, match=r"shape \(2,\), float64 are not numbers of shape \(2, 1\)"):
        batch.step(np.zeros(2))
    batch.step(np.zeros((2, 1)))
    with pytest.raises(RuntimeError, match=r"accounts \[0, 1\] are over; reset them"):
        batch.step(np.zeros((2, 1)))
    with pytest.raises(ValueError, match="reset_mask must hold 2 booleans"):
        batch.reset(options={"reset_mask": np.zeros(2, dtype=bool)})
    positions = MarketVectorEnv(2, bars=WALK, actions="position")
    positions.reset(seed=0)
    with pytest.raises(InvalidAction, match=r"account 1: action\[0\] = 7 is not within 0 … 2"):
        positions.step(np.array([0, 7]))


def test_a_closed_batch_steps_no_more():
    batch = MarketVectorEnv(200, bars=WALK, threads=2)
    batch.reset(seed=0)
    batch.close()
    with pytest.raises(RuntimeError, match="the environment is closed"):
        batch.step(np.zeros((200, 1), np.float32))


def test_the_action_of_an_account_that_begins_anew_is_ignored():
    batch = MarketVectorEnv(2, bars=WALK, episodes=Episodes(1))
    batch.reset(seed=0)
    batch.step(np.zeros((2, 1), np.float32))
    actions = np.full((2, 1), np.nan)
    assert batch.step(actions)[1].tolist() == [0.0, 0.0]
    assert np.isnan(actions).all()  # the caller's array is not written to
