"""One experiment at work: its data, its tables, its markets."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rich.console import Console

from foretrade.agents.preflight import check_before_training
from foretrade.config import ConfigError, Experiment
from foretrade.envs.actions import WeightActions
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.forecasters.names import member_name
from foretrade.markets.bars import Bars, DataError
from foretrade.markets.features import compute_features
from foretrade.markets.fills import StaleOpenWarning, stale_open_message
from foretrade.markets.labels import LabelConfig
from foretrade.markets.sources import load_bars
from foretrade.markets.table import Table
from foretrade.rundir import RunDirectory
from foretrade.storage import content_hash

MIN_SCORED_BARS = 3


@dataclass(frozen=True)
class Job:
    """One experiment at work.

    Args:
        run: Where its results go.
        console: Where progress is shown.
        workers: Processes; 0 is one a core. The results do not depend on it.
        tearsheets: Of which strategies: ``"default"`` (agent, benchmark and the best of the others),
            ``"all"``, ``"none"``, or labels or names of runs with commas between them.
    """

    run: RunDirectory
    console: Console
    workers: int = 0
    tearsheets: str = "default"

    @property
    def config(self) -> Experiment:
        return self.run.config

    @cached_property
    def bars(self) -> Bars:
        """The bars of the traded symbol."""
        bars = load_bars(self.config.data)
        return bars.select([self.config.market.symbol or bars.symbols[0]])

    def check(self, *, trains: bool = True) -> None:
        """Find out whether the data can serve the experiment; nothing is written.

        Args:
            trains: Whether policies are to be trained; else only the test block is played.

        Raises:
            DataError: The data is bad, too short, or does not cover the blocks.
            ConfigError, TrainingError: No market can be made of the settings, or no agent trained on it.
        """
        from foretrade.forecasters.rolling import walk_folds

        bars, config = self.bars, self.config.forecast
        blocks = self.config.blocks.rows(bars)
        values = self.features.values[:, 0]
        folds = walk_folds(bars, values, self.label, config.schedule, config.lookback_bars)
        block, what = ("train", "policy training") if trains else ("test", "the test block")
        if folds[0].start > blocks[block].start:
            raise DataError(
                f"{bars.source}: the first forecast is of {bars.dates[folds[0].start].date()}, "
                f"{what} begins on {bars.dates[blocks[block].start].date()}; begin it later "
                f"(blocks.{block}), or lower forecast.schedule.warm_up_bars"
            )
        scored = len(blocks["test"]) - self.label.resolution_bars
        if scored < MIN_SCORED_BARS:
            raise DataError(
                f"{bars.source}: of the test block's {len(blocks['test'])} bars {max(scored, 0)} can be "
                f"scored, {MIN_SCORED_BARS} are needed; begin it earlier (blocks.test), or end it later "
                "(blocks.end)"
            )
        self._check_markets(trains)

    def _check_markets(self, trains: bool) -> None:
        market = self.config.market
        try:
            training = self._market(
                self.features,
                "train" if trains else "test",
                episodes=Episodes(bars=self.config.training.episode_bars if trains else 0),
                actions=market.action_space,
                rules=market.rules,
            )
        except DataError:
            raise
        except ValueError as error:
            raise ConfigError(f"the market of these settings cannot be made: {error}") from error
        if trains:
            check_before_training(training, self.config.training)
        message = stale_open_message(self.bars, self.symbol)
        if message and market.fill == "next_open":
            warning = f"warning: {message}"
            self.console.print(warning, style="yellow", markup=False, highlight=False, soft_wrap=True)

    def own_code(self) -> str:
        """Hash of the bars and of the forecasters that do not ship with Foretrade."""
        from foretrade.forecasters.members import member_factory

        config = self.config.forecast
        own = [path for path in (*config.members, *config.baselines) if ":" in path]
        return content_hash(self.bars.content_hash, [member_factory(path) for path in own])

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

    def env(
        self, block: str | range, *, forecasts: bool = True, table: Table | None = None, **options: Any
    ) -> MarketEnv:
        """The market of one block, showing features and, if asked, what the agent sees of forecasts.

        Args:
            block: Its name, or rows of one's own.
            table: In place of features and forecasts; ``observe`` then names what is shown of it.
            options: Of the market, in place of those of the configuration.
        """
        members = map(member_name, self.config.forecast.members)
        seen = [f"{name}.mean" for name in (*members, "ensemble")]
        extra = [*seen, "ensemble.disagreement"] if forecasts else []
        market = self.config.market
        chosen = {
            "observe": [*self.features.names, *extra],
            "actions": market.action_space,
            "rules": market.rules,
        }
        return self._market(self.table if table is None else table, block, **(chosen | options))

    def benchmark_env(self, block: str) -> MarketEnv:
        """The same prices, fills and costs for buy-and-hold and cash, whatever the agent may do."""
        return self._market(self.features, block, actions=WeightActions(0.0, 1.0))

    def _market(self, table: Table, block: str | range, **options: Any) -> MarketEnv:
        market = self.config.market
        rows = block if isinstance(block, range) else self.config.blocks.rows(self.bars)[block]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StaleOpenWarning)  # said once, by check()
            return MarketEnv(
                self.bars,
                table,
                rows=rows,
                fill=market.fill,
                costs=self.config.costs,
                reward=market.reward,
                **options,
            )
