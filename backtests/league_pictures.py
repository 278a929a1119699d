"""Pictures of a league, as SVG text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from foretrade.backtests.label_places import write_names
from foretrade.backtests.standings import Standing
from foretrade.backtests.worth import MemberWorth
from foretrade.pages import COLOURS, WIDTH_INCHES, axes_of, svg

REFERENCE_STYLES = (("black", "-"), ("#555555", "--"))


def sharpe_intervals(rows: Sequence[Standing], benchmark: Standing, luck: Standing) -> str:
    """Net Sharpe ratio of each row with its interval; buy-and-hold a line, random policies a band."""
    shown = [row for row in rows if not math.isnan(row.sharpe)][::-1]
    figure, axes = axes_of(0.34 * len(shown) + 1.3)
    places = np.arange(len(shown))
    values = np.array([row.sharpe for row in shown])
    reach = np.abs(
        np.array([(row.sharpe_low, row.sharpe_high) for row in shown]).reshape(-1, 2).T - values
    )
    axes.axvspan(luck.sharpe_min, luck.sharpe_max, color="#9aa5b1", alpha=0.25, label=luck.label)
    axes.axvline(benchmark.sharpe, color="black", linewidth=1.2, label=benchmark.label)
    axes.axvline(0.0, color="black", linewidth=0.6)
    axes.errorbar(values, places, xerr=reach, fmt="o", color=COLOURS[0], ecolor="#555555", capsize=3)
    axes.set_yticks(places, [row.label for row in shown])
    axes.set_xlabel("Sharpe ratio after costs, 95 % interval")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, ncols=2, fontsize=8)
    return svg(figure)


def scores_and_profits(rows: Sequence[Standing]) -> str:
    """What forecasts were worth before and after they were traded, one point a forecaster."""
    figure = Figure(figsize=(WIDTH_INCHES, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _scatter(left, rows, [row.ic for row in rows], "information coefficient")
    _scatter(right, rows, [row.r2_os for row in rows], "R² out of sample")
    right.xaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
    left.set_ylabel("mean return after costs, a year")
    left.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    figure.draw_without_rendering()  # settles where the points are on the page
    _name(left, rows, [row.ic for row in rows])
    _name(right, rows, [row.r2_os for row in rows])
    return svg(figure)


def _scatter(axes: Axes, rows: Sequence[Standing], scores: Sequence[float], name: str) -> None:
    axes.scatter(scores, [row.mean_return for row in rows], color=COLOURS[0], alpha=0.8)
    axes.axhline(0.0, color="black", linewidth=0.6)
    axes.axvline(0.0, color="black", linewidth=0.6)
    axes.margins(x=0.18, y=0.1)
    axes.set_xlabel(name)
    axes.grid(alpha=0.25)


def _name(axes: Axes, rows: Sequence[Standing], scores: Sequence[float]) -> None:
    drawn = {
        row.forecaster: (score, row.mean_return)
        for row, score in zip(rows, scores, strict=True)
        if math.isfinite(score + row.mean_return)
    }
    write_names(axes, list(drawn.values()), list(drawn))


def worths(worth: Mapping[str, Sequence[MemberWorth]]) -> str:
    """Shapley value and leave-one-out of each member with intervals, one panel a value."""
    most = max(len(members) for members in worth.values())
    figure = Figure(figsize=(WIDTH_INCHES, 0.5 * most + 1.7), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(worth)))
    for axes, (title, members) in zip(panels, worth.items(), strict=True):
        places = np.arange(len(members))[::-1]
        for shift, kind, colour, label in (
            (0.2, "shapley", COLOURS[0], "Shapley value"),
            (-0.2, "left_out", COLOURS[4], "with it less without it"),
        ):
            values = np.array([getattr(m, kind) for m in members])
            ends = np.array([(getattr(m, f"{kind}_low"), getattr(m, f"{kind}_high")) for m in members])
            axes.barh(
                places + shift,
                values,
                0.38,
                xerr=np.abs(ends.T - values),
                color=colour,
                alpha=0.75,
                ecolor="#555555",
                label=label,
            )
        axes.set_yticks(places, [m.member for m in members])
        axes.axvline(0.0, color="black", linewidth=0.7)
        axes.set_title(title, fontsize=9)
        if "return" in title:
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.grid(axis="x", alpha=0.25)
    # above the panels: an interval may reach anywhere in them
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", frameon=False, ncols=2, fontsize=8)
    return svg(figure)


def cost_sweep(
    rows: Sequence[Standing], references: Sequence[Standing], cost_scales: Sequence[float]
) -> str:
    """Sharpe ratio at each level of costs; 1 is as configured."""
    figure, axes = axes_of(4.2)
    for row, colour in zip(rows, COLOURS, strict=False):
        axes.plot(
            cost_scales, row.level_sharpes, marker="o", label=row.label, color=colour, linewidth=1.2
        )
    for row, (colour, line) in zip(references, REFERENCE_STYLES, strict=False):
        axes.plot(cost_scales, row.level_sharpes, line, label=row.label, color=colour, linewidth=1.2)
    axes.axhline(0.0, color="black", linewidth=0.6)
    axes.axvline(1.0, color="black", linewidth=0.6)
    axes.set_xlabel("level of costs (1: as configured)")
    axes.set_ylabel("Sharpe ratio")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    return svg(figure)
