"""Bars: a validated, immutable panel of prices, each bar stamped at its close."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from foretrade.errors import ForetradeError
from foretrade.markets.arrays import Bools, Floats, Ints, read_only
from foretrade.storage import content_hash

PRICE_FIELDS = ("open", "high", "low", "close")
FIELDS = (*PRICE_FIELDS, "volume")
ACTIONS = {
    "dividend": np.float64(0.0),
    "split": np.float64(1.0),
}  # and their values where nothing happens
HISTORY_BARS = 250  # whose closes name a history of prices


class DataError(ForetradeError, ValueError):
    """Data that cannot be used; the message names the place and the remedy."""


@dataclass(frozen=True, eq=False, repr=False)
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
        dividend: Paid per unit held into the bar (its ex-date), in quote currency; default none.
        split: Units that each unit held into the bar becomes (2 for two-for-one); default 1.

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
    dividend: Floats = field(default_factory=lambda: np.zeros(0))
    split: Floats = field(default_factory=lambda: np.zeros(0))

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
        for name, nothing in ACTIONS.items():
            values = np.asarray(getattr(self, name), dtype=np.float64)
            if values.size and values.shape != shape:
                raise DataError(f"{self.source}: {name} has shape {values.shape}, expected {shape}")
            happens = bool((values != nothing).any())
            array = read_only(values) if happens else np.broadcast_to(nothing, shape)
            object.__setattr__(self, name, array)
        if not (np.isfinite(self.periods_per_year) and self.periods_per_year > 0):
            raise DataError(f"{self.source}: periods_per_year must be positive")
        _check_values(self)

    def __len__(self) -> int:
        return len(self.closes_at)

    def __repr__(self) -> str:
        names = ", ".join(self.symbols[:3]) + (", …" if len(self.symbols) > 3 else "")
        first, last = (self.dates[k].date() for k in (0, -1))
        return f"<Bars {self.source}: {len(self)} × {self.frequency} of {names}, {first} … {last}>"

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
    def derived(self) -> dict[Hashable, Any]:
        """What others have computed of these bars, kept as long as they are."""
        return {}

    @cached_property
    def has_corporate_actions(self) -> bool:
        """Whether any dividend or split is in the data."""
        return bool(np.any(self.dividend) or np.any(self.split != 1.0))

    @cached_property
    def total_return(self) -> Floats:
        """Units that one unit has become by each close, dividends reinvested at it, ``[bars, symbols]``.

        Price × this is the price that features and labels see: its ratios are total returns. It grows
        from 1 with time, so that later dividends and splits change nothing earlier.
        """
        close = np.where(self.present, self.close, np.inf)
        return np.asarray(np.cumprod(self.split * (1.0 + self.dividend / close), axis=0))

    def as_total_return(self) -> Bars:
        """The same bars without corporate actions, at prices whose ratios are total returns."""
        if not self.has_corporate_actions:
            return self
        growth = self.total_return
        prices = {name: getattr(self, name) * growth for name in PRICE_FIELDS}
        volume = self.volume / np.cumprod(self.split, axis=0)
        return replace(self, **prices, volume=volume, dividend=np.zeros(0), split=np.zeros(0))

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of everything but the name of the source."""
        names = (*FIELDS, *ACTIONS) if self.has_corporate_actions else FIELDS
        arrays = [getattr(self, name) for name in names]
        calendar = [self.frequency, float(self.periods_per_year), self.timezone]
        return content_hash(list(self.symbols), self.stamps, arrays, calendar)

    @cached_property
    def history_hash(self) -> str:
        """SHA-256 of the first closes alone, which name a history: they stay when bars are added at its
        end, and whatever file, symbol or clock it goes by."""
        return content_hash(self.close[:HISTORY_BARS])

    def rows(self, start: int, stop: int) -> Bars:
        """The bars ``start … stop - 1``."""
        part = {name: getattr(self, name)[start:stop] for name in (*FIELDS, *ACTIONS)}
        return replace(self, closes_at=self.closes_at[start:stop], **part)

    def select(self, symbols: Sequence[str]) -> Bars:
        """The named symbols, without the stamps at which none of them has a bar.

        Raises:
            DataError: A symbol is unknown.
        """
        picked = self.pick(symbols)
        kept: Bools = np.any(picked.present, axis=1)
        part = {name: getattr(picked, name)[kept] for name in (*FIELDS, *ACTIONS)}
        return replace(picked, closes_at=self.closes_at[kept], **part)

    def pick(self, symbols: Sequence[str]) -> Bars:
        """The named symbols at all stamps.

        Raises:
            DataError: A symbol is unknown.
        """
        columns = [self.column(symbol) for symbol in symbols]
        part = {name: getattr(self, name)[:, columns] for name in (*FIELDS, *ACTIONS)}
        return replace(self, symbols=tuple(symbols), **part)

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
    for name, nothing in ACTIONS.items():
        values = getattr(bars, name)
        usable = np.isfinite(values) & ((values >= 0) if nothing == 0 else (values > 0))
        usable &= bars.present | (values == nothing)  # nothing happens in a bar that is not there
        _refuse_action(bars, name, ~usable)
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


def _refuse_action(bars: Bars, name: str, bad: Bools) -> None:
    if bad.any():
        row, asset = (int(i[0]) for i in np.nonzero(bad))
        raise DataError(
            f"{bars.source}: {bars.symbols[asset]}: column {name!r}, row {row} "
            f"({bars.dates[row].date()}): {getattr(bars, name)[row, asset]} is impossible; "
            f"write {ACTIONS[name]:g} where there is none, or no bar"
        )


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
