from __future__ import annotations

import numpy as np
import pytest
from gymnasium.wrappers import TransformReward
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from foretrade.agents.vector import MarketVecEnv
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.markets.accounts import EPISODE


@pytest.mark.parametrize("actions", ["weight", "position"])
def test_it_is_a_dummy_vec_env_bit_for_bit(walk, actions):
    market = MarketEnv(walk, actions=actions, episodes=Episodes(7, random_start=True))
    ours = MarketVecEnv(market, 3, reward_scale=100.0)

    def single():
        return Monitor(TransformReward(market.copy(), lambda reward: reward * 100.0))

    theirs = DummyVecEnv([single] * 3)
    for vec in (ours, theirs):
        vec.seed(4)
    assert np.array_equal(ours.reset(), theirs.reset())
    ours.action_space.seed(0)
    ended = 0
    for _ in range(40):
        chosen = np.array([ours.action_space.sample() for _ in range(3)])
        mine, other = ours.step(chosen), theirs.step(chosen)
        for one, two in zip(mine[:3], other[:3], strict=True):
            assert np.array_equal(one, two)
        for info, expected in zip(mine[3], other[3], strict=True):
            assert ("episode" in info) == ("episode" in expected)
            if "episode" in info:
                ended += 1
                assert np.array_equal(info["terminal_observation"], expected["terminal_observation"])
                assert info["TimeLimit.truncated"] == expected["TimeLimit.truncated"]
                assert info["episode"]["l"] == expected["episode"]["l"] == 7
                assert info["episode"]["r"] == pytest.approx(expected["episode"]["r"], abs=1e-5)
    assert ended == 15


SAME = {"start": 350, "cost_scale": 2.0}


@pytest.mark.parametrize(
    "options",
    [
        SAME,
        [SAME, {}, {"start": 350, "cost_scale": 2.0}, {"episode_bars": 4}],
        [{"start": 390}, {"start": 391}, {"start": 392}, {"start": 393}],
    ],
)
@pytest.mark.parametrize("begun", [False, True])
def test_options_reach_the_accounts_that_they_are_for_once(walk, options, begun):
    episodes = Episodes(
        7, random_start=True, cost_range=(0.5, 2.0), cost_levels=(0, 1), episodes_per_level=2
    )
    market = MarketEnv(walk, episodes=episodes)
    ours = MarketVecEnv(market, 4)
    theirs = DummyVecEnv([lambda: Monitor(market.copy())] * 4)
    for vec in (ours, theirs):
        vec.seed(4)
        if begun:
            vec.reset()
        vec.set_options(options)
    assert np.array_equal(ours.reset(), theirs.reset())
    first = options if isinstance(options, dict) else options[0]
    assert theirs.reset_infos[0]["row"] == first["start"]
    ours.action_space.seed(0)
    for step in range(30):
        if step == 20:  # the options were for one reset
            assert np.array_equal(ours.reset(), theirs.reset())
        chosen = np.array([ours.action_space.sample() for _ in range(4)])
        for one, two in zip(ours.step(chosen)[:3], theirs.step(chosen)[:3], strict=True):
            assert np.array_equal(one, two)


def test_without_seeds_different_options_begin_every_first_episode_once(walk):
    levels = Episodes(5, cost_levels=(0.0, 1.0), episodes_per_level=1)
    vec = MarketVecEnv(MarketEnv(walk, episodes=levels), 2)
    vec.set_options([{"start": 400}, {"start": 401}])
    vec.reset()
    episodes = vec.state()["batch.clock"].view(np.uint64)[0, EPISODE:][:2]
    assert episodes.tolist() == [1, 1]


def test_a_bad_option_is_refused_before_any_account_is_reset(walk):
    vec = MarketVecEnv(MarketEnv(walk), 2)
    vec.reset()
    vec.step(np.ones((2, 1), np.float32))
    before = vec.state()
    for bad in ({"begin": 3}, {"reset_mask": np.array([True, False])}):
        vec.set_options([{"start": 400}, bad])
        with pytest.raises(ValueError, match="unknown reset options"):
            vec.reset()
    assert all(np.array_equal(before[name], values) for name, values in vec.state().items())


def test_the_accounts_share_one_market(walk):
    vec = MarketVecEnv(MarketEnv(walk), 2)
    assert vec.get_attr("fill") == ["next_close", "next_close"]
    assert vec.get_attr("symbols", indices=[1]) == [("WALK0",)]
    assert vec.env_is_wrapped(Monitor) == [False, False]
    assert len(vec.env_method("describe", indices=0)) == 1
    with pytest.raises(NotImplementedError, match="share one market"):
        vec.set_attr("fill", "next_open")
    vec.close()
