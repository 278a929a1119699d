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
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from foretrade.agents.vector import MarketVecEnv
from foretrade.errors import ForetradeError
from foretrade.storage import atomic_path, content_hash, file_hash, read_json, write_json

FORMAT = 2
KEPT = 2  # the newest and the one before, should the newest be damaged
COUNTERS = ("num_timesteps", "_n_updates", "_episode_num")

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
        identity: Hash of all that the run depends on.
    """

    folder: Path
    identity: str

    def write(self, update: int, tensors: Tensors, facts: Facts) -> None:
        """Keep the state after so many updates, and drop those that are no longer needed.

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
            head = {"format": FORMAT, "identity": self.identity, "update": update}
            body = head | {"tensors": file_hash(temporary / "state.safetensors"), "facts": facts}
            write_json(temporary / "state.json", body | {"hash": content_hash(body)})
        for old in self._folders()[KEPT:]:
            shutil.rmtree(old)

    def newest(self) -> tuple[Tensors, Facts] | None:
        """The newest state that is whole; None if there is none.

        Raises:
            CheckpointError: It belongs to another run, or to another version of this format.
        """
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
            raise CheckpointError(
                f"{folder}: a state of another run (other settings, data or seed); choose another "
                "folder, or delete it"
            )

    def _folders(self) -> list[Path]:
        """Newest first."""
        if not self.folder.is_dir():
            return []
        found = (p for p in self.folder.iterdir() if re.fullmatch(r"update-\d{8}", p.name))
        return sorted(found, reverse=True)


def training_state(model: OnPolicyAlgorithm, environments: MarketVecEnv) -> tuple[Tensors, Facts]:
    """Everything that the next rollout and update depend on, between an update and a rollout."""
    optimiser = model.policy.optimizer.state_dict()
    tensors = {f"policy.{k}": v for k, v in model.policy.state_dict().items()}
    for index, slots in optimiser["state"].items():
        tensors |= {f"optimiser.{index}.{k}": torch.as_tensor(v) for k, v in slots.items()}
    legacy: Any = np.random.get_state(legacy=False)  # noqa: NPY002  stable-baselines3 draws from it
    arrays = environments.state() | {
        "numpy": legacy["state"]["key"],
        "starts": model._last_episode_starts,
    }
    tensors |= {f"array.{k}": torch.from_numpy(np.array(_signed(v))) for k, v in arrays.items()}
    tensors["torch"] = torch.get_rng_state()
    facts = {
        "counters": {name: getattr(model, name) for name in COUNTERS},
        "optimiser": optimiser["param_groups"],
        "python": random.getstate(),
        "numpy": {
            "pos": legacy["state"]["pos"],
            "has_gauss": legacy["has_gauss"],
            "gauss": legacy["gauss"],
        },
        "action_space": model.action_space.np_random.bit_generator.state,
    }
    return tensors, facts


def restore(
    model: OnPolicyAlgorithm, environments: MarketVecEnv, tensors: Tensors, facts: Facts
) -> None:
    """Put a model and its environments, made of the same settings, into the state that was kept."""
    model.policy.load_state_dict(part_of(tensors, "policy"))
    slots: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in part_of(tensors, "optimiser").items():
        index, _, slot = key.partition(".")
        slots.setdefault(int(index), {})[slot] = value
    groups = [
        group | {"betas": tuple(group["betas"])} if "betas" in group else group
        for group in facts["optimiser"]
    ]
    model.policy.optimizer.load_state_dict({"state": slots, "param_groups": groups})
    arrays = {k: v.numpy() for k, v in part_of(tensors, "array").items()}
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


def _signed(values: Any) -> Any:
    """The same bits in a type that torch has."""
    kinds = {np.dtype(np.uint64): np.int64, np.dtype(np.uint32): np.int32}
    return values.view(kinds[values.dtype]) if values.dtype in kinds else values
