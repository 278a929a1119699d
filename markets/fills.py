"""Fills: at which price, and how many bars after its decision, an order trades."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from foretrade.markets.arrays import Floats
from foretrade.markets.bars import Bars

Fill: TypeAlias = Literal["next_open", "next_close", "same_close"]
"""``same_close`` fills at the price the decision has just seen: an idealisation, never a default."""

STALE_SHARE_WORTH_A_WARNING = 0.05


class StaleOpenWarning(UserWarning):
    """Opens repeat the previous close, so that a next-open fill trades at the decision's price."""


def fill_lag_bars(fill: Fill) -> int:
    """Bars between the decision and its fill."""
    return 0 if fill == "same_close" else 1


def fill_prices(bars: Bars, fill: Fill) -> Floats:
    """Price at which an order may fill within each bar, ``[bars, symbols]``."""
    return bars.open if fill == "next_open" else bars.close


def stale_opens(bars: Bars) -> Floats:
    """Share of each symbol's opens that equal the close of the bar before, ``[symbols]``."""
    pairs = bars.present[1:] & bars.present[:-1]
    equal = pairs & (bars.open[1:] == bars.close[:-1])
    share: Floats = equal.sum(axis=0) / np.maximum(pairs.sum(axis=0), 1)
    return share


def stale_open_message(bars: Bars, symbol: str) -> str | None:
    """What to tell a user about opens that repeat the close before; None if there are few."""
    share = float(stale_opens(bars)[bars.column(symbol)])
    if share < STALE_SHARE_WORTH_A_WARNING:
        return None
    return (
        f"{bars.source}: {symbol}: {share:.1%} of the opens equal the previous close; there a fill "
        "at the next open trades at the price the decision was made on, a fill at the next close "
        "does not"
    )
