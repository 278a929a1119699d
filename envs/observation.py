"""Observation: named entries of a table's rows and of the account, each bounded and causal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import gymnasium
import numpy as np
import pandas as pd

from foretrade.markets.arrays import Bools, Float32s, Floats
from foretrade.markets.table import Table

BOUND = 10.0
RMS_WINDOW_BARS = 252
HOLDING_BARS = 252  # a trade longer ago than this looks like one this long ago
LOG_RETURN = "log return"
DIMENSIONLESS = frozenset(
    {"1/sqrt(year)", "flag", "log ratio", "ratio", "return", "std", "vol", "weight", "z"}
)
"""Units of columns that are shown as they are; others are normalised by their own past."""


class ClippedColumnWarning(UserWarning):
    """A column that is shown as it is leaves the bounds of the observation, and is cut there."""


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
    """Where each entry stands in the flat observation.

    Args:
        entries: In their order.
        groups: The parts of a Dict observation: where each begins and ends, and its shape.
    """

    entries: tuple[Entry, ...]
    groups: Mapping[str, tuple[slice, tuple[int, ...]]]

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

    def space(self, *, as_dict: bool) -> gymnasium.spaces.Box | gymnasium.spaces.Dict:
        """The Gymnasium space of flat or of Dict observations."""
        if not as_dict:
            return gymnasium.spaces.Box(self.low, self.high)
        return gymnasium.spaces.Dict(
            {
                name: gymnasium.spaces.Box(self.low[at].reshape(shape), self.high[at].reshape(shape))
                for name, (at, shape) in self.groups.items()
            }
        )

    def split(self, flat: Float32s) -> dict[str, Float32s]:
        """Parts of flat observations ``[…, entries]``, as views."""
        return {
            name: flat[..., at].reshape(*flat.shape[:-1], *shape)
            for name, (at, shape) in self.groups.items()
        }


def layout(
    table: Table,
    symbols: Sequence[str],
    window: Sequence[str],
    current: Sequence[str],
    lookback_bars: int,
    *,
    shows_pending: bool,
    compounds: bool,
) -> Layout:
    """Entries of the windowed columns, of the current ones and of the account, in this order.

    Of each, the oldest bar comes first; within a bar the symbols, within a symbol the columns.
    """
    units = {column.name: column.unit for column in table.columns}
    many = len(symbols) > 1

    def column_entries(names: Sequence[str], lag: int) -> list[Entry]:
        ago = f"[t-{lag}]" if lag else ""
        return [
            Entry(
                f"{_of(symbol, many)}{name}{ago}", _unit(units[name]), -BOUND, BOUND, _how(units[name])
            )
            for symbol in symbols
            for name in names
        ]

    seen = [entry for lag in reversed(range(lookback_bars)) for entry in column_entries(window, lag)]
    now = column_entries(current, 0)
    if many:  # whether there are gaps: that would tell of the future
        now += [
            Entry(
                f"{_of(symbol, many)}has_bar",
                "flag",
                0.0,
                1.0,
                "1 if the symbol has a bar and all columns now",
            )
            for symbol in symbols
        ]
    own = account_entries(symbols, shows_pending=shows_pending, compounds=compounds)
    sizes = [len(seen), len(now), len(own)]
    shapes: list[tuple[int, ...]] = [(n,) for n in sizes]
    shapes[0] = (lookback_bars, len(symbols), len(window)) if many else (lookback_bars, len(window))
    starts = np.cumsum([0, *sizes])
    groups = {
        name: (slice(int(start), int(start + size)), shape)
        for name, start, size, shape in zip(
            ("window", "current", "account"), starts[:-1], sizes, shapes, strict=True
        )
        if size
    }
    return Layout((*seen, *now, *own), groups)


def account_entries(symbols: Sequence[str], *, shows_pending: bool, compounds: bool) -> list[Entry]:
    """What the account shows of itself; the kernel writes it in this order."""
    many, entries = len(symbols) > 1, []
    base = "equity" if compounds else "initial equity (the notional)"
    for symbol in symbols:
        own = f"{_of(symbol, many)}account"
        entries += [
            Entry(f"{own}.weight", "weight", -BOUND, BOUND, f"position value / {base}"),
            Entry(f"{own}.unrealised", "return", -BOUND, BOUND, "since the average entry price, signed"),
            Entry(
                f"{own}.bars_held", "ratio", 0.0, 1.0, f"bars since a trade / {HOLDING_BARS}, up to 1"
            ),
        ]
        if shows_pending:
            entries.append(
                Entry(f"{own}.pending", "weight", -BOUND, BOUND, f"value of the unfilled order / {base}")
            )
    return [
        *entries,
        Entry("account.drawdown", "ratio", -1.0, 0.0, "equity / highest equity of the episode − 1"),
        Entry("account.cash", "weight", -BOUND, BOUND, f"cash / {base}"),
    ]


def market_rows(table: Table, names: Sequence[str], assets: Sequence[int], known: Bools) -> Float32s:
    """Normalised, bounded values ``[bars, symbols × columns]``; row ``t`` uses rows ≤ t.

    Where a symbol is not ``known`` (``[bars, symbols]``) its entries are 0.
    """
    rows = np.empty((len(table), len(assets), len(names)), dtype=np.float32)
    for k, name in enumerate(names):
        for i, asset in enumerate(assets):
            values = np.clip(_normalise(table, name, asset), -BOUND, BOUND)
            rows[:, i, k] = np.where(known[:, i], values, 0.0)
    return rows.reshape(len(table), -1)


def clipped_rows(table: Table, name: str, assets: Sequence[int], shown: Bools) -> int:
    """How many of the ``shown`` values (``[bars, symbols]``), if shown as they are, leave the bounds."""
    if _unit_of(table, name) not in DIMENSIONLESS:
        return 0
    return int(((np.abs(table.column(name)[:, assets]) > BOUND) & shown).sum())


def _normalise(table: Table, name: str, asset: int) -> Floats:
    values, unit = table.column(name)[:, asset], _unit_of(table, name)
    if unit in DIMENSIONLESS:
        return values
    if unit == LOG_RETURN:
        squared = pd.Series(values**2).rolling(RMS_WINDOW_BARS, min_periods=1).mean().to_numpy()
        return _divided(values, np.sqrt(np.maximum(squared, 0.0)))
    past = pd.Series(values).rolling(RMS_WINDOW_BARS, min_periods=1)
    return _divided(values - past.mean().to_numpy(), past.std().to_numpy())


def _divided(values: Floats, size: Floats) -> Floats:
    """Quotients, 0 where the size is none or unknown."""
    scaled: Floats = np.divide(values, size, out=np.where(np.isnan(values), np.nan, 0.0), where=size > 0)
    return scaled


def _unit_of(table: Table, name: str) -> str:
    return table.columns[table.index(name)].unit


def _of(symbol: str, many: bool) -> str:
    return f"{symbol}:" if many else ""


def _unit(unit: str) -> str:
    if unit in DIMENSIONLESS:
        return unit
    return "rms" if unit == LOG_RETURN else "z"


def _how(unit: str) -> str:
    if unit in DIMENSIONLESS:
        return "none: the column has no dimension"
    if unit == LOG_RETURN:
        return f"divided by its own root mean square over the last {RMS_WINDOW_BARS} bars"
    return (
        f"{unit} less their mean over the last {RMS_WINDOW_BARS} bars, "
        "divided by their standard deviation there"
    )
