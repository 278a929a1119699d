"""Tables of what else is worth knowing of strategies; a dash is undefined."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from foretrade.backtests.cells import number, percent
from foretrade.backtests.engine import Run
from foretrade.backtests.league import Row
from foretrade.backtests.metrics import Scores
from foretrade.backtests.ratios import Ratios, ratios_of
from foretrade.backtests.tables import Line, Table

RATIO_NOTE = (
    "Years: the last whole ones, annualised; a dash where the run is shorter. Value at risk and "
    "expected shortfall: at 5 %, historical, a bar. Skew and excess kurtosis: of the population. Ulcer "
    "performance: CAGR over the ulcer index. Return over it: CAGR over the time in market. Alpha, beta "
    "and what follows: against buy and hold. Refused: share of orders that were cut, rounded, refused "
    "or overruled."
)
Cell = Callable[[Scores, Ratios], str]


def _beside(name: str, form: str) -> Cell:
    """A number of the comparison with the benchmark; nothing for the benchmark itself."""

    def cell(scores: Scores, ratios: Ratios) -> str:
        relative = ratios.relative
        return "" if relative is None else number(getattr(relative, name), form)

    return cell


GROWTH: dict[str, Cell] = {
    "Sortino": lambda s, r: number(s.sortino),
    "Calmar": lambda s, r: number(s.calmar),
    "One year": lambda s, r: percent(r.growth.one_year),
    "Three years": lambda s, r: percent(r.growth.three_years),
    "Five years": lambda s, r: percent(r.growth.five_years),
    "Ten years": lambda s, r: percent(r.growth.ten_years),
    "Best month": lambda s, r: percent(r.growth.best_month),
    "Worst month": lambda s, r: percent(r.growth.worst_month),
    "Months won": lambda s, r: percent(r.growth.months_won, 0),
}
SHAPE: dict[str, Cell] = {
    "Value at risk": lambda s, r: percent(r.shape.value_at_risk, 2),
    "Expected shortfall": lambda s, r: percent(r.shape.expected_shortfall, 2),
    "Win rate": lambda s, r: percent(r.shape.win_rate, 0),
    "Payoff": lambda s, r: number(r.shape.payoff),
    "Profit factor": lambda s, r: number(r.shape.profit_factor),
    "Tail ratio": lambda s, r: number(r.shape.tail_ratio),
    "Skew": lambda s, r: number(r.shape.skew),
    "Excess kurtosis": lambda s, r: number(r.shape.excess_kurtosis),
    "Longest drawdown": lambda s, r: _whole(r.drawdowns.longest_days, " days"),
    "Ulcer index": lambda s, r: percent(r.drawdowns.ulcer_index, 2),
    "Ulcer performance": lambda s, r: number(r.drawdowns.ulcer_performance),
    "Recovery factor": lambda s, r: number(r.drawdowns.recovery_factor),
}
EXPOSURE: dict[str, Cell] = {
    "Time in market": lambda s, r: percent(r.exposure.time_in_market),
    "Return over it": lambda s, r: percent(r.exposure.risk_adjusted_return),
    "Long": lambda s, r: percent(r.exposure.long, 0),
    "Short": lambda s, r: percent(r.exposure.short, 0),
    "Trades / year": lambda s, r: _whole(r.exposure.trades),
    "Refused": lambda s, r: percent(r.exposure.refused, 0),
    "Alpha": _beside("alpha", ".1%"),
    "Beta": _beside("beta", ".2f"),
    "Correlation": _beside("correlation", ".2f"),
    "Tracking error": _beside("tracking_error", ".1%"),
    "Information ratio": _beside("information_ratio", ".2f"),
    "Treynor": _beside("treynor", ".1%"),
}
RATIOS = {
    "Growth": GROWTH,
    "Returns and drawdowns": SHAPE,
    "Positions, and beside buy and hold": EXPOSURE,
}


def ratio_tables(
    rows: Sequence[Row], runs: Mapping[str, Run], benchmark: Run, periods_per_year: float
) -> dict[str, Table]:
    """By title; several, because one would be wider than a page."""
    found = []
    for row in rows:
        run = runs[row.median_run]
        other = None if run.name == benchmark.name else benchmark
        found.append((row, ratios_of(run, other, periods_per_year)))
    return {
        title: (
            ["Strategy", *cells],
            [
                Line((row.strategy.label, *(cell(row.scores, ratios) for cell in cells.values())))
                for row, ratios in found
            ],
        )
        for title, cells in RATIOS.items()
    }


def _whole(value: float, unit: str = "") -> str:
    return "–" if math.isnan(value) else f"{value:.0f}{unit}"
