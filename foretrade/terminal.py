"""Tables of results on a terminal, from the files that hold them."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from foretrade.backtests.league_page import NARROW

WIDE = 190  # characters that all columns need


def print_league(output: Console, folder: Path) -> None:
    """The table of a league as far as it fits, its verdict, and where its page is."""
    verdict, _, header, _, *rest = (folder / "league.md").read_text(encoding="utf-8").splitlines()
    names, rows = _cells(header), [_cells(line) for line in rest[: rest.index("")]]
    columns = range(len(names)) if output.width >= WIDE else NARROW
    title = "Test block, after all costs"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    for column in columns:
        table.add_column(names[column], justify="right" if column else "left", no_wrap=column > 0)
    for row in rows:
        table.add_row(*(row[column] for column in columns))
    output.print(table)
    output.print(verdict.strip("*"), markup=False, highlight=False)
    output.print(f"page: {folder / 'league.html'}", markup=False, highlight=False, soft_wrap=True)


def _cells(line: str) -> list[str]:
    """Of a row of a Markdown table."""
    return [cell.strip() for cell in line.strip("|").split("|")]
