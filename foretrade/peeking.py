"""The price of peeking: what an agent believes that was trained on forecasts of the past that its
forecasters had already seen, and what it then earns.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from foretrade.backtests.vega import Chart
from foretrade.forecasters.rolling import cache_folder
from foretrade.measuring import markdown_table, mean_interval, measured, with_interval
from foretrade.peeking_markets import (
    AGENT,
    FORECASTERS,
    Arm,
    Case,
    Found,
    best_on_the_made_market,
    run_case,
)  # fmt: skip
from foretrade.rundir import LIBRARIES
from foretrade.storage import code_hash, file_hash, library_versions

WAYS = ("in-sample", "walk-forward")
TITLES = {"made": "A market with a weak drift", "sp500": "S&P 500"}
SEEDS = {"sp500": 3, "made": 6}


def cases(*, quick: bool) -> list[Case]:
    """What takes longest first."""
    if quick:
        return [Case("made", name, 0, 8192, 20, 0.25) for name in ("forest", "ridge")]
    return [
        Case(market, name, seed, AGENT.steps)
        for market, seeds in SEEDS.items()
        for seed in range(seeds)
        for name in FORECASTERS
    ]


def measure(
    chosen: Sequence[Case], *, workers: int, console: Console, folder: Path | None = None
) -> list[tuple[Case, Found]]:
    """Train and play all cases, in processes; goes on where it was interrupted."""
    code = [
        file_hash(Path(inspect.getfile(run_case))),
        code_hash("markets", "markets/known", "forecasters", "envs", "agents", "backtests"),
        *library_versions(*LIBRARIES),
        repr(AGENT),
    ]
    found = measured(
        run_case,
        chosen,
        title="peek",
        code=code,
        folder=folder or cache_folder() / "peeking",
        workers=workers,
        console=console,
    )
    arms = ({name: Arm(**arm) for name, arm in values.items()} for values in found)
    return [(case, Found(**both)) for case, both in zip(chosen, arms, strict=True)]


def told(results: Sequence[tuple[Case, Found]]) -> Iterator[tuple[str, str, str, list[Arm]]]:
    """Market, forecaster, way of forecasting, and what came of it, one a seed."""
    for market in TITLES:
        for name in FORECASTERS:
            both = [f for c, f in results if (c.market, c.forecaster) == (market, name)]
            if both:
                yield market, name, WAYS[0], [found.in_sample for found in both]
                yield market, name, WAYS[1], [found.walk_forward for found in both]


def rows(results: Sequence[tuple[Case, Found]], market: str) -> Iterator[list[str]]:
    """A table: what each agent believed, and what it earned."""
    yield ["forecaster", "trained on forecasts", "correlation with returns", "believed net, bp a bar",
           "realised net, bp a bar", "turnover, believed", "turnover, realised"]  # fmt: skip
    for its, name, way, arms in told(results):
        if its == market:
            yield [
                name, way, f"{np.mean([a.correlation for a in arms]):.3f}",
                with_interval([a.believed_bps for a in arms]),
                with_interval([a.realised_bps for a in arms]),
                f"{np.mean([a.believed_turnover for a in arms]):.2f}",
                f"{np.mean([a.realised_turnover for a in arms]):.2f}",
            ]  # fmt: skip


def chart(results: Sequence[tuple[Case, Found]]) -> Chart:
    """On the made market: from what was believed to what was realised."""
    points = []
    for market, name, way, arms in told(results):
        if market == "made":
            for what in ("believed", "realised"):
                mean, low, high = mean_interval([getattr(a, f"{what}_bps") for a in arms])
                points.append(
                    {"row": f"{name}, {way}", "what": what, "mean": mean, "low": low, "high": high}
                )
    order = list(dict.fromkeys(point["row"] for point in points))
    y = {"field": "row", "type": "nominal", "sort": order, "title": None, "axis": {"labelLimit": 220}}
    x = {"field": "mean", "type": "quantitative", "title": "net return, bp a bar"}
    scale = {"domain": ["believed", "realised"], "range": ["#d62728", "#1f77b4"]}
    hue = {"field": "what", "type": "nominal", "scale": scale}
    data = {"name": "points"}
    spec = {
        "height": {"step": 34},
        "layer": [
            {
                "data": data,
                "mark": {"type": "line", "color": "#9aa5b1", "strokeWidth": 2},
                "encoding": {"y": y, "x": x, "detail": {"field": "row"}},
            },
            {
                "data": data,
                "mark": {"type": "rule", "strokeWidth": 5, "opacity": 0.35},
                "encoding": {"y": y, "x": {**x, "field": "low"}, "x2": {"field": "high"}, "color": hue},
            },
            {
                "data": data,
                "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
                "encoding": {"y": y, "x": x, "color": hue},
            },
        ],
    }
    note = "Mean over seeds, with its 95 % interval."
    return Chart("Believed and realised", spec, {"points": pd.DataFrame(points)}, note)


def report(results: Sequence[tuple[Case, Found]]) -> str:
    """Both tables in Markdown."""
    parts = []
    for market, title in TITLES.items():
        seeds = len({case.seed for case, _ in results if case.market == market})
        if seeds:
            parts += [f"### {title}: {seeds} seeds", markdown_table(rows(results, market))]
    parts.append(
        f"Who knew the drift of the made market could earn {best_on_the_made_market():.2f} bp a bar. "
        "Intervals are those of the mean over seeds, at 95 %."
    )
    return "\n\n".join(parts)
