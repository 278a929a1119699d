"""Observation: named entries of a table's row and of the account, each bounded and causal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from foretrade.markets.arrays import Float32s, Floats
from foretrade.markets.table import Table

BOUND = 10.0
RMS_WINDOW_BARS = 252
HOLDING_BARS = 252  # a trade longer ago than this looks like one this long ago


@dataclass(frozen=True)
class Entry:
    """One number of an observation.

    ``normalisation`` says in words how the value came from what was known at the close.
    """

    name: str
    unit: str
    low: float
    high: float
    normalisation: str


@dataclass(frozen=True)
class Layout:
    """Where each entry stands in the flat observation."""

    entries: tuple[Entry, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(entry.name for entry in self.entries)

    def index(self, name: str) -> int:
        """Position of an entry.

        Raises:
            KeyError: The observation has none of that name.
        """
        if name not in self.names:
            raise KeyError(f"no {name!r} in the observation; it has {', '.join(self.names)}")
        return self.names.index(name)

    @property
    def low(self) -> Float32s:
        return np.array([entry.low for entry in self.entries], dtype=np.float32)

    @property
    def high(self) -> Float32s:
        return np.array([entry.high for entry in self.entries], dtype=np.float32)


ACCOUNT = (
    Entry("account.weight", "weight", -BOUND, BOUND, "position value / equity"),
    Entry("account.unrealised", "log return", -BOUND, BOUND, "since the average entry price, signed"),
    Entry("account.bars_held", "ratio", 0.0, 1.0, f"bars since a trade / {HOLDING_BARS}, at most 1"),
    Entry("account.drawdown", "ratio", -1.0, 0.0, "equity / highest equity of the episode − 1"),
    Entry("account.cash", "weight", -BOUND, BOUND, "cash / equity"),
)


def market_entries(table: Table, names: Sequence[str]) -> tuple[Entry, ...]:
    """Entries for the named columns of a table."""
    units = {column.name: column.unit for column in table.columns}
    return tuple(
        Entry(name, _unit(units[name]), -BOUND, BOUND, _normalisation(units[name])) for name in names
    )


def market_rows(table: Table, names: Sequence[str], asset: int) -> Float32s:
    """Normalised, bounded values of the named columns, ``[bars, columns]``; row ``t`` uses rows ≤ t."""
    rows = np.column_stack([_normalise(table, name, asset) for name in names])
    return np.ascontiguousarray(np.clip(rows, -BOUND, BOUND), dtype=np.float32)


def _normalise(table: Table, name: str, asset: int) -> Floats:
    values = table.column(name)[:, asset]
    if table.columns[table.index(name)].unit != "log return":
        return values
    squared = pd.Series(values**2).rolling(RMS_WINDOW_BARS, min_periods=1).mean().to_numpy()
    size = np.sqrt(np.maximum(squared, 0.0))
    scaled: Floats = np.divide(values, size, out=np.where(np.isnan(values), np.nan, 0.0), where=size > 0)
    return scaled


def _unit(unit: str) -> str:
    return "rms" if unit == "log return" else unit


def _normalisation(unit: str) -> str:
    if unit == "log return":
        return f"divided by its own root mean square over the last {RMS_WINDOW_BARS} bars"
    return "none: the column is scaled by its own past already"
