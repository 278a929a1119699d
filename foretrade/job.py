"""One experiment at work: its data, its tables, its markets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rich.console import Console

from foretrade.config import Experiment, member_name
from foretrade.envs.market import MarketEnv
from foretrade.markets.bars import Bars, DataError
from foretrade.markets.features import compute_features
from foretrade.markets.labels import LabelConfig
from foretrade.markets.sources import load_bars
from foretrade.markets.table import Table
from foretrade.rundir import RunDirectory


@dataclass(frozen=True)
class Job:
    """One experiment at work.

    Args:
        run: Where its results go.
        console: Where progress is shown.
        workers: Processes; 0 is one a core. The results do not depend on it.
    """

    run: RunDirectory
    console: Console
    workers: int = 0

    @property
    def config(self) -> Experiment:
        return self.run.config

    @cached_property
    def bars(self) -> Bars:
        """The bars of the traded symbol."""
        bars = load_bars(self.config.data)
        return bars.select([self.config.market.symbol or bars.symbols[0]])

    def check(self) -> None:
        """Find out whether the data can serve the experiment; nothing is written.

        Raises:
            DataError: The data is bad, too short, or does not cover the blocks.
        """
        from foretrade.forecasters.rolling import walk_folds

        bars, config = self.bars, self.config.forecast
        blocks = self.config.blocks.rows(bars)
        values = self.features.values[:, 0]
        folds = walk_folds(bars, values, self.label, config.schedule, config.lookback_bars)
        if folds[0].start > blocks["train"].start:
            raise DataError(
                f"{bars.source}: the first forecast is of {bars.dates[folds[0].start].date()}, "
                f"policy training begins on {bars.dates[blocks['train'].start].date()}; begin it "
                "later (blocks.train), or lower forecast.schedule.warm_up_bars"
            )

    def record_data(self) -> None:
        """Note in the manifest which data the run stands on.

        Raises:
            RunError: It was begun on other data.
        """
        bars = self.bars
        self.run.record_data(
            {
                "source": bars.source,
                "symbol": bars.symbols[0],
                "bars": len(bars),
                "first": str(bars.dates[0].date()),
                "last": str(bars.dates[-1].date()),
                "hash": bars.content_hash,
            }
        )

    @property
    def symbol(self) -> str:
        return self.bars.symbols[0]

    @cached_property
    def features(self) -> Table:
        return compute_features(self.bars, self.config.features)

    @cached_property
    def forecasts(self) -> Table:
        return Table.read_parquet(self.run.path / "forecasts.parquet")

    @cached_property
    def table(self) -> Table:
        """Features and forecasts side by side."""
        return self.features.join(self.forecasts)

    @cached_property
    def label(self) -> LabelConfig:
        return LabelConfig(self.config.forecast.horizon_bars, self.config.market.fill)

    def env(self, block: str, *, forecasts: bool = True, **options: Any) -> MarketEnv:
        """The market of one block, showing features and, if asked, what the agent sees of forecasts."""
        market = self.config.market
        members = map(member_name, self.config.forecast.members)
        seen = [f"{name}.mean" for name in (*members, "ensemble")]
        extra = [*seen, "ensemble.disagreement"] if forecasts else []
        return MarketEnv(
            self.bars,
            self.table,
            observe=options.pop("observe", [*self.features.names, *extra]),
            rows=self.config.blocks.rows(self.bars)[block],
            fill=market.fill,
            costs=self.config.costs,
            actions=market.actions,
            weight_bounds=market.weight_bounds,
            positions=market.positions,
            max_leverage=market.max_leverage,
            no_trade_band=market.no_trade_band,
            reward=market.reward,
            **options,
        )
