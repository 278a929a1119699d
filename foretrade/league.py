"""``foretrade league``: forecasters × rules × seeds × folds × levels of costs, on the test block."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from operator import call
from pathlib import Path
from typing import Any

import numpy as np

from foretrade.backtests.candidates import MIN_BARS
from foretrade.backtests.contest import Played
from foretrade.backtests.field import FieldTests, field_tests
from foretrade.backtests.league_page import LeaguePage
from foretrade.backtests.standings import (
    Standing,
    concordance,
    median_seed,
    rank_correlation,
    standing,
)
from foretrade.backtests.trials import Trials
from foretrade.backtests.verdict import Verdict, judge
from foretrade.backtests.worth import MemberWorth, Value, member_worth
from foretrade.counting import compared, faults, record_cells, state
from foretrade.experiment import run_steps
from foretrade.forecasters.names import member_name
from foretrade.incidents import silent_members
from foretrade.job import Job
from foretrade.league_season import HOLD, Season, play
from foretrade.league_tasks import FOLDER
from foretrade.markets.bars import DataError
from foretrade.progress import progress
from foretrade.results import score_forecasts, setting_of, warnings_of
from foretrade.storage import content_hash
from foretrade.workers import run_parallel

VALUES: dict[str, Value] = {"mean return, a year": "mean", "Sharpe ratio": "sharpe"}


def league(job: Job) -> Path:
    """Play the league of a run, after its forecasts; what is done is not done again.

    Returns:
        The folder with ``league.html``, ``league.md``, ``league.csv`` and ``worth.csv``.
    """
    _check(job)
    if "ppo" in job.config.league.rules:
        job.check()
    run_steps(job, ("forecast",))
    job.record_data()
    season = play(job)
    _record(job, season)
    inputs = content_hash(job.own_code(), state(job))  # what was tried since is counted, too
    if not job.run.step("league", "forecast", inputs, partial(_compete, job, season)):
        job.console.print("[dim]league: already done[/dim]")
    return job.run.path / FOLDER


def _compete(job: Job, season: Season) -> list[Path]:
    return [*_page(job, season).write(job.run.path / FOLDER), *season.files]


def _page(job: Job, season: Season) -> LeaguePage:
    config, periods = job.config.league, job.bars.periods_per_year
    names = {key: _label(job, *key) for key in season.rows}
    shown = {names[key]: median_seed(own, config.cost_scales) for key, own in season.rows.items()}
    verdicts, tests, worth = _judge(job, season, shown, trials := compared(job))
    scores = {name: score.as_dict() for name, score in score_forecasts(job).items()}
    settings: dict[str, Any] = {
        "cost_scales": config.cost_scales,
        "folds": config.folds,
        "periods_per_year": periods,
    }
    standings = [
        standing(names[key], *key, own, verdicts[names[key]], scores[key[0]], **settings)
        for key, own in season.rows.items()
    ]
    references = [
        standing(name, name, "", own, verdicts[name], {}, **settings)
        for name, own in season.references.items()
    ]
    silent = silent_members(job)
    standings.sort(key=lambda row: (row.forecaster not in silent, *_place(row)), reverse=True)
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
        periods_per_year=periods,
        warnings=warnings_of(job),
        idealised=job.config.market.fill == "same_close",
        faults=faults(job),
    )


def _place(row: Standing) -> tuple[bool, float]:
    """What ranks a row: a lost account comes after all others."""
    return not row.ruined, -math.inf if math.isnan(row.sharpe) else row.sharpe


def _judge(
    job: Job, season: Season, shown: Mapping[str, Played], trials: Trials
) -> tuple[dict[str, Verdict], FieldTests, dict[str, list[MemberWorth]]]:
    """Verdict of each row and reference, tests of all rows together, and worth of members."""
    config, periods = job.config, job.bars.periods_per_year
    net = config.league.cost_scales.index(1.0)
    others = {
        name: median_seed(own, config.league.cost_scales) for name, own in season.references.items()
    }
    returns = {name: one.returns[:, net] for name, one in shown.items()}
    hold = season.references[HOLD][0].returns[:, net]
    judged = {name: one.lived(net) for name, one in (dict(shown) | others).items()}
    coalition_returns = np.column_stack([one.returns[:, 0] for one in season.coalitions])
    members = tuple(map(member_name, config.forecast.members))
    work: list[partial[Any]] = [
        partial(judge, own, hold[: len(own)], trials, periods) for own in judged.values()
    ]
    closed = [name for name, one in shown.items() if one.called[net]]
    work.append(partial(field_tests, returns, HOLD, hold, closed=closed, seed=config.seed))
    if len(members) > 1:
        work += [
            partial(
                member_worth,
                coalition_returns,
                season.plan,
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


def _record(job: Job, season: Season) -> None:
    """Enter every cell into the ledger of trials, seeds too, if it is not there."""
    net = job.config.league.cost_scales.index(1.0)
    cells = {
        ", ".join(key) + (f", seed {number}" if len(own) > 1 else ""): one.returns[:, net]
        for key, own in season.rows.items()
        for number, one in enumerate(own)
    }
    record_cells(job, cells)


def _label(job: Job, forecaster: str, rule: str) -> str:
    """The forecaster, and the rule if there are several."""
    alone = len(job.config.league.rules) == 1
    return forecaster if alone else f"{forecaster}, {rule.replace('_', ' ')}"


def _decisions(job: Job) -> range:
    return job.config.blocks.rows(job.bars)["test"][:-1]


def _folds(job: Job) -> list[str]:
    """First and last day of the returns of each fold."""
    days, folds = job.bars.dates, job.config.blocks.rolled(job.bars, job.config.league.folds)
    spans = [(fold["test"].start + 1, fold["test"].stop - 1) for fold in folds]
    return [f"{days[first].date()} to {days[last].date()}" for first, last in spans]


def _setting(job: Job, trials: Trials) -> dict[str, str]:
    config = job.config.league
    said = {
        "mean_variance": f"mean / (risk aversion {config.risk_aversion:g} × variance), no trade within "
        f"{config.no_trade_band:g} of the position",
        "sign": "long or short by the forecast's sign",
        "volatility_target": f"sign, sized to {job.config.target_volatility:.0%} volatility",
        "ppo": f"a policy for each forecaster and each of {config.seeds} seeds, sees mean, std and "
        f"account; trained anew before each of {config.folds} folds on the bars before, checkpoint "
        "chosen on the last of them (as many as in validation); the account goes on from fold to fold",
    }
    rules = {f"Rule {rule}": said[rule] for rule in config.rules}
    return setting_of(job, rules | {"Trials": f"{trials} on these prices"})


def _check(job: Job) -> None:
    """Refuse a test block that is too short, before anything is played."""
    bars, least = len(_decisions(job)), max(MIN_BARS, 2 * job.config.league.folds)
    if bars < least:
        raise DataError(
            f"{job.bars.source}: the test block has {bars} decisions, a league of "
            f"{job.config.league.folds} folds needs {least}; begin it earlier (blocks.test), or lower "
            "league.folds"
        )
