"""Why a policy traded: its target attributed to what it saw, and a test whether that is true.

Integrated gradients of Sundararajan, Taly and Yan (2017, ICML, arXiv:1703.01365): the gradient of the
target along the straight line from a baseline observation to the one seen, times the way. It is
complete: the entries' attributions add up to the target less that of the baseline. The deletion test
takes entries away (each becomes its mean) in the order of their attribution, and looks whether the
target changes more than when as many are taken at random.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch

from foretrade.agents.store import PolicyAgent
from foretrade.envs.market import MarketEnv
from foretrade.markets.arrays import Float32s, Floats

Target: TypeAlias = Callable[[torch.Tensor], torch.Tensor]

TOLERANCE = 5e-3  # of the spread of the targets
MOST_NODES = 1024


class IncompleteError(ArithmeticError):
    """Attributions that do not add up to what they explain."""


@dataclass(frozen=True)
class Attribution:
    """Of one policy, over observations in time order.

    Args:
        entries: Names of the observation's entries.
        values: Part of each entry in the target less that of the mean observation, ``[rows, entries]``.
        targets: What is explained, ``[rows]``: the mean of a Gaussian policy before it is clipped to
            the bounds, the action of SAC and TD3, or the mean of the choices by their probabilities.
        gap: Largest difference of ``values.sum(axis=1)`` from ``targets`` less the baseline's target.
    """

    entries: tuple[str, ...]
    values: Floats
    targets: Floats
    gap: float

    @property
    def sizes(self) -> pd.Series:
        """Mean absolute attribution of each entry, the largest first."""
        sizes = pd.Series(np.abs(self.values).mean(axis=0), index=list(self.entries))
        return sizes.sort_values(ascending=False, kind="stable")

    def by_group(self, groups: Mapping[str, str]) -> pd.DataFrame:
        """Attributions summed within groups of entries (entry to group), ``[rows, groups]``."""
        names = list(dict.fromkeys(groups[entry] for entry in self.entries))
        return pd.DataFrame(
            {
                name: self.values[:, [groups[entry] == name for entry in self.entries]].sum(axis=1)
                for name in names
            }
        )


def attribute(
    agent: PolicyAgent, observations: Float32s, *, choices: Sequence[float] | None = None
) -> Attribution:
    """Attribute a policy's target to the entries of ``observations`` ``[rows, entries]``.

    The baseline is their mean. The integral is a Gauss-Legendre sum whose nodes are doubled until it
    is complete to half a percent of the targets' standard deviation, in double precision.

    Args:
        choices: Target that each action of a discrete policy stands for.

    Raises:
        ValueError: ``choices`` do not go with the policy's actions.
        IncompleteError: 1024 nodes are not enough.
    """
    target = target_of(agent, choices)
    seen = torch.as_tensor(np.asarray(observations, dtype=np.float64))
    baseline = seen.mean(dim=0, keepdim=True)
    with torch.no_grad():
        targets, start = target(seen), target(baseline)
    scale = float(targets.std(correction=0))
    nodes = 16
    while True:
        values = _integrated_gradients(target, seen, baseline, nodes)
        gap = float((values.sum(dim=1) - (targets - start)).abs().max())
        if gap <= TOLERANCE * scale:
            break
        nodes *= 2
        if nodes > MOST_NODES:
            raise IncompleteError(
                f"attributions miss the target by up to {gap:.2g} with {MOST_NODES} nodes; its standard "
                f"deviation is {scale:.2g}"
            )
    return Attribution(agent.spec.entries, values.numpy(), targets.numpy(), gap)


def deletion_test(
    agent: PolicyAgent,
    observations: Float32s,
    attribution: Attribution,
    *,
    sizes: Sequence[int] = (1, 2, 3, 5, 8),
    draws: int = 200,
    seed: int = 0,
    choices: Sequence[float] | None = None,
) -> pd.DataFrame:
    """Does taking away what was said to matter change the target most?

    Returns:
        One row a size: ``size``; ``top``, the mean absolute change of the target when the entries of
        largest attribution become their mean; ``random``, ``random_high``: mean and 95 % quantile of
        the same over ``draws`` random sets of as many entries. Sizes beyond the entries are left out.
    """
    target, rng = target_of(agent, choices), np.random.default_rng(seed)
    ranking = [attribution.entries.index(name) for name in attribution.sizes.index]
    rows = []
    for size in (size for size in sizes if size < len(ranking)):
        random = [
            _change(target, observations, rng.choice(len(ranking), size, replace=False))
            for _ in range(draws)
        ]
        rows.append(
            {
                "size": size,
                "top": _change(target, observations, np.array(ranking[:size])),
                "random": float(np.mean(random)),
                "random_high": float(np.quantile(random, 0.95)),
            }
        )
    return pd.DataFrame(rows, columns=["size", "top", "random", "random_high"])


def deletion_by_group(
    agent: PolicyAgent,
    observations: Float32s,
    groups: Mapping[str, str],
    *,
    choices: Sequence[float] | None = None,
) -> dict[str, float]:
    """Mean absolute change of the target when a whole group of entries becomes its mean.

    Args:
        groups: Entry to group.
    """
    target, entries = target_of(agent, choices), agent.spec.entries
    return {
        name: _change(target, observations, np.flatnonzero([groups[entry] == name for entry in entries]))
        for name in dict.fromkeys(groups[entry] for entry in entries)
    }


def played_observations(agent: PolicyAgent, env: MarketEnv) -> Float32s:
    """Every observation of one episode from the start of the block, ``[steps, entries]``."""
    agent.reset()
    observation, _ = env.reset(seed=0)
    seen, over = [], False
    while not over:
        seen.append(observation)
        observation, _, terminated, truncated, _ = env.step(agent.decide(observation[None])[0])
        over = terminated or truncated
    return np.array(seen, dtype=np.float32)


def target_of(agent: PolicyAgent, choices: Sequence[float] | None = None) -> Target:
    """The policy's first target as a function of observations ``[rows, entries]``, float64.

    Raises:
        ValueError: The policy is recurrent; or see :func:`attribute`.
    """
    if agent.has_memory:
        raise ValueError("a recurrent policy acts on more than one observation; it cannot be attributed")
    discrete = "n" in agent.spec.actions
    if "nvec" in agent.spec.actions or discrete != (choices is not None):
        raise ValueError("give choices for a policy with one discrete action, and for no other")
    if choices is not None and len(choices) != agent.spec.actions["n"]:
        raise ValueError(f"{len(choices)} choices for a policy with {agent.spec.actions['n']} actions")
    output = _output_of(agent)

    def target(seen: torch.Tensor) -> torch.Tensor:
        out = output(seen)
        if choices is None:
            return out[:, 0]
        return torch.softmax(out, dim=1) @ torch.tensor(choices, dtype=torch.float64)

    return target


def _output_of(agent: PolicyAgent) -> Target:
    """Means of a Gaussian policy or scores of its choices; of SAC and TD3 the action, ``[rows, …]``."""
    policy: Any = copy.deepcopy(agent.policy).double()

    def output(seen: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = policy.action_net(policy.mlp_extractor.forward_actor(seen))
        return found

    boxed = "low" in agent.spec.actions
    if agent.spec.network == "actor_critic" and not (boxed and agent.spec.unit_actions):
        return output
    low, high = (torch.tensor(agent.spec.actions[name], dtype=torch.float64) for name in ("low", "high"))
    if agent.spec.network == "actor_critic":
        return lambda seen: low + (high - low) * (output(seen) + 1) / 2
    if agent.spec.network == "sac":
        squashed: Any = torch.nn.Sequential(policy.actor.latent_pi, policy.actor.mu, torch.nn.Tanh())
    else:
        squashed = policy.actor.mu
    return lambda seen: low + (high - low) * (squashed(seen) + 1) / 2


def _integrated_gradients(
    target: Target, seen: torch.Tensor, baseline: torch.Tensor, nodes: int
) -> torch.Tensor:
    places, weights = np.polynomial.legendre.leggauss(nodes)
    total = torch.zeros_like(seen)
    for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
        point = (baseline + place * (seen - baseline)).requires_grad_()
        (gradient,) = torch.autograd.grad(target(point).sum(), point)
        total += weight * gradient
    return total * (seen - baseline)


def _change(target: Target, observations: Float32s, entries: np.ndarray) -> float:
    seen = torch.as_tensor(np.asarray(observations, dtype=np.float64))
    without = seen.clone()
    without[:, entries] = seen.mean(dim=0)[entries]
    with torch.no_grad():
        return float((target(without) - target(seen)).abs().mean())
