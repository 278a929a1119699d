"""Table: columns over bars and symbols, every value stamped with the instant it was known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from foretrade.markets.arrays import Bools, Floats, Ints, read_only
from foretrade.markets.bars import Bars, DataError
from foretrade.storage import atomic_path, content_hash

NEVER = np.iinfo(np.int64).min
"""Cutoff of a row that no model stands behind (pandas reads it as NaT)."""


@dataclass(frozen=True)
class Column:
    """Name and unit of a column: ``"log return"``, ``"ratio"``, ``"z"``, ``"USD"``, ``"index points"``.

    Environments normalise it by its past unless its unit says that it has no dimension; see
    ``foretrade.envs.observation.DIMENSIONLESS``.
    """

    name: str
    unit: str


@dataclass(frozen=True, eq=False)
class Table:
    """What was known at each close: float64, shape ``[bars, symbols, columns]``.

    Args:
        closes_at: Close of each bar (UTC), ``[bars]``. Row ``t`` is read at ``closes_at[t]``.
        symbols: One name per symbol.
        columns: Name and unit of each column.
        values: NaN where nothing is known yet.
        known_at: Nanoseconds since 1970 (UTC) at which each value became known; broadcast to
            the shape of ``values``; never later than the close of its row.
        cutoff: For forecasts, the close of the last bar that the model behind each row was
            fitted on, labels included, ``[bars]``; ``NEVER`` where there is no model.

    Raises:
        DataError: A shape is wrong, a name stands twice, or a value was known after its row's
            close: a look into the future.
    """

    closes_at: pd.DatetimeIndex
    symbols: tuple[str, ...]
    columns: tuple[Column, ...]
    values: Floats
    known_at: Ints
    cutoff: Ints

    def __post_init__(self) -> None:
        shape = (len(self.closes_at), len(self.symbols), len(self.columns))
        values = np.asarray(self.values, dtype=np.float64)
        if values.shape != shape:
            raise DataError(f"table values have shape {values.shape}, expected {shape}")
        if len(set(self.names)) != len(self.columns):
            raise DataError(f"a table column stands twice: {', '.join(self.names)}")
        if len(self.cutoff) != shape[0]:
            raise DataError(f"cutoff has {len(self.cutoff)} rows, expected {shape[0]}")
        known_at = np.broadcast_to(self.known_at, shape)
        late = ~np.isnan(values) & (known_at > self.stamps[:, None, None])
        if late.any():
            row, asset, column = (int(i[0]) for i in np.nonzero(late))
            raise DataError(
                f"column {self.names[column]!r}, {self.symbols[asset]}, row {row}: known at "
                f"{pd.Timestamp(known_at[row, asset, column], tz='UTC')}, after the close "
                f"{self.closes_at[row]} at which it is read; lag the column or join it as of "
                "its publication"
            )
        object.__setattr__(self, "values", read_only(values))
        object.__setattr__(self, "known_at", known_at)
        object.__setattr__(self, "cutoff", read_only(np.asarray(self.cutoff, dtype=np.int64)))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    def __deepcopy__(self, memo: dict[int, Any]) -> Table:
        return self

    def __len__(self) -> int:
        return len(self.closes_at)

    @classmethod
    def from_columns(
        cls,
        bars: Bars,
        columns: Mapping[Column, Floats],
        *,
        cutoff: Ints | None = None,
    ) -> Table:
        """A table over ``bars`` of ``[bars, symbols]`` columns, each known at its row's close."""
        shape = (len(bars), len(bars.symbols))
        values = np.stack([np.broadcast_to(v, shape) for v in columns.values()], axis=-1)
        never = np.full(len(bars), NEVER) if cutoff is None else cutoff
        known_at = bars.stamps[:, None, None]
        return cls(bars.closes_at, bars.symbols, tuple(columns), values, known_at, never)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @cached_property
    def stamps(self) -> Ints:
        """Closes as nanoseconds since 1970 (UTC)."""
        stamps: Ints = self.closes_at.as_unit("ns").asi8
        return stamps

    @cached_property
    def content_hash(self) -> str:
        columns = [[column.name, column.unit] for column in self.columns]
        return content_hash(
            list(self.symbols), columns, self.stamps, self.values, self.known_at, self.cutoff
        )

    def index(self, name: str) -> int:
        """Position of a column.

        Raises:
            DataError: There is none of that name.
        """
        if name not in self.names:
            raise DataError(f"no column {name!r} in the table; it has {', '.join(self.names)}")
        return self.names.index(name)

    def column(self, name: str) -> Floats:
        """Values of one column, ``[bars, symbols]``."""
        values: Floats = self.values[:, :, self.index(name)]
        return values

    def select(self, names: Sequence[str]) -> Table:
        """The named columns, in that order."""
        keep = [self.index(name) for name in names]
        columns = tuple(self.columns[i] for i in keep)
        return Table(
            self.closes_at,
            self.symbols,
            columns,
            self.values[:, :, keep],
            self.known_at[:, :, keep],
            self.cutoff,
        )

    def join(self, other: Table) -> Table:
        """Columns of both, over the same bars and symbols; each row keeps the later cutoff.

        Raises:
            DataError: Bars or symbols differ, or a column name stands in both.
        """
        if not self.closes_at.equals(other.closes_at) or self.symbols != other.symbols:
            raise DataError("tables to join must have the same bars and symbols")
        return Table(
            self.closes_at,
            self.symbols,
            self.columns + other.columns,
            np.concatenate([self.values, other.values], axis=-1),
            np.concatenate([self.known_at, other.known_at], axis=-1),
            np.maximum(self.cutoff, other.cutoff),
        )

    def join_asof(self, frame: pd.DataFrame, *, unit: str = "ratio") -> Table:
        """Add series that came from elsewhere, each value from the moment it was published.

        Args:
            frame: Float columns indexed by publication time (timezone-aware, increasing). Row
                ``t`` of the table takes the latest value published at or before its close.
            unit: Of the series; see :class:`Column`.

        Raises:
            DataError: The index is naive or not increasing.
        """
        if not isinstance(frame.index, pd.DatetimeIndex) or frame.index.tz is None:
            raise DataError("join_asof needs an index of timezone-aware publication times")
        published = frame.index.tz_convert("UTC").as_unit("ns").asi8
        if (np.diff(published) < 0).any():
            raise DataError("join_asof needs publication times in increasing order; sort the frame")
        latest = np.searchsorted(published, self.stamps, side="right") - 1  # −1: nothing yet
        nothing = np.full((1, len(frame.columns)), np.nan)
        values = np.concatenate([frame.to_numpy(dtype=np.float64), nothing])[latest]
        known_at = np.append(published, NEVER)[latest]
        shape = (len(self), len(self.symbols), len(frame.columns))
        return self.join(
            Table(
                self.closes_at,
                self.symbols,
                tuple(Column(str(name), unit) for name in frame.columns),
                np.broadcast_to(values[:, None, :], shape),
                known_at[:, None, None],
                np.full(len(self), NEVER),
            )
        )

    def complete(self, names: Sequence[str], asset: int) -> Bools:
        """Rows in which every named column of a symbol is known, ``[bars]``."""
        keep = [self.index(name) for name in names]
        return np.asarray(np.isfinite(self.values[:, asset][:, keep]).all(axis=-1))

    def to_frame(self) -> pd.DataFrame:
        """Long frame: ``closes_at, symbol, <columns>, known_at (latest of the row), cutoff``."""
        bars, symbols = len(self), len(self.symbols)
        frame = pd.DataFrame(self.values.reshape(bars * symbols, -1), columns=list(self.names))
        frame.insert(0, "closes_at", np.repeat(self.closes_at, symbols))
        frame.insert(1, "symbol", list(self.symbols) * bars)
        latest = self.known_at.max(axis=-1).reshape(-1)
        frame["known_at"] = pd.to_datetime(latest, unit="ns", utc=True)
        frame["cutoff"] = pd.to_datetime(np.repeat(self.cutoff, symbols), unit="ns", utc=True)
        return frame

    def write_parquet(self, path: Path) -> None:
        """Write the long frame atomically; units go into the file's metadata."""
        table = pa.Table.from_pandas(self.to_frame(), preserve_index=False)
        units = json.dumps({column.name: column.unit for column in self.columns})
        table = table.replace_schema_metadata({"foretrade.units": units})
        with atomic_path(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")

    @classmethod
    def read_parquet(cls, path: Path) -> Table:
        """Read what :meth:`write_parquet` wrote.

        Raises:
            DataError: The file is no such table, or is damaged.
        """
        try:
            stored = pq.read_table(path)
            units = json.loads((stored.schema.metadata or {})[b"foretrade.units"])
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{path}: not a readable table ({error}); write it again") from error
        frame = stored.to_pandas()
        symbols = tuple(dict.fromkeys(frame["symbol"]))
        shape = (-1, len(symbols), len(units))
        known_at = pd.DatetimeIndex(frame["known_at"]).as_unit("ns").asi8
        return cls(
            pd.DatetimeIndex(frame["closes_at"][:: len(symbols)]).as_unit("ns").rename(None),
            symbols,
            tuple(Column(name, unit) for name, unit in units.items()),
            frame[list(units)].to_numpy(dtype=np.float64).reshape(shape),
            known_at.reshape(-1, len(symbols), 1),
            pd.DatetimeIndex(frame["cutoff"][:: len(symbols)]).as_unit("ns").asi8,
        )
