"""``foretrade tune``: settings tried one after the other, the best by the validation block alone."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from foretrade.experiment import run_steps
from foretrade.job import Job
from foretrade.optuna_search import OptunaSearch, require_optuna
from foretrade.rundir import LIBRARIES, RunError
from foretrade.storage import code_hash, content_hash, file_hash, library_versions
from foretrade.tuning_page import TuningPage
from foretrade.tuning_trials import FOLDER, Outcome, Trials, check_space, in_words


def tune(job: Job) -> TuningPage:
    """Try every point of the grid, or as many as the search has trials; what is done is not done again.

    A trial trains ``tune.seeds`` policies that see the forecasts, and is scored by the median of their
    net Sharpe ratios a bar on the validation block. The test block is not played.
    Writes ``tune/trials.csv``, ``tune/best.toml`` and ``tune/tune.md`` into the run.

    Raises:
        ConfigError: The space cannot be searched; see :func:`check_space`.
        OptunaMissingError: A search without Optuna.
        RunError: Another process tunes the same run, or no trial could be finished.
    """
    check_space(job.config)
    if job.config.tune.search:
        require_optuna()
    trials = Trials(job)
    for point in job.config.tune.points():
        trials.check(point)
    run_steps(job, ("forecast",))
    job.record_data()
    with _alone(job.run.path / FOLDER):
        page = _searched(trials) if job.config.tune.search else _gridded(trials)
        if page.best is None:
            raise RunError(f"no trial could be tried; the first one: {page.outcomes[0].reason}")
        inputs = content_hash(list(map(vars, page.outcomes)))
        job.run.step("tune", "forecast", inputs, partial(page.write, job.run.path / FOLDER))
    return page


def _gridded(trials: Trials) -> TuningPage:
    points = trials.job.config.tune.points()
    trials.train(points)
    outcomes = [_shown(trials, number, len(points), point) for number, point in enumerate(points, 1)]
    return TuningPage(trials.job.config, outcomes, _bars(trials.job), {})


def _searched(trials: Trials) -> TuningPage:
    job, space = trials.job, trials.job.config.tune
    path = job.run.path / FOLDER / f"search-{_search_key(job)[:16]}.journal"
    search = OptunaSearch(space.search, path, job.config.seed)
    done, outcomes = search.told(), []
    for number in range(space.trials):
        settings = done[number] if number < len(done) else search.ask()
        outcomes.append(_shown(trials, number + 1, space.trials, settings))
        if number >= len(done):
            search.tell(outcomes[-1].score)
    return TuningPage(job.config, outcomes, _bars(job), search.importances())


def _shown(trials: Trials, number: int, of: int, settings: Mapping[str, Any]) -> Outcome:
    """Try settings, and say what became of them."""
    console = trials.job.console
    tell = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    tell(f"trial {number} of {of}: {in_words(settings)}")
    outcome = trials.outcome(settings)
    if outcome.score is None:
        tell(f"  not possible: {outcome.reason}", style="yellow")
    else:
        low, high = min(outcome.scores), max(outcome.scores)
        tell(f"  net Sharpe ratio a bar {outcome.score:.4f} ({low:.4f} to {high:.4f})")
    return outcome


def _search_key(job: Job) -> str:
    """Hash of everything that scores depend on: a search goes on only with what it was begun with."""
    return content_hash(
        job.config.as_dict(),
        file_hash(job.run.path / "forecasts.parquet"),
        code_hash("", "markets", "forecasters", "envs", "agents", "backtests"),
        library_versions(*LIBRARIES, "optuna"),
    )


def _bars(job: Job) -> int:
    """Returns in the validation block."""
    return len(job.config.blocks.rows(job.bars)["validation"]) - 1


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process may do the same; the lock ends with its process.

    Raises:
        RunError: Another one does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"{folder}: another process is at work there; wait for it") from error
        yield
