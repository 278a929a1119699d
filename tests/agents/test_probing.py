"""What "auto" settles on, and the mean of the last parameters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from tiny_training import KILLED, TINY, markets

from foretrade.agents import probing
from foretrade.agents.averaging import PolicyAverage
from foretrade.agents.ppo_config import PPOConfig
from foretrade.agents.probing import LOG_STDS, settled
from foretrade.agents.store import load_policy
from foretrade.agents.training import train
from foretrade.agents.vector import MarketVecEnv
from foretrade.envs.actions import PositionActions, UnitActions
from foretrade.markets.costs import Costs


def test_numbers_are_left_alone(walk):
    training, _ = markets(walk)
    given = replace(TINY, entropy_coefficient=0.2)
    assert settled(given, training) == given


def test_rewards_come_out_of_the_order_of_one(walk):
    training, _ = markets(walk)
    config = settled(PPOConfig(), training)
    environments = MarketVecEnv(training, 32, reward_scale=config.reward_scale, unit_actions=True)
    environments.seed(1)
    environments.reset()
    rewards = []
    for _ in range(200):
        environments.step_async(np.random.default_rng(0).choice([-1.0, 1.0], (32, 1)))
        rewards.append(environments.step_wait()[1])
    assert 0.5 < np.std(rewards) < 2


def test_the_same_market_settles_the_same_numbers(walk):
    once, again = (settled(PPOConfig(), markets(walk)[0]) for _ in range(2))
    assert once == again
    assert (
        once.reward_scale
        != settled(PPOConfig(), markets(walk, costs=Costs(fee_bps=200))[0]).reward_scale
    )


def test_the_entropy_follows_the_kind_of_actions(walk):
    box, choices = (
        settled(PPOConfig(), markets(walk, **options)[0]).entropy_coefficient
        for options in ({}, {"actions": PositionActions()})
    )
    assert (box, choices) == (probing.BOX_ENTROPY, probing.CHOICE_ENTROPY)


def test_choices_are_tried_once(walk, monkeypatch):
    tried = []
    monkeypatch.setattr(probing, "_rewards", lambda market, spread: tried.append(spread) or (-1.0, 1.0))
    settled(PPOConfig(), markets(walk, actions=PositionActions())[0])
    assert len(tried) == 1


def test_it_explores_less_widely_where_noise_is_dear(walk):
    cheap, dear = (
        settled(PPOConfig(), markets(walk, costs=Costs(fee_bps=bps))[0]).log_std_init
        for bps in (1.0, 200.0)
    )
    assert cheap == LOG_STDS[0]
    assert dear < cheap


def test_a_box_is_shown_from_minus_one_to_one_whatever_its_bounds(walk):
    wide, _ = markets(walk, actions=UnitActions(-100.0, 300.0), initial_equity=1e6)
    environments = MarketVecEnv(wide, 3, unit_actions=True)
    assert environments.action_space.low == -1
    assert environments.action_space.high == 1
    environments.seed(0)
    environments.reset()
    environments.step_async(np.array([[-1.0], [0.0], [0.5]], dtype=np.float32))
    environments.step_wait()
    first = environments.state()
    same = MarketVecEnv(wide, 3)
    same.seed(0)
    same.reset()
    same.step_async(np.array([[-100.0], [100.0], [200.0]], dtype=np.float32))
    same.step_wait()
    for name, values in same.state().items():
        assert np.array_equal(values, first[name]), name


def test_a_policy_of_wide_bounds_is_stored_and_decides_within_them(walk, tmp_path):
    options = {"actions": UnitActions(-100.0, 300.0), "initial_equity": 1e6}
    training, validation = markets(walk, **options)
    agent = train(training, validation, TINY, seed=0, folder=tmp_path, tensorboard=False)
    observation, _ = validation.reset(seed=0)
    decided = load_policy(tmp_path).decide(observation[None])
    assert np.array_equal(decided, agent.decide(observation[None]))
    assert_allclose(decided[0, 0], 100.0, atol=50.0)  # a young policy asks for the middle


def test_the_mean_reaches_back_as_far_as_it_says():
    policy = torch.nn.Linear(1, 1, bias=False)
    policy.set_training_mode = lambda mode: None
    average = PolicyAverage(policy, 0.5, 8)  # of four updates
    values, expected = [3.0, 5.0, 7.0, 1.0, 2.0, 9.0], None
    for k, value in enumerate(values, start=1):
        policy.weight.data.fill_(value)
        average._on_rollout_end()
        average._on_rollout_start()
        average._on_rollout_start()  # a resumed rollout begins twice
        weight = max(1 / 4, 1 / k)
        expected = value if expected is None else (1 - weight) * expected + weight * value
        assert_allclose(average.policy.weight.item(), expected, rtol=1e-6)
    kept = average.state()
    other = PolicyAverage(policy, 0.5, 8)
    other.restore(kept)
    assert other.policy.weight.item() == average.policy.weight.item()
    assert other.update == average.update
    assert PolicyAverage(policy, 0.0, 8).policy is policy


@pytest.mark.parametrize(
    "changes", [{"averaged_share": -0.1}, {"reward_scale": 0.0}, {"entropy_coefficient": -0.1}]
)
def test_settings_that_cannot_work_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        replace(KILLED["ppo"], **changes)
