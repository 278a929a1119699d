"""The forecasts of an experiment: its members and their walks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from foretrade.forecasters.names import member_name
from foretrade.job import Job
from foretrade.progress import progress
from foretrade.storage import write_json
from foretrade.workers import run_parallel

if TYPE_CHECKING:
    from pathlib import Path

    from foretrade.forecasters.base import Forecaster
    from foretrade.forecasters.updates import Event
    from foretrade.forecasters.walk import Walk, Walked

NETS = ("lstm", "hybrid", "gru", "tcn", "transformer")  # the slow ones


def forecast(job: Job) -> list[Path]:
    """Walk every forecaster through all of history: ``forecasts.parquet``."""
    from foretrade.forecasters.rolling import cache_folder, rolling_forecasts

    config, members = job.config.forecast, members_of(job)
    job.record_data()
    walks: list[Walk] = []
    events: list[Event] = []
    table = rolling_forecasts(
        job.bars,
        job.features,
        members,
        **walk_settings(job),
        fusion=config.fusion,
        also_fused_by=config.also_fused_by,
        in_ensemble=tuple(map(member_name, config.members)),
        cache=cache_folder(),
        mapper=lambda _, items: run_walks(job, list(items)),
        watch=walks.extend,
        record=events.extend,
    )
    path, happened = job.run.path / "forecasts.parquet", job.run.path / "events.json"
    table.write_parquet(path)
    days = job.bars.dates
    write_json(happened, [vars(event) | {"date": str(days[event.row].date())} for event in events])
    return [path, happened]


def walk_settings(job: Job) -> dict[str, Any]:
    """What every walk of the experiment has in common, as keywords of ``plan_walks``."""
    config = job.config.forecast
    return {
        "symbol": job.symbol,
        "label": job.label,
        "schedule": config.schedule,
        "lookback_bars": config.lookback_bars,
        "updates": config.updates,
    }


def members_of(job: Job) -> dict[str, Forecaster]:
    """Members and baselines by name, unfitted."""
    from foretrade.forecasters.members import build_member

    config = job.config.forecast
    return {
        member_name(path): build_member(
            path,
            config.settings.get(member_name(path), {}),
            seed=job.config.seed + number,
            horizon_bars=config.horizon_bars,
            inner=config.settings,
        )
        for number, path in enumerate((*config.members, *config.baselines))
    }


def run_walks(job: Job, walks: Sequence[Walk]) -> list[Walked]:
    """Run walks in parallel processes, in the order given, and show how far they are."""
    from foretrade.forecasters.walker import run_walk

    slowest_first = sorted(walks, key=lambda walk: not any(net in walk.name for net in NETS))
    with progress(job.console, "forecast", {w.name: len(w.folds) for w in slowest_first}) as show:
        walked = run_parallel(
            run_walk,
            slowest_first,
            workers=job.workers,
            log=job.run.path / "logs" / "forecast.log",
            tick=lambda: show({walk.name: walk.finished() for walk in walks}),
        )
    by_name = {walk.name: one for walk, one in zip(slowest_first, walked, strict=True)}
    return [by_name[walk.name] for walk in walks]
