"""A training run on disk: everything that it needs to go on to the same bits, and nothing pickled."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.save_util import recursive_getattr

from foretrade.agents.vector import MarketVecEnv
from foretrade.errors import ForetradeError
from foretrade.storage import atomic_path, clear_partial, content_hash, file_hash, read_json, write_json

FORMAT = 3
KEPT = 2  # the newest and the one before, should the newest be damaged
COUNTERS = ("num_timesteps", "_n_updates", "_episode_num")
REPLAYED = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")

Tensors = dict[str, torch.Tensor]
Facts = dict[str, Any]


class CheckpointError(ForetradeError, ValueError):
    """A state that must not be written, or that belongs to another run."""


@dataclass(frozen=True)
class Checkpoints:
    """The newest states of one training run.

    Each is a folder ``update-<n>`` of tensors (safetensors) and facts (JSON, with the hash of both),
    written beside and renamed: whatever stops the writing, the states before it stay as they are.

    Args:
        folder: Of the run's checkpoints.
        identity: What the run depends on, by name; hashes where it is long.
    """

    folder: Path
    identity: Mapping[str, str]

    def write(self, update: int, tensors: Tensors, facts: Facts) -> None:
        """Keep the state after so many updates, and drop those that are no longer needed: older ones,
        and damaged ones of later updates, which :meth:`newest` has passed over.

        Raises:
            CheckpointError: A tensor is not finite.
        """
        for name, tensor in tensors.items():
            if not torch.isfinite(tensor).all():
                raise CheckpointError(f"{name} is not finite after update {update}; nothing is written")
        with atomic_path(self.folder / f"update-{update:08d}") as temporary:
            temporary.mkdir()
            save_file(
                {k: v.detach().contiguous() for k, v in tensors.items()}, temporary / "state.safetensors"
            )
            head = {"format": FORMAT, "identity": dict(self.identity), "update": update}
            body = head | {"tensors": file_hash(temporary / "state.safetensors"), "facts": facts}
            write_json(temporary / "state.json", body | {"hash": content_hash(body)})
        folders = self._folders()
        reached = [folder for folder in folders if folder.name <= f"update-{update:08d}"]
        for folder in set(folders) - set(reached[:KEPT]):  # what is ahead was damaged
            shutil.rmtree(folder)

    def newest(self) -> tuple[Tensors, Facts] | None:
        """The newest state that is whole, None if there is none; what killed writers left is removed.

        Raises:
            CheckpointError: It belongs to another run, or to another version of this format.
        """
        clear_partial(self.folder)
        for folder in self._folders():
            try:
                body = read_json(folder / "state.json")
                whole = body.pop("hash") == content_hash(body)
                path = folder / "state.safetensors"
                if not whole or body["tensors"] != file_hash(path):
                    continue
                tensors = load_file(path)
            except (OSError, ValueError, KeyError, AttributeError, SafetensorError):
                continue
            self._check(folder, body)
            return tensors, body["facts"]
        return None

    def clear(self) -> None:
        """Forget them all: the run is done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _check(self, folder: Path, body: Mapping[str, Any]) -> None:
        if body["format"] != FORMAT:
            raise CheckpointError(f"{folder}: format {body['format']}, expected {FORMAT}; train anew")
        if body["identity"] != self.identity:
            mine, theirs = self.identity, body["identity"]
            other = [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]
            raise CheckpointError(
                f"{folder}: a state of another run (other {', '.join(other)}); choose another folder, "
                "or delete it"
            )

    def _folders(self) -> list[Path]:
        """Newest first."""
        if not self.folder.is_dir():
            return []
        found = (p for p in self.folder.iterdir() if re.fullmatch(r"update-\d{8}", p.name))
        return sorted(found, reverse=True)


def training_state(model: BaseAlgorithm, environments: MarketVecEnv) -> tuple[Tensors, Facts]:
    """Everything that the next rollout and update depend on, between an update and a rollout."""
    tensors = {f"policy.{k}": v for k, v in model.policy.state_dict().items()}
    groups = {}
    for name, optimiser in _optimisers(model).items():
        state = optimiser.state_dict()
        groups[name] = state["param_groups"]
        for index, slots in state["state"].items():
            tensors |= {f"optimiser.{name}.{index}.{k}": torch.as_tensor(v) for k, v in slots.items()}
    tensors |= {f"variable.{name}": variable.data for name, variable in _variables(model).items()}
    tensors |= {f"memory.{k}": v for k, v in enumerate(_flat_memory(model))}
    legacy: Any = np.random.get_state(legacy=False)  # noqa: NPY002  stable-baselines3 draws from it
    arrays = environments.state() | _filled(_replay(model))
    arrays |= {"numpy": legacy["state"]["key"], "starts": model._last_episode_starts}
    tensors |= {f"array.{k}": torch.from_numpy(np.array(_signed(v))) for k, v in arrays.items()}
    tensors["torch"] = torch.get_rng_state()
    facts = {
        "counters": {name: getattr(model, name) for name in COUNTERS},
        "optimisers": groups,
        "python": random.getstate(),
        "numpy": {
            "pos": legacy["state"]["pos"],
            "has_gauss": legacy["has_gauss"],
            "gauss": legacy["gauss"],
        },
        "action_space": model.action_space.np_random.bit_generator.state,
    }
    return tensors, facts


def restore(model: BaseAlgorithm, environments: MarketVecEnv, tensors: Tensors, facts: Facts) -> None:
    """Put a model and its environments, made of the same settings, into the state that was kept."""
    model.policy.load_state_dict(part_of(tensors, "policy"))
    for name, optimiser in _optimisers(model).items():
        slots = part_of(tensors, f"optimiser.{name}")
        _restore_optimiser(optimiser, slots, facts["optimisers"][name])
    for name, variable in _variables(model).items():
        variable.data = tensors[f"variable.{name}"]
    _restore_memory(model, part_of(tensors, "memory"))
    arrays = {k: v.numpy() for k, v in part_of(tensors, "array").items()}
    _refill(_replay(model), arrays)
    model._last_episode_starts = arrays.pop("starts")
    words = arrays.pop("numpy").view(np.uint32)
    model._last_obs = environments.set_state(arrays)
    for name, value in facts["counters"].items():
        setattr(model, name, value)
    version, numbers, gauss = facts["python"]
    random.setstate((version, tuple(numbers), gauss))
    own = facts["numpy"]
    legacy = ("MT19937", words, own["pos"], own["has_gauss"], own["gauss"])
    np.random.set_state(legacy)  # noqa: NPY002  as above
    model.action_space.np_random.bit_generator.state = facts["action_space"]
    torch.set_rng_state(tensors["torch"])


def part_of(tensors: Tensors, name: str) -> Tensors:
    """The tensors ``name.*``, without the prefix."""
    return {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}


def _optimisers(model: BaseAlgorithm) -> dict[str, torch.optim.Optimizer]:
    names, _ = model._get_torch_save_params()
    found = {name: recursive_getattr(model, name) for name in names}
    return {name: each for name, each in found.items() if isinstance(each, torch.optim.Optimizer)}


def _variables(model: BaseAlgorithm) -> dict[str, torch.Tensor]:
    """Tensors that an algorithm has outside its policy, such as the entropy coefficient of SAC."""
    _, names = model._get_torch_save_params()
    return {name: recursive_getattr(model, name) for name in names}


def _restore_optimiser(
    optimiser: torch.optim.Optimizer, tensors: Tensors, groups: list[dict[str, Any]]
) -> None:
    slots: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        index, _, slot = key.partition(".")
        slots.setdefault(int(index), {})[slot] = value
    paired = [
        group | {"betas": tuple(group["betas"])} if "betas" in group else group for group in groups
    ]
    optimiser.load_state_dict({"state": slots, "param_groups": paired})


def _flat_memory(model: BaseAlgorithm) -> list[torch.Tensor]:
    """What recurrent networks remember of their accounts: hidden and cell state of policy and value."""
    memory = getattr(model, "_last_lstm_states", None)
    return [] if memory is None else [state for pair in memory for state in pair]


def _restore_memory(model: Any, tensors: Tensors) -> None:
    if tensors:
        first, second, third, fourth = (tensors[str(k)] for k in range(4))
        model._last_lstm_states = type(model._last_lstm_states)((first, second), (third, fourth))


def _replay(model: BaseAlgorithm) -> ReplayBuffer | None:
    return getattr(model, "replay_buffer", None)


def _filled(buffer: ReplayBuffer | None) -> dict[str, Any]:
    """The part of a replay buffer that holds something, and where it is written next."""
    if buffer is None:
        return {}
    arrays = {f"replay.{name}": getattr(buffer, name)[: buffer.size()] for name in REPLAYED}
    return arrays | {"replay": np.array([buffer.pos, buffer.full], dtype=np.int64)}


def _refill(buffer: ReplayBuffer | None, arrays: dict[str, Any]) -> None:
    """Fill a replay buffer with what was kept of it, and take that out of ``arrays``."""
    if buffer is not None:
        for name in REPLAYED:
            kept = arrays.pop(f"replay.{name}")
            getattr(buffer, name)[: len(kept)] = kept
        position, full = arrays.pop("replay").tolist()
        buffer.pos, buffer.full = position, bool(full)


def _signed(values: Any) -> Any:
    """The same bits in a type that torch has."""
    kinds = {np.dtype(np.uint64): np.int64, np.dtype(np.uint32): np.int32}
    return values.view(kinds[values.dtype]) if values.dtype in kinds else values
