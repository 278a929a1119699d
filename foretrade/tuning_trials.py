"""One trial of a tuning: settings → policies, one a seed → their scores on the validation block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, get_args

import pandas as pd
from rich.console import Console

from foretrade.agents.training_config import AlgorithmName
from foretrade.config import ConfigError, Experiment, from_dict
from foretrade.errors import ForetradeError
from foretrade.experiment import run_steps
from foretrade.forecasting import members_of
from foretrade.job import Job
from foretrade.policies import PolicyTask, policy_tasks, train_policies
from foretrade.rundir import RunDirectory
from foretrade.search_space import TuneConfig
from foretrade.workers import WorkerError

FOLDER = "tune"  # of a run
FORECAST_PARTS = ("features", "forecast")  # what forecasts depend on, of what may be tuned
EXAM = (
    "name", "seed", "seeds", "data", "blocks", "costs", "league", "tune", "target_volatility",
    "market.symbol", "market.fill", "market.rules.accounting",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What became of one trial.

    Args:
        settings: Key to value.
        scores: For each seed, the Sharpe ratio a bar after costs, on the validation block, of the
            checkpoint that the training chose; zero if it never traded. Empty if nothing was trained.
        log_growth: Of the same checkpoints, over the whole block.
        checkpoints: How many were looked at.
        reason: Why it could not be tried, or "".
    """

    settings: Mapping[str, Any]
    scores: tuple[float, ...] = ()
    log_growth: tuple[float, ...] = ()
    checkpoints: int = 0
    reason: str = ""

    @property
    def score(self) -> float | None:
        """Median over the seeds."""
        return median(self.scores) if self.scores else None


def with_settings(config: Experiment, settings: Mapping[str, Any]) -> Experiment:
    """An experiment with other settings, by their dotted keys, and nothing left to tune.

    Raises:
        ConfigError: A key is unknown, a value impossible, or a setting changes what is scored.
    """
    values = deepcopy(config.as_dict()) | {"tune": {}}
    for key, value in settings.items():
        if any(key == exam or key.startswith(f"{exam}.") for exam in EXAM):
            raise ConfigError(
                f"tune: {key!r} does not change how well the agent learns, but on what it is scored; "
                "make a run of its own for each value"
            )
        _put(values, key, value)
    try:
        return from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"tune: {in_words(settings)}: {error}") from error


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ConfigError(f"tune: {key!r}: {parent!r} is a value, not a table")
    values[last] = value


def in_words(settings: Mapping[str, Any]) -> str:
    """Settings on one line."""
    return ", ".join(f"{key} = {_short(value)}" for key, value in settings.items())


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Trials:
    """Tries settings; what was tried already is not tried again.

    Args:
        job: The experiment, whose own forecasts are made.
    """

    job: Job

    def check(self, settings: Mapping[str, Any]) -> None:
        """Find out whether settings can be tried; nothing is written.

        Raises:
            ConfigError: As :func:`with_settings`.
            DataError: The data cannot serve the experiment with them.
            ForetradeError: A forecaster cannot be made with them.
        """
        run = replace(self.job.run, config=with_settings(self.job.config, settings))
        job = replace(self.job, run=run, console=Console(quiet=True))
        job.check()
        if any(key.startswith("forecast.") for key in settings):
            members_of(job)

    def train(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Train the policies of several trials at once, so that all cores have work.

        If one fails, the others wait until :meth:`outcome` asks for them.
        """
        try:
            tasks = [task for settings in points for task in self._prepared(settings)]
            train_policies(self.job, tasks)
        except WorkerError:
            raise
        except ForetradeError as error:
            say = self.job.console.print
            say(f"one by one from here: {error}", style="yellow", markup=False, highlight=False)

    def outcome(self, settings: Mapping[str, Any]) -> Outcome:
        """Train the policies of one trial that are not there yet, and score them.

        Settings that cannot be used, or whose training must not go on, make an outcome without scores;
        a worker that died stops everything.
        """
        try:
            self.check(settings)
            tasks = self._prepared(settings)
            train_policies(self.job, tasks)
        except WorkerError:
            raise
        except ForetradeError as error:
            return Outcome(settings, reason=str(error))
        return _scored(settings, [task.folder for task in tasks])

    def _prepared(self, settings: Mapping[str, Any]) -> list[PolicyTask]:
        """Its trainings on the run's own forecasts, or on others if the settings change them."""
        config = with_settings(self.job.config, settings)
        other = {k: v for k, v in settings.items() if k.partition(".")[0] in FORECAST_PARTS}
        run = self.job.run
        if other:
            forecaster = with_settings(self.job.config, other)
            folder = self._path / "forecasts" / forecaster.config_hash[:16]
            run = RunDirectory.create(folder, forecaster)
            run_steps(replace(self.job, run=run), ("forecast",))
        first = config.seed
        seeds = {
            f"{config.algorithm}-seed-{seed}": seed
            for seed in range(first, first + self.job.config.tune.seeds)
        }
        folder = self._path / "policies" / config.config_hash[:16]
        job = replace(self.job, run=replace(run, config=config))
        return list(policy_tasks(job, folder, seeds, counted_by=self.job.run))

    @property
    def _path(self) -> Path:
        return self.job.run.path / FOLDER


def _scored(settings: Mapping[str, Any], folders: Sequence[Path]) -> Outcome:
    tables = [pd.read_csv(folder / "validation.csv") for folder in folders]
    chosen = [table.iloc[int(table["log_growth"].argmax())].fillna(0.0) for table in tables]
    return Outcome(
        settings,
        tuple(float(row["sharpe"]) for row in chosen),
        tuple(float(row["log_growth"]) for row in chosen),
        sum(map(len, tables)),
    )


def check_space(config: Experiment) -> None:
    """Refuse a space that cannot be searched, before anything is trained.

    Each value of a search is tried with all other settings as they stand.

    Raises:
        ConfigError: There is none, a key is unknown or not to be tuned, or a value is impossible.
    """
    space: TuneConfig = config.tune
    if not space.keys:
        raise ConfigError(
            "nothing to tune: give values (tune.grid) or ranges (tune.search), such as "
            "--set 'tune.grid.ppo.learning_rate=[3e-4, 1e-3]'"
        )
    others = set(get_args(AlgorithmName)) - {config.algorithm, *space.grid.get("algorithm", ())}
    if "algorithm" in space.search:
        others -= set(space.search["algorithm"].examples())
    for key in space.keys:
        table = key.partition(".")[0]
        if table in others:
            raise ConfigError(
                f"tune: {key!r} changes nothing: the algorithm is {config.algorithm!r}; tune "
                f"{config.algorithm}.…, or set algorithm = {table!r}"
            )
    for point in space.points():
        with_settings(config, point)
    for key, values in space.search.items():
        for value in values.examples():
            with_settings(config, {key: value})
