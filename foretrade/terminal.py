"""What commands print: tables and descriptions, for a console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from foretrade.counting import summarise

if TYPE_CHECKING:
    from foretrade.backtests.trials import Ledger
    from foretrade.markets.bars import Bars


def print_trials(ledger: Ledger, console: Console) -> None:
    """How much was tried on which bars, and what the best would show by luck."""
    title = "Trials; Sharpe ratios a bar, best and best by luck"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    for name in ("data", "symbol", "block", "bars", "trials", "best", "luck"):
        table.add_column(name, no_wrap=True, justify="right" if name in ("trials", "best") else "left")
    table.add_column("which", overflow="fold")
    for row in summarise(ledger):
        table.add_row(*row)
    console.print(table)


def print_bars(bars: Bars, console: Console) -> None:
    """What is in a data set, and what is wrong with it."""
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
        console.print(f"{key:<13} {value}", markup=False, highlight=False, soft_wrap=True)
    for finding in inspect_bars(bars):
        text = f"look at       {finding.symbol}: {finding.message}"
        console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)
