"""Pictures of what is left of results at other costs and one bar later."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from foretrade.backtests.marks import colour, level, line_marks
from foretrade.backtests.stress import Stress
from foretrade.backtests.vega import Chart


def cost_chart(stressed: Mapping[str, Stress], bold: Sequence[str]) -> Chart:
    """Net Sharpe ratio at multiples of all costs, a dot where the mean return is zero."""
    rows = [
        {"strategy": label, "scale": scale, "sharpe": sharpe}
        for label, one in stressed.items()
        for scale, sharpe in zip(one.cost_scales, one.sharpes, strict=True)
        if not math.isnan(sharpe)
    ]
    points = [
        {"strategy": label, "scale": round(one.break_even, 3)}
        for label, one in stressed.items()
        if 0 < one.break_even < math.inf
    ]
    labels = list(stressed)
    lines = line_marks(labels, "net Sharpe ratio", bold, x="scale", x_title="multiple of all costs")
    lines["encoding"]["y"]["field"] = "sharpe"
    dots = {
        "data": {"name": "even"},
        "mark": {"type": "point", "filled": True, "size": 70, "tooltip": True},
        "encoding": {
            "x": {"field": "scale", "type": "quantitative"},
            "y": {"datum": 0},
            "color": colour("strategy", labels),
        },
    }
    spec = {"height": 260, "layer": [lines, level(0), *([dots] if points else [])]}
    data = {
        "lines": pd.DataFrame(rows, columns=["strategy", "scale", "sharpe"]),
        "even": pd.DataFrame(points, columns=["strategy", "scale"]),
    }
    note = (
        "Each strategy was played again at each level. Dots: break-even, where the mean return is zero."
    )
    return Chart("Costs: sweep and break-even", spec, data, note)


def delay_chart(stressed: Mapping[str, Stress]) -> Chart:
    """Net Sharpe ratio as played, and with every action one bar later."""
    when = ("in time", "one bar later")
    rows = [
        {"strategy": label, "when": name, "sharpe": sharpe}
        for label, one in stressed.items()
        for name, sharpe in zip(when, (one.sharpe, one.later_sharpe), strict=True)
        if not math.isnan(sharpe)
    ]
    axis = {
        "field": "strategy",
        "type": "nominal",
        "title": None,
        "sort": list(stressed),
        "axis": {"labelLimit": 200},
    }
    dots = {
        "mark": {"type": "point", "filled": True, "size": 80, "tooltip": True, "opacity": 1},
        "encoding": {
            "y": axis,
            "x": {"field": "sharpe", "type": "quantitative", "title": "net Sharpe ratio"},
            "color": {
                "field": "when",
                "type": "nominal",
                "scale": {"domain": list(when), "range": ["#1f77b4", "#d62728"]},
            },
        },
    }
    bars = {
        "mark": {"type": "line", "color": "#9aa5b1"},
        "encoding": {
            "y": axis,
            "x": {"field": "sharpe", "type": "quantitative"},
            "detail": {"field": "strategy"},
        },
    }
    spec = {"height": 22 * len(stressed), "data": {"name": "rows"}, "layer": [bars, dots]}
    note = "A result that needs the very next fill is one that hardly anybody gets."
    return Chart(
        "One bar later", spec, {"rows": pd.DataFrame(rows, columns=["strategy", "when", "sharpe"])}, note
    )
