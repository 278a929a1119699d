"""What is suspicious in a data set: findings for a person to judge; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from foretrade.markets.bars import Bars
from foretrade.markets.fills import stale_open_message

JUMP = 0.35  # a daily move that is more often an unadjusted split than news
LONG_GAP_BARS = 7


@dataclass(frozen=True)
class Finding:
    """Something a careful reader of a backtest would want to know about the data."""

    symbol: str
    message: str


def inspect_bars(bars: Bars) -> list[Finding]:
    """Suspicious but possible values, by symbol: stale opens, jumps, gaps, zero volume, weekends."""
    return [
        Finding(symbol, message)
        for column, symbol in enumerate(bars.symbols)
        for message in _messages(bars, symbol, column)
    ]


def _messages(bars: Bars, symbol: str, column: int) -> Iterator[str]:
    present = bars.present[:, column]
    dates, close = bars.dates[present], bars.close[present, column]
    stale = stale_open_message(bars, symbol)
    if stale:
        yield stale
    moves = np.abs(np.diff(np.log(close)))
    for row in np.flatnonzero(moves > np.log1p(JUMP))[:3] + 1:
        yield (
            f"close moves {close[row] / close[row - 1] - 1:+.0%} on {dates[row].date()}: "
            "an unadjusted split? (adjust = true, if the file has an 'Adj Close')"
        )
    missing = int((~present).sum())
    if missing:
        yield f"no bar at {missing} of {len(bars)} stamps: it cannot be traded there"
    zero_volume = int((bars.volume[present, column] == 0).sum())
    if zero_volume:
        yield f"volume is zero on {zero_volume} of {len(dates)} bars"
    unchanged = float((moves == 0).mean()) if len(moves) else 0.0
    if unchanged > 0.02:
        yield f"close repeats on {unchanged:.1%} of the bars: filled forward, or rounded?"
    if bars.frequency == "1D":
        yield from _calendar_messages(dates)


def _calendar_messages(dates: pd.DatetimeIndex) -> Iterator[str]:
    weekend = int((dates.day_of_week >= 5).sum())
    if weekend:
        yield f"{weekend} bars fall on a weekend: filled forward, or a market without weekends?"
    repeated = dates[dates.duplicated()]
    if len(repeated):
        yield f"{len(repeated)} dates hold more than one bar, first {repeated[0].date()}"
    gaps = np.diff(dates.to_numpy()).astype("timedelta64[D]").astype(int)
    for row in np.flatnonzero(gaps > LONG_GAP_BARS)[:3]:
        yield f"no bar for {gaps[row]} days after {dates[row].date()}"
