"""Tables of a report beside the league's: header and lines of text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from foretrade.backtests.cells import UNDEFINED, interval, number
from foretrade.backtests.explanation import Explanation
from foretrade.backtests.league import Row
from foretrade.backtests.stress import Stress
from foretrade.backtests.verdict import Verdict

SIGNIFICANCE_NOTE = (
    "Lo error: standard error of the Sharpe ratio, autocorrelation included. PSR: probability that the "
    "true ratio is positive. Deflated: that it is above what the best of {trials} shows by luck. Less "
    "{benchmark}: the difference of both ratios, studentised bootstrap over the same bars. Needed: time "
    "after which a ratio like this one would be above zero with 95 % confidence, if it lasts (minimum "
    "track record)."
)
FORECAST_COLUMNS = {
    "IC": ("ic", "{:.3f}"),
    "Rank IC": ("rank_ic", "{:.3f}"),
    "R²_OS": ("r2_os", "{:.4f}"),
    "R² against zero": ("r2_zero", "{:.4f}"),
    "Hit rate": ("hit_rate", "{:.3f}"),
    "RMSE": ("rmse", "{:.5f}"),
    "Coverage of the 90 % bounds": ("coverage", "{:.3f}"),
    "Observations": ("observations", "{:d}"),
}


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Args:
        cells: Texts.
        note: Shown when pointed at.
        link: Where the first cell leads.
        idealised: Whether to mark it as filled at the same close.
        keys: By the place of a cell, what it is sorted by, where that is not the number it begins with.
    """

    cells: tuple[str, ...]
    note: str = ""
    link: str = ""
    idealised: bool = False
    keys: Mapping[int, str] = field(default_factory=dict)


Table = tuple[list[str], list[Line]]


def lines_of(rows: Iterable[Sequence[str]]) -> list[Line]:
    """Lines of nothing but texts."""
    return [Line(tuple(cells)) for cells in rows]


def sorting_script() -> str:
    """Sorts the tables of a page by the heading that is clicked."""
    return (Path(__file__).parent / "tables.js").read_text(encoding="utf-8")


def stress_table(rows: Sequence[Row], stress: Mapping[str, Stress]) -> Table:
    """Break-even cost, and Sharpe ratios without costs, at full and double costs, and one bar later."""
    header = [
        "Strategy",
        "Break-even cost",
        "Sharpe, no costs",
        "Sharpe",
        "Costs × 2",
        "One bar later",
        "Lost",
    ]
    lines = []
    for row in rows:
        one = stress.get(row.median_run)
        if one is None or math.isnan(one.sharpe):
            continue
        at = dict(zip(one.cost_scales, one.sharpes, strict=True))
        cells = (
            row.strategy.label,
            break_even_words(one),
            number(at[0.0]),
            number(one.sharpe),
            number(at.get(2.0, math.nan)),
            number(one.later_sharpe),
            interval(one.lost_low, one.lost_high),
        )
        lines.append(Line(cells, keys={1: _script_number(one.break_even)}))
    return header, lines


def _script_number(value: float) -> str:
    """As JavaScript reads it."""
    return "Infinity" if value == math.inf else "NaN" if math.isnan(value) else f"{value:g}"


def break_even_words(one: Stress) -> str:
    """The multiple of all costs at which nothing is left, for people."""
    if math.isnan(one.break_even):
        return "–"
    if one.break_even == 0:
        return "none: loses without costs"
    if math.isinf(one.break_even):
        return f"above {one.cost_scales[-1]:g}×"
    return f"{one.break_even:.2f}×"


def significance_table(
    rows: Sequence[Row], verdicts: Mapping[str, Verdict], benchmark: str, periods_per_year: float
) -> Table:
    """How sure each Sharpe ratio is, by itself, after so many trials, and against the benchmark.

    A dash is undefined: a run that was ruined has no verdict, and nothing differs from itself.

    Args:
        verdicts: On the median run of each strategy, by its name.
        benchmark: Label of its row.
    """
    difference = f"Less {benchmark.lower()}, 95 %"
    header = ["Strategy", "Sharpe", "Lo error", "PSR", "Deflated", difference, "Needed"]
    lines = []
    for row in rows:
        scores, label, found = row.scores, row.strategy.label, verdicts.get(row.median_run)
        cells = [label, number(scores.sharpe), UNDEFINED, number(scores.psr), *[UNDEFINED] * 3]
        if found is not None:
            cells[2] = number(found.error)
            cells[4] = number(found.deflated)
            if label != benchmark:
                cells[5] = interval(found.difference_low, found.difference_high)
            cells[6] = number(found.needed_bars / periods_per_year, ".1f", unit=" years")
        lines.append(Line(tuple(cells)))
    return header, lines


def forecast_table(scores: Mapping[str, Mapping[str, float | None]]) -> Table:
    """Scores of each forecaster."""
    lines = [
        Line((name, *(_formed(score[key], form) for key, form in FORECAST_COLUMNS.values())))
        for name, score in scores.items()
    ]
    return ["Forecaster", *FORECAST_COLUMNS], lines


def why_table(why: Explanation | None) -> Table:
    """Attribution and deletion by group of entries."""
    header = ["Group", "Entries", "Attribution, in weight", "Deleted"]
    if why is None:
        return header, []
    groups = list(why.groups.values())
    lines = [
        Line((group, str(groups.count(group)), f"{size:.3f}", f"{why.removed[group]:.3f}"))
        for group, size in why.group_sizes().items()
    ]
    return header, lines


def _formed(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)
