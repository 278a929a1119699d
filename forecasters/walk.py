"""What one member's walk through time depends on, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from foretrade.forecasters.base import Forecaster, Updating
from foretrade.forecasters.updates import Event, Updates
from foretrade.markets.arrays import Floats, Ints
from foretrade.markets.splits import Fold, WalkForward


@dataclass(frozen=True)
class Walk:
    """Everything that one member's walk depends on: a unit of work.

    Args:
        name: Of the member, for messages.
        member: Unfitted forecaster.
        inputs: What it is shown, ``[bars, features]``; labels: ``[bars]``.
        folds: Scheduled refits, in time order, by ``schedule``.
        resolution_bars: Bars after a row at whose close its label is known.
        lookback_bars: Length of the window that ends at the decision's row.
        updates: What happens between scheduled refits.
        folder: Where finished folds are kept; None keeps nothing.
    """

    name: str
    member: Forecaster
    inputs: Floats
    labels: Floats
    folds: tuple[Fold, ...]
    schedule: WalkForward
    resolution_bars: int
    lookback_bars: int
    updates: Updates
    folder: Path | None

    @property
    def block_rows(self) -> int:
        """Every prediction runs on so many rows, padded if need be, so that the bits of a row do not
        depend on how many rows follow it."""
        return self.updates.every_bars if self.is_updated else self.schedule.refit_every_bars

    @property
    def is_updated(self) -> bool:
        """Whether the member learns between refits."""
        return self.updates.every_bars > 0 and isinstance(self.member, Updating)

    def rows(self, start: int, stop: int) -> Floats:
        """Windows that end at the rows ``start … stop - 1``: a view ``[rows, lookback, inputs]``."""
        inputs = self.inputs[start - self.lookback_bars + 1 : stop]
        if len(inputs) < self.lookback_bars:
            return np.empty((0, self.lookback_bars, inputs.shape[1]))
        return np.lib.stride_tricks.sliding_window_view(inputs, self.lookback_bars, axis=0).swapaxes(
            1, 2
        )

    def training_rows(self, row: int) -> range:
        """What a fit before ``row`` may learn from."""
        first = self.folds[0].train.start
        return self.schedule.training_rows(first, row, self.resolution_bars)

    def fold_path(self, fold: Fold) -> Path | None:
        """File of a finished fold: its forecasts, and the state that the next refit starts from."""
        return self.folder / f"fold-{fold.number:03d}.safetensors" if self.folder else None

    def kept_in(self, folder: Path) -> Walk:
        """The same walk, whose finished folds are kept."""
        return replace(self, folder=folder)

    def finished(self) -> int:
        """Folds already on disk."""
        return sum(path.exists() for fold in self.folds if (path := self.fold_path(fold)))


@dataclass(frozen=True)
class Walked:
    """What a walk gave.

    Args:
        mean, std: Forecasts ``[bars]``; NaN before the first fit and where the member failed, the std
            also where the member gives none.
        cutoff: Row up to whose close each forecast's parameters could have learnt, ``[bars]``; −1 where
            there is none.
        events: What happened on the way.
    """

    mean: Floats
    std: Floats
    cutoff: Ints
    events: tuple[Event, ...]
