"""Actor and critic of a stable-baselines3 policy, ready to act, judge and learn without autograd."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from stable_baselines3.common.distributions import (
    CategoricalDistribution,
    DiagGaussianDistribution,
    MultiCategoricalDistribution,
)
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn

from foretrade.agents.heads import CategoricalHead, GaussianHead, Head
from foretrade.agents.perceptron import Perceptron

Tensor = torch.Tensor


@dataclass(frozen=True)
class Networks:
    """Two perceptrons on a policy's own layers, and what the actor's outputs mean."""

    actor: Perceptron
    critic: Perceptron
    head: Head
    parameters: tuple[nn.Parameter, ...]
    gradients: Tensor  # of all parameters, side by side

    def bind(self) -> None:
        """Let each parameter's ``.grad`` be its part of ``gradients``."""
        sizes = [parameter.numel() for parameter in self.parameters]
        for parameter, part in zip(self.parameters, torch.split(self.gradients, sizes), strict=True):
            parameter.grad = part.view_as(parameter)

    def clip(self, largest: float) -> None:
        """Scale the gradients down to this norm, as ``clip_grad_norm_`` does."""
        norm = torch.linalg.vector_norm(self.gradients)
        self.gradients.mul_((largest / (norm + 1e-6)).clamp_(max=1.0))

    def act(self, observations: Tensor) -> Tensor:
        """Actions drawn for observations ``[n, entries]``."""
        return self.head.sample(self.actor.forward(observations))

    def judge(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Values and log probabilities ``[n]`` of what was done, for any number of rows."""
        size = self.actor.rows
        log_probs = [
            self.head.log_prob(self.actor.forward(seen), done)
            for seen, done in zip(
                torch.split(observations, size), torch.split(actions, size), strict=True
            )
        ]
        return self.worth(observations), torch.cat(log_probs)

    def worth(self, observations: Tensor) -> Tensor:
        """Values ``[n]``, for any number of rows."""
        parts = torch.split(observations, self.critic.rows)
        return torch.cat([self.critic.forward(part)[:, 0].clone() for part in parts])


def networks_of(policy: ActorCriticPolicy, rows: int) -> Networks | None:
    """Those of a policy, for up to so many rows at once; None if it is of another kind.

    What is understood: flat float32 observations, separate stacks of linear layers with tanh or ReLU
    between them, actions from a box (without gSDE) or of choices.
    """
    head = _head(policy)
    plain = (
        type(policy) is ActorCriticPolicy
        and type(policy.features_extractor) is FlattenExtractor
        and policy.observation_space.dtype == np.float32
        and policy.activation_fn in (nn.Tanh, nn.ReLU)
    )
    if head is None or not plain:
        return None
    inner = policy.mlp_extractor
    actor, critic = (
        Perceptron([m for m in (*body, last) if isinstance(m, nn.Linear)], policy.activation_fn, rows)
        for body, last in ((inner.policy_net, policy.action_net), (inner.value_net, policy.value_net))
    )
    parameters = tuple(policy.parameters())
    gradients = torch.zeros(sum(parameter.numel() for parameter in parameters))
    return Networks(actor, critic, head, parameters, gradients)


def _head(policy: ActorCriticPolicy) -> Head | None:
    kind = policy.action_dist
    if type(kind) is DiagGaussianDistribution:
        return GaussianHead(policy.log_std)
    if type(kind) is CategoricalDistribution:
        return CategoricalHead([kind.action_dim])
    if type(kind) is MultiCategoricalDistribution:
        return CategoricalHead(kind.action_dims)
    return None
