"""The league table: one row a strategy; several seeds of one agent make one row."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from foretrade.backtests.cells import interval, markdown, number, percent
from foretrade.backtests.metrics import Scores
from foretrade.backtests.verdict import Verdict

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@dataclass(frozen=True)
class Strategy:
    """A row of the table.

    Args:
        label: As shown.
        runs: Names of its runs: one, or one a seed.
        note: What it is, in a few words.
    """

    label: str
    runs: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class Row:
    """A strategy's scores: those of its median run by Sharpe ratio, and the range over its runs.

    ``ruined`` counts the runs that lost their account; a run that never traded ranks as zero.
    """

    strategy: Strategy
    median_run: str
    scores: Scores
    sharpe_min: float
    sharpe_max: float
    ruined: int


def league_rows(strategies: Iterable[Strategy], scores: Mapping[str, Scores]) -> list[Row]:
    """Rows in the order given. Of an even number of runs the lower middle one is the median."""
    rows = []
    for strategy in strategies:
        ranked = sorted(strategy.runs, key=lambda name: _rank(scores[name]))
        median = ranked[(len(ranked) - 1) // 2]
        known = [scores[n].sharpe for n in ranked if not math.isnan(scores[n].sharpe)] or [math.nan]
        ruined = sum(scores[name].ruined for name in ranked)
        rows.append(Row(strategy, median, scores[median], known[0], known[-1], ruined))
    return rows


def league_frame(rows: Sequence[Row], verdicts: Mapping[str, Verdict]) -> pd.DataFrame:
    """The table as numbers, for ``league.csv``; texts are safe to open in a spreadsheet.

    Args:
        verdicts: On the median runs, by name; of a run without one it is undefined.
    """
    table = pd.DataFrame(
        [
            {
                "strategy": row.strategy.label,
                "runs": len(row.strategy.runs),
                "median_run": row.median_run,
                "sharpe_min": row.sharpe_min,
                "sharpe_max": row.sharpe_max,
                "ruined_runs": row.ruined,
            }
            | vars(row.scores)
            | _tested(verdicts.get(row.median_run))
            for row in rows
        ]
    )
    return spreadsheet_safe(table)


def _tested(verdict: Verdict | None) -> dict[str, float]:
    columns = {"sharpe_error": "error", "deflated": "deflated", "needed_bars": "needed_bars"}
    columns |= {name: name for name in ("difference_low", "difference_high")}
    return {
        column: math.nan if verdict is None else getattr(verdict, name)
        for column, name in columns.items()
    }


def spreadsheet_safe(frame: pd.DataFrame) -> pd.DataFrame:
    """The same table with an apostrophe before every text that a spreadsheet would run as a formula.

    Those are texts that begin with one of ``FORMULA_SIGNS``, as OWASP's page on CSV injection lists
    them; numbers stay numbers. For every CSV in which a name of a user's own can stand.
    """

    def safe(value: object) -> object:
        return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_SIGNS) else value

    return frame.map(safe).rename(columns=safe).rename(index=safe)


def terminal_columns(width: int) -> tuple[int, ...]:
    """Positions of the columns that fit a terminal of so many characters."""
    if width < 105:
        return (0, 1, 2, 5, 9)
    return (0, 1, 2, 3, 5, 7, 9) if width < 150 else tuple(range(11))


def table_cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Header and cells as text, for the terminal, Markdown and HTML alike."""
    header = [
        "Strategy", "Sharpe", "95 % interval", "Seeds", "Gross Sharpe", "CAGR", "Volatility",
        "Max drawdown", "Turnover / year", "Costs / year", "In market",
    ]  # fmt: skip
    return header, [_cells(row) for row in rows]


def markdown_table(rows: Sequence[Row], marks: Mapping[str, str] | None = None) -> str:
    """The table in GitHub's Markdown; ``marks`` follow the labels that they name."""
    header, cells = table_cells(rows)
    for row, line in zip(rows, cells, strict=True):
        line[0] += (marks or {}).get(row.strategy.label, "")
    return markdown(header, cells)


def _cells(row: Row) -> list[str]:
    s = row.scores
    several = len(row.strategy.runs) > 1
    seeds = interval(row.sharpe_min, row.sharpe_max) if several else ""
    label = row.strategy.label + (f" ({row.ruined} ruined)" if row.ruined else "")
    return [
        label,
        number(s.sharpe),
        interval(s.sharpe_low, s.sharpe_high),
        seeds,
        number(s.gross_sharpe),
        percent(s.cagr),
        percent(s.volatility),
        percent(s.max_drawdown),
        f"{s.turnover:.1f}×",
        f"{s.cost_bps:.0f} bp",
        f"{s.time_in_market:.0%}",
    ]


def _rank(scores: Scores) -> float:
    if scores.ruined:
        return -math.inf
    return 0.0 if math.isnan(scores.sharpe) else scores.sharpe
