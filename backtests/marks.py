"""What the pictures of a report are made of: lines over days, colours, and fewer points than pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from foretrade.backtests.vega import Spec

POINTS = 1000  # of one line; a page is hardly wider in pixels
COLOURS = (
    "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#e377c2", "#bcbd22",
    "#7f7f7f", "#393b79", "#637939",
)  # fmt: skip
DATES: Spec = {  # of a tick: as fine as it stands, so that a short span names days
    "year": "%Y",
    "quarter": "%b %Y",
    "month": "%b %Y",
    "week": "%-d %b %Y",
    "date": "%-d %b %Y",
    "day": "%-d %b %Y",
}
SPACED: Spec = {"labelOverlap": "greedy", "labelSeparation": 12, "labelBound": True}
ZOOM: Spec = {  # with the shift key only, so that the page can be scrolled
    "name": "zoom",
    "select": {
        "type": "interval",
        "encodings": ["x"],
        "zoom": "wheel![event.shiftKey]",
        "translate": "[pointerdown[event.shiftKey], window:pointerup] > window:pointermove!",
    },
    "bind": "scales",
}


def thinned(values: pd.Series, points: int = POINTS) -> pd.Series:
    """At most ``points`` of a line: its ends, and of each stretch the lowest and the highest."""
    if len(values) <= points:
        return values
    stretch = np.arange(len(values)) * (points // 2 - 1) // len(values)
    plain = values.reset_index(drop=True)
    groups = plain.groupby(stretch)
    keep = np.unique(np.concatenate([[0, len(values) - 1], groups.idxmin(), groups.idxmax()]))
    return values.iloc[keep.astype(int)]


def every(values: pd.Series, points: int = 500) -> pd.Series:
    """Every k-th value, so that at most ``points`` are left."""
    return values.iloc[:: max(1, -(-len(values) // points))]


def level(value: float) -> Spec:
    """A line across the picture."""
    rule = {"type": "rule", "strokeWidth": 1, "color": "black"}
    return {"data": {"values": [{}]}, "mark": rule, "encoding": {"y": {"datum": value}}}


def date_axis() -> Spec:
    """Days as they are, whatever the reader's timezone."""
    days = {"field": "date", "type": "temporal", "timeUnit": "utcyearmonthdate"}
    return days | {"title": None, "axis": {"format": DATES} | SPACED}


def colour(field: str, labels: Sequence[str], order: Sequence[str] = ()) -> Spec:
    """One colour a name, the same in every picture that has the same names first.

    Args:
        order: Names whose places decide the colours, if more than ``labels`` are on the page.
    """
    colours = [colour_of(label, order or labels) for label in labels]
    return {"field": field, "type": "nominal", "scale": {"domain": list(labels), "range": colours}}


def colour_of(label: str, labels: Sequence[str]) -> str:
    """What :func:`colour` gives it."""
    return COLOURS[labels.index(label) % len(COLOURS)]


def line_marks(
    labels: Sequence[str],
    title: str,
    bold: Sequence[str],
    *,
    x: str = "date",
    x_title: str = "",
    form: str = "",
    zero: bool = True,
    coloured: Sequence[str] = (),
) -> Spec:
    """One line a label, of the data ``lines``: ``strategy``, ``value`` over ``x``.

    Args:
        bold: Lit at first; a click on the legend lights another.
        coloured: Labels whose places decide the colours; else ``labels`` themselves.
    """
    lit = {"condition": {"param": "lit", "value": 1}, "value": 0.25}
    across = date_axis() if x == "date" else {"field": x, "type": "quantitative", "title": x_title}
    return {
        "data": {"name": "lines"},
        "params": [
            {
                "name": "lit",
                "select": {"type": "point", "fields": ["strategy"]},
                "bind": "legend",
                "value": [{"strategy": label} for label in bold],
            },
            ZOOM,
        ],
        "mark": {
            "type": "line",
            "strokeWidth": 1.5,
            "tooltip": True,
            "point": {"opacity": 0, "size": 30},
        },
        "encoding": {
            "x": across,
            "y": {
                "field": "value",
                "type": "quantitative",
                "title": title,
                "scale": {"zero": zero},
                **({"axis": {"format": form}} if form else {}),
            },
            "color": colour("strategy", labels, coloured),
            "strokeOpacity": lit,
        },
    }


def band_marks(shaded: Sequence[str], labels: Sequence[str]) -> list[Spec]:
    """A shade each, of the data ``bands``: ``strategy``, ``low`` and ``high`` by ``date``.

    In the colours that ``labels`` have, without a scale: its legend would take the place of the lines'.
    """
    return [
        {
            "data": {"name": "bands"},
            "transform": [{"filter": {"field": "strategy", "equal": label}}],
            "mark": {"type": "area", "opacity": 0.15, "color": colour_of(label, labels)},
            "encoding": {
                "x": date_axis(),
                "y": {"field": "low", "type": "quantitative"},
                "y2": {"field": "high"},
            },
        }
        for label in shaded
    ]


def line_frame(label: str, values: pd.Series) -> pd.DataFrame:
    """Rows of one line for :func:`line_marks`."""
    return dated(thinned(values), "value").assign(strategy=label)


def dated(values: pd.Series, name: str) -> pd.DataFrame:
    """A series by date as columns ``date`` and ``name``."""
    return pd.DataFrame({"date": pd.DatetimeIndex(values.index), name: values.to_numpy()})
