"""The markets of an environment: which rows of which bars are played, and what is shown of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from foretrade.markets.arrays import Bools, Ints
from foretrade.markets.bars import Bars, DataError
from foretrade.markets.table import Table


@dataclass(frozen=True)
class View:
    """Which columns of the table an observation shows.

    Args:
        current: Shown of the last bar.
        window: Shown of the last ``lookback_bars`` bars.
        lookback_bars: At least 1.
    """

    current: tuple[str, ...]
    window: tuple[str, ...] = ()
    lookback_bars: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.window, *self.current)


@dataclass(frozen=True)
class Part:
    """One market: bars, their table, the symbols that are traded, and the rows to play in."""

    bars: Bars
    table: Table
    symbols: tuple[str, ...]
    rows: range
    known: Bools

    @property
    def assets(self) -> list[int]:
        return [self.table.symbols.index(symbol) for symbol in self.symbols]


def make_part(
    bars: Bars, table: Table, symbols: tuple[str, ...], view: View, rows: range | None
) -> Part:
    """One market, checked.

    Raises:
        DataError: The table does not match the bars, has a gap inside the rows, or holds a forecast
            whose model was fitted on something after the decision it is shown for.
    """
    if not table.closes_at.equals(bars.closes_at) or table.symbols != bars.symbols:
        raise DataError("the table is not over the same bars and symbols as the prices")
    if len(set(symbols)) != len(symbols) or not symbols:
        raise DataError(f"symbols must be one or more different ones, got {symbols}")
    traded = bars.pick(symbols)
    assets = [table.symbols.index(symbol) for symbol in symbols]
    known = np.column_stack([table.complete(view.names, asset) for asset in assets]) & traded.present
    shown: Bools = np.asarray(known.any(axis=1))
    enough = _run_lengths(shown) >= view.lookback_bars
    if rows is None:
        if not enough.any():
            raise DataError(f"{bars.source}: {', '.join(symbols)}: {_why_none(traded, view)}")
        rows = range(int(enough.argmax()), len(bars))
    part = Part(traded, table, symbols, rows, known)
    _check_rows(part, view, enough)
    return part


def _why_none(traded: Bars, view: View) -> str:
    if not traded.present.any():
        return "there is not one bar"
    return (
        f"no row has all of: {', '.join(view.names)} (over {view.lookback_bars} bars); "
        "the history is too short"
    )


def _run_lengths(good: Bools) -> Ints:
    """How many rows in a row, up to this one, are good."""
    rows = np.arange(len(good))
    return rows - np.maximum.accumulate(np.where(good, -1, rows))


def _check_rows(part: Part, view: View, enough: Bools) -> None:
    bars, table, rows = part.bars, part.table, part.rows
    if not isinstance(rows, range):
        raise ValueError(f"rows must be a range such as range(100, 500), got {rows!r}")
    if rows.step != 1 or rows.start < 0 or rows.stop > len(bars) or len(rows) < 2:
        raise DataError(f"rows {rows} must be two or more consecutive rows of {len(bars)} bars")
    gaps = [row for row in rows if not enough[row]]
    if gaps:
        row = gaps[0]
        raise DataError(
            f"{bars.source}: {', '.join(part.symbols)}: row {row} ({bars.dates[row].date()}) "
            f"{_what_lacks(part, view, row)}; {_remedy(part, rows, enough)}"
        )
    first = rows.start - view.lookback_bars + 1  # the window of the first decision shows it already
    late = table.cutoff[first : rows.stop] > table.stamps[first : rows.stop]
    if late.any():
        row = first + int(late.argmax())
        raise DataError(
            f"row {row}: its forecast comes from a model fitted up to "
            f"{pd.Timestamp(table.cutoff[row], tz='UTC')}, after the decision at "
            f"{table.closes_at[row]}; use walk-forward forecasts"
        )


def _remedy(part: Part, rows: range, enough: Bools) -> str:
    whole = _run_lengths(enough)[rows.start : rows.stop]
    last = rows.start + int(whole.argmax())
    longest = range(max(last + 1 - int(whole.max()), rows.start), last + 1)
    if len(longest) < 2:
        return "leave the column out"
    also = ", or trade it beside others: several symbols may have gaps" if len(part.symbols) == 1 else ""
    return f"play a part without gaps, of which rows={longest} is the longest{also}"


def _what_lacks(part: Part, view: View, row: int) -> str:
    asset = part.assets[0]
    if not part.bars.present[row].any():
        return "has no bar"
    lacking = [n for n in view.names if not np.isfinite(part.table.column(n)[row, asset])]
    if lacking:
        return f"lacks {', '.join(lacking)}"
    return f"has no {view.lookback_bars} complete rows up to it, which the lookback needs"
