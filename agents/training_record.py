"""What every update of a training did, in ``training.csv`` and in TensorBoard."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import TensorBoardOutputFormat

from foretrade.agents.vector import MarketVecEnv
from foretrade.envs.behaviour import Behaviour, target_names
from foretrade.storage import write_text

LOGGED = {
    "entropy": ("entropy_loss",),
    "explained_variance": ("explained_variance",),
    "approx_kl": ("approx_kl",),
    "clip_fraction": ("clip_fraction",),
    "value_loss": ("value_loss", "critic_loss"),
    "policy_loss": ("policy_gradient_loss", "policy_loss", "actor_loss"),
    "std": ("std",),
    "learning_rate": ("learning_rate",),
}
"""Column to the names under ``train/`` by which stable-baselines3's algorithms log it; all lack some."""

DONE = ("turnover", "cost_share", "time_in_market", "position", "exposure")


class TrainingRecord(BaseCallback):
    """Appends a row to ``training.csv`` after each update.

    Its columns: ``update``, ``steps`` so far; those of :data:`LOGGED`, as the algorithm logged them, the
    entropy with its sign; those of :data:`DONE`, what the accounts did in the rollout before the update,
    exploration included, see :class:`foretrade.envs.behaviour.Behaviour`; and ``action <target>``, the
    share of each target asked for. What an algorithm does not log, or what is not defined, is empty. A
    rollout without an update, as off-policy algorithms begin with, leaves no row.

    It must stand before the callback that keeps checkpoints, and its :meth:`state` must go into them:
    then the file of a training that was stopped and goes on is that of one never stopped, byte for byte.

    Args:
        environments: Of the training.
        folder: Where ``training.csv`` goes.
    """

    def __init__(self, environments: MarketVecEnv, folder: Path) -> None:
        super().__init__()
        self.environments = environments
        self.path = folder / "training.csv"
        targets = target_names(environments.batch.env.actions)
        columns = ["update", "steps", *LOGGED, *DONE, *(f"action {name}" for name in targets)]
        self.text = ",".join(columns) + "\n"
        self.update = 0  # of the last row

    def state(self) -> torch.Tensor:
        """The file so far."""
        return torch.from_numpy(np.frombuffer(self.text.encode(), dtype=np.uint8).copy())

    def restore(self, state: torch.Tensor) -> None:
        """Go on from a :meth:`state`."""
        self.text = state.numpy().tobytes().decode()
        self.update = len(self.text.splitlines()) - 1

    def rows(self) -> pd.DataFrame:
        """The file so far, one row an update."""
        return pd.read_csv(io.StringIO(self.text))

    def _on_training_start(self) -> None:
        write_text(self.path, self.text)

    def _on_rollout_start(self) -> None:
        self._after_update()

    def _on_rollout_end(self) -> None:
        self.behaviour = self.environments.batch.behaviour()

    def _on_training_end(self) -> None:
        self._after_update()

    def _on_step(self) -> bool:
        return True

    def _after_update(self) -> None:
        logged = self.logger.name_to_value
        if "train/n_updates" not in logged:
            return
        self.update, behaviour = self.update + 1, self.behaviour
        values = [*_numbers(logged), *(float(getattr(behaviour, name)) for name in DONE)]
        values += behaviour.actions.values()
        cells = ["" if math.isnan(value) else repr(value) for value in values]
        line = ",".join([str(self.update), str(self.num_timesteps), *cells]) + "\n"
        self.text += line
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line)
        self._show(behaviour)

    def _show(self, behaviour: Behaviour) -> None:
        """Let TensorBoard have the update's numbers now, at the steps to which they belong."""
        for name in DONE:
            value = getattr(behaviour, name)
            if not math.isnan(value):
                self.logger.record(f"behaviour/{name}", value)
        self.logger.dump(self.num_timesteps)
        for output in self.logger.output_formats:
            if isinstance(output, TensorBoardOutputFormat):
                _add_histogram(output, behaviour, self.num_timesteps)


def _add_histogram(board: TensorBoardOutputFormat, behaviour: Behaviour, steps: int) -> None:
    """The shares as they were counted; ``add_histogram`` would take a thousand bins of its own."""
    limits = np.array([float(name.split("..")[-1]) for name in behaviour.actions])
    counts = np.array(list(behaviour.actions.values())) * behaviour.steps
    board.writer.add_histogram_raw(
        "behaviour/actions",
        min=limits[0],
        max=limits[-1],
        num=behaviour.steps,
        sum=counts @ limits,
        sum_squares=counts @ limits**2,
        bucket_limits=limits.tolist(),
        bucket_counts=counts.tolist(),
        global_step=steps,
    )


def _numbers(logged: dict[str, Any]) -> list[float]:
    """The columns of :data:`LOGGED`."""
    found = []
    for name, keys in LOGGED.items():
        value = next((float(logged[f"train/{k}"]) for k in keys if f"train/{k}" in logged), math.nan)
        found.append(-value if name == "entropy" else value)
    return found
