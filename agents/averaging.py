"""The policy that a training hands on: the mean of its last parameters, which wander with the noise."""

from __future__ import annotations

import copy

import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from torch.nn.utils import parameters_to_vector


class PolicyAverage(BaseCallback):
    """Follows a policy's parameters by an exponential mean, updated after each update.

    Returns are ten times as noisy as what can be learned from them, so that parameters go on
    wandering around what is best; their mean does not (Polyak and Juditsky 1992,
    doi:10.1137/0330046). The weight of the newest parameters is ``1 / (share · updates)``, or one over
    the number of updates so far, if that is more.

    It must stand before the callback that judges and keeps checkpoints.

    Args:
        policy: In training.
        share: Part of the run that the mean reaches back; 0 takes the newest parameters.
        updates: Of the run.
    """

    def __init__(self, policy: BasePolicy, share: float, updates: int) -> None:
        super().__init__()
        self.newest = policy
        self.reach = share * updates
        self.policy = copy.deepcopy(policy) if self.reach > 1 else policy
        self.policy.set_training_mode(False)
        self.update = self.taken = 0

    def state(self) -> torch.Tensor:
        """The mean, and of how many updates."""
        mean = parameters_to_vector(self.policy.parameters()).detach()
        return torch.cat([mean.double(), torch.tensor([self.update], dtype=torch.float64)])

    def restore(self, state: torch.Tensor) -> None:
        """Go on from a :meth:`state`."""
        self.update = self.taken = int(state[-1])
        if self.policy is not self.newest:
            parameters = list(self.policy.parameters())
            kept = torch.split(state[:-1], [parameter.numel() for parameter in parameters])
            with torch.no_grad():  # into their own memory: where a number lies can change the last bit
                for parameter, values in zip(parameters, kept, strict=True):
                    parameter.copy_(values.view_as(parameter))

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.update += 1

    def _on_rollout_start(self) -> None:
        self._follow()

    def _on_training_end(self) -> None:
        self._follow()

    def _follow(self) -> None:
        """Take the newest parameters in; at the start of a rollout that follows no update, none."""
        if self.policy is self.newest or self.update == self.taken:
            return
        weight = max(1 / self.reach, 1 / self.update)
        with torch.no_grad():
            pairs = zip(self.policy.parameters(), self.newest.parameters(), strict=True)
            for mean, newest in pairs:
                mean.lerp_(newest, weight)
        self.taken = self.update
