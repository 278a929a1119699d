"""Bad input is named before a training begins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_training import ALGORITHMS, SMALL, TINY, markets

from foretrade.agents.algorithm_configs import A2CConfig, RecurrentPPOConfig, SACConfig, TD3Config
from foretrade.agents.ppo_config import PPOConfig
from foretrade.agents.preflight import check_before_training
from foretrade.agents.training import train
from foretrade.agents.training_config import TrainingError
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.markets.bars import DataError
from foretrade.markets.costs import Costs
from foretrade.markets.features import compute_features


def refused(training, walk, tmp_path, message, error=TrainingError):
    with pytest.raises(error, match=message):
        train(training, markets(walk)[1], TINY, seed=0, folder=tmp_path)
    assert not list(tmp_path.iterdir())  # nothing was begun


def test_a_block_shorter_than_the_rollout(walk, tmp_path):
    table = compute_features(walk, SMALL)
    short = MarketEnv(walk, table, rows=range(50, 75))
    message = "the training block has 24 decisions, fewer than rollout_bars = 32: begin it earlier"
    refused(short, walk, tmp_path, message)


@pytest.mark.parametrize("rows", [range(50, 50), range(50, 51), range(590, 620)])
def test_a_fold_without_an_episode(walk, rows):
    with pytest.raises(DataError, match=r"rows range\(.*\) must be two or more consecutive rows of 600"):
        MarketEnv(walk, compute_features(walk, SMALL), rows=rows)


def test_an_episode_longer_than_its_fold(walk):
    with pytest.raises(ValueError, match=r"episodes.bars = 40 must be from 0 to"):
        MarketEnv(walk, compute_features(walk, SMALL), rows=range(50, 75), episodes=Episodes(40))


def test_a_reward_that_is_constant(walk, tmp_path):
    flat = {name: np.full_like(getattr(walk, name), 100.0) for name in ("open", "high", "low", "close")}
    dull = replace(walk, **flat)
    table = compute_features(walk, SMALL)
    free = Costs(0, 0, 0, 0, 0)
    training = MarketEnv(dull, table, rows=range(50, 400), episodes=Episodes(40), costs=free)
    refused(training, walk, tmp_path, "reward 'log_growth' was the same at every step of 16 accounts")
    check_before_training(MarketEnv(dull, table, rows=range(50, 400), costs=Costs(5, 0, 0, 0, 0)), TINY)


def test_the_checks_draw_from_no_generator_of_the_training(walk):
    training = markets(walk)[0]
    training.action_space.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    states = [
        training.action_space.np_random.bit_generator.state,
        str(np.random.get_state(legacy=False)),  # noqa: NPY002
        torch.get_rng_state().tolist(),
    ]
    check_before_training(training, TINY)
    assert states == [
        training.action_space.np_random.bit_generator.state,
        str(np.random.get_state(legacy=False)),  # noqa: NPY002
        torch.get_rng_state().tolist(),
    ]


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (PPOConfig, {"batch_size": 100}, "must divide environments × rollout_bars = 32768"),
        (RecurrentPPOConfig, {"batch_size": 100}, "must divide environments × rollout_bars = 2048"),
        (RecurrentPPOConfig, {"lstm_units": 0}, "lstm_units must be at least 1"),
        (PPOConfig, {"steps": 0}, "steps must be at least 1"),
        (PPOConfig, {"patience": -1}, "patience must be at least 0"),
        (A2CConfig, {"gae_lambda": 2.0}, "gae_lambda must be from 0 to 1"),
        (SACConfig, {"steps": 1000}, "learning_starts = 2048 must be below steps = 1000"),
        (SACConfig, {"entropy_coefficient": -1.0}, "entropy_coefficient must not be negative"),
        (SACConfig, {"replay_steps": 10}, "replay_steps must hold a rollout"),
        (TD3Config, {"tau": 0.0}, "tau must be above 0"),
        (TD3Config, {"gradient_steps": 0}, "gradient_steps must be at least 1"),
        (TD3Config, {"action_noise": -0.1}, "must not be negative"),
    ],
)
def test_settings_that_cannot_work(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**settings)


def test_every_algorithm_has_its_own_name():
    assert {config.algorithm for config in ALGORITHMS.values()} == set(ALGORITHMS)
    assert len({config.label for config in ALGORITHMS.values()}) == len(ALGORITHMS)
