"""Where bars come from: data sets inside packages, and a user's own CSV or Parquet."""

from __future__ import annotations

import importlib
import importlib.resources
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from foretrade.markets.bars import FIELDS, PRICE_FIELDS, Bars, DataError

TIME_COLUMNS = ("date", "datetime", "timestamp", "time")
SYMBOL_COLUMNS = ("symbol", "ticker")
PERIODS_PER_YEAR = {"1D": 252.0, "1W": 52.0, "1M": 12.0}
NEW_YORK = "America/New_York"


@dataclass(frozen=True)
class DataConfig:
    """Which bars to use, and how to read them.

    Args:
        source: Name of a packaged data set (``foretrade data --list``), or the path of a CSV or
            Parquet file, or of a folder that holds one such file per symbol.
        symbols: Symbols to keep; empty keeps all.
        timezone: IANA name of the exchange's clock; needed for naive timestamps.
        frequency: ``"1D"``, ``"1W"``, ``"1M"``, or an intraday step such as ``"1h"``.
        session_close: Local time at which a session closes, for rows that hold only a date.
        stamps: Whether the file's timestamps are the close or the open of their bar.
        adjust: Scale prices by ``Adj Close / Close`` (splits and dividends) and volume inversely.
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
    periods_per_year: float = 0.0


def load_bars(config: DataConfig) -> Bars:
    """Load the bars that a configuration names.

    Raises:
        DataError: The source is unknown, unreadable or holds impossible values.
    """
    if config.source in PACKAGED:
        bars = PACKAGED[config.source].load()
    else:
        bars = _load_path(Path(config.source).expanduser(), config)
    return bars.select(config.symbols) if config.symbols else bars


def load(source: str, *symbols: str) -> Bars:
    """Load a packaged data set by name: ``load("sp500")``, ``load("stocks", "AAPL")``."""
    return load_bars(DataConfig(source=source, symbols=symbols))


@dataclass(frozen=True)
class PackagedData:
    """A data set inside an installed package."""

    description: str
    load: Callable[[], Bars]


def _load_arch(name: str, symbol: str) -> Bars:
    frame = importlib.import_module(f"arch.data.{name}").load()
    config = DataConfig(source=f"arch.data.{name}", timezone=NEW_YORK)
    return _assemble({symbol: _tidy(frame.reset_index(), config.source, config)}, config)


def _load_stocks() -> Bars:
    try:
        folder = importlib.resources.files("bokeh_sampledata")
    except ModuleNotFoundError as error:
        raise DataError(
            "stocks: needs the package bokeh-sampledata; pip install 'foretrade[samples]'"
        ) from error
    with importlib.resources.as_file(folder / "_data" / "stocks.csv.gz") as path:
        frame = pd.read_csv(path)
    config = DataConfig(source="bokeh_sampledata.stocks", timezone=NEW_YORK, adjust=True)
    kept = frame[frame["Ticker"] != "FB"]  # 196 bars: too short to learn anything from
    parts = {str(symbol): part for symbol, part in kept.groupby("Ticker")}
    return _assemble({s: _tidy(part, config.source, config) for s, part in parts.items()}, config)


PACKAGED: Mapping[str, PackagedData] = {
    "nasdaq": PackagedData(
        "NASDAQ Composite, daily 1999-2018, price index (arch.data)",
        partial(_load_arch, "nasdaq", "IXIC"),
    ),
    "sp500": PackagedData(
        "S&P 500, daily 1999-2018, price index (arch.data)",
        partial(_load_arch, "sp500", "GSPC"),
    ),
    "stocks": PackagedData(
        "AAPL, GOOG, IBM, MSFT, daily 2000-2013, adjusted (bokeh-sampledata; public domain)",
        _load_stocks,
    ),
}


def _load_path(path: Path, config: DataConfig) -> Bars:
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in READERS)
        if not files:
            raise DataError(f"{path}: holds no .csv or .parquet file; put one per symbol there")
        return _assemble({file.stem: _tidy(_read(file), str(file), config) for file in files}, config)
    if not path.is_file():
        raise DataError(
            f"{path}: no such file, and no packaged data set of that name; "
            f"packaged are {', '.join(PACKAGED)}"
        )
    frame = _read(path)
    by_name = {str(column).strip().lower(): column for column in frame.columns}
    for name in SYMBOL_COLUMNS:
        if name in by_name:
            column = frame[by_name[name]]
            if column.isna().any():
                raise DataError(f"{path}: column {name!r}, row {_first(column.isna())}: is empty")
            parts = {str(symbol): part for symbol, part in frame.groupby(column)}
            tidy = {s: _tidy(p, f"{path} [{s}]", config) for s, p in parts.items()}
            return _assemble(tidy, config)
    return _assemble({path.stem: _tidy(frame, str(path), config)}, config)


def _read(path: Path) -> pd.DataFrame:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: unknown file type {path.suffix!r}; give .csv or .parquet")
    try:
        frame = reader(path)
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{path}: the file is empty; give a header and at least one row") from error
    except (OSError, ValueError, pd.errors.ParserError) as error:  # pyarrow errors are ValueErrors
        raise DataError(
            f"{path}: cannot be read as {path.suffix[1:]} ({error}); it may be truncated: write it again"
        ) from error
    if isinstance(frame.index, pd.DatetimeIndex):
        frame = frame.reset_index(names="timestamp")
    if frame.empty:
        raise DataError(f"{path}: the file has no rows; give at least one")
    return frame


READERS: Mapping[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": pd.read_csv,
    ".parquet": pd.read_parquet,
}


def _tidy(frame: pd.DataFrame, source: str, config: DataConfig) -> pd.DataFrame:
    """Columns ``open … volume`` indexed by UTC close, of one symbol."""
    columns = _match_columns(frame, source)
    stamps = _closes_at(frame[columns["time"]].reset_index(drop=True), source, config)
    tidy = pd.DataFrame({name: _numbers(frame[columns[name]], name, source) for name in FIELDS})
    if config.adjust:
        if "adj close" not in columns:
            raise DataError(f"{source}: adjust needs a column 'Adj Close'; add it or switch it off")
        ratio = _numbers(frame[columns["adj close"]], "Adj Close", source) / tidy["close"].to_numpy()
        for name in PRICE_FIELDS:
            tidy[name] *= ratio
        tidy["volume"] /= ratio  # keeps the traded value of each bar
    incomplete = tidy.isna().any(axis=1)
    if incomplete.any():
        row = _first(incomplete)
        name = tidy.columns[tidy.iloc[row].isna()][0]
        raise DataError(
            f"{source}: column {name!r}, row {row} ({stamps[row].date()}): is NaN; "
            "fill the gap at its source or drop the row"
        )
    tidy.index = stamps
    return tidy


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


def _numbers(column: pd.Series, name: str, source: str) -> np.ndarray:
    numbers = pd.to_numeric(column, errors="coerce").reset_index(drop=True)
    text = numbers.isna() & column.notna().reset_index(drop=True)
    if text.any():
        row = _first(text)
        raise DataError(
            f"{source}: column {name!r}, row {row}: {column.iloc[row]!r} is not a number; correct it"
        )
    return numbers.to_numpy(dtype=np.float64)


def _closes_at(column: pd.Series, source: str, config: DataConfig) -> pd.DatetimeIndex:
    try:
        stamps = pd.DatetimeIndex(pd.to_datetime(column))
    except (ValueError, TypeError) as error:
        parsed = pd.to_datetime(column, errors="coerce", utc=True)
        row = _first(parsed.isna()) if parsed.isna().any() else 0
        raise DataError(
            f"{source}: column {column.name!r}, row {row}: {column[row]!r} is not a time; write all "
            "times alike, as 2018-12-31 or 2018-12-31T16:00:00-05:00"
        ) from error
    if stamps.hasnans:
        raise DataError(f"{source}: column {column.name!r}, row {_first(column.isna())}: is empty")
    if stamps.tz is None:
        stamps = _localise(stamps, source, config)
    if config.stamps == "open":
        stamps = stamps + pd.Timedelta(config.frequency)
    return stamps.tz_convert("UTC").as_unit("ns")


def _localise(stamps: pd.DatetimeIndex, source: str, config: DataConfig) -> pd.DatetimeIndex:
    if not config.timezone:
        raise DataError(
            f"{source}: timestamps are naive (first: {stamps[0]}); say their timezone, "
            f'such as --timezone {NEW_YORK} or timezone = "UTC" under [data]'
        )
    dates_only = bool((stamps == stamps.normalize()).all())
    if dates_only and config.frequency in PERIODS_PER_YEAR:
        try:
            stamps = stamps + pd.Timedelta(f"{config.session_close}:00")
        except ValueError as error:
            raise DataError(f"session_close {config.session_close!r} is not HH:MM") from error
    try:
        return stamps.tz_localize(config.timezone)
    except (ValueError, KeyError) as error:  # unknown zone, or a clock change
        raise DataError(
            f"{source}: times cannot be placed in timezone {config.timezone!r} ({error}); "
            "check the name, or give the times in UTC"
        ) from error


def _assemble(parts: Mapping[str, pd.DataFrame], config: DataConfig) -> Bars:
    """One panel over the union of the symbols' stamps; absent bars are NaN."""
    for symbol, part in parts.items():
        _one_symbol(symbol, part, config)
    closes_at = pd.DatetimeIndex(sorted(set().union(*(part.index for part in parts.values()))))
    panel = {
        name: np.column_stack([part[name].reindex(closes_at) for part in parts.values()])
        for name in FIELDS
    }
    return Bars(
        symbols=tuple(parts),
        closes_at=closes_at,
        frequency=config.frequency,
        periods_per_year=_periods_per_year(closes_at, config),
        timezone=config.timezone or "UTC",
        source=config.source,
        **panel,
    )


def _one_symbol(symbol: str, part: pd.DataFrame, config: DataConfig) -> Bars:
    """Validate one symbol by itself, so that an error speaks of its own rows."""
    columns = {name: part[[name]].to_numpy() for name in FIELDS}
    return Bars(
        symbols=(symbol,),
        closes_at=pd.DatetimeIndex(part.index),
        frequency=config.frequency,
        periods_per_year=1.0,
        timezone=config.timezone or "UTC",
        source=config.source,
        **columns,
    )


def _periods_per_year(closes_at: pd.DatetimeIndex, config: DataConfig) -> float:
    if config.periods_per_year:
        return config.periods_per_year
    if config.frequency in PERIODS_PER_YEAR:
        return PERIODS_PER_YEAR[config.frequency]
    if len(closes_at) < 2:
        raise DataError(f"{config.source}: one bar cannot tell periods_per_year; give the number")
    years = (closes_at[-1] - closes_at[0]) / pd.Timedelta(days=365.25)
    return float((len(closes_at) - 1) / years)


def _first(mask: Sequence[bool] | pd.Series) -> int:
    return int(np.flatnonzero(np.asarray(mask))[0])
