"""Trainings of a run: units of work that are done once, in parallel, and go on where they stopped."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from foretrade.agents.training_config import TrainingConfig
from foretrade.counting import Recorder, ledger_of, recorder
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.job import Job
from foretrade.progress import progress
from foretrade.rundir import LIBRARIES, RunDirectory
from foretrade.storage import (
    code_hash,
    content_hash,
    file_hash,
    library_versions,
    read_json,
    write_json,
    write_text,
)
from foretrade.workers import run_parallel


@dataclass(frozen=True)
class PolicyTask:
    """One training run: a unit of work.

    ``recorder`` enters its checkpoints into the ledger of trials.
    """

    training: MarketEnv
    validation: MarketEnv
    config: TrainingConfig
    seed: int
    folder: Path
    key: str
    recorder: Recorder

    def is_done(self) -> bool:
        """Whether the policy is there, trained on just these inputs, and undamaged."""
        try:
            done = read_json(self.folder / "done.json")
            return bool(done["key"] == self.key) and all(
                file_hash(self.folder / name) == digest for name, digest in done["outputs"].items()
            )
        except (OSError, ValueError, KeyError):
            return False

    def begin(self) -> None:
        """Leave of the folder only what a training on just these inputs can go on from."""
        note = self.folder / "key"
        if not note.is_file() or note.read_text(encoding="utf-8") != self.key:
            shutil.rmtree(self.folder, ignore_errors=True)
            write_text(note, self.key)

    def updates(self) -> int:
        """Updates made so far."""
        try:
            return int(read_json(self.folder / "progress.json")["update"])
        except (OSError, ValueError, KeyError):
            return 0


POLICY_FILES = (
    "policy.json", "policy.safetensors", "validation.csv", "validation.npy", "training.csv",
    "warnings.json", "settings.json",
)  # fmt: skip


def run_policy_task(task: PolicyTask) -> None:
    """Train one policy, its checkpoints entered as they come, and note that it is done."""
    from foretrade.agents.training import train as train_policy

    train_policy(
        task.training,
        task.validation,
        task.config,
        seed=task.seed,
        folder=task.folder,
        on_checkpoint=partial(task.recorder.checkpoint, task.folder.name),
    )
    outputs = {name: file_hash(task.folder / name) for name in POLICY_FILES}
    write_json(task.folder / "done.json", {"key": task.key, "outputs": outputs})


def train_policies(job: Job, tasks: Sequence[PolicyTask]) -> None:
    """Train those that are not there yet, in parallel, and show how far they are."""
    job.record_data()
    todo = []
    for task in _one_batch(job, tasks):
        if not task.is_done():
            task.begin()
            todo.append(task)
        else:
            task.recorder.policy(task.folder)  # nothing new, unless the ledger of trials was lost
    if not todo:
        return

    def updates(of: Callable[[PolicyTask], int]) -> Counter[str]:
        """By name; trials of a tuning have the same names."""
        found: Counter[str] = Counter()
        for task in todo:
            found[task.folder.name] += of(task)
        return found

    with progress(job.console, "train", updates(lambda task: task.config.updates)) as show:
        run_parallel(
            run_policy_task,
            todo,
            workers=job.workers,
            log=job.run.path / "logs" / "train.log",
            tick=lambda: show(updates(PolicyTask.updates)),
        )
    for task in todo:
        for text in read_json(task.folder / "warnings.json")["warnings"]:
            said = f"{task.folder.name}: {text}"
            job.console.print(said, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _one_batch(job: Job, tasks: Sequence[PolicyTask]) -> list[PolicyTask]:
    """The same, in the ledger of trials one batch: workers end in any order."""
    after = ledger_of(job).begun({(task.recorder.config, task.folder.name) for task in tasks})
    return [replace(task, recorder=replace(task.recorder, after=after)) for task in tasks]


def policy_tasks(
    job: Job,
    folder: Path,
    seeds: Mapping[str, int],
    *,
    blocks: Mapping[str, range] | None = None,
    config: TrainingConfig | None = None,
    counted_by: RunDirectory | None = None,
    **view: Any,
) -> Iterator[PolicyTask]:
    """One training run for each name and seed, in its own folder.

    Args:
        blocks: Rows of ``train`` and ``validation``; default: those of the configuration.
        config: How they learn; default: by the algorithm that the configuration chooses.
        counted_by: The run beside which the checkpoints are entered as trials; default: the job's own.
        view: What the policies see; see :meth:`Job.env`.
    """
    config = job.config.training if config is None else config
    inputs = (
        job.config.as_dict(),
        job.bars.content_hash,
        file_hash(job.run.path / "forecasts.parquet"),
        code_hash("markets", "envs", "agents"),
        library_versions(*LIBRARIES),
    )
    episodes = Episodes(config.episode_bars, random_start=True)
    rows = job.config.blocks.rows(job.bars) if blocks is None else blocks
    training = job.env(rows["train"], episodes=episodes, **view)
    validation = job.env(rows["validation"], **view)
    entered = replace(recorder(job, "validation", rows["validation"]), run=counted_by or job.run)
    for name, seed in seeds.items():
        key = content_hash(*inputs, str(rows["train"]), str(rows["validation"]), name, seed)
        yield PolicyTask(training, validation, config, seed, folder / name, key, entered)
