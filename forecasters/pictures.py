"""Pictures of forecasts, as SVG text."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from foretrade.forecasters.scores import PIT_BINS, ForecastScores
from foretrade.markets.arrays import Floats
from foretrade.pages import COLOURS, WIDTH_INCHES, axes_of, svg

NORMAL_95 = 1.96


def score_bars(scores: Mapping[str, ForecastScores]) -> str:
    """Information coefficient with its 95 % interval, and R² out of sample, of each forecast."""
    figure = Figure(figsize=(WIDTH_INCHES, 0.34 * len(scores) + 1.1), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    names = list(scores)[::-1]
    ics = np.array([scores[name].ic for name in names])
    ts = np.array([scores[name].ic_t for name in names])
    error = NORMAL_95 * np.abs(np.divide(ics, ts, out=np.full_like(ics, np.nan), where=ts != 0))
    left.barh(names, ics, xerr=error, color=COLOURS[0], alpha=0.75, ecolor="#555555")
    left.set_title("information coefficient, 95 % interval", fontsize=9)
    right.barh(names, [scores[name].r2_os for name in names], color=COLOURS[0], alpha=0.75)
    right.set_title("R² out of sample against the historical mean", fontsize=9)
    right.xaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
    for axes in (left, right):
        axes.axvline(0.0, color="black", linewidth=0.7)
        axes.grid(axis="x", alpha=0.25)
    return svg(figure)


def weights_over_time(weights: Mapping[str, pd.DataFrame]) -> str:
    """Weights of members, stacked, one panel a fusion; columns are members, the index dates."""
    figure = Figure(figsize=(WIDTH_INCHES, 1.9 * len(weights) + 0.8), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(weights), 1, sharex=True))
    for axes, (fusion, frame) in zip(panels, weights.items(), strict=True):
        colours = [COLOURS[k % len(COLOURS)] for k in range(len(frame.columns))]
        axes.stackplot(
            frame.index, frame.to_numpy().T, labels=list(frame.columns), colors=colours, alpha=0.75
        )
        axes.set_title(fusion, fontsize=9, loc="left")
        axes.margins(x=0)
    panels[len(weights) // 2].set_ylabel("weight")
    panels[0].legend(loc="upper left", frameon=True, ncols=4, fontsize=8)
    return svg(figure)


def calibration(pits: Mapping[str, Floats], coverage: pd.DataFrame, nominal: float) -> str:
    """Histograms of the probability integral transform, and coverage of the bounds over a year."""
    figure = Figure(figsize=(WIDTH_INCHES, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    edges = np.linspace(0, 1, PIT_BINS + 1)
    for (name, values), colour in zip(pits.items(), COLOURS, strict=False):
        density, _ = np.histogram(values, bins=edges, density=True)
        left.stairs(density, edges, label=name, color=colour)
        right.plot(coverage.index, coverage[name], label=name, color=colour, linewidth=1.1)
    left.axhline(1.0, color="black", linewidth=0.7)
    left.set_title("probability integral transform (flat: the std is right)", fontsize=9)
    right.axhline(nominal, color="black", linewidth=0.7)
    right.set_title(f"share of labels inside the {nominal:.0%} bounds, over 252 bars", fontsize=9)
    right.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    for axes in (left, right):
        axes.grid(alpha=0.25)
    right.legend(loc="lower left", frameon=False, fontsize=8)
    return svg(figure)


def by_regime(scores: pd.DataFrame) -> str:
    """R² out of sample in each regime; columns are regimes, the index forecasts."""
    figure, axes = axes_of(0.42 * len(scores) + 1.1)
    height, places = 0.8 / len(scores.columns), np.arange(len(scores))[::-1]
    for number, (regime, colour) in enumerate(zip(scores.columns, COLOURS, strict=False)):
        axes.barh(
            places + 0.4 - number * height,
            scores[regime],
            height,
            label=regime,
            color=colour,
            alpha=0.75,
        )
    axes.set_yticks(places, list(scores.index))
    axes.axvline(0.0, color="black", linewidth=0.7)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
    axes.set_title("R² out of sample against the historical mean, by trailing volatility", fontsize=9)
    axes.legend(loc="lower left", frameon=False, fontsize=8)
    return svg(figure)


def importances(frames: Mapping[str, pd.DataFrame]) -> str:
    """One panel a member: what its error gains without each block of its inputs, 95 % intervals."""
    rows = max(len(frame) for frame in frames.values())
    figure = Figure(figsize=(WIDTH_INCHES, 0.3 * rows + 1.1), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(frames), sharex=True))
    for axes, (name, frame), colour in zip(panels, frames.items(), COLOURS, strict=False):
        ordered = frame.sort_values("importance")
        spread = np.abs(ordered[["low", "high"]].to_numpy().T - ordered["importance"].to_numpy())
        axes.barh(
            list(ordered.index),
            ordered["importance"],
            xerr=spread,
            color=colour,
            alpha=0.75,
            ecolor="#555555",
        )
        axes.axvline(0.0, color="black", linewidth=0.7)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
        axes.set_title(name, fontsize=9)
        axes.grid(axis="x", alpha=0.25)
        axes.tick_params(labelsize=8)
    return svg(figure)
