"""``foretrade league``: forecasters × rules × seeds × folds × levels of costs, on the test block."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import call
from pathlib import Path
from typing import Any

import numpy as np

from foretrade.agents.baselines import Constant
from foretrade.backtests.contest import (
    Played,
    asked_weights,
    oracle_weights,
    play_targets,
    random_weights,
)
from foretrade.backtests.field import FieldTests, field_tests
from foretrade.backtests.league_page import LeaguePage
from foretrade.backtests.standings import (
    Standing,
    concordance,
    median_seed,
    rank_correlation,
    standing,
)
from foretrade.backtests.trials import Ledger, Trial, Trials
from foretrade.backtests.verdict import Verdict, judge
from foretrade.backtests.worth import Coalitions, MemberWorth, coalitions, member_worth
from foretrade.counting import record_cells, record_checkpoints, tried_on_test
from foretrade.experiment import policy_tasks, run_steps, train_policies
from foretrade.forecasters.names import member_name
from foretrade.job import Job
from foretrade.league_tasks import Task, Tasks, do, result
from foretrade.lineup import forecasters, sees
from foretrade.markets.arrays import Floats
from foretrade.markets.bars import DataError
from foretrade.markets.rules import Rules
from foretrade.progress import progress
from foretrade.results import score_forecasts, setting_of, warnings_of
from foretrade.workers import run_parallel

FOLDER = "league"
LEAST_BARS = 20  # of which the tests can say anything
HOLD, FLAT, ORACLE = "buy and hold", "flat", "oracle (impossible: knows the next return)"
VALUES = {"mean return, a year": "mean", "Sharpe ratio": "sharpe"}


def league(job: Job) -> Path:
    """Play the league of a run, after its forecasts; what is done is not done again.

    Returns:
        The folder with ``league.html``, ``league.md``, ``league.csv`` and ``worth.csv``.
    """
    _check(job)
    run_steps(job, ("forecast",))
    if not job.run.step("league", "forecast", job.own_code(), partial(_compete, job)):
        job.console.print("[dim]league: already done[/dim]")
    return job.run.path / FOLDER


def _compete(job: Job) -> list[Path]:
    job.record_data()
    played = _Played.by(job)
    return [*_page(job, played).write(job.run.path / FOLDER), *played.files]


@dataclass(frozen=True)
class _Played:
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

    @classmethod
    def by(cls, job: Job) -> _Played:
        """Play what was not played yet."""
        tasks, members = Tasks(job), len(job.config.forecast.members)
        plan = coalitions(members, seed=job.config.seed)
        plain = tasks.plain()
        policies = list(tasks.policies(_train(job)))
        union = tasks.coalitions(plan)
        units: list[Task] = [union, *(task for _, task in policies), *plain.values()]
        found = _run(job, units)
        rows: dict[tuple[str, str], list[Played]] = {}
        for name, task in [*plain.items(), *policies]:
            for rule, one in found[task.path].items():
                rows.setdefault((name, rule), []).append(one)
        subsets = list(found[union.path].values())
        references = _references(job, tasks, rows)
        return cls(rows, plan, subsets, references, [unit.path for unit in units])


def _train(job: Job) -> dict[str, tuple[Path, ...]]:
    """Policies of each forecaster: folders, one a seed; none if the league has no rule ``ppo``."""
    config = job.config
    if "ppo" not in config.league.rules:
        return {}
    folder = job.run.path / FOLDER / "policy"
    seeds = range(config.seed, config.seed + config.league.seeds)
    tasks = {
        name: list(
            policy_tasks(
                job, folder, {f"{name}-seed-{s}": s for s in seeds}, observe=sees("ppo", job, name)
            )
        )
        for name in forecasters(job)
    }
    folders = [task.folder for own in tasks.values() for task in own]
    try:
        train_policies(job, [task for own in tasks.values() for task in own])
    finally:
        record_checkpoints(job, folders)
    return {name: tuple(task.folder for task in own) for name, own in tasks.items()}


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
    chance = random_weights(
        len(market.rows) - 1,
        config.random_policies,
        low,
        high,
        turnover_per_bar=float(np.median(turnovers)) / job.bars.periods_per_year,
        seed=job.config.seed,
    )
    free = Rules(max_leverage=max(1.0, abs(low), abs(high)), no_trade_band=config.no_trade_band)
    oracle = oracle_weights(market, low, high)[:, None]
    return {
        HOLD: [hold],
        FLAT: [flat],
        f"random ({config.random_policies} policies, equal turnover)": play_targets(
            market, chance, scales, free
        ),
        ORACLE: play_targets(market, oracle, scales, free),
    }


def _page(job: Job, played: _Played) -> LeaguePage:
    config, periods = job.config.league, job.bars.periods_per_year
    net = config.cost_scales.index(1.0)
    names = {key: _label(*key) for key in played.rows}
    returns = {
        names[key]: median_seed(own, config.cost_scales).returns[:, net]
        for key, own in played.rows.items()
    }
    hold = played.references[HOLD][0].returns[:, net]
    trials = _count(job, played)
    verdicts, tests, worth = _judge(job, played, returns, hold, trials)
    scores = {name: score.as_dict() for name, score in score_forecasts(job).items()}
    settings: dict[str, Any] = {
        "cost_scales": config.cost_scales,
        "folds": config.folds,
        "periods_per_year": periods,
    }
    standings = [
        standing(*key, own, verdicts[names[key]], scores[key[0]], **settings)
        for key, own in played.rows.items()
    ]
    references = [
        standing(name, "", own, verdicts[name], {}, **settings)
        for name, own in played.references.items()
    ]
    standings.sort(key=lambda row: -math.inf if math.isnan(row.sharpe) else row.sharpe, reverse=True)
    plain = [row for row in standings if row.rule == config.plain_rule]
    profits = [row.mean_return for row in plain]
    return LeaguePage(
        title=f"{job.config.name}: {job.symbol}",
        setting=_setting(job, trials),
        standings=standings,
        references=references,
        tests=tests,
        correlations=[
            rank_correlation("IC", [row.ic for row in plain], profits),
            rank_correlation("R²_OS", [row.r2_os for row in plain], profits),
        ],
        worth=worth,
        plain_rule=config.plain_rule,
        folds=_folds(job),
        concordance=concordance(np.array([row.fold_sharpes for row in standings]).T),
        cost_scales=config.cost_scales,
        cost_bps=job.config.costs.trade_rate * 1e4,
        warnings=warnings_of(job),
    )


def _judge(
    job: Job, played: _Played, returns: Mapping[str, Floats], hold: Floats, trials: Trials
) -> tuple[dict[str, Verdict], FieldTests, dict[str, list[MemberWorth]]]:
    """Verdict of each row and reference, tests of all rows together, and worth of members."""
    config, periods = job.config, job.bars.periods_per_year
    net = config.league.cost_scales.index(1.0)
    others = {
        name: median_seed(own, config.league.cost_scales).returns[:, net]
        for name, own in played.references.items()
    }
    judged = dict(returns) | others
    coalition_returns = np.column_stack([one.returns[:, 0] for one in played.coalitions])
    members = tuple(map(member_name, config.forecast.members))
    work: list[partial[Any]] = [partial(judge, own, hold, trials, periods) for own in judged.values()]
    work.append(partial(field_tests, returns, HOLD, hold, seed=config.seed))
    if len(members) > 1:
        work += [
            partial(
                member_worth,
                coalition_returns,
                played.plan,
                members,
                value=value,
                periods_per_year=periods,
                seed=config.seed,
            )
            for value in VALUES.values()
        ]
    log = job.run.path / "logs" / "league.log"
    with progress(job.console, "league", {"tests": len(work)}) as show:
        found = run_parallel(call, work, workers=job.workers, log=log)
        show({"tests": len(work)})
    n = len(judged)
    worth = dict(zip(VALUES, found[n + 1 :], strict=len(members) > 1))
    return dict(zip(judged, found[:n], strict=True)), found[n], worth


def _count(job: Job, played: _Played) -> Trials:
    """Enter every cell into the ledger of trials, seeds too, and read how many there are."""
    net = job.config.league.cost_scales.index(1.0)
    cells = {
        _label(*key) + (f", policy {number}" if len(own) > 1 else ""): one.returns[:, net]
        for key, own in played.rows.items()
        for number, one in enumerate(own)
    }
    record_cells(job, cells)
    return tried_on_test(job)


def _label(forecaster: str, rule: str) -> str:
    return f"{forecaster}, {rule.replace('_', ' ')}"


def _decisions(job: Job) -> range:
    return job.config.blocks.rows(job.bars)["test"][:-1]


def _folds(job: Job) -> list[str]:
    """First and last day of the returns of each fold."""
    days = job.bars.dates[_decisions(job).start + 1 : _decisions(job).stop + 1]
    parts = np.array_split(np.arange(len(days)), job.config.league.folds)
    return [f"{days[part[0]].date()} to {days[part[-1]].date()}" for part in parts]


def _setting(job: Job, trials: Trials) -> dict[str, str]:
    config = job.config.league
    said = {
        "mean_variance": f"mean / (risk aversion {config.risk_aversion:g} × variance), no trade within "
        f"{config.no_trade_band:g} of the position",
        "sign": "long or short by the forecast's sign",
        "volatility_target": f"sign, sized to {job.config.target_volatility:.0%} volatility",
        "ppo": f"{config.seeds} policies a forecaster, which see its mean and std and their account, "
        "trained once on the training block, checkpoint chosen on validation",
    }
    rules = {f"Rule {rule}": said[rule] for rule in config.rules}
    shown = {key: text for key, text in setting_of(job).items() if key != "Training"}
    return shown | rules | {"Trials counted": f"{trials}, on the test block of these prices"}


def _check(job: Job) -> None:
    """Refuse a test block that is too short, before anything is played."""
    bars, least = len(_decisions(job)), max(LEAST_BARS, 2 * job.config.league.folds)
    if bars < least:
        raise DataError(
            f"{job.bars.source}: the test block has {bars} decisions, a league of "
            f"{job.config.league.folds} folds needs {least}; begin it earlier (blocks.test), or lower "
            "league.folds"
        )
