"""What an episode looks like: a picture of it so far, and a panel on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from foretrade.markets.orders import reasons

WIDTH_INCHES, HEIGHT_INCHES, DPI = 8.0, 5.0, 80
SPARKS = "▁▂▃▄▅▆▇█"
SPARK_BARS = 60


def draw_episode(
    steps: list[dict[str, Any]], title: str, symbols: Sequence[str] = ()
) -> NDArray[np.uint8]:
    """Draw the infos of an episode, the one of ``reset`` first; ``[height, width, 3]``.

    Each info needs ``date``, ``close``, ``fill_price``, ``units`` and ``equity``.
    """
    dates = pd.DatetimeIndex([step["date"] for step in steps])
    close, fills, units = (
        np.array([np.atleast_1d(step[name]) for step in steps])
        for name in ("close", "fill_price", "units")
    )
    equity = np.array([step["equity"] for step in steps])
    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    price, weight, worth = figure.subplots(3, 1, sharex=True, height_ratios=(3, 1, 2))
    _draw_prices(price, dates, close, fills, units, symbols)
    price.set_title(title, loc="left", fontsize=9)
    held = units * close / np.where(equity > 0, equity, np.inf)[:, None]
    if held.shape[1] == 1:
        weight.fill_between(dates, held[:, 0], step="post", color="#1f77b4", alpha=0.6)
    else:
        weight.step(dates, held, where="post", linewidth=0.9)
    weight.axhline(0.0, color="black", linewidth=0.5)
    weight.set_ylabel("weight")
    worth.plot(dates, equity / equity[0], color="#9467bd", linewidth=1.1)
    worth.axhline(1.0, color="black", linewidth=0.5)
    worth.set_ylabel("equity")
    for axes in (price, weight, worth):
        axes.grid(alpha=0.25)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return pixels[:, :, :3].copy()


def _draw_prices(
    axes: Axes,
    dates: pd.DatetimeIndex,
    close: NDArray[np.float64],
    fills: NDArray[np.float64],
    units: NDArray[np.float64],
    names: Sequence[str],
) -> None:
    """One price with its trades, or several relative to their first."""
    if close.shape[1] > 1:
        lines = axes.plot(dates, close / close[0], linewidth=0.9)
        if names:
            axes.legend(lines, names, fontsize=7, loc="upper left", ncols=4)
        axes.set_ylabel("price / first")
        return
    axes.plot(dates, close[:, 0], color="#444444", linewidth=1.1)
    change = np.sign(np.diff(units[:, 0], prepend=units[0, 0]))
    for side, marker, colour in ((1, "^", "#2ca02c"), (-1, "v", "#d62728")):
        at = change == side
        axes.scatter(dates[at], fills[at, 0], marker=marker, color=colour, s=18, zorder=3)
    axes.set_ylabel("price")


class TerminalPanel:
    """A panel that shows the account at its last close, and is redrawn in place."""

    def __init__(self, console: Console | None = None) -> None:
        self._live = Live(console=console or Console(), auto_refresh=False)

    def show(self, steps: list[dict[str, Any]], title: str) -> None:
        """Redraw with the infos of an episode, the one of ``reset`` first."""
        if not self._live.is_started:
            self._live.start()
        self._live.update(_panel(steps, title), refresh=True)

    def close(self) -> None:
        """Leave the last panel where it is."""
        self._live.stop()


def _panel(steps: list[dict[str, Any]], title: str) -> Panel:
    now = steps[-1]
    table = Table.grid(padding=(0, 2))
    equity = np.array([step["equity"] for step in steps])
    table.add_row("date", str(now["date"].date()), "equity", f"{equity[-1]:,.2f}")
    table.add_row("step", str(len(steps) - 1), "since start", f"{equity[-1] / equity[0] - 1:+.2%}")
    table.add_row("traded", f"{now['traded']:,.2f}", "cash", f"{now['cash']:,.2f}")
    for close, units, code in zip(
        *(np.atleast_1d(now[name]) for name in ("close", "units", "reason")), strict=True
    ):
        table.add_row("close", f"{close:,.2f}", "units", f"{units:,.2f} {', '.join(reasons(code))}")
    recent = equity[-SPARK_BARS:]
    spread = recent.max() - recent.min()
    levels = (recent - recent.min()) / spread if spread > 0 else np.zeros_like(recent)
    line = "".join(SPARKS[int(level * (len(SPARKS) - 1))] for level in levels)
    return Panel(Group(table, Text(line)), title=Text(title), expand=False)
