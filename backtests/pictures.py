"""Pictures of a report, as SVG text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from foretrade.backtests.engine import Run
from foretrade.pages import COLOURS, WIDTH_INCHES, axes_of, svg


def equity_curves(lines: Mapping[str, Run], bands: Mapping[str, Sequence[Run]]) -> str:
    """Equity relative to the start, ``bands`` shades the range over an agent's seeds."""
    figure, axes = axes_of(5.0)
    for (label, run), colour in zip(lines.items(), _colours(), strict=False):
        relative = _relative(run)
        axes.plot(relative.index, relative, label=label, color=colour, linewidth=1.3)
        if len(bands.get(label, ())) > 1:
            seeds = pd.concat([_relative(seed) for seed in bands[label]], axis=1)
            axes.fill_between(
                seeds.index, seeds.min(axis=1), seeds.max(axis=1), color=colour, alpha=0.15, linewidth=0
            )
    axes.axhline(1.0, color="black", linewidth=0.6)
    axes.set_ylabel("equity / initial equity")
    axes.legend(loc="upper left", frameon=False, ncols=2)
    return svg(figure)


def drawdowns(lines: Mapping[str, Run]) -> str:
    """Loss from the highest equity so far."""
    figure, axes = axes_of(3.4)
    for (label, run), colour in zip(lines.items(), _colours(), strict=False):
        relative = _relative(run)
        loss = relative / relative.cummax().clip(lower=1.0) - 1
        axes.plot(loss.index, loss, label=label, color=colour, linewidth=1.1)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_ylabel("drawdown")
    axes.legend(loc="lower left", frameon=False, ncols=2)
    return svg(figure)


def positions(lines: Mapping[str, Run]) -> str:
    """Weight held at each close, one panel a strategy."""
    figure = Figure(figsize=(WIDTH_INCHES, 1.25 * len(lines) + 0.5), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(lines), 1, sharex=True, sharey=True))
    for axes, (label, run), colour in zip(panels, lines.items(), _colours(), strict=False):
        held = run.weights.groupby(level=0).last()
        axes.fill_between(held.index, held, step="post", color=colour, alpha=0.6, linewidth=0)
        axes.axhline(0.0, color="black", linewidth=0.5)
        axes.set_title(label, fontsize=9, loc="left")
        axes.grid(alpha=0.25)
    panels[len(lines) // 2].set_ylabel("weight")
    return svg(figure)


def forecast_quality(scores: Mapping[str, Mapping[str, float | None]]) -> str:
    """Rank information coefficient (with its white-noise interval) and R²_OS of each forecaster."""
    figure = Figure(figsize=(WIDTH_INCHES, 0.34 * len(scores) + 1.1), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    names = list(scores)[::-1]
    for axes, key, title in (
        (left, "rank_ic", "rank information coefficient (bar: ± 1.96/√n)"),
        (right, "r2_os", "R² out of sample against the historical mean"),
    ):
        values = [scores[name][key] for name in names]
        shown = [np.nan if value is None else value for value in values]
        error = [1.96 / np.sqrt(scores[n]["independent"] or np.inf) for n in names]
        axes.barh(
            names, shown, color=COLOURS[0], alpha=0.75,
            xerr=error if key == "rank_ic" else None, ecolor="#555555",
        )  # fmt: skip
        axes.axvline(0.0, color="black", linewidth=0.7)
        axes.set_title(title, fontsize=9)
        axes.grid(axis="x", alpha=0.25)
    right.xaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
    return svg(figure)


def _relative(run: Run) -> pd.Series:
    """Equity over initial equity at the end of each day."""
    return run.equity.groupby(level=0).last() / run.initial_equity


def _colours() -> list[str]:
    return list(COLOURS) * 4
