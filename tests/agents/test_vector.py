from __future__ import annotations

import numpy as np
import pytest
from gymnasium.wrappers import TransformReward
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from foretrade.agents.vector import MarketVecEnv
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv


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


def test_the_accounts_share_one_market(walk):
    vec = MarketVecEnv(MarketEnv(walk), 2)
    assert vec.get_attr("fill") == ["next_close", "next_close"]
    assert vec.get_attr("symbols", indices=[1]) == [("WALK0",)]
    assert vec.env_is_wrapped(Monitor) == [False, False]
    assert len(vec.env_method("describe", indices=0)) == 1
    with pytest.raises(NotImplementedError, match="share one market"):
        vec.set_attr("fill", "next_open")
    vec.close()
