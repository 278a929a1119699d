"""PPO through stable-baselines3: train, choose the checkpoint on the validation block, keep it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pandas as pd
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure

from foretrade.agents.checkpoint import (
    Checkpoints,
    Facts,
    Tensors,
    part_of,
    restore,
    training_state,
)
from foretrade.agents.fast_ppo import FastPPO
from foretrade.agents.ppo_config import PPOConfig
from foretrade.agents.store import PolicyAgent, PolicySpec, save_policy
from foretrade.agents.vector import MarketVecEnv
from foretrade.envs.market import MarketEnv
from foretrade.envs.rewards import RUIN_LEVEL
from foretrade.errors import ForetradeError
from foretrade.markets.arrays import Floats
from foretrade.storage import atomic_path, content_hash, write_json


class TrainingError(ForetradeError, ValueError):
    """A training that must not go on."""


def train_ppo(
    training: MarketEnv,
    validation: MarketEnv,
    config: PPOConfig,
    *,
    seed: int,
    folder: Path,
    tensorboard: bool = True,
) -> PolicyAgent:
    """Train one policy and return its best checkpoint, as judged on the validation block alone.

    Writes into ``folder``: ``policy.safetensors`` and ``policy.json`` (the best checkpoint),
    ``validation.csv`` (steps, net log growth and Sharpe ratio a bar of every checkpoint: each is a
    trial), ``validation.npy`` (their simple returns ``[checkpoints, bars]``, zero after ruin),
    ``progress.json`` and TensorBoard event files; while it goes on, ``checkpoints/``, from which a
    training that was stopped at any moment goes on to the same tensors. The same environments,
    configuration and seed give the same tensors on the same machine; torch is set to one thread.

    Args:
        training: Market with random starts, on the training block.
        validation: Market on the validation block, played once from its start a checkpoint.

    Raises:
        CheckpointError: The folder holds checkpoints of another training, or a parameter is not finite.
        TrainingError: A reward, observation or action is not finite.
    """
    torch.set_num_threads(1)
    spec = _policy_spec(training, config)
    environments = MarketVecEnv(training, config.environments, reward_scale=config.reward_scale)
    model = FastPPO(
        "MlpPolicy",
        environments,
        learning_rate=_linear_decay(config.learning_rate),
        n_steps=config.rollout_bars,
        batch_size=config.batch_size,
        n_epochs=config.epochs,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip_range,
        ent_coef=config.entropy_coefficient,
        vf_coef=config.value_coefficient,
        policy_kwargs=spec.policy_kwargs(),
        seed=seed,
        device="cpu",
    )
    model.set_logger(configure(str(folder / "tensorboard"), ["tensorboard"] if tensorboard else []))
    identity = content_hash(asdict(config), seed, training.market, validation.market)
    checkpoints = Checkpoints(folder / "checkpoints", identity)
    agent = PolicyAgent(spec, model.policy)
    chooser = ChooseOnValidation(agent, environments, validation, config, folder, checkpoints)
    steps = config.updates * config.environments * config.rollout_bars
    found = checkpoints.newest()
    if found is not None:
        restore(model, environments, *found)
        chooser.restore(*found)
    model.learn(steps - model.num_timesteps, callback=chooser, reset_num_timesteps=found is None)
    return chooser.finish()


class ChooseOnValidation(BaseCallback):
    """Play the validation block at every checkpoint, remember the best policy, keep the state."""

    def __init__(
        self,
        agent: PolicyAgent,
        environments: MarketVecEnv,
        validation: MarketEnv,
        config: PPOConfig,
        folder: Path,
        checkpoints: Checkpoints,
    ) -> None:
        super().__init__()
        self.agent = agent
        self.environments = environments
        self.validation = validation
        self.folder = folder
        self.checkpoints = checkpoints
        self.resumes = False
        self.updates = config.updates
        marks = np.linspace(0, config.updates, min(config.checkpoints, config.updates) + 1)
        self.due = set(np.ceil(marks[1:]).astype(int).tolist())
        self.update = 0
        self.trials: list[dict[str, Any]] = []
        self.returns: list[Floats] = []
        self.best: dict[str, torch.Tensor] = {}

    def restore(self, tensors: Tensors, facts: Facts) -> None:
        """Go on from what :meth:`_keep` has kept."""
        self.update, self.trials = facts["update"], facts["trials"]
        self.returns = [part_of(tensors, "returns")[str(k)].numpy() for k in range(len(self.trials))]
        self.best = part_of(tensors, "best")
        self.resumes = True

    def _on_rollout_start(self) -> None:
        if not self.resumes:
            self._after_update()
            self._keep()
        self.resumes = False

    def _on_training_end(self) -> None:
        self._after_update()

    def _on_step(self) -> bool:
        for name in ("rewards", "new_obs", "actions"):
            if not np.isfinite(self.locals[name]).all():
                raise TrainingError(
                    f"step {self.num_timesteps}: {name} of the training environments are not finite; "
                    "look for what is not in the prices, features or forecasts of the training block"
                )
        return True

    def _keep(self) -> None:
        """Write the state between two rollouts to disk."""
        assert isinstance(self.model, PPO)
        tensors, facts = training_state(self.model, self.environments)
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        tensors |= {f"returns.{k}": torch.from_numpy(own) for k, own in enumerate(self.returns)}
        facts |= {"update": self.update, "trials": self.trials}
        self.checkpoints.write(self.update, tensors, facts)

    def _after_update(self) -> None:
        if self.update in self.due:
            steps = net_log_growth(self.agent, self.validation)
            growth, spread = float(steps.sum()), float(steps.std())
            if growth > max((trial["log_growth"] for trial in self.trials), default=-np.inf):
                self.best = {k: v.clone() for k, v in self.agent.policy.state_dict().items()}
            sharpe = float(steps.mean()) / spread if spread > 0 else None
            self.trials.append({"steps": self.num_timesteps, "log_growth": growth, "sharpe": sharpe})
            self.returns.append(np.expm1(steps))
            self.logger.record("validation/log_growth", growth)
        write_json(self.folder / "progress.json", {"update": self.update, "of": self.updates})
        self.update += 1

    def finish(self) -> PolicyAgent:
        """The best checkpoint, written to disk after its record of trials."""
        with atomic_path(self.folder / "validation.csv") as path:
            pd.DataFrame(self.trials).to_csv(path, index=False)
        bars = max(map(len, self.returns))
        with atomic_path(self.folder / "validation.npy") as path:
            np.save(path, [np.pad(returns, (0, bars - len(returns))) for returns in self.returns])
        self.agent.policy.load_state_dict(self.best)
        self.agent.policy.set_training_mode(False)
        save_policy(self.agent, self.folder)
        self.checkpoints.clear()
        return self.agent


def net_log_growth(agent: PolicyAgent, env: MarketEnv) -> Floats:
    """Log growth of equity at each step of one episode from the block's start, after costs.

    A ruined account's last step counts as ``log(RUIN_LEVEL)``.
    """
    agent.reset()
    observation, info = env.reset(seed=0)
    equity, over = info["equity"], False
    steps = []
    while not over:
        action = agent.decide(observation[None])[0]
        observation, _, terminated, truncated, info = env.step(action)
        steps.append(info["equity"] / equity)
        equity, over = info["equity"], terminated or truncated
    return np.asarray(np.log(np.maximum(steps, RUIN_LEVEL)))


def _policy_spec(env: MarketEnv, config: PPOConfig) -> PolicySpec:
    space = env.action_space
    if env.as_dict:
        raise ValueError("train_ppo needs flat observations; leave as_dict out")
    actions: dict[str, Any]
    if isinstance(space, gymnasium.spaces.Discrete):
        actions = {"n": int(space.n)}
    elif isinstance(space, gymnasium.spaces.MultiDiscrete):
        actions = {"nvec": space.nvec.tolist()}
    else:
        assert isinstance(space, gymnasium.spaces.Box)
        actions = {"low": space.low.tolist(), "high": space.high.tolist()}
    return PolicySpec(
        entries=env.layout.names,
        low=tuple(env.layout.low.tolist()),
        high=tuple(env.layout.high.tolist()),
        actions=actions,
        net_arch=config.net_arch,
        activation=config.activation,
        log_std_init=config.log_std_init,
    )


def _linear_decay(start: float) -> Callable[[float], float]:
    return lambda remaining: start * remaining
