"""What a run has shown: forecast scores, the number of trials, and the page that tells it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from foretrade.backtests.cells import p_value
from foretrade.config import changes
from foretrade.counting import compared, faults
from foretrade.forecasters.names import member_name
from foretrade.incidents import incidents
from foretrade.job import Job
from foretrade.lineup import (
    BENCHMARK,
    agents,
    forecasters,
    strategies,
)
from foretrade.luck import luck
from foretrade.markets.cleaning import inspect_bars
from foretrade.markets.labels import forward_returns
from foretrade.storage import read_json

if TYPE_CHECKING:
    from foretrade.backtests.forecast_charts import ForecastView
    from foretrade.backtests.learning import Training
    from foretrade.backtests.metrics import Scores
    from foretrade.backtests.report import Report
    from foretrade.forecasters.scores import ForecastScores
    from foretrade.markets.arrays import Floats


def build_report(job: Job) -> Report:
    """The report of a run whose backtest is done; nothing is written."""
    from foretrade.backtests.engine import read_runs
    from foretrade.backtests.explanation import Explanation
    from foretrade.backtests.league import league_rows
    from foretrade.backtests.report import Report
    from foretrade.backtests.stress import Stress

    runs = read_runs(job.run.path / "ledger.parquet")
    stored = read_json(job.run.path / "scores.json")
    scores = {name: _scores(values) for name, values in stored["strategies"].items()}
    diagnosis = read_json(job.run.path / "diagnosis.json")
    return Report(
        title=f"{job.config.name}: {job.symbol}",
        setting=setting_of(job, {"Training": _training(job), "Trials": _selection(job)}),
        rows=league_rows(strategies(job), scores),
        benchmark=BENCHMARK,
        runs=runs,
        forecasts=stored["forecasts"],
        trials=compared(job),
        periods_per_year=job.bars.periods_per_year,
        warnings=warnings_of(job),
        stress={name: Stress.from_dict(values) for name, values in diagnosis["stress"].items()},
        why=Explanation(**diagnosis["why"]) if diagnosis["why"] else None,
        view=_view(job),
        faults=faults(job),
        trainings=_trainings(job),
    )


def _trainings(job: Job) -> list[Training]:
    """How the policies of the run learned, those with forecasts first."""
    from foretrade.backtests.learning import Training

    found = []
    for row in strategies(job)[: len(agents(job))]:
        for run, seed in zip(row.runs, job.config.policy_seeds, strict=True):
            folder = job.run.path / "policy" / run
            updates, checkpoints = (pd.read_csv(folder / f"{n}.csv") for n in ("training", "validation"))
            told = read_json(folder / "warnings.json")
            about = (updates, checkpoints, told["chosen_steps"], told["warnings"])
            found.append(Training(row.label, seed, *about))
    return found


def _view(job: Job) -> ForecastView:
    """The forecasts that were traded, and how well they were calibrated."""
    from foretrade.backtests.forecast_charts import ForecastView
    from foretrade.forecasters.ensemble import BOUND
    from foretrade.forecasters.scores import pit

    rows = job.config.blocks.rows(job.bars)["test"]
    block = slice(rows.start, rows.stop - job.label.resolution_bars)  # no label from after the block
    days, labels = job.bars.dates[block], forward_returns(job.bars, job.label)[block, 0]

    def column(name: str) -> Floats:
        return job.forecasts.column(name)[block, 0]

    members = [member_name(path) for path in job.config.forecast.members]
    shown = ["ensemble", *members]
    spreads = {name: column(f"{name}.std") for name in shown}
    return ForecastView(
        ensemble=pd.Series(column("ensemble.mean"), days),
        weights=pd.DataFrame({name: column(f"weight.{name}") for name in members}, index=days),
        pits={
            name: pit(labels, column(f"{name}.mean"), np.where(std > 0, std, np.nan))
            for name, std in spreads.items()
        },
        inside=pd.Series(
            (labels >= column("ensemble.lower")) & (labels <= column("ensemble.upper")), days
        ),
        nominal=BOUND,
    )


def _scores(values: dict[str, Any]) -> Scores:
    from foretrade.backtests.metrics import Scores

    known: dict[str, Any] = {k: math.nan if v is None else v for k, v in values.items()}
    return Scores(**known)


def forecast_scores(job: Job) -> dict[str, dict[str, float | None]]:
    """Scores of every forecaster on the test block as they are stored; None is undefined."""
    return {
        name: {k: None if math.isnan(v) else v for k, v in scores.as_dict().items()}
        for name, scores in score_forecasts(job).items()
    }


def score_forecasts(job: Job) -> dict[str, ForecastScores]:
    """Scores of every forecaster on the test block; the bounds count as the quantiles they aim at."""
    from foretrade.forecasters.ensemble import BOUND
    from foretrade.forecasters.scores import resolved_mean, score_forecast

    rows = job.config.blocks.rows(job.bars)["test"]
    block = slice(rows.start, rows.stop - job.label.resolution_bars)  # no label from after the block
    labels = forward_returns(job.bars, job.label)[:, 0]
    benchmark = resolved_mean(labels, job.label.resolution_bars)[block]
    tail, horizon = (1 - BOUND) / 2, job.label.horizon_bars
    scores = {}
    for name in forecasters(job):
        mean, std, lower, upper = (
            job.forecasts.column(f"{name}.{part}")[block, 0]
            for part in ("mean", "std", "lower", "upper")
        )
        arrays = (mean, labels[block], benchmark, lower, upper)
        quantiles = {tail: lower, 1 - tail: upper}
        scores[name] = score_forecast(*arrays, horizon_bars=horizon, std=std, quantiles=quantiles)
    return scores


def setting_of(job: Job, more: Mapping[str, str]) -> dict[str, str]:
    """Data, blocks, costs, and what ``more`` the results depend on, in words."""
    config, blocks = job.config, job.config.blocks.rows(job.bars)
    days = job.bars.dates
    spans = {
        name: f"{days[rows.start].date()} to {days[rows.stop - 1].date()} ({len(rows)} bars)"
        for name, rows in blocks.items()
    }
    costs = config.costs
    return {
        "Data": f"{job.bars.source}, {job.symbol}, {config.data.frequency} bars",
        "Policy training": spans["train"],
        "Validation": spans["validation"],
        "Test": spans["test"],
        "Fills": config.market.fill.replace("_", " "),
        "Costs": (
            f"{costs.fee_bps:g} bp fee + {costs.half_spread_bps:g} bp half-spread on each trade; "
            f"{costs.borrow_bps_per_year:g} bp a year on shorts, "
            f"{costs.financing_bps_per_year:g} bp on negative cash"
        ),
        "Weights": f"{config.market.weight_bounds[0]:g} to {config.market.weight_bounds[1]:g}"
        if config.market.actions == "weight"
        else ", ".join(f"{weight:g}" for weight in config.market.positions),
        "Refits": f"every {config.forecast.schedule.refit_every_bars} bars, walk-forward",
        **more,
        "Other than the default": ", ".join(changes(config)) or "nothing",
    }


def _training(job: Job) -> str:
    training, seeds = job.config.training, job.config.policy_seeds
    return f"{training.label}, {training.steps} steps, seeds {', '.join(map(str, seeds))}"


def _selection(job: Job) -> str:
    """What luck explains, in one line."""
    found = luck(job)
    chosen, best = found["overfitting"], found["superior_ability"]
    said = [
        f"{found['trials']['count']} on these prices",
    ]
    if "checkpoints" in found["trials"]:
        said.append(
            f"{found['trials']['checkpoints']} checkpoints are as many as "
            f"{found['trials']['effective_checkpoints']} independent ones"
        )
    if "probability" in chosen:
        said.append(f"probability that choosing among them overfits {chosen['probability']:.2f}")
    if "p_values" in best:
        said.append(
            f"p-value of the best of all against {BENCHMARK.lower()} "
            f"{p_value(best['p_values']['consistent'])}"
        )
    return ", ".join(said)


def warnings_of(job: Job) -> list[str]:
    """What a reader of any result has to know about the data and the forecasters."""
    return [*(finding.message for finding in inspect_bars(job.bars)), *incidents(job)]
