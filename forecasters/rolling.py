"""Walk-forward: refit on the past, predict the next block, never the other way round."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from sklearn.base import clone

from foretrade.forecasters.base import Forecaster, WarmStarted, as_forecaster
from foretrade.forecasters.ensemble import combine, equal_weights
from foretrade.markets.arrays import AnyArray, Floats, Ints
from foretrade.markets.bars import Bars, DataError
from foretrade.markets.labels import LabelConfig, forward_returns
from foretrade.markets.splits import Fold, WalkForward
from foretrade.markets.table import NEVER, Column, Table
from foretrade.storage import atomic_path, code_hash, content_hash, library_versions, user_cache

Mapper: TypeAlias = Callable[[Callable[["Walk"], Floats], Iterable["Walk"]], Iterable[Floats]]
"""What ``map`` does; an executor's ``map`` runs the walks in parallel, with the same bits."""

RETURN = "log return"
BOUND = 0.90  # coverage that the bounds aim at
ERROR_WINDOW_BARS, ERROR_MIN_BARS = 252, 63
LIBRARIES = (
    "numpy", "pandas", "scipy", "ta-lib", "scikit-learn", "lightgbm", "keras", "tensorflow",
)  # fmt: skip


@dataclass(frozen=True)
class Walk:
    """Everything that one member's walk through time depends on: a unit of work.

    Args:
        name: Of the member, for messages.
        member: Unfitted forecaster.
        features: ``[bars, features]``; labels: ``[bars]``.
        folds: In time order.
        lookback_bars: Length of the window that ends at the decision's row.
        refit_every_bars: Every prediction runs on a block of this many rows, padded if need be,
            so that the bits of a row do not depend on how many rows follow it.
        folder: Where finished folds are kept; None keeps nothing.
    """

    name: str
    member: Forecaster
    features: Floats
    labels: Floats
    folds: tuple[Fold, ...]
    lookback_bars: int
    refit_every_bars: int
    folder: Path | None

    def fold_path(self, fold: Fold) -> Path | None:
        """File of a finished fold: its forecasts, and the state that the next refit starts from."""
        return self.folder / f"fold-{fold.number:03d}.safetensors" if self.folder else None

    def finished(self) -> int:
        """Folds already on disk."""
        return sum(path.exists() for fold in self.folds if (path := self.fold_path(fold)))


def rolling_forecasts(
    bars: Bars,
    features: Table,
    members: Mapping[str, Any],
    *,
    symbol: str,
    label: LabelConfig,
    schedule: WalkForward,
    lookback_bars: int = 21,
    in_ensemble: Iterable[str] | None = None,
    cache: Path | None = None,
    mapper: Mapper = map,
    watch: Callable[[list[Walk]], None] = lambda walks: None,
) -> Table:
    """Out-of-sample forecasts of every member and of their ensemble.

    Row ``t`` is known at the close of bar ``t`` and comes from a model fitted on rows whose label
    was resolved at or before its ``cutoff``. Rows before the first fit are NaN. Columns, in log
    return units: ``<member>.mean``, ``.std``, ``.lower``, ``.upper``, the same for ``ensemble``,
    ``ensemble.disagreement``, and ``weight.<member>``. Std and the 90 % bounds come from each
    forecast's own resolved errors of the last 252 bars; until there are 63, from the labels.

    Args:
        members: Name to forecaster or scikit-learn regressor.
        symbol: Which symbol to forecast.
        in_ensemble: Names of the members that the ensemble averages; all by default.
        cache: Folder of finished work, addressed by content (features, labels, member, schedule,
            code, libraries); None computes anew.
        mapper: Runs the walks; pass an executor's ``map`` for parallel ones.
        watch: Called with the walks before they run, so that a caller can show progress.

    Raises:
        DataError: The history is too short, or a member gives something that is not a forecast.
    """
    asset = bars.column(symbol)
    labels = forward_returns(bars, label)[:, asset]
    values = features.values[:, asset]
    folds = walk_folds(bars, values, label, schedule, lookback_bars)
    walks = []
    for name, model in members.items():
        member = as_forecaster(model)
        recipe = (member, values, labels, lookback_bars, [vars(fold) for fold in folds])
        folder = cache / content_hash(*recipe, _code_identity())[:32] if cache else None
        refit = schedule.refit_every_bars
        walks.append(Walk(name, member, values, labels, folds, lookback_bars, refit, folder))
    watch(walks)
    means = dict(zip(members, mapper(run_walk, walks), strict=True))
    ensemble = tuple(members if in_ensemble is None else in_ensemble)
    return _forecast_table(bars, asset, means, ensemble, labels, label.resolution_bars, folds)


def run_walk(walk: Walk) -> Floats:
    """Mean forecasts of one member, ``[bars]``; folds found on disk are not computed again."""
    windows = np.lib.stride_tricks.sliding_window_view(walk.features, walk.lookback_bars, axis=0)
    windows = windows.swapaxes(1, 2)  # a view: [bars - lookback + 1, lookback, features]
    first = walk.lookback_bars - 1
    means = np.full(len(walk.features), np.nan)
    member: Forecaster | None = None  # the last fit, live; None after a fold read from disk
    state: dict[str, AnyArray] = {}  # the last fit, as it was written
    for fold in walk.folds:
        path = walk.fold_path(fold)
        kept = _read_fold(path) if path and path.exists() else None
        if kept is None:
            X = windows[fold.train.start - first : fold.train.stop - first]
            y = walk.labels[fold.train.start : fold.train.stop]
            block = windows[fold.start - first : fold.stop - first]
            try:
                member = _refit(member, walk.member, X, y, state)
                kept = {"mean": _predict_block(walk, member, block, fold)}
            except DataError:
                raise
            except Exception as error:
                raise DataError(
                    f"member {walk.name!r}, fold {fold.number}: {type(error).__name__}: {error}; "
                    "correct its settings or its code, or leave it out"
                ) from error
            if isinstance(member, WarmStarted):
                kept |= {f"state.{key}": value for key, value in member.state().items()}
            if path:
                with atomic_path(path) as temporary:
                    save_file(kept, temporary)
        else:
            member = None
        means[fold.start : fold.stop] = kept["mean"]
        state = {k.removeprefix("state."): v for k, v in kept.items() if k.startswith("state.")}
    return means


def walk_folds(
    bars: Bars, values: Floats, label: LabelConfig, schedule: WalkForward, lookback_bars: int
) -> tuple[Fold, ...]:
    """The refits over ``values`` ``[bars, features]``, from the first row with a full window.

    Raises:
        DataError: The history is too short, or a feature has a gap in it.
    """
    complete = np.asarray(np.isfinite(values).all(axis=1))
    first = int(complete.argmax()) + lookback_bars - 1
    folds = tuple(schedule.folds(first, len(bars), label.resolution_bars))
    if not complete.any() or not folds:
        needed = first + schedule.warm_up_bars + 1 if complete.any() else "more"
        raise DataError(
            f"{bars.source}: {len(bars)} bars are too few: features, lookback and warm-up need "
            f"{needed}; give a longer history, or lower warm_up_bars and the feature windows"
        )
    gaps = np.flatnonzero(~complete[first:])
    if len(gaps):
        row = first + int(gaps[0])
        raise DataError(
            f"{bars.source}: a feature is missing in row {row} ({bars.dates[row].date()}); "
            "choose a symbol without gaps, or features that need no value there"
        )
    return folds


def cache_folder() -> Path:
    """``$FORETRADE_CACHE``, or ``foretrade`` in the user's cache folder."""
    return Path(os.environ.get("FORETRADE_CACHE") or user_cache())


def _code_identity() -> list[str]:
    return [code_hash("markets", "forecasters"), *library_versions(*LIBRARIES)]


def _refit(
    last: Forecaster | None,
    template: Forecaster,
    X: Floats,
    y: Floats,
    state: Mapping[str, AnyArray],
) -> Forecaster:
    """Fit anew, or go on from the last fit: live if there is one, else from its written state."""
    if isinstance(last, WarmStarted):
        return last.refit(X, y)
    member: Forecaster = clone(template)
    if isinstance(member, WarmStarted) and state:
        return member.set_state(state, X).refit(X, y)
    return member.fit(X, y)


def _predict_block(walk: Walk, member: Forecaster, block: Floats, fold: Fold) -> Floats:
    padding = np.repeat(block[-1:], walk.refit_every_bars - len(block), axis=0)
    mean = np.asarray(member.predict(np.concatenate([block, padding])).mean, dtype=np.float64)
    if mean.shape != (walk.refit_every_bars,):
        raise DataError(
            f"member {walk.name!r}, fold {fold.number}: mean has shape {mean.shape}, "
            f"expected ({walk.refit_every_bars},)"
        )
    mean = mean[: len(block)]
    if not np.isfinite(mean).all():
        row = fold.start + int(np.flatnonzero(~np.isfinite(mean))[0])
        raise DataError(
            f"member {walk.name!r}, fold {fold.number}: the forecast of row {row} is not finite; "
            "scale its inputs, or leave the member out"
        )
    return np.ascontiguousarray(mean)


def _read_fold(path: Path) -> dict[str, AnyArray] | None:
    """A finished fold, or None if the file is damaged and must be computed again."""
    try:
        return load_file(path)
    except (SafetensorError, OSError):
        path.unlink()
        return None


def _forecast_table(
    bars: Bars,
    asset: int,
    means: dict[str, Floats],
    in_ensemble: tuple[str, ...],
    labels: Floats,
    resolution_bars: int,
    folds: tuple[Fold, ...],
) -> Table:
    weights = equal_weights(len(in_ensemble))
    mean, disagreement = combine(np.column_stack([means[n] for n in in_ensemble]), weights)
    columns: dict[Column, Floats] = {}
    for name, forecast in (means | {"ensemble": mean}).items():
        columns[Column(f"{name}.mean", RETURN)] = forecast
        for statistic, values in _spread(forecast, labels, resolution_bars).items():
            columns[Column(f"{name}.{statistic}", RETURN)] = values
    columns[Column("ensemble.disagreement", RETURN)] = disagreement
    for name, weight in zip(in_ensemble, weights, strict=True):
        columns[Column(f"weight.{name}", "weight")] = np.where(np.isnan(mean), np.nan, weight)
    panel = np.full((len(bars), len(bars.symbols), len(columns)), np.nan)
    panel[:, asset] = np.column_stack(list(columns.values()))
    by_column = {column: panel[:, :, i] for i, column in enumerate(columns)}
    return Table.from_columns(bars, by_column, cutoff=_cutoffs(bars, folds))


def _cutoffs(bars: Bars, folds: tuple[Fold, ...]) -> Ints:
    cutoff = np.full(len(bars), NEVER)
    for fold in folds:
        cutoff[fold.start : fold.stop] = bars.stamps[fold.cutoff]
    return cutoff


def _spread(mean: Floats, labels: Floats, resolution_bars: int) -> dict[str, Floats]:
    """Std and bounds from the errors that were resolved by each row (split conformal, rolling).

    Until ``ERROR_MIN_BARS`` errors of its own are known, the labels resolved so far stand in.
    """
    resolved = pd.Series(labels - mean).shift(resolution_bars)
    known = pd.Series(labels).shift(resolution_bars)
    own = resolved.rolling(ERROR_WINDOW_BARS, min_periods=ERROR_MIN_BARS)
    before = known.rolling(ERROR_WINDOW_BARS, min_periods=2)
    tail = (1 - BOUND) / 2
    forecast = pd.Series(mean)
    lower = own.quantile(tail).fillna(before.quantile(tail))
    upper = own.quantile(1 - tail).fillna(before.quantile(1 - tail))
    spread = {
        "std": np.sqrt((resolved**2).rolling(ERROR_WINDOW_BARS, min_periods=ERROR_MIN_BARS).mean())
        .fillna(before.std())
        .where(forecast.notna()),
        "lower": forecast + lower,
        "upper": forecast + upper,
    }
    return {name: series.to_numpy() for name, series in spread.items()}
