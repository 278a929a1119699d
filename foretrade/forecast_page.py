"""``forecasts.html`` of a run: what its forecasts were worth before anybody traded them."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial
from operator import call
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from foretrade.counting import record_forecasters
from foretrade.forecasters.names import member_name
from foretrade.forecasting import NETS, members_of, walk_settings
from foretrade.incidents import events_of, failed_rows
from foretrade.job import Job
from foretrade.lineup import forecasters
from foretrade.markets.bars import DataError
from foretrade.markets.labels import forward_returns
from foretrade.progress import progress
from foretrade.results import score_forecasts
from foretrade.workers import run_parallel

if TYPE_CHECKING:
    from foretrade.forecasters.report import ForecastReport
    from foretrade.forecasters.walk import Walk
    from foretrade.markets.arrays import Floats

REGIMES = ("calm third", "middle third", "turbulent third")
COVERAGE_BARS = 252
LEAST_ROWS = 20  # of losses, for the model confidence set
CALIBRATED = 5  # forecasts whose calibration is drawn


def write_forecast_page(job: Job) -> list[Path]:
    """Score the forecasts of a run on its test block, and write the page."""
    record_forecasters(job)
    return _Page(job).report().write(job.run.path)


class _Page:
    def __init__(self, job: Job) -> None:
        self.job = job
        rows = job.config.blocks.rows(job.bars)["test"]
        self.block = slice(rows.start, rows.stop - job.label.resolution_bars)  # labels from within it
        if self.block.stop - self.block.start < 3:
            raise DataError(
                f"{job.bars.source}: the test block has {self.block.stop - self.block.start} rows with "
                "labels, the page needs 3; begin it earlier (blocks.test)"
            )
        self.names = forecasters(job)
        self.members = tuple(map(member_name, job.config.forecast.members))
        self.labels = forward_returns(job.bars, job.label)[:, 0]

    def report(self) -> ForecastReport:
        from foretrade.forecasters.ensemble import BOUND
        from foretrade.forecasters.report import ForecastReport
        from foretrade.forecasters.scores import pit

        shown = [name for name in self.names if name in ("ensemble", *self.members)][:CALIBRATED]
        days = self.job.bars.dates[self.block]
        return ForecastReport(
            title=f"{self.job.config.name}: {self.job.symbol}",
            setting=self._setting(),
            scores=score_forecasts(self.job),
            confidence=self._confidence(),
            weights=self._weights(),
            pits={n: pit(self.labels[self.block], *self._distribution(n)) for n in shown},
            coverage=pd.DataFrame({n: self._rolling_coverage(n) for n in shown}, index=days),
            nominal=BOUND,
            regimes=self._regimes(),
            importance=self._importance(),
            members=self._worth(),
            events=self._events(),
        )

    @cached_property
    def benchmark(self) -> Floats:
        """The mean of the labels known at each row."""
        from foretrade.forecasters.scores import resolved_mean

        return resolved_mean(self.labels, self.job.label.resolution_bars)

    def _column(self, name: str) -> Floats:
        return self.job.forecasts.column(name)[:, 0]

    def _distribution(self, name: str) -> tuple[Floats, Floats]:
        return self._column(f"{name}.mean")[self.block], self._column(f"{name}.std")[self.block]

    def _squared_errors(self, name: str) -> Floats:
        return (self.labels - self._column(f"{name}.mean")) ** 2

    def _rolling_coverage(self, name: str) -> Floats:
        lower, upper = self._column(f"{name}.lower"), self._column(f"{name}.upper")
        inside = pd.Series((self.labels >= lower) & (self.labels <= upper), dtype=np.float64)
        return inside.rolling(COVERAGE_BARS).mean().to_numpy()[self.block]

    def _confidence(self) -> dict[str, float]:
        """p-values in the model confidence set; forecasts that are the same share one."""
        from foretrade.forecasters.comparison import model_confidence_set

        losses = {name: self._squared_errors(name)[self.block] for name in self.names}
        first = {loss.tobytes(): name for name, loss in reversed(losses.items())}
        different = {name: losses[name] for name in losses if name in first.values()}
        if len(different) < 2 or len(self.labels[self.block]) < LEAST_ROWS:
            return {}
        found = model_confidence_set(different, seed=self.job.config.seed).p_values
        return {name: found[first[loss.tobytes()]] for name, loss in losses.items()}

    def _weights(self) -> dict[str, pd.DataFrame]:
        """Of the ensemble, and of the further fusions."""
        config, days = self.job.config.forecast, self.job.bars.dates[self.block]
        prefixes = {f"{config.fusion} (the ensemble)": ""}
        prefixes |= {fusion: f"ensemble_{fusion}." for fusion in config.also_fused_by}
        return {
            fusion: pd.DataFrame(
                {n: self._column(f"{prefix}weight.{n}")[self.block] for n in self.members}, index=days
            )
            for fusion, prefix in prefixes.items()
        }

    def _regimes(self) -> pd.DataFrame:
        """R² out of sample by thirds of trailing volatility, as known at the decision."""
        short = self.job.config.features.volatility_bars[0]
        volatility = self.job.features.column(f"volatility_{short}")[self.block, 0]
        thirds = np.searchsorted(np.quantile(volatility, [1 / 3, 2 / 3]), volatility)
        base = ((self.labels - self.benchmark) ** 2)[self.block]
        rows = {
            name: [
                1 - self._squared_errors(name)[self.block][thirds == k].sum() / base[thirds == k].sum()
                for k in range(len(REGIMES))
            ]
            for name in self.names
        }
        return pd.DataFrame.from_dict(rows, orient="index", columns=list(REGIMES))

    def _worth(self) -> dict[str, pd.DataFrame]:
        from foretrade.forecasters.explain import member_importance

        if len(self.members) < 2:
            return {}
        means = np.column_stack([self._column(f"{name}.mean") for name in self.members])
        refits = [fold.start for fold in self.walks[0].folds] + [len(self.labels)]
        for number, name in enumerate(self.members):
            for rows in failed_rows(self.happened, name, refits):
                means[rows, number] = np.nan
        frame = member_importance(
            means,
            self.members,
            self.labels,
            self.job.config.forecast.fusion,
            resolution_bars=self.job.label.resolution_bars,
            rows=range(self.block.start, self.block.stop),
        )
        ways = {"left out": "left_out", "forecasts shuffled": "permuted"}
        return {title: pd.DataFrame(frame[way]) for title, way in ways.items()}

    def _events(self) -> list[str]:
        """Each failure and roll-back; of refits on drift, one line a member."""
        said = [
            f"{e['date']}, {e['member']} {e['kind']}: {e['message']}"
            for e in self.happened
            if e["kind"] != "drift"
        ]
        for member in self.names:
            days = [e["date"] for e in self.happened if (e["member"], e["kind"]) == (member, "drift")]
            if days:
                said.append(f"{member} was refitted on drift {len(days)} times: {', '.join(days)}")
        return said

    def _importance(self) -> dict[str, pd.DataFrame]:
        """Of the members that are quick to fit and read features."""
        from foretrade.forecasters.base import inputs_of
        from foretrade.forecasters.explain import feature_blocks, permutation_importance

        quick = [
            walk
            for walk in self.walks
            if walk.name in self.members
            and not any(net in walk.name for net in NETS)
            and inputs_of(walk.member) == "features"
        ]
        blocks = feature_blocks(self.job.features.names)
        rows = range(self.block.start, self.block.stop)
        tasks = [
            partial(
                permutation_importance,
                self._on_block(walk),
                blocks,
                rows=rows,
                seed=self.job.config.seed,
            )
            for walk in quick
        ]
        with progress(self.job.console, "importance", {"members": len(tasks)}) as show:
            log = self.job.run.path / "logs" / "importance.log"
            frames = run_parallel(call, tasks, workers=self.job.workers, log=log)
            show({"members": len(tasks)})
        return dict(zip([walk.name for walk in quick], frames, strict=True))

    @cached_property
    def walks(self) -> list[Walk]:
        """Of the members and baselines, not run."""
        from foretrade.forecasters.rolling import plan_walks

        job = self.job
        return plan_walks(job.bars, job.features, members_of(job), **walk_settings(job))

    @cached_property
    def happened(self) -> list[dict[str, Any]]:
        """Events of the walks."""
        return events_of(self.job)

    def _on_block(self, walk: Walk) -> Walk:
        """The walk from the fold on in which the block begins: its members carry nothing over."""
        return replace(walk, folds=tuple(fold for fold in walk.folds if fold.stop > self.block.start))

    def _setting(self) -> dict[str, str]:
        config, days = self.job.config.forecast, self.job.bars.dates
        updates = config.updates
        return {
            "Data": f"{self.job.bars.source}, {self.job.symbol}",
            "Test block": f"{days[self.block.start].date()} to {days[self.block.stop - 1].date()}",
            "Label": f"log return over {config.horizon_bars} bars from the fill at the "
            f"{self.job.label.fill.replace('_', ' ')}",
            "Members": ", ".join(self.members),
            "Fusion": config.fusion,
            "Refits": f"every {config.schedule.refit_every_bars} bars"
            + (f", updates every {updates.every_bars} bars" if updates.every_bars else "")
            + (", and on drift" if updates.on_drift else ""),
        }
