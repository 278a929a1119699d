"""Everything that a league plays: forecasters, coalitions of members, and whom to compare them with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from foretrade.agents.baselines import Constant
from foretrade.backtests.contest import (
    Played,
    asked_weights,
    oracle_weights,
    play_chance,
    play_targets,
)
from foretrade.backtests.standings import median_seed
from foretrade.backtests.worth import Coalitions, coalitions
from foretrade.forecasting import forecast
from foretrade.job import Job
from foretrade.league_tasks import FOLDER, Task, Tasks, do, result
from foretrade.lineup import forecasters, sees
from foretrade.markets.rules import Rules
from foretrade.policies import PolicyTask, policy_tasks, train_policies
from foretrade.progress import progress
from foretrade.rundir import RunDirectory
from foretrade.workers import run_parallel

HOLD, FLAT, ORACLE = "buy and hold", "flat", "oracle (impossible)"


@dataclass(frozen=True)
class Season:
    """Everything that was traded.

    Args:
        rows: Forecaster and rule to what they did, one a seed.
        coalitions: One a coalition of members, at costs as configured; ``plan`` tells which.
        references: By name.
        files: That hold it.
    """

    rows: Mapping[tuple[str, str], Sequence[Played]]
    plan: Coalitions
    coalitions: Sequence[Played]
    references: Mapping[str, Sequence[Played]]
    files: Sequence[Path]


def play(job: Job) -> Season:
    """Play what was not played yet."""
    tasks, members = Tasks(job), len(job.config.forecast.members)
    plan = coalitions(members, seed=job.config.seed)
    plain = [
        (name, task) for twin in (job, *_other_seeds(job)) for name, task in Tasks(twin).plain().items()
    ]
    policies = list(tasks.policies(_train(job)))
    union = tasks.coalitions(plan)
    units: list[Task] = [union, *(task for _, task in policies), *(task for _, task in plain)]
    found = _run(job, units)
    rows: dict[tuple[str, str], list[Played]] = {}
    played: list[tuple[str, Task]] = [*plain, *policies]
    for name, task in played:
        for rule, one in found[task.path].items():
            rows.setdefault((name, rule), []).append(one)
    subsets = list(found[union.path].values())
    references = _references(job, tasks, rows)
    return Season(rows, plan, subsets, references, [unit.path for unit in units])


def _other_seeds(job: Job) -> list[Job]:
    """The same experiment with other seeds of the forecasters, their forecasts made, inside the run."""
    config, twins = job.config, []
    for seed in range(config.seed + 1, config.seed + config.league.forecast_seeds):
        folder = job.run.path / FOLDER / f"forecast-seed-{seed}"
        run = RunDirectory.create(folder, replace(config, seed=seed))
        twin = Job(run, job.console, job.workers)
        run.step("forecast", None, twin.own_code(), partial(forecast, twin))
        twins.append(twin)
    return twins


def _train(job: Job) -> dict[str, list[tuple[Path, ...]]]:
    """Policies of each forecaster, if ``ppo`` plays: for each seed the folders of one a fold."""
    if "ppo" not in job.config.league.rules:
        return {}
    rolled = job.config.blocks.rolled(job.bars, job.config.league.folds)
    folds = [_fold_tasks(job, number, blocks) for number, blocks in enumerate(rolled, start=1)]
    train_policies(job, [task for fold in folds for task in chain(*fold.values())])
    return {
        name: list(zip(*([task.folder for task in fold[name]] for fold in folds), strict=True))
        for name in forecasters(job)
    }


def _fold_tasks(job: Job, number: int, blocks: Mapping[str, range]) -> dict[str, list[PolicyTask]]:
    """Training runs by forecaster, one a seed, on the blocks as they stand before a fold."""
    folder, first = job.run.path / FOLDER / "policy", job.config.seed
    seeds = range(first, first + job.config.league.seeds)
    return {
        name: list(
            policy_tasks(
                job,
                folder,
                {f"{name}-seed-{seed}-fold-{number}": seed for seed in seeds},
                blocks=blocks,
                config=job.config.ppo,
                observe=sees("ppo", job, name),
            )
        )
        for name in forecasters(job)
    }


def _run(job: Job, units: Sequence[Task]) -> dict[Path, dict[str, Played]]:
    """What came out of each unit, by its file."""
    found = {unit.path: result(unit) for unit in units}
    todo = [unit for unit in units if found[unit.path] is None]
    with progress(job.console, "league", {"forecasters and coalitions": len(todo)}) as show:
        run_parallel(
            do,
            todo,
            workers=job.workers,
            log=job.run.path / "logs" / "league.log",
            tick=lambda: show({"forecasters and coalitions": sum(u.path.exists() for u in todo)}),
        )
    return {unit.path: found[unit.path] or _must(unit) for unit in units}


def _must(unit: Task) -> dict[str, Played]:
    played = result(unit)
    if played is None:
        raise RuntimeError(f"{unit.path}: damaged while it was written; run the same command again")
    return played


def _references(
    job: Job, tasks: Tasks, rows: Mapping[tuple[str, str], Sequence[Played]]
) -> dict[str, list[Played]]:
    """Buy-and-hold and cash as in a report; the oracle and random policies within the agent's bounds."""
    config = job.config.league
    scales, net = config.cost_scales, config.cost_scales.index(1.0)
    plain = job.benchmark_env("test")
    market = tasks.market(config.plain_rule, "ensemble")
    low, high = market.actions.bounds()
    constants = [
        asked_weights(Constant(plain.layout, plain.actions, weight=w), plain) for w in (1.0, 0.0)
    ]
    hold, flat = play_targets(plain, np.column_stack(constants), scales)
    turnovers = [median_seed(own, scales).turnover[net] for own in rows.values()]
    free = Rules(max_leverage=max(1.0, abs(low), abs(high)), no_trade_band=config.no_trade_band)
    chance = play_chance(
        market,
        config.random_policies,
        (low, high),
        scales,
        free,
        turnover=float(np.median(turnovers)),
        seed=job.config.seed,
    )
    oracle = oracle_weights(market, low, high)[:, None]
    return {
        HOLD: [hold],
        FLAT: [flat],
        f"random ({config.random_policies} policies)": chance,
        ORACLE: play_targets(market, oracle, scales, free),
    }
