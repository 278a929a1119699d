"""What PPO minimises over a minibatch (Schulman et al. 2017, eq. 7 and 9), and its gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from stable_baselines3.common.type_aliases import RolloutBufferSamples

from foretrade.agents.networks import Networks

Tensor = torch.Tensor

NUMBERS = ("policy_gradient_loss", "value_loss", "entropy_loss", "loss", "clip_fraction", "approx_kl")


@dataclass(frozen=True)
class Objective:
    """The clipped surrogate, the error of the values and the entropy, weighed as in stable-baselines3.

    Args:
        clip_range: Of the ratio of probabilities.
        clip_range_value: Of the change of values; None for any change.
        entropy_coefficient, value_coefficient: Of the loss.
        normalised: Whether advantages are, over the minibatch.
    """

    clip_range: float
    clip_range_value: float | None
    entropy_coefficient: float
    value_coefficient: float
    normalised: bool

    def derive(self, networks: Networks, part: RolloutBufferSamples) -> Tensor:
        """Write the gradient into the parameters' ``.grad``; returns the :data:`NUMBERS`.

        The divergence is estimated by ``mean(ratio − 1 − log ratio)`` (Schulman 2020,
        http://joschu.net/blog/kl-approx.html).
        """
        seen, done, head = part.observations, part.actions, networks.head
        outputs, values = networks.actor.forward(seen), networks.critic.forward(seen)
        log_ratio = head.log_prob(outputs, done) - part.old_log_prob
        ratio = log_ratio.exp()
        policy_loss, by_log_prob = self.surrogate(ratio, part.advantages)
        value_loss, by_value = self.error(values[:, 0], part.old_values, part.returns)
        entropy_loss = -head.entropy(outputs).mean()
        each = -self.entropy_coefficient / seen.shape[0]
        networks.actor.backward(seen, head.slope(outputs, done, by_log_prob, each))
        networks.critic.backward(seen, by_value.mul_(self.value_coefficient)[:, None])
        loss = (
            policy_loss + self.entropy_coefficient * entropy_loss + self.value_coefficient * value_loss
        )
        clipped = ((ratio - 1).abs() > self.clip_range).float().mean()
        divergence = ((ratio - 1) - log_ratio).mean()
        return torch.stack([policy_loss, value_loss, entropy_loss, loss, clipped, divergence])

    def surrogate(self, ratio: Tensor, advantages: Tensor) -> tuple[Tensor, Tensor]:
        """``−mean(min(A · ratio, A · clip(ratio)))`` and its derivative by each log probability."""
        if self.normalised and advantages.shape[0] > 1:
            spread, mean = torch.std_mean(advantages)
            advantages = (advantages - mean) / (spread + 1e-8)
        free = advantages * ratio
        clipped = advantages * ratio.clamp(1 - self.clip_range, 1 + self.clip_range)
        slope = free.masked_fill(free > clipped, 0.0).div_(-free.shape[0])
        return -torch.minimum(free, clipped).mean(), slope

    def error(self, values: Tensor, old_values: Tensor, returns: Tensor) -> tuple[Tensor, Tensor]:
        """Mean squared error of the values and its derivative by each."""
        if self.clip_range_value is None:
            error = values - returns
            return error.square().mean(), error.mul_(2 / error.shape[0])
        change, most = values - old_values, self.clip_range_value
        error = old_values + change.clamp(-most, most) - returns
        slope = (error * (2 / error.shape[0])).masked_fill_(change.abs() > most, 0.0)
        return error.square().mean(), slope
