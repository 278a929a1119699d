"""What went wrong with forecasters on their walk, in sentences that every result carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from foretrade.job import Job
from foretrade.storage import read_json

MEANING: Mapping[str, str] = {
    "failed": "failed {times}; until the next refit the mean of the known labels stood in for it",
    "rolled back": "was kept from {times} that made it worse or could not be fitted",
    "constant": "forecast the same value for a whole block {times}",
    "no std": "gave a standard deviation that is none {times}; that of its errors stood in",
}
COUNTED = {"rolled back": ("one refit", "{} refits")}
MOST = 160  # characters of a message; whole ones stand in events.json


def incidents(job: Job) -> list[str]:
    """One sentence a member and kind of event, with what the first one said; none of refits on drift."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for event in events_of(job):
        found.setdefault((event["member"], event["kind"]), []).append(event)
    silent = silent_members(job)
    said = [
        f"{name} had no forecast of its own in the whole test block: the mean of the known labels stood "
        "in, and is what was traded and scored; a league ranks it last."
        for name in silent
    ]
    for kind, meaning in MEANING.items():
        for name in sorted({member for member, other in found if other == kind}):
            own = found[name, kind]
            once, often = COUNTED.get(kind, ("once", "{} times"))
            times = once if len(own) == 1 else often.format(len(own))
            first = f"{own[0]['date']}: {own[0]['message'][:MOST]}"
            said.append(f"{name} {meaning.format(times=times)} (first {first}).")
    return said


def silent_members(job: Job) -> list[str]:
    """Members that had failed at every row of the test block."""
    events = events_of(job)
    names = sorted({event["member"] for event in events if event["kind"] == "failed"})
    if not names:
        return []
    from foretrade.forecasters.rolling import walk_folds

    config, bars = job.config.forecast, job.bars
    values = job.features.values[:, 0]
    folds = walk_folds(bars, values, job.label, config.schedule, config.lookback_bars)
    refits = [fold.start for fold in folds] + [len(bars)]
    test = job.config.blocks.rows(bars)["test"]
    return [
        name
        for name in names
        if {row for part in failed_rows(events, name, refits) for row in part}.issuperset(test)
    ]


def failed_rows(events: Sequence[Mapping[str, Any]], member: str, refits: Sequence[int]) -> list[range]:
    """Rows from each failure of a member to its next refit; what stands there is the mean of the labels.

    Args:
        refits: Row of each refit, ascending, and after them the number of rows.
    """
    rows = [e["row"] for e in events if (e["member"], e["kind"]) == (member, "failed")]
    return [range(row, next(refit for refit in refits if refit > row)) for row in rows]


def events_of(job: Job) -> list[dict[str, Any]]:
    """What happened on the walks of the run, as ``Event`` tells it, with the date; none before them."""
    path = job.run.path / "events.json"
    events: list[dict[str, Any]] = read_json(path) if path.exists() else []
    return events
