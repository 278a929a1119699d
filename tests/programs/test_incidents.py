"""What went wrong with a forecaster stands in every result, and who said nothing is ranked last."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from foretrade.config import Experiment
from foretrade.forecasters.rolling import walk_folds
from foretrade.incidents import incidents, silent_members
from foretrade.job import Job
from foretrade.results import warnings_of
from foretrade.rundir import RunDirectory
from foretrade.storage import write_json


@pytest.fixture
def job(tmp_path: Path) -> Job:
    config = Experiment(name="made")
    return Job(RunDirectory.create(tmp_path / "run", config), Console(quiet=True))


def event(member: str, row: int, kind: str, message: str = "boom") -> dict[str, object]:
    return {"member": member, "row": row, "kind": kind, "message": message, "date": f"day {row}"}


def write(job: Job, *events: dict[str, object]) -> None:
    write_json(job.run.path / "events.json", list(events))


def fold_starts(job: Job) -> list[int]:
    forecast = job.config.forecast
    values = job.features.values[:, 0]
    folds = walk_folds(job.bars, values, job.label, forecast.schedule, forecast.lookback_bars)
    return [fold.start for fold in folds]


def test_nothing_is_said_of_a_walk_without_incidents(job):
    before = warnings_of(job)
    assert incidents(job) == []
    write(job, event("ridge", 900, "drift"))
    assert incidents(job) == []
    assert warnings_of(job) == before


def test_each_kind_is_counted_and_the_first_one_told(job):
    start = fold_starts(job)[0]
    write(
        job,
        event("a", start, "failed", "no data"),
        *(event("b", row, "rolled back", "worse") for row in (900, 950)),
        event("a", 1000, "no std", "-1 in 5 rows"),
        event("b", 1000, "constant", "0.1 for 21 rows"),
    )
    said = incidents(job)
    assert said == [
        "a failed once; until the next refit the mean of the known labels stood in for it "
        f"(first day {start}: no data).",
        "b was kept from 2 refits that made it worse or could not be fitted (first day 900: worse).",
        "b forecast the same value for a whole block once (first day 1000: 0.1 for 21 rows).",
        "a gave a standard deviation that is none once; that of its errors stood in "
        "(first day 1000: -1 in 5 rows).",
    ]
    assert warnings_of(job)[-4:] == said


def test_who_failed_throughout_the_test_block_is_silent(job):
    starts = fold_starts(job)
    test = job.config.blocks.rows(job.bars)["test"]
    first = max(start for start in starts if start <= test.start)
    needed = [start for start in starts if first <= start < test.stop]
    write(job, *(event("a", row, "failed") for row in needed))
    assert silent_members(job) == ["a"]
    assert incidents(job)[0].startswith("a had no forecast of its own in the whole test block")
    for missing in (needed[0], needed[-1]):
        write(job, *(event("a", row, "failed") for row in needed if row != missing))
        assert silent_members(job) == []
