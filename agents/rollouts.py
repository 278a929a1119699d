"""stable-baselines3's rollout buffer in memory that is kept, read as tensors without copies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.type_aliases import RolloutBufferSamples

from foretrade.markets.arrays import AnyArray

Tensor = torch.Tensor


class Rollouts(RolloutBuffer):
    """The same arrays ``[steps, environments, …]``, the same minibatches from the same draws."""

    def reset(self) -> None:
        """Begin again; the arrays are written over."""
        if self.generator_ready or not hasattr(self, "observations"):
            super().reset()
        self.pos, self.full = 0, False

    def compute_returns_and_advantage(self, last_values: Tensor, dones: AnyArray) -> None:
        """Generalised advantage estimates (Schulman et al. 2016) and returns.

        Only the recursion goes step by step.
        """
        last = last_values.clone().cpu().numpy().reshape(1, -1)
        ended = np.concatenate([self.episode_starts[1:], dones[None].astype(np.float32)])
        going = 1.0 - ended
        ahead = np.concatenate([self.values[1:], last])
        np.add(self.rewards, self.gamma * ahead * going, out=self.advantages)
        self.advantages -= self.values
        fading = self.gamma * self.gae_lambda * going
        for step in reversed(range(self.buffer_size - 1)):
            self.advantages[step] += fading[step] * self.advantages[step + 1]
        np.add(self.advantages, self.values, out=self.returns)

    def flat(self, name: str) -> Tensor:
        """An array as a tensor ``[steps · environments, …]`` on the same memory, step by step."""
        array = getattr(self, name)
        rows = self.buffer_size * self.n_envs
        tail = (-1,) if array.ndim > 2 else ()
        return torch.from_numpy(array).view(rows, *tail)

    def minibatches(self, size: int) -> Iterator[RolloutBufferSamples]:
        """One pass in the order of :meth:`get`; actions keep their type, ``[n, dimensions]``."""
        names = ("observations", "actions", "values", "log_probs", "advantages", "returns")
        tensors = [self.flat(name) for name in names]
        drawn = np.random.permutation(len(tensors[0]))  # noqa: NPY002  from the generator that get() uses
        environment, step = np.divmod(drawn, self.buffer_size)  # get() puts environments first
        order = torch.from_numpy(step * self.n_envs + environment)
        for rows in torch.split(order, size):
            parts: Any = [tensor.index_select(0, rows) for tensor in tensors]
            yield RolloutBufferSamples(*parts)
