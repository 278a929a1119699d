"""Walk-forward forecasts of every member, and of their ensemble, as one Table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from foretrade.forecasters.base import as_forecaster, inputs_of
from foretrade.forecasters.ensemble import forecast_columns
from foretrade.forecasters.fusion import FUSIONS
from foretrade.forecasters.names import check_not_reserved
from foretrade.forecasters.updates import Event, Updates
from foretrade.forecasters.walk import Walk, Walked
from foretrade.forecasters.walker import run_walk
from foretrade.markets.arrays import Floats, Ints
from foretrade.markets.bars import Bars, DataError
from foretrade.markets.labels import LabelConfig, forward_returns, one_bar_returns
from foretrade.markets.splits import Fold, WalkForward
from foretrade.markets.table import NEVER, Table
from foretrade.storage import code_hash, content_hash, library_versions, user_cache

Mapper: TypeAlias = Callable[[Callable[[Walk], Walked], Iterable[Walk]], Iterable[Walked]]
"""What ``map`` does; an executor's ``map`` runs the walks in parallel, with the same bits."""

LIBRARIES = (
    "numpy", "pandas", "scipy", "ta-lib", "scikit-learn", "lightgbm", "arch", "keras", "tensorflow",
)  # fmt: skip


def rolling_forecasts(
    bars: Bars,
    features: Table,
    members: Mapping[str, Any],
    *,
    symbol: str,
    label: LabelConfig,
    schedule: WalkForward,
    lookback_bars: int = 21,
    updates: Updates | None = None,
    fusion: str = "mean",
    also_fused_by: Iterable[str] = (),
    in_ensemble: Iterable[str] | None = None,
    cache: Path | None = None,
    mapper: Mapper = map,
    watch: Callable[[list[Walk]], None] = lambda walks: None,
    record: Callable[[list[Event]], None] = lambda events: None,
) -> Table:
    """Out-of-sample forecasts of every member and of their ensemble.

    Row ``t`` is known at the close of bar ``t`` and comes from parameters fitted on rows whose label
    was resolved at or before its ``cutoff``. Rows before the first fit are NaN. Columns, in log
    return units: ``<member>.mean``, ``.std``, ``.lower``, ``.upper``, the same for ``ensemble``,
    ``ensemble.disagreement``, and ``weight.<member>``; see :func:`forecast_columns`.

    A member that fails in a fold is left out of the ensemble there, and shows the mean of the labels
    resolved so far instead of a forecast; ``record`` is told.

    Args:
        members: Name to forecaster or scikit-learn regressor.
        symbol: Which symbol to forecast.
        lookback_bars: Bars that a member sees which does not say so itself.
        updates: What happens between scheduled refits; nothing, by default, but a guard over refits.
        fusion: How the ensemble weighs its members; a key of ``fusion.FUSIONS``.
        also_fused_by: Further fusions, as columns ``ensemble_<fusion>.…``.
        in_ensemble: Names of the members in the ensemble; all by default.
        cache: Folder of finished work, addressed by content (features, labels, member, schedule,
            code, libraries); None computes anew.
        mapper: Runs the walks; pass an executor's ``map`` for parallel ones.
        watch: Called with the walks before they run, so that a caller can show progress.
        record: Called with what happened to the members other than by the calendar.

    Raises:
        DataError: The history is too short, or a member failed in every fold.
        ValueError: There is no member, a name is taken, or a fusion or member is unknown.
    """
    also_fused_by = tuple(also_fused_by)
    chosen = tuple(members if in_ensemble is None else in_ensemble)
    _check_names(members, (fusion, *also_fused_by), chosen)
    walks = plan_walks(
        bars, features, members,
        symbol=symbol, label=label, schedule=schedule, lookback_bars=lookback_bars, updates=updates,
        cache=cache,
    )  # fmt: skip
    watch(walks)
    walked = dict(zip(members, mapper(run_walk, walks), strict=True))
    record([event for one in walked.values() for event in one.events])
    asset = bars.column(symbol)
    columns = forecast_columns(
        {name: (one.mean, one.std) for name, one in walked.items()},
        walks[0].labels,
        resolution_bars=label.resolution_bars,
        fusions={"ensemble": fusion} | {f"ensemble_{name}": name for name in also_fused_by},
        in_ensemble=chosen,
        first=walks[0].folds[0].start,
    )
    panel = np.full((len(bars), len(bars.symbols), len(columns)), np.nan)
    panel[:, asset] = np.column_stack(list(columns.values()))
    by_column = {column: panel[:, :, i] for i, column in enumerate(columns)}
    cutoff = np.max([one.cutoff for one in walked.values()], axis=0)
    return Table.from_columns(bars, by_column, cutoff=_stamps(bars, cutoff))


def plan_walks(
    bars: Bars,
    features: Table,
    members: Mapping[str, Any],
    *,
    symbol: str,
    label: LabelConfig,
    schedule: WalkForward,
    lookback_bars: int = 21,
    updates: Updates | None = None,
    cache: Path | None = None,
) -> list[Walk]:
    """The walks of :func:`rolling_forecasts`, to be run; see there.

    Raises:
        DataError: The history is too short.
    """
    asset = bars.column(symbol)
    labels = forward_returns(bars, label)[:, asset]
    shown = {"features": features.values[:, asset], "returns": one_bar_returns(bars)[:, asset, None]}
    folds = walk_folds(bars, shown["features"], label, schedule, lookback_bars)
    walks = []
    for name, model in members.items():
        member = as_forecaster(model)
        walk = Walk(
            name=name,
            member=member,
            inputs=shown[inputs_of(member)],
            labels=labels,
            folds=folds,
            schedule=schedule,
            resolution_bars=label.resolution_bars,
            lookback_bars=_lookback_bars(name, member, lookback_bars),
            updates=updates or Updates(),
            folder=None,
        )
        _check_lookback(bars, walk)
        walks.append(walk if cache is None else walk.kept_in(cache / _identity(walk)))
    return walks


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


def _identity(walk: Walk) -> str:
    """Name of everything that a walk's forecasts depend on."""
    recipe = (walk.member, walk.inputs, walk.labels, walk.lookback_bars, vars(walk.updates))
    calendar = [vars(fold) for fold in walk.folds]
    code = [code_hash("markets", "forecasters"), *library_versions(*LIBRARIES)]
    return content_hash(*recipe, calendar, vars(walk.schedule), code)[:32]


def _lookback_bars(name: str, member: Any, otherwise: int) -> int:
    bars = getattr(member, "lookback_bars", None)
    bars = otherwise if bars is None else bars
    if not isinstance(bars, int | np.integer) or bars < 1:
        raise DataError(
            f"member {name!r}: lookback_bars = {bars!r} must be a whole number of at least 1"
        )
    return int(bars)


def _check_names(members: Mapping[str, Any], fusions: Iterable[str], in_ensemble: Iterable[str]) -> None:
    """Before anything is walked.

    Raises:
        ValueError: There is no member, a name is taken, or a fusion or member is unknown.
    """
    if not members:
        raise ValueError("give at least one member")
    for name in members:
        check_not_reserved(name)
    for kind in fusions:
        if kind not in FUSIONS:
            raise ValueError(f"unknown fusion {kind!r}; there are {', '.join(FUSIONS)}")
    for name in in_ensemble:
        if name not in members:
            raise ValueError(f"{name!r} in in_ensemble is no member; there are {', '.join(members)}")


def _check_lookback(bars: Bars, walk: Walk) -> None:
    first = walk.folds[0].train.start
    oldest = int(np.isfinite(walk.inputs).all(axis=1).argmax())
    if first - walk.lookback_bars + 1 < oldest:
        raise DataError(
            f"{bars.source}: member {walk.name!r} looks back {walk.lookback_bars} bars, but only "
            f"{first - oldest + 1} are known at the first row to learn from, "
            f"{bars.dates[first].date()}; lower its lookback_bars, or give a longer history"
        )


def _stamps(bars: Bars, cutoff: Ints) -> Ints:
    known = cutoff >= 0
    stamps: Ints = np.where(known, bars.stamps[np.where(known, cutoff, 0)], NEVER)
    return stamps
