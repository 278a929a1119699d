"""Results as a terminal shows them, and tables spliced into pages of Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from foretrade.errors import ForetradeError
from foretrade.storage import write_text

if TYPE_CHECKING:
    from foretrade.ablation import Ablation
    from foretrade.backtests.report import Report
    from foretrade.backtests.trials import Ledger
    from foretrade.markets.bars import Bars
    from foretrade.proof import Results
    from foretrade.tuning_page import TuningPage

MARKERS = ("<!-- foretrade table -->", "<!-- /foretrade table -->")
WIDE = 190  # characters that all columns need


def print_league(output: Console, folder: Path) -> None:
    """The table of a league as far as it fits, its verdict, and where its page is."""
    from foretrade.backtests.league_page import NARROW

    lines = unescape((folder / "league.md").read_text(encoding="utf-8")).splitlines()
    begin = next(k for k, line in enumerate(lines) if line.startswith("|"))
    *first, verdict = [line.strip("*") for line in lines[:begin] if line]
    header, _, *rest = lines[begin:]
    names, rows = _cells(header), [_cells(line) for line in rest[: rest.index("")]]
    columns = range(len(names)) if output.width >= WIDE else NARROW
    title = "Test block, after all costs"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    for column in columns:
        table.add_column(names[column], justify="right" if column else "left", no_wrap=column > 0)
    for row in rows:
        table.add_row(*(row[column] for column in columns))
    for text in first:
        output.print(text, style="bold red", markup=False, highlight=False)
    output.print(table)
    output.print(verdict, markup=False, highlight=False)
    output.print(f"page: {folder / 'league.html'}", markup=False, highlight=False, soft_wrap=True)


def print_tuning(output: Console, folder: Path, page: TuningPage) -> None:
    """The best trials, what of it may be luck, and what to do with the winner."""
    header, rows = page.table()
    table = Table(title="Validation block, after all costs", box=box.SIMPLE_HEAD, title_justify="left")
    for name in header:
        table.add_column(name, justify="right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    output.print(table)
    for text in page.verdict():
        output.print(text, markup=False, highlight=False)
    for text in (f"page: {folder / 'tune.md'}", f"next: foretrade run {folder / 'best.toml'}"):
        output.print(text, markup=False, highlight=False, soft_wrap=True)


def print_checks(output: Console, results: Mapping[str, str]) -> bool:
    """What became of each check; whether all passed."""
    for name, result in results.items():
        colour = "green" if result == "passed" else "red"
        output.print(f"[{colour}]{name}[/{colour}]: {result}", highlight=False)
    return all(result == "passed" for result in results.values())


def print_report(output: Console, folder: Path, page: Report) -> None:
    """The league table of a run as far as it fits, the verdict, and where the report is."""
    from foretrade.backtests.league import table_cells, terminal_columns

    header, rows = table_cells(page.rows)
    title = f"{page.title}, test block, after all costs"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    columns = terminal_columns(output.width)
    for column in columns:
        table.add_column(header[column], justify="right" if column else "left", no_wrap=column > 0)
    for row in rows:
        table.add_row(*(row[column] for column in columns))
    for text in page.notices():
        output.print(text, style="bold red", markup=False, highlight=False)
    output.print(table)
    output.print(page.verdict(), markup=False, highlight=False)
    output.print(f"report: {folder / 'report.html'}", markup=False, highlight=False, soft_wrap=True)


def print_ablation(output: Console, member: str, rows: Sequence[Ablation]) -> None:
    """Out-of-sample scores of a member's variants, one row each."""
    table = Table(title=f"{member}, validation block", box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("training rows", "IC", "t", "R²_OS", "RMSE, bp", "Diebold-Mariano p", "incidents"):
        table.add_column(name, justify="left" if name == "training rows" else "right")
    for row in rows:
        p = "–" if math.isnan(row.diebold_mariano_p) else f"{row.diebold_mariano_p:.2f}"
        cells = (f"{row.ic:.3f}", f"{row.ic_t:.1f}", f"{row.r2_os:.2%}", f"{1e4 * row.rmse:.2f}", p)
        table.add_row(row.variant, *cells, str(row.incidents))
    output.print(table)


def print_proof(output: Console, results: Results, *, quick: bool) -> None:
    """The table of a proof as far as it fits, and what falls short."""
    from foretrade.proof import reached
    from foretrade.proof_page import NARROW, rows

    header, *lines = rows(results)
    columns = range(len(header)) if output.width >= WIDE else NARROW
    title = "PPO on markets with known answers, on fresh bars" + (" (quick form)" if quick else "")
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    for column in columns:
        table.add_column(header[column])
    for line in lines:
        table.add_row(*(line[column] for column in columns))
    output.print(table)
    short = [case.key for case, outcomes in results if not reached(case, outcomes)]
    verdict = f"short of what is needed: {', '.join(short)}" if short else "all reached"
    output.print(verdict, style="bold red" if short else "", markup=False, highlight=False)


def print_trials(output: Console, ledger: Ledger) -> None:
    """How much was tried on which prices, and what the best of as many would show by luck."""
    from foretrade.counting import summarise

    title = "Trials; Sharpe ratios a bar on the test block, best and best by luck"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    for name in ("data", "symbol", "trials", "validation", "test", "bars", "best", "luck"):
        table.add_column(name, no_wrap=True, justify="left" if name in ("data", "symbol") else "right")
    table.add_column("which", overflow="fold")
    for row in summarise(ledger):
        table.add_row(*row)
    output.print(table)


def print_bars(output: Console, bars: Bars) -> None:
    """What is in a data set, and what is worth a look."""
    from foretrade.markets.cleaning import inspect_bars

    lines = {
        "source": bars.source,
        "symbols": ", ".join(bars.symbols),
        "bars": f"{len(bars)} of {bars.frequency}, {bars.periods_per_year:g} a year",
        "first close": str(bars.closes_at[0].tz_convert(bars.timezone)),
        "last close": str(bars.closes_at[-1].tz_convert(bars.timezone)),
        "content hash": bars.content_hash,
    }
    for key, value in lines.items():
        output.print(f"{key:<13} {value}", markup=False, highlight=False, soft_wrap=True)
    for finding in inspect_bars(bars):
        text = f"look at       {finding.symbol}: {finding.message}"
        output.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)


def splice(path: Path, text: str) -> None:
    """Replace what stands between the markers of a Markdown file.

    Raises:
        ForetradeError: The file or its markers are not there.
    """
    page = path.read_text(encoding="utf-8") if path.is_file() else ""
    start, end = (page.find(marker) for marker in MARKERS)
    if not 0 <= start < end:
        raise ForetradeError(f"{path}: needs the lines {MARKERS[0]} and {MARKERS[1]}, in this order")
    write_text(path, f"{page[: start + len(MARKERS[0])]}\n{text}{page[end:]}")


def _cells(line: str) -> list[str]:
    """Of a row of a Markdown table."""
    return [cell.strip() for cell in line.strip("|").split("|")]
