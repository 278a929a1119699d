"""The batch is as many single environments, bit for bit, in every mode and with every option."""

from __future__ import annotations

import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

from foretrade.envs.actions import InvalidAction
from foretrade.envs.market import MarketEnv
from foretrade.envs.vector import MarketVectorEnv
from foretrade.markets.costs import Costs
from foretrade.markets.synthetic import random_walk

WALK = random_walk(420, volatility=0.08, seed=9)  # wild enough for leveraged accounts to be ruined
MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]
bps = st.sampled_from([0.0, 3.0, 40.0])

options = st.fixed_dictionaries(
    {
        "fill": st.sampled_from(["next_close", "next_open", "same_close"]),
        "costs": st.builds(Costs, bps, bps, bps, bps, bps),
        "actions": st.sampled_from(["weight", "position"]),
        "weight_bounds": st.sampled_from([(-1.0, 1.0), (0.0, 1.0), (-3.0, 3.0), (-0.3, 0.3)]),
        "positions": st.sampled_from([(-1.0, 0.0, 1.0), (0.0, 0.5, 1.0, 3.0)]),
        "max_leverage": st.sampled_from([1.0, 3.0]),
        "no_trade_band": st.sampled_from([0.0, 0.2]),
        "reward": st.sampled_from(["log_growth", "simple_return"]),
        "random_start": st.booleans(),
        "episode_bars": st.sampled_from([0, 1, 7, 30]),
    }
)


def same(one: dict, many: dict, i: int) -> None:
    for key, value in one.items():
        assert np.array_equal(many[key][i], value), key


@settings(max_examples=40)
@given(options, st.integers(1, 4), st.sampled_from(MODES), st.integers(0, 99))
def test_the_batch_equals_single_environments_bit_for_bit(chosen, n, mode, seed):
    market = MarketEnv(WALK, **chosen)
    batch = MarketVectorEnv(n, market=market, autoreset_mode=mode)
    singles = [market.copy() for _ in range(n)]
    rng = np.random.default_rng(seed)
    batch.action_space.seed(seed)

    seen, infos = batch.reset(seed=seed)
    for i, single in enumerate(singles):
        observation, info = single.reset(seed=seed + i)
        assert np.array_equal(seen[i], observation)
        same(info, infos, i)
    over = np.zeros(n, dtype=bool)
    for _ in range(int(rng.integers(20, 60))):
        actions = batch.action_space.sample()
        if mode is AutoresetMode.DISABLED and over.any():
            seen, infos = batch.reset(options={"reset_mask": over})
            for i in np.flatnonzero(over):
                observation, info = singles[i].reset()
                assert np.array_equal(seen[i], observation)
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
                    assert np.array_equal(infos["final_obs"][i], observation)
                    same(info, infos["final_info"], i)
                    observation, info = single.reset()
            assert (rewards[i], terminated[i], truncated[i]) == tuple(outcome)
            assert np.array_equal(seen[i], observation)
            same(info, infos, i)
        over = terminated | truncated


@pytest.mark.parametrize("mode", MODES)
def test_gymnasium_makes_it(mode):
    env = gymnasium.make_vec(
        "foretrade/Market-v0",
        num_envs=3,
        vectorization_mode="vector_entry_point",
        bars=WALK,
        random_start=True,
        episode_bars=5,
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


def test_accounts_share_the_market_and_little_else():
    market = MarketEnv(WALK)
    batch = MarketVectorEnv(10_000, market=market)
    assert batch.env.market.rows is market.market.rows
    batch.reset(seed=None)
    held = sum(a.nbytes for a in (*batch._accounts.book, *batch._accounts[1:])) + batch._seen.nbytes
    assert held / 10_000 <= batch._seen[0].nbytes + 512


def test_a_batch_travels_between_processes():
    batch = MarketVectorEnv(3, bars=WALK, random_start=True, episode_bars=9)
    batch.reset(seed=5)
    twin = pickle.loads(pickle.dumps(batch))
    batch.action_space.seed(0)
    for _ in range(20):
        actions = batch.action_space.sample()
        for one, two in zip(batch.step(actions)[:4], twin.step(actions)[:4], strict=True):
            assert np.array_equal(one, two)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="num_envs must be at least 1"):
        MarketVectorEnv(0, bars=WALK)
    with pytest.raises(ValueError, match="not both"):
        MarketVectorEnv(2, market=MarketEnv(WALK), bars=WALK)
    batch = MarketVectorEnv(2, bars=WALK, autoreset_mode=AutoresetMode.DISABLED, episode_bars=1)
    with pytest.raises(RuntimeError, match="call reset"):
        batch.step(np.zeros((2, 1), np.float32))
    with pytest.raises(ValueError, match="the first reset"):
        batch.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(ValueError, match="3 seeds for 2 accounts"):
        batch.reset(seed=[1, 2, 3])
    batch.reset(seed=0)
    with pytest.raises(InvalidAction, match=r"action 1: nan is not within"):
        batch.step(np.array([[0.0], [np.nan]]))
    with pytest.raises(InvalidAction, match=r"shape \(2,\), expected \(n, 1\)"):
        batch.step(np.zeros(2))
    batch.step(np.zeros((2, 1)))
    with pytest.raises(RuntimeError, match=r"accounts \[0, 1\] are over; reset them"):
        batch.step(np.zeros((2, 1)))
    with pytest.raises(ValueError, match="reset_mask must hold 2 booleans"):
        batch.reset(options={"reset_mask": np.zeros(2, dtype=bool)})
    positions = MarketVectorEnv(2, bars=WALK, actions="position")
    positions.reset(seed=0)
    with pytest.raises(InvalidAction, match="action 1: 7 is not within 0 … 2"):
        positions.step(np.array([0, 7]))
