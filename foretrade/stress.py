"""What the backtest step finds out beyond scores: stress tests, and why the agent traded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from foretrade.envs.actions import PositionActions
from foretrade.job import Job
from foretrade.progress import progress

if TYPE_CHECKING:
    from foretrade.agents.base import Agent
    from foretrade.agents.store import PolicyAgent
    from foretrade.backtests.explanation import Explanation
    from foretrade.envs.market import MarketEnv


def stress_tests(
    job: Job, contenders: Mapping[str, tuple[Agent, MarketEnv]], names: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Stress tests of the named runs, JSON-ready; the agents and their markets by name of the run."""
    from foretrade.backtests.stress import stress

    chosen, found = list(names), {}
    with progress(job.console, "backtest", {"stress tests": len(chosen)}) as show:
        for name in chosen:
            agent, env = contenders[name]
            tested = stress(agent, env, periods_per_year=job.bars.periods_per_year)
            found[name] = tested.as_dict()
            show({"stress tests": len(found)})
    return found


def explain(job: Job, name: str, agent: PolicyAgent, env: MarketEnv) -> Explanation | None:
    """Attribute the decisions of a policy on the test block, and test the attribution.

    None if the policy is recurrent: its decisions hang on more than the observation they are made on.
    """
    from foretrade.agents.attribution import (
        attribute,
        deletion_by_group,
        deletion_test,
        played_observations,
    )
    from foretrade.backtests.explanation import Explanation

    if agent.has_memory:
        return None
    actions = job.config.market.action_space
    choices = actions.weights if isinstance(actions, PositionActions) else None
    seen = played_observations(agent, env)
    found = attribute(agent, seen, choices=choices)
    groups = {entry: _group(job, entry) for entry in found.entries}
    days = env.bars.dates[env.rows.start : env.rows.start + len(seen)]
    months = found.by_group(groups).groupby(days.strftime("%Y-%m")).mean()
    tested = deletion_test(agent, seen, found, seed=job.config.seed, choices=choices)
    return Explanation(
        run=name,
        decisions=len(seen),
        gap=found.gap,
        groups=groups,
        sizes={str(entry): float(size) for entry, size in found.sizes.items()},
        months={str(k): _floats(parts) for k, parts in months.iterrows()},
        removed=deletion_by_group(agent, seen, groups, choices=choices),
        deletion=[_floats(row) for _, row in tested.iterrows()],
    )


def _floats(values: pd.Series) -> dict[str, float]:
    return {str(name): float(value) for name, value in values.items()}


def _group(job: Job, entry: str) -> str:
    if entry.startswith("account."):
        return "account"
    return "forecasts" if entry in job.forecasts.names else "features"
