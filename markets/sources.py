"""Where bars come from: data sets inside packages, and a user's own CSV or Parquet."""

from __future__ import annotations

import importlib
import importlib.resources
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from foretrade.markets.arrays import Floats
from foretrade.markets.bars import ACTIONS, FIELDS, Bars, DataError
from foretrade.markets.files import READERS, DataConfig, read_table, symbol_column, tidy
from foretrade.markets.frequency import check_spacing, count_periods, normal_frequency
from foretrade.markets.realistic.garch import GJRGarch
from foretrade.markets.realistic.jumps import JumpDiffusion
from foretrade.markets.realistic.switching import RegimeSwitching

__all__ = ["PACKAGED", "DataConfig", "PackagedData", "load", "load_bars"]

NEW_YORK = "America/New_York"
DRAWN_BARS = 5000


def load_bars(config: DataConfig) -> Bars:
    """Load the bars that a configuration names: a packaged data set, a made-up market with the seed of a
    draw after a colon (``"garch:7"``), a file or a folder.

    Raises:
        DataError: The source is unknown, unreadable or holds impossible values.
    """
    name, colon, seed = config.source.partition(":")
    packaged = PACKAGED.get(name)
    if packaged is None or (colon and not packaged.is_drawn):
        bars = _load_path(Path(config.source).expanduser(), config)
    elif not colon:
        bars = packaged.load()
    elif seed.isdecimal():
        bars = packaged.load(seed=int(seed))
    else:
        raise DataError(f"{config.source}: what follows the colon is a seed, as in {name}:7")
    return bars.select(config.symbols) if config.symbols else bars


def load(source: str, *symbols: str) -> Bars:
    """Load a packaged data set by name: ``load("sp500")``, ``load("stocks", "AAPL")``."""
    return load_bars(DataConfig(source=source, symbols=symbols))


@dataclass(frozen=True)
class PackagedData:
    """A data set inside an installed package, or a market that is made up.

    Args:
        is_drawn: Whether it is made up; ``load`` then takes a ``seed``.
    """

    description: str
    load: Callable[..., Bars]
    is_drawn: bool = False


def _load_arch(name: str, symbol: str) -> Bars:
    frame = importlib.import_module(f"arch.data.{name}").load()
    config = DataConfig(source=f"arch.data.{name}", timezone=NEW_YORK)
    return _assemble({symbol: tidy(frame.reset_index(), config.source, config)}, config)


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
    return _assemble({s: tidy(part, config.source, config) for s, part in parts.items()}, config)


PACKAGED: Mapping[str, PackagedData] = {
    "garch": PackagedData(
        "made up, garch:SEED: volatility clusters, more after falls; 5,000 days",
        partial(GJRGarch().draw, DRAWN_BARS),
        is_drawn=True,
    ),
    "jumps": PackagedData(
        "made up, jumps:SEED: diffusion with jumps; 5,000 days",
        partial(JumpDiffusion().draw, DRAWN_BARS),
        is_drawn=True,
    ),
    "nasdaq": PackagedData(
        "NASDAQ Composite, daily 1999-2018, price index (arch.data)",
        partial(_load_arch, "nasdaq", "IXIC"),
    ),
    "regimes": PackagedData(
        "made up, regimes:SEED: calm and troubled times; 5,000 days",
        partial(RegimeSwitching().draw, DRAWN_BARS),
        is_drawn=True,
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
        twins = [file.name for file in files if [f.stem for f in files].count(file.stem) > 1]
        if twins:
            raise DataError(f"{path}: {' and '.join(twins)} are the same symbol; keep one")
        return _assemble({f.stem: tidy(read_table(f), str(f), config) for f in files}, config)
    if not path.is_file():
        raise DataError(
            f"{path}: no such file, and no packaged data set of that name; "
            f"packaged are {', '.join(PACKAGED)}"
        )
    frame = read_table(path)
    symbols = symbol_column(frame, str(path))
    if symbols is None:
        return _assemble({path.stem: tidy(frame, str(path), config)}, config)
    parts = {str(symbol): part for symbol, part in frame.groupby(symbols, sort=True)}
    return _assemble({s: tidy(p, f"{path} [{s}]", config) for s, p in parts.items()}, config)


def _assemble(parts: Mapping[str, pd.DataFrame], config: DataConfig) -> Bars:
    """One panel over the union of the symbols' stamps; absent bars are NaN.

    A part's ``attrs["source"]`` is named in what is wrong with it.
    """
    frequency = normal_frequency(config.frequency)
    for symbol, part in parts.items():
        source = str(part.attrs["source"])
        _panel({symbol: part}, source, frequency, 1.0, config)  # so that an error speaks of its own rows
        check_spacing(pd.DatetimeIndex(part.index), frequency, source)
    closes_at = _union(parts)
    periods = config.periods_per_year or count_periods(closes_at, frequency, config.source)
    return _panel(parts, config.source, frequency, periods, config)


def _panel(
    parts: Mapping[str, pd.DataFrame], source: str, frequency: str, periods: float, config: DataConfig
) -> Bars:
    closes_at = _union(parts)
    columns = {
        name: np.column_stack([_aligned(part[name], closes_at) for part in parts.values()])
        for name in FIELDS
    }
    for name, nothing in ACTIONS.items() if config.corporate_actions else ():
        aligned = [_aligned(part[name], closes_at) for part in parts.values()]
        columns[name] = np.nan_to_num(np.column_stack(aligned), nan=float(nothing))
    return Bars(
        symbols=tuple(parts),
        closes_at=closes_at,
        frequency=frequency,
        periods_per_year=periods,
        timezone=config.timezone or "UTC",
        source=source,
        **columns,
    )


def _union(parts: Mapping[str, pd.DataFrame]) -> pd.DatetimeIndex:
    if len(parts) == 1:  # as they stand, so that unsorted and repeated stamps are found
        return pd.DatetimeIndex(next(iter(parts.values())).index)
    return pd.DatetimeIndex(sorted(set().union(*(part.index for part in parts.values()))))


def _aligned(column: pd.Series, closes_at: pd.DatetimeIndex) -> Floats:
    same = column.index.equals(closes_at)
    return (column if same else column.reindex(closes_at)).to_numpy(dtype=np.float64)
