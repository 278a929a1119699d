"""stable-baselines3's PPO with the work around its networks taken out: the same updates, sooner."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import explained_variance
from stable_baselines3.common.vec_env import VecEnv

from foretrade.agents.networks import Networks, networks_of
from foretrade.agents.objective import NUMBERS, Objective
from foretrade.agents.rollouts import Rollouts
from foretrade.errors import ForetradeError

Tensor = torch.Tensor

ADAM = {"eps": 1e-5, "fused": True}  # the epsilon is stable-baselines3's
LOSS, KL = NUMBERS.index("loss"), NUMBERS.index("approx_kl")


class DeviceError(ForetradeError, ValueError):
    """A device that this machine does not have."""


class FastPPO(PPO):
    """``stable_baselines3.PPO``: its arguments, logs, callbacks and random draws.

    For a ``MlpPolicy`` of tanh or ReLU layers on a CPU, with actions from a box or of choices, gradients
    are written out, the memory of a rollout is kept, values and probabilities are computed for a whole
    rollout at once, and Adam is fused. From the same rollout the same update follows, but for rounding.
    Anything else goes through stable-baselines3's own code.

    A callback finds in ``locals`` at a step what stable-baselines3 puts there, except ``values`` and
    ``log_probs``: they are known when the rollout has ended.

    Raises:
        DeviceError: The ``device`` is not there; stable-baselines3 would take the CPU and not say so.
    """

    networks: Networks | None = None

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        device = settings.get("device", "auto")
        if device != "auto" and torch.device(device).type == "cuda" and not torch.cuda.is_available():
            raise DeviceError(f"device {str(device)!r}: torch finds no GPU here; leave it at 'cpu'")
        super().__init__(*arguments, **settings)

    def _setup_model(self) -> None:
        if self.rollout_buffer_class is None and isinstance(
            self.observation_space, gymnasium.spaces.Box
        ):
            self.rollout_buffer_class = Rollouts
        if "optimizer_class" not in self.policy_kwargs:
            self.policy_kwargs.setdefault("optimizer_kwargs", ADAM)
        super()._setup_model()
        if isinstance(self.rollout_buffer, Rollouts) and self.device.type == "cpu":
            self.networks = networks_of(self.policy, max(self.batch_size, self.n_envs))

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "networks"]

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: RolloutBuffer,
        n_rollout_steps: int,
    ) -> bool:
        """Fill the buffer; False if the callback has stopped the training."""
        networks, buffer = self.networks, rollout_buffer
        if networks is None or not isinstance(buffer, Rollouts):
            return super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)
        self.policy.set_training_mode(False)
        buffer.reset()
        callback.on_rollout_start()
        box = self.action_space if isinstance(self.action_space, gymnasium.spaces.Box) else None
        cut: list[tuple[int, int, Any]] = []  # step, environment, last observation
        for n_steps in range(n_rollout_steps):
            buffer.observations[n_steps] = self._last_obs
            buffer.episode_starts[n_steps] = self._last_episode_starts
            chosen = networks.act(torch.from_numpy(buffer.observations[n_steps]).flatten(1)).numpy()
            buffer.actions[n_steps] = chosen
            actions = chosen.reshape(-1, *(self.action_space.shape or ()))
            clipped_actions = actions if box is None else np.clip(actions, box.low, box.high)
            new_obs, rewards, dones, infos = env.step(clipped_actions)
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            buffer.rewards[n_steps] = rewards
            self._last_obs, self._last_episode_starts = new_obs, dones  # type: ignore[assignment]
            ended = dones.nonzero()[0].tolist()
            if ended:
                self._update_info_buffer([infos[i] for i in ended], dones[ended])
                cut += [(n_steps, i, infos[i]["terminal_observation"]) for i in ended if _cut(infos[i])]
        self._judge(networks, buffer, cut)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _judge(self, networks: Networks, buffer: Rollouts, cut: list[tuple[int, int, Any]]) -> None:
        """What was seen is worth, how probable what was done was, and its advantages."""
        buffer.pos, buffer.full = buffer.buffer_size, True
        values, log_probs = networks.judge(buffer.flat("observations"), buffer.flat("actions"))
        buffer.flat("values").copy_(values)
        buffer.flat("log_probs").copy_(log_probs)
        if cut:  # what would have followed is worth what the critic says
            steps, accounts, last = zip(*cut, strict=True)
            rest = networks.worth(torch.from_numpy(np.stack(last)).flatten(1))
            buffer.rewards[list(steps), list(accounts)] += self.gamma * rest.numpy()
        assert isinstance(self._last_obs, np.ndarray)
        assert self._last_episode_starts is not None
        after = networks.worth(torch.from_numpy(self._last_obs).flatten(1))
        buffer.compute_returns_and_advantage(after, self._last_episode_starts)

    def train(self) -> None:
        """Update the policy from the rollout that was collected."""
        networks, buffer = self.networks, self.rollout_buffer
        if networks is None or not isinstance(buffer, Rollouts):
            super().train()
            return
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        objective = self._objective()
        networks.bind()
        epochs: list[Tensor] = []
        near = True
        while near and len(epochs) < self.n_epochs:
            numbers = []
            for part in buffer.minibatches(self.batch_size):
                numbers.append(objective.derive(networks, part))
                near = self.target_kl is None or float(numbers[-1][KL]) <= 1.5 * self.target_kl
                if not near:
                    break
                networks.clip(self.max_grad_norm)
                self.policy.optimizer.step()
            epochs.append(torch.stack(numbers))
            self._n_updates += 1
        self._log(objective, epochs, buffer)

    def _objective(self) -> Objective:
        """The loss, by the schedules as they stand."""
        left = self._current_progress_remaining
        clip_range, clip_range_value = (
            schedule(left) if callable(schedule) else schedule
            for schedule in (self.clip_range, self.clip_range_vf)
        )
        assert clip_range is not None
        return Objective(
            clip_range=clip_range,
            clip_range_value=clip_range_value,
            entropy_coefficient=self.ent_coef,
            value_coefficient=self.vf_coef,
            normalised=self.normalize_advantage,
        )

    def _log(self, objective: Objective, epochs: list[Tensor], buffer: Rollouts) -> None:
        """What stable-baselines3 logs, by its names: the divergence is the last epoch's."""
        record = self.logger.record
        for name, mean in zip(NUMBERS, torch.cat(epochs).mean(0).tolist(), strict=True):
            record(f"train/{name}", mean)
        record("train/approx_kl", float(epochs[-1][:, KL].mean()))
        record("train/loss", float(epochs[-1][-1, LOSS]))
        explained = explained_variance(buffer.values.ravel(), buffer.returns.ravel())
        record("train/explained_variance", explained)
        if hasattr(self.policy, "log_std"):
            record("train/std", self.policy.log_std.exp().mean().item())
        record("train/n_updates", self._n_updates, exclude="tensorboard")
        record("train/clip_range", objective.clip_range)
        if objective.clip_range_value is not None:
            record("train/clip_range_vf", objective.clip_range_value)


def _cut(info: dict[str, Any]) -> bool:
    """Whether an episode ended without its market having ended."""
    return bool(info.get("TimeLimit.truncated")) and info.get("terminal_observation") is not None
