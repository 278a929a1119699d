"""Trainings that take a second."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import pytest

from foretrade.agents.algorithm_configs import A2CConfig, RecurrentPPOConfig, SACConfig, TD3Config
from foretrade.agents.ppo_config import PPOConfig
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.markets.features import FeatureConfig, compute_features

RUN = {"steps": 512, "environments": 4, "episode_bars": 40, "checkpoints": 3, "reward_scale": 100.0}
TINY = PPOConfig(**RUN, rollout_bars=32, batch_size=64, epochs=2, log_std_init=-0.5)
REPLAY = {"learning_starts": 64, "replay_steps": 256, "gradient_steps": 2, "batch_size": 32}
ALGORITHMS = {
    "ppo": TINY,
    "a2c": A2CConfig(**RUN),
    "recurrent_ppo": RecurrentPPOConfig(
        **RUN, rollout_bars=32, batch_size=64, epochs=2, lstm_units=8, log_std_init=-0.5
    ),
    "sac": SACConfig(**RUN, **REPLAY),
    "td3": TD3Config(**RUN, **REPLAY),
}
KILLED = {  # more rollouts, shorter ones
    name: replace(
        config, rollout_bars=8, steps=2048, **({"batch_size": 32} if hasattr(config, "epochs") else {})
    )
    for name, config in ALGORITHMS.items()
}
INSTALLED = [
    name for name in ALGORITHMS if name != "recurrent_ppo" or importlib.util.find_spec("sb3_contrib")
]
SMALL = FeatureConfig(momentum_bars=(5,), trend_bars=20, volatility_bars=(5, 20), zscore_bars=20)


def markets(bars, **options):
    table = compute_features(bars, SMALL)
    episodes = Episodes(40, random_start=True)
    training = MarketEnv(bars, table, rows=range(50, 400), episodes=episodes, **options)
    return training, MarketEnv(bars, table, rows=range(400, 600), **options)


each_algorithm = pytest.mark.parametrize(
    "algorithm",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(name not in INSTALLED, reason="needs sb3-contrib, an extra"),
        )
        for name in ALGORITHMS
    ],
)
