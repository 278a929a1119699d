"""Tables of a report beside the league's: header and lines of text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foretrade.backtests.cells import interval, number, percent
from foretrade.backtests.engine import Run
from foretrade.backtests.explanation import Explanation
from foretrade.backtests.league import Row
from foretrade.backtests.ratios import ratios_of
from foretrade.backtests.returns import is_defined, until_ruin
from foretrade.backtests.significance import minimum_track_record
from foretrade.backtests.stress import Stress

RATIO_NOTE = (
    "PSR: probability that the true Sharpe ratio is positive. Needed: years after which a Sharpe ratio "
    "like this one would be above zero with 95 % confidence, if it lasts (minimum track record). Value "
    "at risk and expected shortfall: at 5 %, historical, a bar. Alpha and beta: against buy and hold. "
    "Refused: share of orders that were cut, rounded, refused or overruled."
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
    """

    cells: tuple[str, ...]
    note: str = ""
    link: str = ""
    idealised: bool = False


Table = tuple[list[str], list[Line]]


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
        lines.append(Line(cells))
    return header, lines


def break_even_words(one: Stress) -> str:
    """The multiple of all costs at which nothing is left, for people."""
    if math.isnan(one.break_even):
        return "–"
    if one.break_even == 0:
        return "none: loses without costs"
    if math.isinf(one.break_even):
        return f"above {one.cost_scales[-1]:g}×"
    return f"{one.break_even:.2f}×"


def ratio_table(
    rows: Sequence[Row], runs: Mapping[str, Run], benchmark: Run, periods_per_year: float
) -> Table:
    """What else is worth knowing of a strategy; a dash is undefined."""
    header = [
        "Strategy", "PSR", "Needed", "Sortino", "Calmar", "Alpha", "Beta", "Best month", "Worst month",
        "Value at risk", "Expected shortfall", "Win rate", "Payoff", "Longest drawdown", "Long", "Short",
        "Trades / year", "Refused",
    ]  # fmt: skip
    lines = []
    for row in rows:
        run, scores = runs[row.median_run], row.scores
        other = None if run.name == benchmark.name else benchmark
        ratios = ratios_of(run, other, periods_per_year)
        growth, shape, exposure, relative = ratios.growth, ratios.shape, ratios.exposure, ratios.relative
        cells = (
            row.strategy.label,
            number(scores.psr),
            _years(run, periods_per_year),
            number(scores.sortino),
            number(scores.calmar),
            "" if relative is None else percent(relative.alpha),
            "" if relative is None else number(relative.beta),
            percent(growth.best_month),
            percent(growth.worst_month),
            percent(shape.value_at_risk, 2),
            percent(shape.expected_shortfall, 2),
            percent(shape.win_rate, 0),
            number(shape.payoff),
            _whole(ratios.drawdowns.longest_days, " days"),
            percent(exposure.long, 0),
            percent(exposure.short, 0),
            _whole(exposure.trades),
            percent(exposure.refused, 0),
        )
        lines.append(Line(cells))
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


def _years(run: Run, periods_per_year: float) -> str:
    """Minimum track record length; a dash where there is nothing to prove."""
    returns, _ = until_ruin(run.returns)
    if not is_defined(returns):
        return "–"
    bars = minimum_track_record(returns.to_numpy())
    return f"{bars / periods_per_year:.1f} years" if math.isfinite(bars) else "–"


def _formed(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def _whole(value: float, unit: str = "") -> str:
    return "–" if math.isnan(value) else f"{value:.0f}{unit}"
