"""What is skill at forecasting worth? Net profit against the correlation of a forecast with the truth.

On a market whose best policy is known at every skill and every cost, so that what a rule or an agent
leaves behind can be told from what was never there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from foretrade.backtests.marks import colour
from foretrade.backtests.vega import Chart
from foretrade.forecasters.rolling import cache_folder
from foretrade.markets.costs import BPS
from foretrade.measuring import markdown_table, mean_interval, measured, with_interval
from foretrade.skill_markets import AGENT, Case, Found, market_of, run_case

COSTS_BPS = (0.0, 5.0, 20.0, 50.0)
SKILLS = (0.1, 0.25, 0.5, 0.75, 1.0)
CURVE = tuple(np.linspace(0.02, 1.0, 50).round(2).tolist())
LOWEST_DRAWN = -2.0  # bp: the sign rule falls far below
TRADERS = ("optimum", "sign rule")


def cases(*, quick: bool, ppo: bool) -> list[Case]:
    """The best rule at every skill and cost, the agent at some; what takes longest first."""
    seeds = range(3 if quick else 5)
    rules = [Case("best", s, cost, seed) for cost in COSTS_BPS for s in SKILLS for seed in seeds]
    if not ppo:
        return rules
    cells = [(0.5, 20.0)] if quick else [(s, c) for c in (5.0, 20.0) for s in (0.5, 1.0)]
    steps = 2 * AGENT.environments * AGENT.rollout_bars if quick else AGENT.steps
    trained = [
        Case("ppo", skill, cost, seed, steps)
        for skill, cost in cells
        for seed in range(1 if quick else 3)
    ]
    return trained + rules


def measure(
    chosen: Sequence[Case], *, workers: int, console: Console, folder: Path | None = None
) -> list[tuple[Case, Found]]:
    """Play all cases, in processes; goes on where it was interrupted."""
    found = measured(
        run_case,
        chosen,
        title="skill",
        depends_on=("markets", "markets/known", "envs", "agents", "backtests"),
        settings=repr(AGENT),
        folder=folder or cache_folder() / "skill",
        workers=workers,
        console=console,
    )
    return [(case, Found(**values)) for case, values in zip(chosen, found, strict=True)]


def exact(skill: float, cost_bps: float) -> tuple[float, float]:
    """What the best policy and the sign rule earn a bar in the long run, in bp."""
    perceived = market_of(skill, cost_bps).perceived
    gross, turnover = perceived.average_of(0.0)
    sign = gross / BPS - cost_bps * turnover
    return perceived.optimum().average_reward / BPS, sign


def earned(results: Sequence[tuple[Case, Found]], trader: str, skill: float, cost: float) -> list[float]:
    """Net profit of one trader in one cell, one a seed."""
    cell = (trader, skill, cost)
    return [f.net_bps for c, f in results if (c.trader, c.skill, c.cost_bps) == cell]


def rows(results: Sequence[tuple[Case, Found]]) -> Iterator[list[str]]:
    """A table: what each trader earns at each skill and cost."""
    yield ["cost, bp a unit", "skill", "correlation with returns", "optimum", "sign rule",
           "best rule, played", "PPO", "of the optimum"]  # fmt: skip
    for cost in COSTS_BPS:
        for skill in SKILLS:
            best, sign = exact(skill, cost)
            correlation = market_of(skill, cost).return_correlation
            played, ppo = (earned(results, trader, skill, cost) for trader in ("best", "ppo"))
            yield [
                f"{cost:g}", f"{skill:g}", f"{correlation:.3f}", f"{best:.2f}", f"{sign:.2f}",
                with_interval(played), with_interval(ppo) if ppo else "",
                f"{np.mean(ppo) / best:.2f}" if ppo else "",
            ]  # fmt: skip


def chart(results: Sequence[tuple[Case, Found]]) -> Chart:
    """Net profit over skill: the optimum as lines, the sign rule dashed, PPO as dots."""
    labels = [f"{cost:g} bp" for cost in COSTS_BPS]
    lines = [
        {"cost": f"{cost:g} bp", "skill": skill, "trader": trader, "net": net}
        for cost in COSTS_BPS
        for skill in CURVE
        for trader, net in zip(TRADERS, exact(skill, cost), strict=True)
        if net > LOWEST_DRAWN
    ]
    dots = []
    for skill, cost in dict.fromkeys((c.skill, c.cost_bps) for c, _ in results if c.trader == "ppo"):
        mean, low, high = mean_interval(earned(results, "ppo", skill, cost))
        dots.append({"cost": f"{cost:g} bp", "skill": skill, "net": mean, "low": low, "high": high})
    x = {"field": "skill", "type": "quantitative", "title": "skill: correlation of forecast and truth"}
    y = {"field": "net", "type": "quantitative", "title": "net profit, bp a bar"}
    hue = colour("cost", labels)
    spec = {
        "height": 340,
        "layer": [
            {
                "data": {"name": "lines"},
                "mark": {"type": "line", "strokeWidth": 2},
                "encoding": {
                    "x": x,
                    "y": y,
                    "color": hue,
                    "strokeDash": {
                        "field": "trader",
                        "type": "nominal",
                        "scale": {"domain": list(TRADERS), "range": [[1, 0], [4, 4]]},
                    },
                },
            },
            {
                "data": {"name": "dots"},
                "mark": {"type": "rule", "strokeWidth": 1.5},
                "encoding": {
                    "x": x,
                    "y": {**y, "field": "low"},
                    "y2": {"field": "high"},
                    "color": hue,
                },
            },
            {
                "data": {"name": "dots"},
                "mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
                "encoding": {"x": x, "y": y, "color": hue},
            },
        ],
    }
    columns = ["cost", "skill", "net", "low", "high"]
    data = {"lines": pd.DataFrame(lines), "dots": pd.DataFrame(dots, columns=columns)}
    note = "Lines: the optimum at each cost. Dashes: the sign rule. Dots: PPO, mean and 95 % interval."
    return Chart("Skill and profit", spec, data, note)


def report(results: Sequence[tuple[Case, Found]]) -> str:
    """The table in Markdown."""
    return f"### Net profit in bp a bar\n\n{markdown_table(rows(results))}"
