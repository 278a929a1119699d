"""A member walks through time: refit on the past, predict the next rows, never the other way round."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from sklearn.base import clone

from foretrade.forecasters.base import Forecaster, Observing, Updating, WarmStarted
from foretrade.forecasters.updates import DriftDetector, Event, is_worse
from foretrade.forecasters.walk import Walk, Walked
from foretrade.markets.arrays import AnyArray, Floats
from foretrade.markets.bars import DataError
from foretrade.markets.splits import Fold
from foretrade.storage import atomic_path


def run_walk(walk: Walk) -> Walked:
    """Walk a member through its folds; those found on disk are not computed again.

    Raises:
        DataError: The member failed in every fold.
    """
    walker = Walker(walk)
    for fold in walk.folds:
        walker.take(fold)
    events = tuple(walker.events)
    if np.isnan(walker.mean).all():
        first = next(event for event in events if event.kind == "failed")
        raise DataError(
            f"member {walk.name!r} failed in every fold, first in that of row {first.row}: "
            f"{first.message}; correct its settings or its code, or leave it out"
        )
    return Walked(walker.mean, walker.std, walker.cutoff, events)


class Walker:
    """A walk on its way: forecasts so far, and the parameters in force."""

    def __init__(self, walk: Walk) -> None:
        bars = len(walk.inputs)
        self.walk = walk
        self.mean, self.std = np.full(bars, np.nan), np.full(bars, np.nan)
        self.cutoff = np.full(bars, -1, dtype=np.int64)
        self.events: list[Event] = []
        self.model: Forecaster | None = None  # live; None after a fold read from disk, or a failure
        self.state: dict[str, AnyArray] = {}  # the same as it was written, if it can be
        self.sample = range(0)  # the rows it was last fitted on
        self.learnt = 0  # it knows the labels of the rows before this one
        self.changed = 0  # the row of its last refit or update
        self.detector = DriftDetector(walk.updates.drift_delta) if walk.updates.on_drift else None
        self.seen = walk.folds[0].start if walk.folds else 0  # rows whose matured errors it has read

    def take(self, fold: Fold) -> None:
        """Compute a fold, or read it."""
        path = self.walk.fold_path(fold)
        if path and path.exists() and self._read(path, fold):
            self.model = None
            self._find_drift(fold.start, fold.stop, 0)
            return
        begun = len(self.events)
        self._refit(fold.start)
        row = fold.start
        while row < fold.stop:
            row = self._go_on(row, fold.stop)
        self._note_constant(fold)
        if isinstance(self.model, WarmStarted | Updating):
            self.state = dict(self.model.state())
        if path:
            self._write(path, fold, self.events[begun:])

    def _go_on(self, row: int, stop: int) -> int:
        """Predict from ``row`` until the parameters change, and change them; the row reached."""
        looks = self.detector is not None and isinstance(self.model, Observing)
        # what observes must not have seen the rows after a drift: it goes one by one
        end = min(row + 1 if looks else self.changed + self.walk.block_rows, stop)
        if self.model is not None:
            self._predict(row, end)
        drift = self._find_drift(row, end, 0 if self.model is None else stop)
        self.cutoff[row:end] = row - self.walk.schedule.embargo_bars
        if drift is not None:
            self._note(drift, "drift", "errors of another size than before")
            self._refit(drift)
            return drift
        if end < stop and end - self.changed >= self.walk.block_rows:
            self._update(end)
        return end

    def _refit(self, row: int) -> None:
        """Fit on all that has matured, and take the new parameters over if they stand."""
        self.changed = row
        sample = self.walk.training_rows(row)
        X, y = self.walk.rows(sample.start, sample.stop), self.walk.labels[sample.start : sample.stop]
        champion = self._champion(row) if isinstance(self.walk.member, WarmStarted) else self.model
        kept = self._keep(champion)
        try:
            if isinstance(champion, WarmStarted):
                challenger: Forecaster = champion.refit(X, y)
            else:
                challenger = clone(self.walk.member).fit(X, y)
            if isinstance(challenger, Observing):
                challenger.observe(self.walk.rows(sample.stop, row))
            complaint = self._complaint(challenger, row)
        except Exception as error:  # noqa: BLE001  a member may fail in any way; it is recorded
            complaint = f"{type(error).__name__}: {error}"
        if complaint:
            self._roll_back(row, complaint, kept)
        else:
            self.model, self.sample, self.learnt = challenger, sample, sample.stop

    def _update(self, row: int) -> None:
        """Let the member, if it can, learn what has matured since it learnt last."""
        self.changed = row
        model, stop = self.model, self.walk.training_rows(row).stop
        if not self.walk.is_updated or not isinstance(model, Updating):
            return
        X, y = self.walk.rows(self.learnt, stop), self.walk.labels[self.learnt : stop]
        kept = self._keep(model)
        try:
            model.update(X, y)
            complaint = self._complaint(model, row)
        except Exception as error:  # noqa: BLE001  as above
            complaint = f"{type(error).__name__}: {error}"
        if complaint:
            self._roll_back(row, complaint, kept)
        else:
            self.learnt = stop

    def _roll_back(self, row: int, complaint: str, kept: dict[str, AnyArray]) -> None:
        """Go back to the parameters before, if there are any and the guard is on."""
        champion = self._champion(row) if self.walk.updates.guard else None
        if champion is None:
            self._fail(row, complaint)
            return
        self._note(row, "rolled back", complaint)
        if kept and isinstance(champion, WarmStarted | Updating):
            champion.set_state(kept, self.walk.rows(self.sample.start, self.sample.stop))

    def _champion(self, row: int) -> Forecaster | None:
        """The parameters in force; after a fold from disk they are made anew, to the same bits."""
        if self.model is None and len(self.sample):
            X = self.walk.rows(self.sample.start, self.sample.stop)
            self.model = clone(self.walk.member)
            if isinstance(self.model, WarmStarted | Updating):
                self.model.set_state(self.state, X)
            else:
                self.model.fit(X, self.walk.labels[self.sample.start : self.sample.stop])
                if isinstance(self.model, Observing):
                    self.model.observe(self.walk.rows(self.sample.stop, row))
        return self.model

    def _keep(self, model: Forecaster | None) -> dict[str, AnyArray]:
        """A copy of parameters that are about to be changed in place."""
        if isinstance(model, WarmStarted | Updating) and self.walk.updates.guard:
            return {key: np.array(value) for key, value in model.state().items()}
        return {}

    def _complaint(self, challenger: Forecaster, row: int) -> str:
        """Why new parameters must not be taken over; empty if they may.

        On the newest matured rows their errors are compared with those of the forecasts issued then.
        They have learnt from those rows: who is worse even so has diverged; who overfits is not caught.
        """
        if not self.walk.updates.guard:
            return ""
        stop = self.walk.training_rows(row).stop
        start = max(self.walk.folds[0].train.start, stop - self.walk.updates.guard_bars)
        looked = copy.deepcopy(challenger) if isinstance(challenger, Observing) else challenger
        # in one piece, and of one length at each call for the sake of equal bits
        size = None if isinstance(looked, Observing) else self.walk.updates.guard_bars
        errors = self.walk.labels[start:stop] - self._forecast(looked, start, stop, size=size)[0]
        if not np.isfinite(errors).all():
            return "its forecasts are not finite"
        issued = self.walk.labels[start:stop] - self.mean[start:stop]
        both = np.isfinite(issued)
        if both.sum() > 1 and is_worse(issued[both], errors[both], self.walk.updates.guard_z):
            return f"worse than its predecessor on the last {int(both.sum())} matured rows"
        return ""

    def _predict(self, start: int, stop: int) -> None:
        assert self.model is not None
        try:
            mean, std = self._forecast(self.model, start, stop, live=True)
            complaint = "" if np.isfinite(mean).all() else "a forecast is not finite"
        except Exception as error:  # noqa: BLE001  as above
            complaint = f"{type(error).__name__}: {error}"
        if complaint:
            self.mean[start:stop] = self.std[start:stop] = np.nan
            self._fail(start, complaint)
            return
        wrong = ~np.isnan(std) & ~((std > 0) & np.isfinite(std))
        if wrong.any():
            self._note(start, "no std", f"{std[wrong][0]:g} in {int(wrong.sum())} rows is none")
        self.mean[start:stop], self.std[start:stop] = mean, np.where(wrong, np.nan, std)

    def _forecast(
        self, model: Forecaster, start: int, stop: int, *, live: bool = False, size: int | None = None
    ) -> tuple[Floats, Floats]:
        """Mean and std of the rows, block by block, or one by one if the member looks at each first."""
        size = size or (1 if isinstance(model, Observing) else self.walk.block_rows)
        means, stds = [], []
        for first in range(start, stop, size):
            block = self.walk.rows(first, min(first + size, stop))
            if live and isinstance(model, Observing):
                model.observe(block)
            padded = np.concatenate([block, np.repeat(block[-1:], size - len(block), axis=0)])
            forecast = model.predict(padded)
            mean = np.asarray(forecast.mean, dtype=np.float64)
            std = np.full(size, np.nan) if forecast.std is None else np.asarray(forecast.std)
            for name, values in (("mean", mean), ("std", std)):
                if values.shape != (size,):
                    raise ValueError(f"{name} has shape {values.shape}, expected ({size},)")
            means.append(mean[: len(block)])
            stds.append(std[: len(block)])
        return np.concatenate(means), np.concatenate(stds)

    def _find_drift(self, row: int, end: int, stop: int) -> int | None:
        """Read the errors that mature after ``row`` and up to ``end``; the first row before ``stop`` at
        which they have drifted, or None."""
        if self.detector is None:
            return None
        for now in range(max(self.seen, row) + 1, end + 1):
            self.seen = now
            matured = now - self.walk.schedule.embargo_bars - self.walk.resolution_bars
            error = float(self.walk.labels[matured] - self.mean[matured])
            if self.detector.drifts(error) and now < stop:
                return now
        return None

    def _fail(self, row: int, complaint: str) -> None:
        """No forecasts until the next refit, which begins from scratch."""
        self._note(row, "failed", complaint)
        self.model, self.state, self.sample = None, {}, range(0)

    def _note(self, row: int, kind: str, message: str) -> None:
        self.events.append(Event(self.walk.name, row, kind, message))

    def _note_constant(self, fold: Fold) -> None:
        block = self.mean[fold.start : fold.stop]
        meant = getattr(self.walk.member, "is_constant", False)
        if len(block) > 1 and np.ptp(block) == 0 and not meant:
            self._note(fold.start, "constant", f"{block[0]:g} for {len(block)} rows")

    def _write(self, path: Path, fold: Fold, events: list[Event]) -> None:
        rows = slice(fold.start, fold.stop)
        arrays = {"mean": self.mean[rows], "std": self.std[rows], "cutoff": self.cutoff[rows]}
        arrays |= {f"state.{key}": value for key, value in self.state.items()}
        notes = {
            "events": json.dumps([asdict(event) for event in events]),
            "sample": json.dumps([self.sample.start, self.sample.stop, self.learnt]),
        }
        contiguous = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
        with atomic_path(path) as temporary:
            save_file(contiguous, temporary, metadata=notes)

    def _read(self, path: Path, fold: Fold) -> bool:
        """Take a finished fold over; False if its file is damaged and it must be computed again."""
        try:
            with safe_open(path, framework="numpy") as file:
                arrays: dict[str, Any] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                notes = file.metadata()
            events = [Event(**event) for event in json.loads(notes["events"])]
            begin, end, learnt = json.loads(notes["sample"])
            rows = slice(fold.start, fold.stop)
            self.mean[rows], self.std[rows] = arrays["mean"], arrays["std"]
            self.cutoff[rows] = arrays["cutoff"]
        except (SafetensorError, OSError, ValueError, KeyError, TypeError):
            path.unlink()
            return False
        self.events += events
        self.sample, self.learnt = range(begin, end), learnt
        self.state = {k.removeprefix("state."): v for k, v in arrays.items() if k.startswith("state.")}
        return True
