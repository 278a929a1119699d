"""The price of peeking: what an agent believes that was trained on forecasts of the past that its
forecasters had already seen, and what it then earns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from foretrade.backtests.vega import Chart
from foretrade.forecasters.rolling import cache_folder
from foretrade.markets.costs import BPS
from foretrade.measuring import markdown_table, mean_interval, measured, with_interval
from foretrade.peeking_markets import (
    AGENT,
    FORECASTERS,
    Arm,
    Case,
    Found,
    best_on_the_made_market,
    index_setting,
    run_case,
)  # fmt: skip

WAYS = {"in-sample": "in_sample", "walk-forward": "walk_forward"}  # and their fields of Found
TITLES = {"made": "A market with a weak drift", "sp500": "S&P 500"}
SEEDS = {"sp500": 3, "made": 6}


def cases(*, quick: bool) -> list[Case]:
    """What takes longest first."""
    if quick:
        return [Case("made", name, 0, 327_680, 20, 0.25) for name in ("forest", "ridge")]
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
    found = measured(
        run_case,
        chosen,
        title="peek",
        depends_on=("markets", "markets/known", "forecasters", "envs", "agents", "backtests"),
        settings=repr(AGENT),
        folder=folder or cache_folder() / "peeking",
        workers=workers,
        console=console,
    )
    arms = ({name: Arm(**arm) for name, arm in values.items()} for values in found)
    return [(case, Found(**both)) for case, both in zip(chosen, arms, strict=True)]


def found_on(results: Sequence[tuple[Case, Found]], market: str) -> dict[str, list[Found]]:
    """By forecaster, one a seed."""
    by_name = {
        name: [f for c, f in results if (c.market, c.forecaster) == (market, name)]
        for name in FORECASTERS
    }
    return {name: several for name, several in by_name.items() if several}


def rows(results: Sequence[tuple[Case, Found]], market: str) -> Iterator[list[str]]:
    """A table: what each agent believed, and what it earned."""
    yield ["forecaster", "trained on forecasts", "correlation with returns", "believed net, bp a bar",
           "realised net, bp a bar", "lost by peeking", "turnover, believed", "turnover, realised",
    ]  # fmt: skip
    for name, several in found_on(results, market).items():
        lost = [f.walk_forward.realised_bps - f.in_sample.realised_bps for f in several]
        for way, field in WAYS.items():
            arms: list[Arm] = [getattr(found, field) for found in several]
            yield [
                name, way, f"{np.mean([a.correlation for a in arms]):.3f}",
                with_interval([a.believed_bps for a in arms]),
                with_interval([a.realised_bps for a in arms]),
                with_interval(lost) if field == "in_sample" else "",
                f"{np.mean([a.believed_turnover for a in arms]):.2f}",
                f"{np.mean([a.realised_turnover for a in arms]):.2f}",
            ]  # fmt: skip


def chart(results: Sequence[tuple[Case, Found]]) -> Chart:
    """On the made market: from what was believed to what was realised."""
    points = []
    for name, several in found_on(results, "made").items():
        for way, field in WAYS.items():
            for what in ("believed", "realised"):
                values = [getattr(getattr(found, field), f"{what}_bps") for found in several]
                mean, low, high = mean_interval(values)
                point = {"row": f"{name}, {way}", "mean": mean, "low": low, "high": high}
                points.append(point | {"what": what})
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
        f"Who knew the drift of the made market could earn {best_on_the_made_market():.2f} bp a bar; "
        f"buy-and-hold of the S&P 500 earned {buy_and_hold():.2f} on its test block. Intervals are "
        "those of the mean over seeds, at 95 %: of markets and agents on the made market, of agents "
        "alone on the S&P 500, where they say nothing of other histories."
    )
    return "\n\n".join(parts)


def buy_and_hold() -> float:
    """Mean return a bar of the S&P 500 on the test block, in bp."""
    setting = index_setting()
    close = setting.bars.close[setting.blocks["test"], 0]
    return float(np.mean(close[1:] / close[:-1] - 1)) / BPS
