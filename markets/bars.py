"""Bars: a validated, immutable panel of prices, each bar stamped at its close."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from foretrade.errors import ForetradeError
from foretrade.markets.arrays import Bools, Floats, Ints, read_only
from foretrade.storage import content_hash

PRICE_FIELDS = ("open", "high", "low", "close")
FIELDS = (*PRICE_FIELDS, "volume")


class DataError(ForetradeError, ValueError):
    """Data that cannot be used; the message names the place and the remedy."""


@dataclass(frozen=True, eq=False)
class Bars:
    """Open, high, low, close and volume of some symbols, shape ``[bars, symbols]``.

    A bar is known at its close. A symbol without a bar at some stamp holds NaN in all five
    fields there: it has no price and cannot be traded; nothing is filled forward.

    Args:
        symbols: One name per column.
        closes_at: Close of each bar; UTC, strictly increasing; length ``bars``.
        open, high, low, close: Prices in the quote currency, positive.
        volume: Traded units, not negative.
        frequency: ``"1D"`` (one bar a session), ``"1h"``, ``"5min"``, …
        periods_per_year: Bars in a year, for annualisation.
        timezone: IANA name of the exchange's clock, for calendar dates.
        source: Where the data came from, named in every error.

    Raises:
        DataError: A shape, stamp or value is impossible.
    """

    symbols: tuple[str, ...]
    closes_at: pd.DatetimeIndex
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    frequency: str
    periods_per_year: float
    timezone: str
    source: str

    def __post_init__(self) -> None:
        closes_at = _checked_stamps(self.closes_at, self.source)
        object.__setattr__(self, "closes_at", closes_at)
        object.__setattr__(self, "symbols", tuple(self.symbols))
        shape = (len(closes_at), len(self.symbols))
        if 0 in shape:
            raise DataError(f"{self.source}: no bars in it; give a file with at least one row")
        if len(set(self.symbols)) != len(self.symbols):
            raise DataError(f"{self.source}: a symbol stands twice in {self.symbols}")
        for name in FIELDS:
            array = np.asarray(getattr(self, name), dtype=np.float64)
            if array.shape != shape:
                raise DataError(f"{self.source}: {name} has shape {array.shape}, expected {shape}")
            object.__setattr__(self, name, read_only(array))
        if not (np.isfinite(self.periods_per_year) and self.periods_per_year > 0):
            raise DataError(f"{self.source}: periods_per_year must be positive")
        _check_values(self)

    def __len__(self) -> int:
        return len(self.closes_at)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    def __deepcopy__(self, memo: dict[int, Any]) -> Bars:
        return self

    @cached_property
    def present(self) -> Bools:
        """Whether a symbol has a bar, ``[bars, symbols]``."""
        return read_only(np.isfinite(self.close))

    @cached_property
    def stamps(self) -> Ints:
        """Closes as nanoseconds since 1970 (UTC), ``[bars]``."""
        return read_only(self.closes_at.as_unit("ns").asi8)

    @cached_property
    def dates(self) -> pd.DatetimeIndex:
        """Exchange-local calendar date of each close, timezone-naive, ``[bars]``."""
        return self.closes_at.tz_convert(self.timezone).tz_localize(None).normalize()

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of everything but the name of the source."""
        arrays = [getattr(self, name) for name in FIELDS]
        calendar = [self.frequency, float(self.periods_per_year), self.timezone]
        return content_hash(list(self.symbols), self.stamps, arrays, calendar)

    def rows(self, start: int, stop: int) -> Bars:
        """The bars ``start … stop - 1``."""
        part = {name: getattr(self, name)[start:stop] for name in FIELDS}
        return replace(self, closes_at=self.closes_at[start:stop], **part)

    def select(self, symbols: Sequence[str]) -> Bars:
        """The named symbols, without the stamps at which none of them has a bar.

        Raises:
            DataError: A symbol is unknown.
        """
        columns = [self.column(symbol) for symbol in symbols]
        kept: Bools = np.any(self.present[:, columns], axis=1)
        part = {name: getattr(self, name)[kept][:, columns] for name in FIELDS}
        return replace(self, symbols=tuple(symbols), closes_at=self.closes_at[kept], **part)

    def column(self, symbol: str) -> int:
        """Position of a symbol.

        Raises:
            DataError: The symbol is unknown.
        """
        if symbol not in self.symbols:
            raise DataError(
                f"{self.source}: unknown symbol {symbol!r}; it holds {', '.join(self.symbols)}"
            )
        return self.symbols.index(symbol)


def _checked_stamps(closes_at: pd.DatetimeIndex, source: str) -> pd.DatetimeIndex:
    if not isinstance(closes_at, pd.DatetimeIndex):
        raise DataError(f"{source}: closes_at must be a DatetimeIndex")
    if closes_at.tz is None:
        raise DataError(f"{source}: timestamps are naive; name their timezone")
    stamps = closes_at.tz_convert("UTC").as_unit("ns").rename(None)
    if stamps.hasnans:
        row = int(np.flatnonzero(stamps.isna())[0])
        raise DataError(f"{source}: the timestamp of row {row} is missing; give it or drop the row")
    steps = np.diff(stamps.asi8)
    if (steps <= 0).any():
        row = int(np.flatnonzero(steps <= 0)[0]) + 1
        kind = "repeats" if steps[row - 1] == 0 else "is earlier than"
        remedy = "keep one row per timestamp" if steps[row - 1] == 0 else "sort the rows by time"
        raise DataError(
            f"{source}: the timestamp of row {row} ({stamps[row]}) {kind} the row before; {remedy}"
        )
    return stamps


def _check_values(bars: Bars) -> None:
    stacked = np.stack([getattr(bars, name) for name in FIELDS])
    missing = np.isnan(stacked)
    partial = missing & ~missing.all(axis=0)
    _refuse(bars, partial, "is NaN", "fill the gap at its source or drop the whole bar")
    _refuse(bars, np.isinf(stacked), "is infinite", "correct it or drop the bar")
    with np.errstate(invalid="ignore"):
        _refuse(bars, stacked[:4] <= 0, "is not positive", "correct the price or drop the bar")
        _refuse(bars, stacked[4:] < 0, "is negative", "correct the volume", first_field=4)
        low, high = bars.low, bars.high
        _refuse(bars, (high < low)[None], "is below the low", "correct the bar", first_field=1)
        outside = np.stack([(x < low) | (x > high) for x in (bars.open, bars.close)])
        for index, name in enumerate(("open", "close")):
            field = FIELDS.index(name)
            remedy = "correct the bar, or widen its high and low"
            _refuse(bars, outside[[index]], "lies outside low … high", remedy, first_field=field)


def _refuse(bars: Bars, bad: Bools, what: str, remedy: str, *, first_field: int = 0) -> None:
    """Raise for the earliest cell that is bad; ``bad`` is ``[fields, bars, symbols]``."""
    if not bad.any():
        return
    row = int(np.flatnonzero(bad.any(axis=(0, 2)))[0])
    field, asset = (int(i[0]) for i in np.nonzero(bad[:, row]))
    name = FIELDS[first_field + field]
    value = getattr(bars, name)[row, asset]
    raise DataError(
        f"{bars.source}: {bars.symbols[asset]}: column {name!r}, row {row} "
        f"({bars.dates[row].date()}, closing {bars.closes_at[row]}): {value} {what}; {remedy}"
    )
