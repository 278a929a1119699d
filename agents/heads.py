"""What the outputs of an actor mean as a distribution of actions, with its derivatives written out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import nn

Tensor = torch.Tensor


class Head(Protocol):
    """A family of distributions; outputs are ``[n, out]``, actions ``[n, dimensions]``."""

    def sample(self, outputs: Tensor) -> Tensor:
        """Actions, by the draws from torch's generator that stable-baselines3 makes."""
        ...

    def log_prob(self, outputs: Tensor, actions: Tensor) -> Tensor:
        """Log density or probability ``[n]`` of the actions."""
        ...

    def entropy(self, outputs: Tensor) -> Tensor:
        """Of each row ``[n]``, or a single one if all have the same."""
        ...

    def slope(self, outputs: Tensor, actions: Tensor, weights: Tensor, each: float) -> Tensor:
        """Derivative ``[n, out]`` of ``Σ weights · log_prob + each · Σ entropy`` by the outputs.

        Derivatives by parameters of the head's own are written into their ``.grad``.
        """
        ...


class GaussianHead:
    """Independent normal distributions around the outputs, of one spread for all observations.

    Args:
        log_std: Logarithms of the standard deviations ``[dimensions]``.
    """

    def __init__(self, log_std: nn.Parameter) -> None:
        self.log_std = log_std.detach()
        self._parameter = log_std

    def sample(self, outputs: Tensor) -> Tensor:
        return torch.empty_like(outputs).normal_().mul_(self.log_std.exp()).add_(outputs)

    def log_prob(self, outputs: Tensor, actions: Tensor) -> Tensor:
        z = (actions - outputs) * (-self.log_std).exp()
        constant = self.log_std.sum() + 0.5 * math.log(2 * math.pi) * outputs.shape[1]
        return -0.5 * z.square_().sum(1) - constant

    def entropy(self, outputs: Tensor) -> Tensor:
        return self.log_std.sum() + 0.5 * (1 + math.log(2 * math.pi)) * outputs.shape[1]

    def slope(self, outputs: Tensor, actions: Tensor, weights: Tensor, each: float) -> Tensor:
        inverse = (-self.log_std).exp()
        z = (actions - outputs) * inverse
        gradient = self._parameter.grad
        assert gradient is not None
        torch.mv((z.square() - 1).t(), weights, out=gradient).add_(each * outputs.shape[0])
        return z.mul_(inverse).mul_(weights[:, None])


class CategoricalHead:
    """One choice, or several that are independent: outputs are the logits of each, side by side.

    Args:
        sizes: How many there are to choose from, for each choice.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = list(sizes)

    def sample(self, outputs: Tensor) -> Tensor:
        parts = torch.split(outputs, self.sizes, 1)
        return torch.cat([torch.multinomial(part.softmax(1), 1, True) for part in parts], 1)

    def log_prob(self, outputs: Tensor, actions: Tensor) -> Tensor:
        chosen = [
            part.log_softmax(1).gather(1, action) for part, action in self._choices(outputs, actions)
        ]
        return torch.cat(chosen, 1).sum(1)

    def _choices(self, outputs: Tensor, actions: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(torch.split(outputs, self.sizes, 1), torch.split(actions, 1, 1), strict=True)

    def entropy(self, outputs: Tensor) -> Tensor:
        parts = [_entropy(part.log_softmax(1)) for part in torch.split(outputs, self.sizes, 1)]
        return torch.cat(parts, 1).sum(1)

    def slope(self, outputs: Tensor, actions: Tensor, weights: Tensor, each: float) -> Tensor:
        slopes = []
        for part, action in self._choices(outputs, actions):
            logs = part.log_softmax(1)
            probabilities = logs.exp()
            slope = probabilities * -weights[:, None]
            slope.scatter_add_(1, action, weights[:, None])
            if each:
                slope -= each * probabilities * (logs + _entropy(logs))
            slopes.append(slope)
        return torch.cat(slopes, 1)


def _entropy(logs: Tensor) -> Tensor:
    return -(logs.exp() * logs).sum(1, keepdim=True)
