"""The main job, step by step: forecast → train → backtest → report, on a run directory."""

from __future__ import annotations

import operator
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from foretrade.agents.ppo_config import PPOConfig
from foretrade.config import member_name
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.job import Job
from foretrade.lineup import (
    BENCHMARK_RUN,
    SEES_FORECASTS,
    benchmarks,
    means,
    policy_names,
    rules,
)
from foretrade.markets.arrays import Floats
from foretrade.results import build_report, count_trials, forecast_scores
from foretrade.rundir import LIBRARIES
from foretrade.storage import (
    atomic_path,
    code_hash,
    content_hash,
    file_hash,
    library_versions,
    read_json,
    write_json,
)
from foretrade.workers import run_parallel

if TYPE_CHECKING:
    from foretrade.backtests.report import Report
    from foretrade.forecasters.rolling import Walk

STEPS = ("forecast", "train", "backtest", "report")


def run_steps(job: Job, steps: tuple[str, ...] = STEPS) -> None:
    """Do the named steps in order; what is finished is not done again."""
    work: Mapping[str, Callable[[Job], list[Path]]] = {
        "forecast": forecast,
        "train": train,
        "backtest": backtest,
        "report": report,
    }
    before = {step: previous for previous, step in pairwise(STEPS)}
    job.check()
    for step in steps:
        inputs = job.own_code() if step == "forecast" else job.bars.content_hash
        done = job.run.step(step, before.get(step), inputs, partial(work[step], job))
        if not done:
            job.console.print(f"[dim]{step}: already done[/dim]")


def forecast(job: Job) -> list[Path]:
    """Walk every forecaster through all of history: ``forecasts.parquet``."""
    from foretrade.forecasters.members import build_member
    from foretrade.forecasters.rolling import cache_folder, rolling_forecasts, run_walk

    config = job.config.forecast
    members = {
        member_name(path): build_member(
            path, config.settings.get(member_name(path), {}), seed=job.config.seed + number
        )
        for number, path in enumerate((*config.members, *config.baselines))
    }
    job.record_data()
    walks: list[Walk] = []

    def parallel(_: object, items: Any) -> list[Floats]:
        slowest_first = sorted(items, key=lambda walk: walk.name not in ("hybrid", "lstm"))
        with _progress(job, "forecast", {w.name: len(w.folds) for w in slowest_first}) as show:
            forecasts = run_parallel(
                run_walk,
                slowest_first,
                workers=job.workers,
                log=job.run.path / "logs" / "forecast.log",
                tick=lambda: show({walk.name: walk.finished() for walk in walks}),
            )
        by_name = {walk.name: mean for walk, mean in zip(slowest_first, forecasts, strict=True)}
        return [by_name[walk.name] for walk in walks]

    table = rolling_forecasts(
        job.bars,
        job.features,
        members,
        symbol=job.symbol,
        label=job.label,
        schedule=config.schedule,
        lookback_bars=config.lookback_bars,
        in_ensemble=tuple(map(member_name, config.members)),
        cache=cache_folder(),
        mapper=parallel,
        watch=walks.extend,
    )
    path = job.run.path / "forecasts.parquet"
    table.write_parquet(path)
    return [path]


@dataclass(frozen=True)
class PolicyTask:
    """One training run: a unit of work."""

    training: MarketEnv
    validation: MarketEnv
    config: PPOConfig
    seed: int
    folder: Path
    key: str

    def is_done(self) -> bool:
        """Whether the policy is there, trained on just these inputs, and undamaged."""
        try:
            done = read_json(self.folder / "done.json")
            return bool(done["key"] == self.key) and all(
                file_hash(self.folder / name) == digest for name, digest in done["outputs"].items()
            )
        except (OSError, ValueError, KeyError):
            return False

    def updates(self) -> int:
        """Updates made so far."""
        try:
            return int(read_json(self.folder / "progress.json")["update"])
        except (OSError, ValueError, KeyError):
            return 0


POLICY_FILES = ("policy.json", "policy.safetensors", "validation.csv")


def run_policy_task(task: PolicyTask) -> None:
    """Train one policy, and note that it is done."""
    from foretrade.agents.ppo import train_ppo

    train_ppo(task.training, task.validation, task.config, seed=task.seed, folder=task.folder)
    outputs = {name: file_hash(task.folder / name) for name in POLICY_FILES}
    write_json(task.folder / "done.json", {"key": task.key, "outputs": outputs})


def train(job: Job) -> list[Path]:
    """Train PPO with and without forecasts, several seeds each: ``policy/<agent>-seed-<n>/``."""
    job.record_data()
    tasks = list(_policy_tasks(job))
    todo = [task for task in tasks if not task.is_done()]
    for task in todo:  # what an interrupted training left is of no use
        shutil.rmtree(task.folder, ignore_errors=True)
    with _progress(job, "train", {task.folder.name: task.config.updates for task in todo}) as show:
        run_parallel(
            run_policy_task,
            todo,
            workers=job.workers,
            log=job.run.path / "logs" / "train.log",
            tick=lambda: show({task.folder.name: task.updates() for task in todo}),
        )
    return [task.folder / name for task in tasks for name in POLICY_FILES]


def _policy_tasks(job: Job) -> Iterator[PolicyTask]:
    ppo = job.config.ppo
    inputs = (
        job.config.as_dict(),
        job.bars.content_hash,
        file_hash(job.run.path / "forecasts.parquet"),
        code_hash("markets", "envs", "agents"),
        library_versions(*LIBRARIES),
    )
    for agent, forecasts in SEES_FORECASTS.items():
        training = job.env(
            "train", forecasts=forecasts, episodes=Episodes(ppo.episode_bars, random_start=True)
        )
        validation = job.env("validation", forecasts=forecasts)
        for seed, name in zip(job.config.policy_seeds, policy_names(job, agent), strict=True):
            key = content_hash(*inputs, agent, seed)
            folder = job.run.path / "policy" / name
            yield PolicyTask(training, validation, ppo, seed, folder, key)


def backtest(job: Job) -> list[Path]:
    """Play every strategy once through the test block: ``ledger.parquet`` and ``scores.json``."""
    from foretrade.agents.store import load_policy
    from foretrade.backtests.engine import run, write_runs
    from foretrade.backtests.metrics import score_run

    job.record_data()
    runs = []
    for agent, forecasts in SEES_FORECASTS.items():
        env = job.env("test", forecasts=forecasts)
        runs += [
            run(load_policy(job.run.path / "policy" / name), env, name=name)
            for name in policy_names(job, agent)
        ]
    market = job.env("test", observe=[*job.features.names, *means(job)])
    plain = job.benchmark_env("test")
    runs += [run(rule, plain, name=name) for name, rule in benchmarks(plain).items()]
    runs += [run(rule, market, name=name) for name, rule in rules(job, market).items()]
    ledger, scores = job.run.path / "ledger.parquet", job.run.path / "scores.json"
    write_runs(runs, ledger)
    results = {r.name: score_run(r, job.bars.periods_per_year).as_dict() for r in runs}
    write_json(
        scores,
        {"strategies": results, "forecasts": forecast_scores(job), "trials": count_trials(job)},
    )
    return [ledger, scores]


def report(job: Job) -> list[Path]:
    """Tables, pictures and tear sheets: ``report.html``, ``report.md``, ``league.csv``."""
    from foretrade.backtests.league import league_frame

    job.record_data()
    page = build_report(job)
    sheets = _tearsheets(job, page)
    page = replace(page, tearsheets={name: f"tearsheets/{name}.html" for name in sheets})
    league = job.run.path / "league.csv"
    with atomic_path(league) as path:
        league_frame(page.rows).to_csv(path, index=False)
    files = [job.run.path / "tearsheets" / f"{name}.html" for name in sheets]
    return [*page.write(job.run.path), league, *files]


def _tearsheets(job: Job, page: Report) -> list[str]:
    """Draw one a row; the names of the runs that have one: cash has none."""
    from foretrade.backtests.tearsheet import write_tearsheet

    names = [row.median_run for row in page.rows]
    paths = [job.run.path / "tearsheets" / f"{name}.html" for name in names]
    drawings = [
        partial(
            write_tearsheet,
            page.runs[row.median_run],
            page.runs[BENCHMARK_RUN],
            path,
            title=f"{job.config.name}: {row.strategy.label}",
            periods_per_year=job.bars.periods_per_year,
        )
        for row, path in zip(page.rows, paths, strict=True)
    ]
    with _progress(job, "report", {"tear sheets": len(drawings)}) as show:
        drawn = run_parallel(
            operator.call,
            drawings,
            workers=job.workers,
            log=job.run.path / "logs" / "report.log",
            tick=lambda: show({"tear sheets": sum(path.exists() for path in paths)}),
        )
    return [name for name, made in zip(names, drawn, strict=True) if made]


@contextmanager
def _progress(
    job: Job, title: str, totals: Mapping[str, int]
) -> Iterator[Callable[[Mapping[str, int]], None]]:
    """A progress bar a part; yields the function that moves them."""
    columns = (
        TextColumn("{task.description:<32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=job.console) as progress:
        bars = {name: progress.add_task(f"{title}: {name}", total=n) for name, n in totals.items()}

        def show(completed: Mapping[str, int]) -> None:
            for name, done in completed.items():
                if name in bars:
                    progress.update(bars[name], completed=done)

        yield show
        show(totals)
