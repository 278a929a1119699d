"""A picture as one Vega-Lite specification: drawn once as SVG, and again by the reader's browser.

The page carries Vega's JavaScript once, beside the data; without JavaScript one sees the SVG. Both come
from ``vl-convert-python``, which needs no network. Expressions are interpreted (``ast``), never
compiled, so that a page may forbid ``eval``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd
import vl_convert

from foretrade.pages import data_uri

STILL_WIDTH = 1040  # pixels
DIGITS = 5

Spec = dict[str, Any]

CONFIG: Spec = {
    "background": "white",
    "font": "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif",
    "axis": {
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "gridColor": "#e8ebee",
    },
    "legend": {"labelFontSize": 12, "labelLimit": 220, "title": None, "orient": "top", "columns": 5},
    "view": {"stroke": None},
}


@dataclass(frozen=True)
class Chart:
    """One picture of a page.

    Args:
        title: Its heading.
        spec: Vega-Lite without data and width; it reads data by name.
        data: By name: tidy frames of numbers, texts and dates.
        note: What a reader must know to read it.
    """

    title: str
    spec: Spec
    data: Mapping[str, pd.DataFrame]
    note: str = ""

    def still(self) -> str:
        """The picture as the source of an image."""
        return data_uri(self.svg())

    def svg(self) -> str:
        """The picture as SVG text."""
        rows = {
            name: json.loads(_dated(frame).to_json(orient="records"))
            for name, frame in self.data.items()
        }
        spec = _without_points(self.spec) | {"width": STILL_WIDTH, "datasets": rows, "config": CONFIG}
        picture: str = vl_convert.vegalite_to_svg(spec)
        return picture

    def packed(self) -> Spec:
        """Specification and data for the browser, JSON-ready and small."""
        fit = {"type": "fit-x", "contains": "padding"}
        spec = self.spec | {"width": "container", "autosize": fit, "config": CONFIG}
        return {"spec": spec, "data": {name: _packed(frame) for name, frame in self.data.items()}}


@cache
def javascript() -> str:
    """Vega, Vega-Lite and vega-embed as one script module that sets ``window.vegaEmbed``."""
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return bundle.replace("</script", "<\\/script")


def _packed(frame: pd.DataFrame) -> dict[str, Any]:
    """Columns; texts and dates as codes into a list of labels."""
    columns: dict[str, Any] = {}
    for name, values in _dated(frame).items():
        if pd.api.types.is_numeric_dtype(values):
            columns[str(name)] = [_rounded(value) for value in values.tolist()]
        else:
            codes, labels = pd.factorize(values)
            columns[str(name)] = {"labels": list(labels), "codes": codes.tolist()}
    return columns


def _dated(frame: pd.DataFrame) -> pd.DataFrame:
    dates = {
        n: v.dt.strftime("%Y-%m-%d") for n, v in frame.items() if pd.api.types.is_datetime64_dtype(v)
    }
    return frame.assign(**{str(name): values for name, values in dates.items()})


def _rounded(value: float) -> float | int | None:
    if isinstance(value, int):
        return value
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _without_points(spec: Any) -> Any:
    """The same without the invisible points that carry tool tips."""
    if isinstance(spec, list):
        return [_without_points(item) for item in spec]
    if isinstance(spec, dict):
        return {key: _without_points(item) for key, item in spec.items() if key != "point"}
    return spec
