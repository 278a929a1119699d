"""A trained stable-baselines3 policy as an agent, and its safe form on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias

import gymnasium
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy

from foretrade.agents.training_config import NEEDS_CONTRIB, Activation, TrainingError
from foretrade.agents.vector import from_unit, unit_box
from foretrade.errors import ForetradeError
from foretrade.markets.arrays import AnyArray, Float32s
from foretrade.storage import atomic_path, file_hash, read_json, write_json

NetworkName: TypeAlias = Literal["actor_critic", "recurrent", "sac", "td3"]

ACTIVATIONS: Mapping[Activation, type[torch.nn.Module]] = {
    "tanh": torch.nn.Tanh,
    "relu": torch.nn.ReLU,
}
FORMAT = 3


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
        network: Whose policy it is: that of PPO and A2C, of recurrent PPO, of SAC or of TD3.
        lstm_units: Width of a recurrent policy's LSTM.
        unit_actions: Whether the network gives a box as −1 to 1, whatever the bounds of the market's.
    """

    entries: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    actions: dict[str, Any]
    net_arch: tuple[int, ...] = (64, 64)
    activation: Activation = "tanh"
    log_std_init: float = 0.0
    network: NetworkName = "actor_critic"
    lstm_units: int = 0
    unit_actions: bool = True
    format: int = field(default=FORMAT)

    def observation_space(self) -> gymnasium.spaces.Box:
        return gymnasium.spaces.Box(np.array(self.low, np.float32), np.array(self.high, np.float32))

    def action_space(self) -> gymnasium.spaces.Space[Any]:
        """What the network gives."""
        if "n" in self.actions:
            return gymnasium.spaces.Discrete(int(self.actions["n"]))
        if "nvec" in self.actions:
            return gymnasium.spaces.MultiDiscrete(self.actions["nvec"])
        box = self.box()
        return unit_box(box) if self.unit_actions else box

    def box(self) -> gymnasium.spaces.Box:
        """The market's own actions, if they are a box."""
        low, high = (np.array(self.actions[name], dtype=np.float32) for name in ("low", "high"))
        return gymnasium.spaces.Box(low, high, dtype=np.float32)

    def policy_kwargs(self) -> dict[str, Any]:
        """Arguments of stable-baselines3's policy."""
        kwargs = {"net_arch": list(self.net_arch), "activation_fn": ACTIVATIONS[self.activation]}
        if self.network in ("actor_critic", "recurrent"):
            kwargs["log_std_init"] = self.log_std_init
        if self.network == "recurrent":
            kwargs["lstm_hidden_size"] = self.lstm_units
        return kwargs

    def build(self) -> BasePolicy:
        """The network, with fresh parameters.

        Raises:
            TrainingError: It is recurrent, and sb3-contrib is not installed.
        """
        kind: Any
        if self.network == "recurrent":
            kind = contrib().common.recurrent.policies.RecurrentActorCriticPolicy
        else:
            kind = {"actor_critic": ActorCriticPolicy, "sac": SACPolicy, "td3": TD3Policy}[self.network]
        policy: BasePolicy = kind(
            self.observation_space(), self.action_space(), lambda _: 0.0, **self.policy_kwargs()
        )
        return policy


def contrib() -> ModuleType:
    """The library ``sb3_contrib``.

    Raises:
        TrainingError: It is not installed.
    """
    try:
        import sb3_contrib
    except ImportError as error:
        raise TrainingError(NEEDS_CONTRIB) from error
    library: ModuleType = sb3_contrib
    return library


class NetworkAgent:
    """Acts by the mode of a policy's distribution.

    A recurrent policy remembers, for each account of the batch, what it has seen since ``reset``.
    """

    def __init__(self, policy: BasePolicy) -> None:
        self.policy = policy
        self._memory: tuple[AnyArray, ...] | None = None

    def reset(self) -> None:
        """Begin new episodes: a recurrent policy forgets."""
        self._memory = None

    def decide(self, observation: Float32s) -> AnyArray:
        """The same observations since ``reset``, the same action.

        Raises:
            ValueError: The policy remembers another number of accounts.
        """
        if self._memory is not None and self._memory[0].shape[1] != len(observation):
            raise ValueError(
                f"the policy remembers {self._memory[0].shape[1]} accounts and is shown "
                f"{len(observation)}; call reset() first"
            )
        actions, self._memory = self.policy.predict(observation, self._memory, deterministic=True)
        return actions


class PolicyAgent(NetworkAgent):
    """A trained policy that can be stored: its network is built from ``spec``."""

    def __init__(self, spec: PolicySpec, policy: BasePolicy) -> None:
        super().__init__(policy)
        self.spec = spec

    def decide(self, observation: Float32s) -> AnyArray:
        actions = super().decide(observation)
        scales = "low" in self.spec.actions and self.spec.unit_actions
        return from_unit(actions, self.spec.box()) if scales else actions

    @property
    def has_memory(self) -> bool:
        """Whether a decision depends on more than the observation it is made on."""
        return self.spec.network == "recurrent"


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
