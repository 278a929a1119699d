"""What an episode looks like: a picture of it so far, and a panel on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from foretrade.markets.arrays import AnyArray, Floats
from foretrade.markets.reasons import reasons

WIDTH_INCHES, HEIGHT_INCHES, DPI = 8.0, 5.0, 80
SPARKS = "▁▂▃▄▅▆▇█"
SPARK_BARS = 60
ONE_WEEK = np.timedelta64(7, "D")


class Trade(NamedTuple):
    """One trade of an episode: number of the step and of the symbol, +1 or −1, and price."""

    step: int
    symbol: int
    side: int
    price: float


def trades(steps: Sequence[dict[str, Any]]) -> list[Trade]:
    """What was bought and sold, and where it filled.

    Splits and the seams of bootstrapped paths change units without a trade. What margin calls and ruin
    sold at is not told, so they are left out.
    """
    found = []
    for number, step in enumerate(steps):
        for symbol, of_symbol in enumerate(_by_symbol(step)):
            found += [Trade(number, symbol, side, price) for side, price in _trades(**of_symbol)]
    return found


TRADED = ("units", "carried", "requested", "reason", "close", "fill_price", "exit_price")


def _by_symbol(step: dict[str, Any]) -> list[dict[str, float]]:
    values = np.array([np.atleast_1d(step[name]) for name in TRADED]).T
    return [dict(zip(TRADED, row, strict=True)) for row in values.tolist()]


def _trades(
    units: float,
    carried: float,
    requested: float,
    reason: float,
    close: float,
    fill_price: float,
    exit_price: float,
) -> list[tuple[int, float]]:
    """Side and price of each trade of a symbol in a step."""
    change, why = units - carried, set(reasons(reason))
    side = int(np.sign(change))
    if why & {"stop_loss", "take_profit"}:
        if side:
            return [(side, exit_price)]
        side = int(np.sign(requested))  # opened and closed again in the same bar
        return [(side, fill_price), (-side, exit_price)]
    if not side or why & {"margin", "ruin"}:
        return []
    return [(side, close if "delisted" in why else fill_price)]


def draw_episode(
    steps: list[dict[str, Any]], title: str, symbols: Sequence[str] = ()
) -> NDArray[np.uint8]:
    """Draw an episode; ``[height, width, 3]``. See :func:`episode_figure`."""
    figure = episode_figure(steps, title, symbols)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return pixels[:, :, :3].copy()


def episode_figure(steps: list[dict[str, Any]], title: str, symbols: Sequence[str] = ()) -> Figure:
    """Prices with trades, weights and equity over time.

    Args:
        steps: The infos of an episode, the one of ``reset`` first, and with each the ``date``, the units
            ``carried`` into the bar, and the ``exit_price`` of a stop or profit target, if one filled.
            A path that leaps from one bar to another is drawn over its steps instead of dates.
        title: Stands above.
        symbols: Names of several.
    """
    whole = all(np.diff([step["row"] for step in steps]) == 1)
    x = pd.DatetimeIndex([s["date"] for s in steps]).to_numpy() if whole else np.arange(len(steps))
    close, units = (np.array([np.atleast_1d(s[name]) for s in steps]) for name in ("close", "units"))
    equity = np.array([step["equity"] for step in steps])
    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), dpi=DPI, layout="constrained")
    price, weight, worth = figure.subplots(3, 1, sharex=True, height_ratios=(3, 1, 2))
    _draw_prices(price, x, close, trades(steps), symbols)
    price.set_title(title, loc="left", fontsize=9)
    held = units * close / np.where(equity > 0, equity, np.inf)[:, None]
    if held.shape[1] == 1:
        weight.fill_between(x, held[:, 0], step="post", color="#1f77b4", alpha=0.6)
    else:
        weight.step(x, held, where="post", linewidth=0.9)
    weight.axhline(0.0, color="black", linewidth=0.5)
    weight.set_ylabel("weight")
    worth.plot(x, equity / equity[0], color="#9467bd", linewidth=1.1)
    worth.axhline(1.0, color="black", linewidth=0.5)
    worth.set_ylabel("equity")
    if whole and len(x) == 1:  # of a single date matplotlib would show years
        worth.set_xlim(x[0] - ONE_WEEK, x[0] + ONE_WEEK)
    if whole:
        dates = ConciseDateFormatter(worth.xaxis.get_major_locator())  # type: ignore[no-untyped-call]
        worth.xaxis.set_major_formatter(dates)
    else:
        worth.set_xlabel("step")
    for axes in (price, weight, worth):
        axes.grid(alpha=0.25)
    return figure


def _draw_prices(
    axes: Axes, x: AnyArray, close: Floats, made: Sequence[Trade], names: Sequence[str]
) -> None:
    """One price, or several relative to their first, with their trades."""
    many = close.shape[1] > 1
    scale = close[0] if many else np.ones(1)
    lines = axes.plot(x, close / scale, linewidth=0.9 if many else 1.1)
    if not many:
        lines[0].set_color("#444444")
    elif names:
        axes.legend(lines, names, fontsize=7, loc="upper left", ncols=4)
    axes.set_ylabel("price / first" if many else "price")
    for side, marker, colour in ((1, "^", "#2ca02c"), (-1, "v", "#d62728")):
        its = [trade for trade in made if trade.side == side]
        at = x[[trade.step for trade in its]] if its else x[:0]
        prices = [trade.price / scale[trade.symbol] for trade in its]
        axes.scatter(at, prices, marker=marker, color=colour, s=12 if many else 18, zorder=3)


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
