"""A user's own CSV or Parquet: columns matched, times placed, every impossible cell refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from foretrade.markets.arrays import AnyArray, Floats
from foretrade.markets.bars import FIELDS, PRICE_FIELDS, DataError
from foretrade.markets.frequency import is_session, normal_frequency

TIME_COLUMNS = ("date", "datetime", "timestamp", "time")
SYMBOL_COLUMNS = ("symbol", "ticker")


@dataclass(frozen=True)
class DataConfig:
    """Which bars to use, and how to read them.

    Args:
        source: Name of a packaged data set (``foretrade data --list``), or the path of a CSV or
            Parquet file, or of a folder that holds one such file per symbol.
        symbols: Symbols to keep; empty keeps all.
        timezone: IANA name of the exchange's clock; needed for naive timestamps.
        frequency: ``"1D"``, ``"1W"``, ``"1M"``, or hours or minutes such as ``"1h"``, ``"15min"``.
        session_close: Local time at which a session closes, for rows that hold only a date.
        stamps: Whether the file's timestamps are the close or the open of their bar.
        adjust: Scale prices by ``Adj Close / Close`` (splits and dividends) and volume inversely.
        corporate_actions: Read dividends and splits from the columns ``Dividends`` and ``Stock Splits``
            (or ``dividend``, ``split``; 0 is none); prices must then be unadjusted.
        periods_per_year: Bars in a year; 0 takes the frequency's usual number, or for intraday
            bars the number counted in the data.
    """

    source: str = "sp500"
    symbols: tuple[str, ...] = ()
    timezone: str = ""
    frequency: str = "1D"
    session_close: str = "16:00"
    stamps: Literal["close", "open"] = "close"
    adjust: bool = False
    corporate_actions: bool = False
    periods_per_year: float = 0.0


def read_table(path: Path) -> pd.DataFrame:
    """The rows of a CSV or Parquet file, as they stand in it.

    Raises:
        DataError: The file cannot be read, or holds no row.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: unknown file type {path.suffix!r}; give .csv or .parquet")
    try:
        frame = reader(path)
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{path}: the file is empty; give a header and at least one row") from error
    except UnicodeError as error:
        raise DataError(f"{path}: the text is not UTF-8 ({error}); save it as UTF-8") from error
    except (OSError, ValueError, pd.errors.ParserError) as error:  # pyarrow errors are ValueErrors
        raise DataError(
            f"{path}: cannot be read as {path.suffix[1:]} ({error}); it may be truncated: write it again"
        ) from error
    if isinstance(frame.index, pd.DatetimeIndex):
        frame = frame.reset_index(names="timestamp")
    if len(frame.columns) == 1 and ";" in str(frame.columns[0]):
        raise DataError(f"{path}: columns are separated by ';'; separate them by ','")
    if frame.empty:
        raise DataError(f"{path}: the file has no rows; give at least one")
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    frame = pd.read_csv(path)
    for name in frame.columns:
        if str(name).strip().lower() in SYMBOL_COLUMNS:  # NA is a symbol too, and 007 is not 7
            text = pd.read_csv(path, usecols=[name], dtype=str, keep_default_na=False)
            frame[name] = text[name].str.strip()
    return frame


READERS: Mapping[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": _read_csv,
    ".parquet": pd.read_parquet,
}


def symbol_column(frame: pd.DataFrame, source: str) -> AnyArray | None:
    """The symbol of each row of a long table; None if it has no such column.

    Raises:
        DataError: A row has no symbol.
    """
    for column in frame.columns:
        if str(column).strip().lower() in SYMBOL_COLUMNS:
            empty = frame[column].isna() | (frame[column].astype(str) == "")
            if empty.any():
                raise DataError(f"{source}: column {column!r}, row {_first(empty)}: is empty; name it")
            return frame[column].astype(str).to_numpy()
    return None


def tidy(frame: pd.DataFrame, source: str, config: DataConfig) -> pd.DataFrame:
    """Columns ``open … volume`` indexed by UTC close, of one symbol."""
    columns = _match_columns(frame, source)
    stamps = _closes_at(frame[columns["time"]].reset_index(drop=True), source, config)
    bars = pd.DataFrame({name: _numbers(frame[columns[name]], name, source) for name in FIELDS})
    if config.adjust:
        if config.corporate_actions:
            raise DataError(
                f"{source}: Adj Close holds corporate actions already; choose one of the two"
            )
        if "adj close" not in columns:
            raise DataError(f"{source}: adjust needs a column 'Adj Close'; add it or switch it off")
        ratio = _numbers(frame[columns["adj close"]], "Adj Close", source) / bars["close"].to_numpy()
        for name in PRICE_FIELDS:
            bars[name] *= ratio
        bars["volume"] /= ratio  # keeps the traded value of each bar
    if config.corporate_actions:
        _read_actions(frame, columns, bars, stamps, source)
    incomplete = bars.isna().any(axis=1)
    if incomplete.any():
        row = _first(incomplete)
        name = bars.columns[bars.iloc[row].isna()][0]
        raise DataError(
            f"{source}: column {name!r}, row {row} ({stamps[row].date()}): is NaN; "
            "fill the gap at its source or drop the row"
        )
    bars.index = stamps
    bars.attrs["source"] = source
    return bars


ACTION_COLUMNS = {
    "dividend": ("dividend", "dividends"),
    "split": ("split", "splits", "stock splits"),
}


def _read_actions(
    frame: pd.DataFrame,
    columns: Mapping[str, object],
    bars: pd.DataFrame,
    stamps: pd.DatetimeIndex,
    source: str,
) -> None:
    """Add dividends and splits; a split that the price does not show is one it was adjusted for."""
    found = {kind: [n for n in names if n in columns] for kind, names in ACTION_COLUMNS.items()}
    if not any(found.values()):
        raise DataError(f"{source}: corporate_actions needs a column 'Dividends' or 'Stock Splits'")
    for kind, names in found.items():
        values = _numbers(frame[columns[names[0]]], names[0], source) if names else np.zeros(len(bars))
        bars[kind] = np.where((kind == "split") & (values == 0), 1.0, values)
    move = np.log(bars["close"].to_numpy() / bars["close"].shift().to_numpy())
    whole = np.abs(move + np.log(bars["split"].to_numpy()))
    adjusted = np.flatnonzero((bars["split"].to_numpy() != 1.0) & (whole > np.abs(move)))
    if adjusted.size:
        row = int(adjusted[0])
        raise DataError(
            f"{source}: row {row} ({stamps[row].date()}): a split of {bars['split'].iloc[row]:g}, which "
            "the price does not show: it is adjusted already; switch corporate_actions off"
        )


def _match_columns(frame: pd.DataFrame, source: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for column in frame.columns:
        name = str(column).strip().lower().replace("_", " ")
        if name in found:
            raise DataError(f"{source}: two columns are called {name!r}; rename one")
        found[name] = column
    times = [name for name in TIME_COLUMNS if name in found]
    if not times:
        raise DataError(
            f"{source}: no time column; name one of {', '.join(TIME_COLUMNS)} "
            f"(found: {', '.join(map(str, frame.columns))})"
        )
    missing = [name for name in FIELDS if name not in found]
    if missing:
        zeros = " (zeros, if the market reports none)" if missing == ["volume"] else ""
        raise DataError(
            f"{source}: column {missing[0]!r} is missing; add it{zeros} "
            f"(found: {', '.join(map(str, frame.columns))})"
        )
    return found | {"time": found[times[0]]}


def _numbers(column: pd.Series, name: str, source: str) -> Floats:
    numbers = pd.to_numeric(column, errors="coerce").reset_index(drop=True)
    text = numbers.isna() & column.notna().reset_index(drop=True)
    if text.any():
        row = _first(text)
        raise DataError(
            f"{source}: column {name!r}, row {row}: {column.iloc[row]!r} is not a number; correct it"
        )
    return numbers.to_numpy(dtype=np.float64)


def _closes_at(column: pd.Series, source: str, config: DataConfig) -> pd.DatetimeIndex:
    """UTC closes of a file's times."""
    stamps = _parse_times(column, source)
    frequency = normal_frequency(config.frequency)
    dates_only = stamps.tz is None and bool((stamps == stamps.normalize()).all())
    if stamps.tz is None:
        stamps = _localise(stamps, source, config, is_session(frequency) and dates_only)
    if config.stamps == "open":
        if is_session(frequency):
            raise DataError(
                f"{source}: stamps = 'open' needs intraday bars; a row of {frequency} is stamped by its "
                "date and session_close"
            )
        stamps = stamps + pd.Timedelta(frequency)
    return stamps.tz_convert("UTC").as_unit("ns")


def _parse_times(column: pd.Series, source: str) -> pd.DatetimeIndex:
    if pd.api.types.is_numeric_dtype(column):
        raise DataError(
            f"{source}: column {column.name!r} holds numbers (first: {column[0]}), not times; write "
            "2018-12-31 or 2018-12-31T16:00:00-05:00"
        )
    if column.isna().any():
        raise DataError(f"{source}: column {column.name!r}, row {_first(column.isna())}: is empty")
    try:
        return pd.DatetimeIndex(pd.to_datetime(column))
    except (ValueError, TypeError) as error:
        offsets = column.astype(str).str.contains(r"(?:Z|[+-]\d{2}:?\d{2})$")
        utc = pd.to_datetime(column, errors="coerce", utc=True)  # offsets that change with the season
        if offsets.all() and utc.notna().all():
            return pd.DatetimeIndex(utc)
        row = _first(utc.isna()) if utc.isna().any() else _first(~offsets)
        raise DataError(
            f"{source}: column {column.name!r}, row {row}: {column[row]!r} is not a time; write all "
            "times alike, as 2018-12-31 or 2018-12-31T16:00:00-05:00"
        ) from error


def _localise(
    stamps: pd.DatetimeIndex, source: str, config: DataConfig, at_session_close: bool
) -> pd.DatetimeIndex:
    if not config.timezone:
        raise DataError(
            f"{source}: timestamps are naive (first: {stamps[0]}); say their timezone, "
            'such as --timezone America/New_York or timezone = "UTC" under [data]'
        )
    if at_session_close:
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", config.session_close):
            raise DataError(f"session_close {config.session_close!r} is not a time such as 16:00")
        stamps = stamps + pd.Timedelta(f"{config.session_close}:00")
    try:
        return stamps.tz_localize(config.timezone)
    except (ValueError, KeyError) as error:  # unknown zone, or a clock change
        raise DataError(
            f"{source}: times cannot be placed in timezone {config.timezone!r} ({error}); "
            "check the name, or give the times in UTC"
        ) from error


def _first(mask: pd.Series) -> int:
    return int(np.flatnonzero(np.asarray(mask))[0])
