"""Algorithms of stable-baselines3 and sb3-contrib, built from their settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

import gymnasium
import numpy as np
from stable_baselines3 import A2C, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import NormalActionNoise

from foretrade.agents.algorithm_configs import (
    A2CConfig,
    OffPolicyConfig,
    RecurrentPPOConfig,
    SACConfig,
    TD3Config,
)
from foretrade.agents.fast_ppo import FastPPO
from foretrade.agents.ppo_config import PPOConfig
from foretrade.agents.store import NetworkName, PolicySpec, contrib
from foretrade.agents.training_config import AlgorithmName, TrainingConfig
from foretrade.agents.vector import MarketVecEnv
from foretrade.envs.market import MarketEnv

Arguments: TypeAlias = dict[str, Any]

NETWORKS: Mapping[AlgorithmName, NetworkName] = {
    "ppo": "actor_critic",
    "a2c": "actor_critic",
    "recurrent_ppo": "recurrent",
    "sac": "sac",
    "td3": "td3",
}


def build(
    config: TrainingConfig, spec: PolicySpec, environments: MarketVecEnv, *, seed: int
) -> BaseAlgorithm:
    """The algorithm that ``config`` is of, with a fresh policy, on the CPU."""
    shared = {
        "learning_rate": _linear_decay(config.learning_rate),
        "gamma": config.gamma,
        "policy_kwargs": spec.policy_kwargs(),
        "seed": seed,
        "device": "cpu",
    }
    return BUILDERS[config.algorithm](cast("Any", config), environments, shared)


def policy_spec(env: MarketEnv, config: TrainingConfig) -> PolicySpec:
    """The policy network that ``config`` trains on a market.

    Raises:
        ValueError: The market shows dicts.
    """
    space = env.action_space
    if env.as_dict:
        raise ValueError("training needs flat observations; leave as_dict out")
    actions: dict[str, Any]
    if isinstance(space, gymnasium.spaces.Discrete):
        actions = {"n": int(space.n)}
    elif isinstance(space, gymnasium.spaces.MultiDiscrete):
        actions = {"nvec": space.nvec.tolist()}
    else:
        assert isinstance(space, gymnasium.spaces.Box)
        actions = {"low": space.low.tolist(), "high": space.high.tolist()}
    spread = getattr(config, "log_std_init", 0.0)
    return PolicySpec(
        entries=env.layout.names,
        low=tuple(env.layout.low.tolist()),
        high=tuple(env.layout.high.tolist()),
        actions=actions,
        net_arch=config.net_arch,
        activation=config.activation,
        log_std_init=0.0 if spread == "auto" else spread,
        network=NETWORKS[config.algorithm],
        lstm_units=getattr(config, "lstm_units", 0),
    )


def _ppo(config: PPOConfig, environments: MarketVecEnv, shared: Arguments) -> BaseAlgorithm:
    return FastPPO("MlpPolicy", environments, **shared, **_ppo_arguments(config))


def _recurrent_ppo(
    config: RecurrentPPOConfig, environments: MarketVecEnv, shared: Arguments
) -> BaseAlgorithm:
    model: BaseAlgorithm = contrib().RecurrentPPO(
        "MlpLstmPolicy", environments, **shared, **_ppo_arguments(config)
    )
    return model


def _ppo_arguments(config: PPOConfig) -> Arguments:
    return {
        "n_steps": config.rollout_bars,
        "batch_size": config.batch_size,
        "n_epochs": config.epochs,
        "gae_lambda": config.gae_lambda,
        "clip_range": config.clip_range,
        "ent_coef": config.entropy_coefficient,
        "vf_coef": config.value_coefficient,
    }


def _a2c(config: A2CConfig, environments: MarketVecEnv, shared: Arguments) -> BaseAlgorithm:
    return A2C(
        "MlpPolicy",
        environments,
        **shared,
        n_steps=config.rollout_bars,
        gae_lambda=config.gae_lambda,
        ent_coef=config.entropy_coefficient,
        vf_coef=config.value_coefficient,
    )


def _sac(config: SACConfig, environments: MarketVecEnv, shared: Arguments) -> BaseAlgorithm:
    fixed = config.entropy_coefficient
    return SAC(
        "MlpPolicy",
        environments,
        **shared,
        **_replay_arguments(config),
        ent_coef="auto" if fixed is None else fixed,
    )


def _td3(config: TD3Config, environments: MarketVecEnv, shared: Arguments) -> BaseAlgorithm:
    size = environments.action_space.shape
    assert size is not None
    return TD3(
        "MlpPolicy",
        environments,
        **shared,
        **_replay_arguments(config),
        action_noise=NormalActionNoise(np.zeros(size), np.full(size, config.action_noise)),
        policy_delay=config.policy_delay,
        target_policy_noise=config.target_policy_noise,
        target_noise_clip=config.target_noise_clip,
    )


def _replay_arguments(config: OffPolicyConfig) -> Arguments:
    return {
        "train_freq": config.rollout_bars,
        "gradient_steps": config.gradient_steps,
        "learning_starts": config.learning_starts,
        "buffer_size": config.replay_steps,
        "batch_size": config.batch_size,
        "tau": config.tau,
    }


def _linear_decay(start: float) -> Callable[[float], float]:
    return lambda remaining: start * remaining


BUILDERS: Mapping[AlgorithmName, Callable[[Any, MarketVecEnv, Arguments], BaseAlgorithm]] = {
    "ppo": _ppo,
    "a2c": _a2c,
    "recurrent_ppo": _recurrent_ppo,
    "sac": _sac,
    "td3": _td3,
}
