"""Who competes on the test block: trained policies, rules, and every forecaster by one rule."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from foretrade.config import RuleName
from foretrade.envs.market import MarketEnv
from foretrade.forecasters.names import member_name
from foretrade.job import Job
from foretrade.markets.table import Column, Table

if TYPE_CHECKING:
    from foretrade.agents.baselines import Rule
    from foretrade.backtests.league import Strategy

BENCHMARK, BENCHMARK_RUN = "Buy and hold", "buy-and-hold"
BENCHMARK_RUNS = (BENCHMARK_RUN, "flat")


def agents(job: Job) -> dict[str, bool]:
    """Learning agents, named after their algorithm, and whether each sees forecasts."""
    algorithm = job.config.algorithm
    return {algorithm: True, f"{algorithm}-without-forecasts": False}


def policy_names(job: Job, agent: str) -> tuple[str, ...]:
    """Runs of one agent, one a seed."""
    return tuple(f"{agent}-seed-{seed}" for seed in job.config.policy_seeds)


def forecasters(job: Job) -> tuple[str, ...]:
    """The ensemble, further fusions, its members and the naive ones beside them."""
    config = job.config.forecast
    fused = (f"ensemble_{fusion}" for fusion in config.also_fused_by)
    return ("ensemble", *fused, *map(member_name, (*config.members, *config.baselines)))


def means(job: Job) -> list[str]:
    """Their columns in the forecast table."""
    return [f"{name}.mean" for name in forecasters(job)]


def unscaled(forecasts: Table, names: Iterable[str]) -> Table:
    """Means and stds as ``<name>.mean.unscaled``, in a unit that tells markets not to scale them."""
    wanted = [f"{name}.{part}" for name in names for part in ("mean", "std")]
    columns = tuple(Column(f"{name}.unscaled", "return") for name in wanted)
    return replace(forecasts.select(wanted), columns=columns)


def sees(rule: RuleName, job: Job, name: str) -> list[str]:
    """Columns that a rule reads to trade one forecaster."""
    return {
        "sign": [f"{name}.mean"],
        "volatility_target": [f"{name}.mean", _volatility(job)],
        "mean_variance": [f"{name}.mean.unscaled", f"{name}.std.unscaled"],
        "ppo": [f"{name}.mean", f"{name}.std"],
    }[rule]


def plain_rule(rule: RuleName, job: Job, env: MarketEnv, name: str) -> Rule:
    """A rule that trades one forecaster and needs no training."""
    from foretrade.agents import baselines

    place, mean = (env.layout, env.actions), f"{name}.mean"
    if rule == "sign":
        return baselines.FollowForecast(*place, column=mean)
    if rule == "volatility_target":
        return baselines.VolatilityTarget(
            *place,
            column=mean,
            volatility_column=_volatility(job),
            target_volatility=job.config.target_volatility,
        )
    column, std = sees(rule, job, name)
    return baselines.MeanVariance(
        *place,
        column=column,
        std_column=std,
        risk_aversion=job.config.league.risk_aversion,
        max_weight=max(map(abs, env.actions.bounds())),
    )


def _volatility(job: Job) -> str:
    return f"volatility_{job.config.features.volatility_bars[0]}"


def rules(job: Job, env: MarketEnv) -> dict[str, Any]:
    """Rules that trade within the agent's own bounds, by the name of their run."""
    from foretrade.agents.baselines import MovingAverageTrend

    trend = f"trend_{job.config.features.trend_bars}"
    rules: dict[str, Any] = {"moving-average": MovingAverageTrend(env.layout, env.actions, column=trend)}
    for name in forecasters(job):
        rules[f"sign-{name}"] = plain_rule("sign", job, env, name)
        rules[f"voltarget-{name}"] = plain_rule("volatility_target", job, env, name)
    return rules


def benchmarks(env: MarketEnv) -> dict[str, Any]:
    """Buy-and-hold and cash, by the name of their run, for a market that allows weights 0 to 1."""
    from foretrade.agents.baselines import Constant

    place = (env.layout, env.actions)
    return {BENCHMARK_RUN: Constant(*place, weight=1.0), "flat": Constant(*place, weight=0.0)}


def strategies(job: Job) -> list[Strategy]:
    """Rows of the league table, the agent first."""
    from foretrade.backtests.league import Strategy

    target = f"{job.config.target_volatility:.0%} volatility"
    label = job.config.training.label
    seeing, blind = (policy_names(job, agent) for agent in agents(job))
    contenders = [
        Strategy(label, seeing, "sees features, forecasts, account"),
        Strategy(f"{label} without forecasts", blind, "sees features, account"),
        Strategy(BENCHMARK, (BENCHMARK_RUN,), "weight 1"),
        Strategy("Ensemble, sign", ("sign-ensemble",), "long or short by the forecast's sign"),
        Strategy("Ensemble, vol. target", ("voltarget-ensemble",), f"sign, sized to {target}"),
        Strategy("Moving average", ("moving-average",), "long above it, short below"),
        Strategy("Flat", ("flat",), "cash"),
    ]
    singles = [
        Strategy(f"{name}, vol. target", (f"voltarget-{name}",), f"sign, sized to {target}")
        for name in forecasters(job)[1:]
    ]
    return contenders + singles
