"""A trained stable-baselines3 policy as an agent, and its safe form on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from stable_baselines3.common.policies import ActorCriticPolicy

from foretrade.agents.ppo_config import Activation
from foretrade.errors import ForetradeError
from foretrade.markets.arrays import AnyArray, Float32s
from foretrade.storage import atomic_path, file_hash, read_json, write_json

ACTIVATIONS: Mapping[Activation, type[torch.nn.Module]] = {
    "tanh": torch.nn.Tanh,
    "relu": torch.nn.ReLU,
}
FORMAT = 2


class PolicyFileError(ForetradeError, ValueError):
    """A stored policy is damaged, or does not fit."""


@dataclass(frozen=True)
class PolicySpec:
    """Everything needed to build a policy network again from code.

    Args:
        entries: Names of the observation's entries, in order.
        low, high: Their bounds.
        actions: ``{"low": […], "high": […]}`` of a box, ``{"n": …}`` or ``{"nvec": […]}`` of choices.
        net_arch: Widths of the hidden layers, for policy and value each.
        activation: Of the hidden layers.
        log_std_init: Initial log standard deviation of a Gaussian policy.
    """

    entries: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    actions: dict[str, Any]
    net_arch: tuple[int, ...] = (64, 64)
    activation: Activation = "tanh"
    log_std_init: float = 0.0
    format: int = field(default=FORMAT)

    def observation_space(self) -> gymnasium.spaces.Box:
        return gymnasium.spaces.Box(np.array(self.low, np.float32), np.array(self.high, np.float32))

    def action_space(self) -> gymnasium.spaces.Space[Any]:
        if "n" in self.actions:
            return gymnasium.spaces.Discrete(int(self.actions["n"]))
        if "nvec" in self.actions:
            return gymnasium.spaces.MultiDiscrete(self.actions["nvec"])
        low, high = (np.array(self.actions[name], dtype=np.float32) for name in ("low", "high"))
        return gymnasium.spaces.Box(low, high, dtype=np.float32)

    def policy_kwargs(self) -> dict[str, Any]:
        """Arguments of stable-baselines3's ``ActorCriticPolicy``."""
        return {
            "net_arch": list(self.net_arch),
            "activation_fn": ACTIVATIONS[self.activation],
            "log_std_init": self.log_std_init,
        }

    def build(self) -> ActorCriticPolicy:
        return ActorCriticPolicy(
            self.observation_space(), self.action_space(), lambda _: 0.0, **self.policy_kwargs()
        )


class PolicyAgent:
    """Acts by the mode of a policy's distribution: the same observation, the same action."""

    def __init__(self, spec: PolicySpec, policy: ActorCriticPolicy) -> None:
        self.spec = spec
        self.policy = policy

    def reset(self) -> None:
        """The policy has no memory."""

    def decide(self, observation: Float32s) -> AnyArray:
        actions, _ = self.policy.predict(observation, deterministic=True)
        return actions


def save_policy(agent: PolicyAgent, folder: Path) -> None:
    """Write ``policy.safetensors`` and ``policy.json`` (with the tensors' SHA-256), atomically.

    Raises:
        PolicyFileError: A parameter is not finite.
    """
    tensors = {k: v.detach().contiguous() for k, v in agent.policy.state_dict().items()}
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise PolicyFileError(f"parameter {name} of the policy is not finite; it is not saved")
    path = folder / "policy.safetensors"
    with atomic_path(path) as temporary:
        save_file(tensors, temporary)
    write_json(folder / "policy.json", asdict(agent.spec) | {"sha256": file_hash(path)})


def load_policy(folder: Path) -> PolicyAgent:
    """Build the network from ``policy.json`` and fill in its tensors; nothing is unpickled.

    Raises:
        PolicyFileError: A file is missing, damaged, of another format, or does not fit.
    """
    path = folder / "policy.safetensors"
    try:
        stored = read_json(folder / "policy.json")
        if stored.get("format") != FORMAT:
            raise PolicyFileError(f"{folder}: format {stored.get('format')}, expected {FORMAT}")
        if file_hash(path) != stored.pop("sha256"):
            raise PolicyFileError(f"{path}: does not match the SHA-256 in policy.json; train again")
        sequences = {k: tuple(v) for k, v in stored.items() if isinstance(v, list)}
        spec = PolicySpec(**(stored | sequences))
        policy = spec.build()
        policy.load_state_dict(load_file(path), strict=True)
    except (OSError, TypeError, KeyError, RuntimeError, ValueError, SafetensorError) as error:
        if isinstance(error, PolicyFileError):
            raise
        raise PolicyFileError(f"{folder}: the stored policy cannot be read ({error})") from error
    policy.set_training_mode(False)
    return PolicyAgent(spec, policy)
