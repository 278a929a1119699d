"""Pictures of the forecasts behind a result, and of what the agent made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from foretrade.backtests.explanation import Explanation
from foretrade.backtests.marks import COLOURS, colour, date_axis, level
from foretrade.backtests.vega import Chart, Spec
from foretrade.markets.arrays import Floats

PIT_BINS = 10
SHOWN_ENTRIES = 15
NORMAL_95 = 1.96
GROUP_COLOURS = {"forecasts": COLOURS[0], "features": COLOURS[4], "account": COLOURS[2]}


@dataclass(frozen=True)
class ForecastView:
    """The forecasts of a run on its test block.

    Args:
        ensemble: Log return that the ensemble forecast at each close, by date.
        weights: Of its members, by date.
        pits: Forecaster to probability integral transforms of the labels.
        inside: Whether each label lay within the ensemble's bounds, by date.
        nominal: Coverage that the bounds aim at.
    """

    ensemble: pd.Series
    weights: pd.DataFrame
    pits: Mapping[str, Floats]
    inside: pd.Series
    nominal: float


def quality_chart(scores: Mapping[str, Mapping[str, float | None]]) -> Chart:
    """Rank information coefficient of each forecaster with its white-noise interval."""
    rows = [
        {"forecaster": name, "rank IC": ic, "low": ic - reach, "high": ic + reach}
        for name, score in scores.items()
        if (ic := score["rank_ic"]) is not None
        for reach in [NORMAL_95 / np.sqrt(score["independent"] or np.inf)]
    ]
    across: Spec = {"type": "quantitative", "title": "rank information coefficient"}
    down = {"field": "forecaster", "type": "nominal", "title": None, "sort": list(scores)}
    spec = {
        "height": 24 * len(rows),
        "data": {"name": "rows"},
        "layer": [
            {
                "mark": {"type": "bar", "opacity": 0.7, "tooltip": True},
                "encoding": {"y": down, "x": across | {"field": "rank IC"}},
            },
            {
                "mark": {"type": "rule"},
                "encoding": {"y": down, "x": across | {"field": "low"}, "x2": {"field": "high"}},
            },
        ],
    }
    columns = ["forecaster", "rank IC", "low", "high"]
    return Chart(
        "Forecast quality", spec, {"rows": pd.DataFrame(rows, columns=columns)}, "Lines: ± 1.96/√n."
    )


def weights_chart(weights: pd.DataFrame) -> Chart:
    """Weights of the ensemble's members over time; columns are members, the index dates."""
    kept = every_row(weights)
    tidy = kept.rename_axis("date").reset_index().melt("date", var_name="member", value_name="weight")
    spec = {
        "height": 180,
        "data": {"name": "weights"},
        "mark": {"type": "area", "opacity": 1, "interpolate": "step-after", "tooltip": True},
        "encoding": {
            "x": date_axis(),
            "y": {"field": "weight", "type": "quantitative", "stack": "zero", "title": "weight"},
            "color": colour("member", [str(name) for name in weights.columns]),
        },
    }
    return Chart("Weights of the ensemble", spec, {"weights": tidy})


def pit_chart(pits: Mapping[str, Floats]) -> Chart:
    """Histograms of the probability integral transform."""
    edges = np.linspace(0, 1, PIT_BINS + 1)
    frames = []
    for name, values in pits.items():
        density, _ = np.histogram(values[np.isfinite(values)], bins=edges, density=True)
        steps = np.append(density, density[-1])
        frames.append(pd.DataFrame({"forecaster": name, "value": edges, "density": steps}))
    line = {
        "data": {"name": "bins"},
        "mark": {"type": "line", "interpolate": "step-after", "tooltip": True},
        "encoding": {
            "x": {
                "field": "value",
                "type": "quantitative",
                "title": "probability integral transform of the label",
            },
            "y": {"field": "density", "type": "quantitative"},
            "color": colour("forecaster", list(pits)),
        },
    }
    one = level(1)
    spec = {"height": 200, "layer": [line, one]}
    note = (
        "Flat at 1: the forecast's standard deviation is right. A hump: too wide. High ends: too narrow."
    )
    return Chart(
        "Calibration of the forecasts", spec, {"bins": pd.concat(frames, ignore_index=True)}, note
    )


def coverage_chart(inside: pd.Series, nominal: float) -> Chart:
    """Share of each month's labels inside the ensemble's bounds.

    Args:
        inside: Whether the label lay within, by date.
    """
    monthly = inside.astype(float).groupby(pd.DatetimeIndex(inside.index).to_period("M")).mean()
    starts = pd.PeriodIndex(monthly.index).to_timestamp()
    bars = {
        "data": {"name": "months"},
        "mark": {"type": "line", "point": {"opacity": 0}, "tooltip": True, "color": COLOURS[0]},
        "encoding": {
            "x": date_axis(),
            "y": {
                "field": "share",
                "type": "quantitative",
                "title": "inside the bounds",
                "axis": {"format": "%"},
                "scale": {"zero": False},
            },
        },
    }
    aim = level(nominal)
    frame = pd.DataFrame({"date": starts, "share": monthly.to_numpy()})
    return Chart(
        f"Coverage of the ensemble's {nominal:.0%} bounds, by month",
        {"height": 160, "layer": [bars, aim]},
        {"months": frame},
    )


def attribution_chart(why: Explanation) -> Chart:
    """The entries of the observation that moved the agent's target most."""
    shown = list(why.sizes)[:SHOWN_ENTRIES]
    rows = pd.DataFrame(
        {"entry": shown, "group": [why.groups[e] for e in shown], "size": [why.sizes[e] for e in shown]}
    )
    spec = {
        "height": 20 * len(rows),
        "data": {"name": "rows"},
        "mark": {"type": "bar", "tooltip": True},
        "encoding": {
            "y": {
                "field": "entry",
                "type": "nominal",
                "sort": shown,
                "title": None,
                "axis": {"labelLimit": 220},
            },
            "x": {
                "field": "size",
                "type": "quantitative",
                "title": "mean absolute attribution, in weight",
            },
            "color": _group_colour(),
        },
    }
    note = (
        f"Integrated gradients of the target weight against the mean observation, over {why.decisions} "
        f"decisions of {why.run}; they add up to within {why.gap:.1g} of a weight."
    )
    return Chart("Why the agent traded", spec, {"rows": rows}, note)


def attribution_months_chart(why: Explanation) -> Chart:
    """What pushed the target weight up and down, month by month."""
    rows = [
        {"month": pd.Timestamp(month), "group": group, "part": part}
        for month, parts in why.months.items()
        for group, part in parts.items()
    ]
    frame = pd.DataFrame(rows, columns=["month", "group", "part"]).rename(columns={"month": "date"})
    spec = {
        "height": 200,
        "data": {"name": "months"},
        "mark": {"type": "bar", "tooltip": True},
        "encoding": {
            "x": {"field": "date", "type": "temporal", "timeUnit": "utcyearmonth", "title": None},
            "y": {"field": "part", "type": "quantitative", "title": "mean push on the target weight"},
            "color": _group_colour(),
        },
    }
    return Chart("What pushed the agent, by month", spec, {"months": frame})


def deletion_chart(why: Explanation) -> Chart:
    """Change of the agent's target when the top entries, or random ones, are taken away."""
    frame = pd.DataFrame(list(why.deletion), columns=["size", "top", "random", "random_high"])
    size: Spec = {
        "field": "size",
        "type": "quantitative",
        "title": "entries replaced by their mean",
        "axis": {"values": sorted(set(frame["size"].tolist())), "format": "d"},  # no part of an entry
    }
    sets = {"top": "top attributed", "random": "random sets"}
    tidy = frame.rename(columns=sets).melt(
        "size", list(sets.values()), var_name="entries", value_name="change"
    )
    band = {
        "data": {"name": "rows"},
        "mark": {"type": "area", "opacity": 0.15, "color": "#7f7f7f"},
        "encoding": {
            "x": size,
            "y": {"field": "random", "type": "quantitative"},
            "y2": {"field": "random_high"},
        },
    }
    line = {
        "data": {"name": "tidy"},
        "mark": {"type": "line", "point": True, "tooltip": True},
        "encoding": {
            "x": size,
            "y": {
                "field": "change",
                "type": "quantitative",
                "title": "mean change of the target weight",
            },
            "color": {
                "field": "entries",
                "type": "nominal",
                "scale": {"domain": list(sets.values()), "range": [COLOURS[1], "#7f7f7f"]},
            },
        },
    }
    note = "Shaded: from the mean to the 95 % quantile of random sets of as many entries. " + (
        "The attribution holds."
        if why.holds
        else "The attribution does not beat random sets: do not rely on it."
    )
    return Chart(
        "Deletion test of the attribution",
        {"height": 220, "layer": [band, line]},
        {"rows": frame, "tidy": tidy},
        note,
    )


def every_row(frame: pd.DataFrame, rows: int = 300) -> pd.DataFrame:
    """Every k-th row, so that at most ``rows`` are left."""
    return frame.iloc[:: max(1, -(-len(frame) // rows))]


def _group_colour() -> Spec:
    domain = {"domain": list(GROUP_COLOURS), "range": list(GROUP_COLOURS.values())}
    return {"field": "group", "type": "nominal", "scale": domain}
