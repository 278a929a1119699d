"""The main job, step by step: forecast → train → backtest → report, on a run directory."""

from __future__ import annotations

import operator
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, cast

from foretrade.config import ConfigError
from foretrade.counting import record_run, record_strategies, state
from foretrade.envs.market import MarketEnv
from foretrade.forecasting import forecast
from foretrade.job import Job
from foretrade.lineup import (
    BENCHMARK_RUN,
    agents,
    benchmarks,
    means,
    policy_names,
    rules,
    strategies,
)
from foretrade.luck import luck
from foretrade.policies import POLICY_FILES, policy_tasks, train_policies
from foretrade.progress import progress
from foretrade.results import build_report, forecast_scores
from foretrade.storage import (
    atomic_path,
    content_hash,
    write_json,
)
from foretrade.stress import explain, stress_tests
from foretrade.workers import run_parallel

if TYPE_CHECKING:
    from foretrade.agents.base import Agent
    from foretrade.agents.store import PolicyAgent
    from foretrade.backtests.league import Row
    from foretrade.backtests.report import Report

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
    job.check(trains=steps != STEPS[:1])
    for step in steps:
        done = job.run.step(step, before.get(step), _inputs(job, step), partial(work[step], job))
        if not done:
            job.console.print(f"[dim]{step}: already done[/dim]")


def _inputs(job: Job, step: str) -> str:
    """Hash of what a step reads that no other step has made."""
    if step == "forecast":
        return job.own_code()
    if step == "report":
        record_run(job)  # nothing new, unless the ledger of trials was lost
        return content_hash(job.bars.content_hash, state(job), job.tearsheets)
    return job.bars.content_hash


def train(job: Job) -> list[Path]:
    """Train the agent with and without forecasts, several seeds each: ``policy/<agent>-seed-<n>/``."""
    job.record_data()
    tasks = [
        task
        for agent, forecasts in agents(job).items()
        for task in policy_tasks(
            job,
            job.run.path / "policy",
            dict(zip(policy_names(job, agent), job.config.policy_seeds, strict=True)),
            forecasts=forecasts,
        )
    ]
    train_policies(job, tasks)
    return [task.folder / name for task in tasks for name in POLICY_FILES]


def backtest(job: Job) -> list[Path]:
    """Play every strategy once through the test block: ``ledger.parquet`` and ``scores.json``.

    ``diagnosis.json`` holds the stress tests of every row of the table, and why the agent traded.
    """
    from foretrade.backtests.engine import run, write_runs
    from foretrade.backtests.league import league_rows
    from foretrade.backtests.metrics import score_run

    job.record_data()
    contenders = _contenders(job)
    runs = [run(agent, env, name=name) for name, (agent, env) in contenders.items()]
    ledger, scores = job.run.path / "ledger.parquet", job.run.path / "scores.json"
    written = write_runs(runs, ledger)
    results = {r.name: score_run(r, job.bars.periods_per_year) for r in runs}
    stored = {name: one.as_dict() for name, one in results.items()}
    write_json(scores, {"strategies": stored, "forecasts": forecast_scores(job)})
    record_strategies(job)
    shown = [row.median_run for row in league_rows(strategies(job), results)]
    policy, market = contenders[shown[0]]
    why = explain(job, shown[0], cast("PolicyAgent", policy), market)
    diagnosis = job.run.path / "diagnosis.json"
    write_json(
        diagnosis,
        {
            "stress": stress_tests(job, contenders, shown),
            "why": None if why is None else why.as_dict(),
        },
    )
    return [*written, scores, diagnosis]


def _contenders(job: Job) -> dict[str, tuple[Agent, MarketEnv]]:
    """Everybody who plays the test block, and the market each one plays in, by name of the run."""
    from foretrade.agents.store import load_policy

    found: dict[str, tuple[Agent, MarketEnv]] = {}
    for agent, forecasts in agents(job).items():
        env = job.env("test", forecasts=forecasts)
        for name in policy_names(job, agent):
            found[name] = load_policy(job.run.path / "policy" / name), env
    market = job.env("test", observe=[*job.features.names, *means(job)])
    plain = job.benchmark_env("test")
    found |= {name: (rule, plain) for name, rule in benchmarks(plain).items()}
    return found | {name: (rule, market) for name, rule in rules(job, market).items()}


def report(job: Job) -> list[Path]:
    """Tables, pictures, tear sheets, what luck explains: ``report.html`` and what it links to."""
    from foretrade.backtests.league import league_frame

    job.record_data()
    page = build_report(job)
    sheets = _tearsheets(job, page)
    page = replace(page, tearsheets={name: f"tearsheets/{name}.html" for name in sheets})
    league, chance = job.run.path / "league.csv", job.run.path / "significance.json"
    write_json(chance, luck(job))
    with atomic_path(league) as path:
        league_frame(page.rows, page.verdicts).to_csv(path, index=False)
    files = [job.run.path / "tearsheets" / f"{name}.html" for name in sheets]
    return [*page.write(job.run.path), league, chance, *files]


def _tearsheets(job: Job, page: Report) -> list[str]:
    """Draw those asked for; the names of the runs that have one: cash has none."""
    from foretrade.backtests.tearsheet import write_tearsheet

    rows = _asked_for(job.tearsheets, page)
    names = [row.median_run for row in rows]
    shutil.rmtree(job.run.path / "tearsheets", ignore_errors=True)  # of an earlier wish
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
        for row, path in zip(rows, paths, strict=True)
    ]
    with progress(job.console, "report", {"tear sheets": len(drawings)}) as show:
        drawn = run_parallel(
            operator.call,
            drawings,
            workers=job.workers,
            log=job.run.path / "logs" / "report.log",
            tick=lambda: show({"tear sheets": sum(path.exists() for path in paths)}),
        )
    return [name for name, made in zip(names, drawn, strict=True) if made]


def _asked_for(wish: str, page: Report) -> list[Row]:
    """Rows whose tear sheets are to be drawn; see :class:`Job`."""
    if wish == "default":
        return page.leading
    if wish in ("all", "none"):
        return list(page.rows) if wish == "all" else []
    by_name = {name: row for row in page.rows for name in (row.strategy.label, *row.strategy.runs)}
    rest, chosen = wish.strip(), []
    while rest:  # names may hold commas: the longest that fits is meant
        fits = [name for name in by_name if rest == name or re.match(re.escape(name) + r"\s*,", rest)]
        if not fits:
            known = ", ".join(map(repr, by_name))
            raise ConfigError(f"tear sheets of {rest!r}: no such strategy; there are all, none, {known}")
        name = max(fits, key=len)
        chosen.append(by_name[name])
        rest = rest[len(name) :].lstrip(" ,")
    return [row for row in page.rows if row in chosen]
