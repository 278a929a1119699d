"""Units of work of the league: pure functions of their inputs, each with a file of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from foretrade.agents.baselines import Rule
from foretrade.backtests.contest import (
    Played,
    Relay,
    asked_weights,
    play_agent,
    play_targets,
    read_played,
    write_played,
)
from foretrade.backtests.worth import Coalitions
from foretrade.config import RuleName
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.forecasters.conformal import error_scale
from foretrade.forecasters.names import member_name
from foretrade.job import Job
from foretrade.lineup import forecasters, plain_rule, sees, unscaled
from foretrade.markets.arrays import Floats
from foretrade.markets.bars import Bars
from foretrade.markets.labels import forward_returns
from foretrade.markets.rules import Rules
from foretrade.markets.table import Column, Table
from foretrade.rundir import LIBRARIES
from foretrade.storage import code_hash, content_hash, file_hash, library_versions

FOLDER = "league"  # of a run
COALITION = "coalition"  # the name that a subset of the members trades under


@dataclass(frozen=True)
class PlainTask:
    """One forecaster, traded by the rules that need no training, at every level of costs."""

    path: Path
    cost_scales: tuple[float, ...]
    entries: dict[str, tuple[MarketEnv, Rule, Rules]]

    def play(self) -> dict[str, Played]:
        """By rule."""
        return {
            name: play_targets(
                env, asked_weights(rule, env)[:, None], self.cost_scales, limits, delays=True
            )[0]
            for name, (env, rule, limits) in self.entries.items()
        }


@dataclass(frozen=True)
class PolicyPlay:
    """Policies that were trained on one forecaster, one a fold, on one account at every level of costs.

    Args:
        folders: Theirs, in order; starts: the decision with which each begins.
        net: Number of the market with costs as configured.
    """

    path: Path
    folders: tuple[Path, ...]
    starts: tuple[int, ...]
    markets: tuple[MarketEnv, ...]
    net: int

    def play(self) -> dict[str, Played]:
        """Under the name ``ppo``."""
        from foretrade.agents.store import load_policy

        relay = Relay([load_policy(folder) for folder in self.folders], self.starts)
        return {"ppo": play_agent(relay, self.markets, delayed_at=self.net)}


@dataclass(frozen=True)
class CoalitionTask:
    """Every coalition of members, traded by one rule at costs as configured.

    Args:
        env: A market that shows what the rule reads of the whole coalition.
        features: Other columns that the rule reads.
        means: Forecasts of the members, ``[bars, members]``; labels: what they forecast, ``[bars]``.
    """

    path: Path
    env: MarketEnv
    rule: Rule
    limits: Rules
    features: Table
    means: Floats
    labels: Floats
    resolution_bars: int
    plan: Coalitions

    def play(self) -> dict[str, Played]:
        """By the number of the coalition; the empty one stays out."""
        targets = np.zeros((len(self.env.rows) - 1, len(self.plan.subsets)))
        for number, subset in enumerate(self.plan.subsets[1:], start=1):
            mean = self.means[:, subset].mean(axis=1)
            table = coalition_table(self.env.bars, mean, self.labels, self.resolution_bars)
            targets[:, number] = asked_weights(self.rule, self.env, self.features.join(table))
        played = play_targets(self.env, targets, (1.0,), self.limits)
        return {str(number): one for number, one in enumerate(played)}


def coalition_table(bars: Bars, mean: Floats, labels: Floats, resolution_bars: int) -> Table:
    """Columns of one coalition's forecast, as of an ensemble of its members with equal weights."""
    std = error_scale(mean, labels, resolution_bars=resolution_bars)
    parts = {"mean": mean, "std": std}
    table = Table.from_columns(
        bars, {Column(f"{COALITION}.{k}", "log return"): v[:, None] for k, v in parts.items()}
    )
    return table.join(unscaled(table, [COALITION]))


Task = PlainTask | PolicyPlay | CoalitionTask


def do(task: Task) -> None:
    """Play, and write what came out."""
    write_played(task.path, task.play())


def result(task: Task) -> dict[str, Played] | None:
    """What came out; None if it was not played yet."""
    return read_played(task.path)


@dataclass(frozen=True)
class Tasks:
    """Everything that a league plays.

    Args:
        job: Its experiment, whose forecasts are made.
    """

    job: Job

    def plain(self) -> dict[str, PlainTask]:
        """By forecaster."""
        config = self.job.config.league
        rules = [rule for rule in config.rules if rule != "ppo"]
        return {
            name: PlainTask(
                self._path(name, rules),
                config.cost_scales,
                {rule: self._entry(rule, name) for rule in rules},
            )
            for name in forecasters(self.job)
            if rules
        }

    def policies(
        self, trained: Mapping[str, Sequence[tuple[Path, ...]]]
    ) -> Iterator[tuple[str, PolicyPlay]]:
        """By forecaster, one a seed.

        Args:
            trained: Forecaster to the folders of its policies: for each seed, one a fold.
        """
        folds = self.job.config.blocks.rolled(self.job.bars, self.job.config.league.folds)
        net = self.job.config.league.cost_scales.index(1.0)
        starts = tuple(fold["test"].start - folds[0]["test"].start for fold in folds)
        for name, seeds in trained.items():
            markets = tuple(
                self.job.env(
                    "test", observe=sees("ppo", self.job, name), episodes=Episodes(cost_levels=(scale,))
                )
                for scale in self.job.config.league.cost_scales
            )
            for number, folders in enumerate(seeds):
                stamps = [file_hash(folder / "policy.safetensors") for folder in folders]
                path = self._path(f"{name}-policy-{number}", stamps)
                yield name, PolicyPlay(path, folders, starts, markets, net)

    def coalitions(self, plan: Coalitions) -> CoalitionTask:
        """By the first rule that needs no training."""
        job, rule = self.job, self.job.config.league.plain_rule
        members = tuple(map(member_name, job.config.forecast.members))
        means = np.column_stack([job.forecasts.column(f"{name}.mean")[:, 0] for name in members])
        labels = forward_returns(job.bars, job.label)[:, 0]
        own = [c for c in sees(rule, job, COALITION) if not c.startswith(f"{COALITION}.")]
        features = job.features.select(own)
        whole = coalition_table(job.bars, means.mean(axis=1), labels, job.label.resolution_bars)
        env, trader, limits = self._entry(rule, COALITION, features.join(whole))
        subsets = np.packbits(plan.subsets)
        return CoalitionTask(
            self._path("coalitions", [rule, subsets]),
            env,
            trader,
            limits,
            features,
            means,
            labels,
            job.label.resolution_bars,
            plan,
        )

    def market(self, rule: RuleName, name: str, table: Table | None = None) -> MarketEnv:
        """The test block, showing what a rule reads of one forecaster."""
        table = self.table if table is None else table
        return self.job.env("test", table=table, observe=sees(rule, self.job, name))

    def limits(self, rule: RuleName) -> Rules:
        """Of the account that trades by a rule."""
        rules, band = self.job.config.market.rules, self.job.config.league.no_trade_band
        return replace(rules, no_trade_band=band) if rule == "mean_variance" else rules

    @cached_property
    def table(self) -> Table:
        """Features and forecasts, these also in the unit that is not scaled."""
        return self.job.table.join(unscaled(self.job.forecasts, forecasters(self.job)))

    def _entry(
        self, rule: RuleName, name: str, table: Table | None = None
    ) -> tuple[MarketEnv, Rule, Rules]:
        env = self.market(rule, name, table)
        return env, plain_rule(rule, self.job, env, name), self.limits(rule)

    def _path(self, name: str, *inputs: Any) -> Path:
        """A file whose name holds the hash of everything that its content depends on."""
        job = self.job
        key = content_hash(
            name,
            *inputs,
            job.config.as_dict(),
            job.bars.content_hash,
            file_hash(job.run.path / "forecasts.parquet"),
            code_hash("", "markets", "forecasters", "envs", "agents", "backtests"),
            library_versions(*LIBRARIES),
        )
        return job.run.path / FOLDER / "played" / f"{name}-{key[:16]}.safetensors"
