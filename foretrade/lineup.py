"""Who competes on the test block: trained policies, rules, and every forecaster by one rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foretrade.envs.market import MarketEnv
from foretrade.forecasters.names import member_name
from foretrade.job import Job

if TYPE_CHECKING:
    from foretrade.backtests.league import Strategy

WITH_FORECASTS, WITHOUT_FORECASTS = "ppo", "ppo-without-forecasts"
SEES_FORECASTS = {WITH_FORECASTS: True, WITHOUT_FORECASTS: False}
BENCHMARK, BENCHMARK_RUN = "Buy and hold", "buy-and-hold"
BENCHMARK_RUNS = (BENCHMARK_RUN, "flat")


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


def rules(job: Job, env: MarketEnv) -> dict[str, Any]:
    """Rules that trade within the agent's own bounds, by the name of their run."""
    from foretrade.agents import baselines

    place = (env.layout, env.actions)
    trend = f"trend_{job.config.features.trend_bars}"
    volatility = f"volatility_{job.config.features.volatility_bars[0]}"
    rules: dict[str, Any] = {"moving-average": baselines.MovingAverageTrend(*place, column=trend)}
    for name in forecasters(job):
        column = f"{name}.mean"
        rules[f"sign-{name}"] = baselines.FollowForecast(*place, column=column)
        rules[f"voltarget-{name}"] = baselines.VolatilityTarget(
            *place,
            column=column,
            volatility_column=volatility,
            target_volatility=job.config.target_volatility,
        )
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
    agents = [
        Strategy("PPO", policy_names(job, WITH_FORECASTS), "sees features, forecasts, account"),
        Strategy(
            "PPO without forecasts", policy_names(job, WITHOUT_FORECASTS), "sees features, account"
        ),
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
    return agents + singles
