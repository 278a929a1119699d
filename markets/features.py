"""Causal features: each value uses bars up to its own row only, and trailing scales only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import talib

from foretrade.markets.arrays import Floats
from foretrade.markets.bars import Bars
from foretrade.markets.table import Column, Table

FLAT = 1e-8  # floor of a trailing scale: a constant price has features of zero, not of 0/0


@dataclass(frozen=True)
class FeatureConfig:
    """Which features, over how many bars.

    Args:
        return_lags: ``return_lag_k`` is the log return of ``k`` bars ago.
        momentum_bars: ``momentum_n`` is the log return over the last ``n`` bars.
        trend_bars: ``trend_n`` is the log distance of the close from its ``n``-bar mean.
        scale_span_bars: Span of the exponentially weighted volatility by which returns, momentum
            and trend are divided; their unit is that volatility, their sign is kept.
        volatility_bars: Window of the annualised volatility; short, long.
        rsi_bars, atr_bars: Wilder's periods.
        zscore_bars: Trailing window that normalises volume and average true range.
        calendar: Weekday and month of the bar, as sine and cosine.
    """

    return_lags: tuple[int, ...] = (0, 1, 2, 3, 4)
    momentum_bars: tuple[int, ...] = (5, 21, 63, 252)
    trend_bars: int = 200
    scale_span_bars: int = 63
    volatility_bars: tuple[int, int] = (21, 252)
    rsi_bars: int = 14
    atr_bars: int = 14
    zscore_bars: int = 252
    calendar: bool = True

    def __post_init__(self) -> None:
        for name, lowest in (("return_lags", 0), ("momentum_bars", 1), ("volatility_bars", 2)):
            values = getattr(self, name)
            if len(set(values)) != len(values) or min(values, default=lowest) < lowest:
                raise ValueError(f"{name} = {values} must be different numbers of at least {lowest}")
        for name in ("trend_bars", "scale_span_bars", "rsi_bars", "atr_bars", "zscore_bars"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name} must be at least 2")


DEFAULT = FeatureConfig()


def compute_features(bars: Bars, config: FeatureConfig = DEFAULT) -> Table:
    """All features of all symbols; NaN until a feature's window is full.

    Row ``t`` uses bars ``0 … t`` and is known at the close of bar ``t``. Dividends and splits are
    reinvested: no feature sees a split as a fall.
    """
    bars = bars.as_total_return()
    columns: dict[Column, Floats] = {}
    for compute in (_returns, _volatility, _oscillators, _volume):
        columns |= compute(bars, config)
    if config.calendar:
        columns |= _calendar(bars)
    return Table.from_columns(bars, columns)


def trailing_volatility(bars: Bars, span_bars: int) -> Floats:
    """Exponentially weighted root mean square of log returns, per bar, ``[bars, symbols]``."""
    squared = pd.DataFrame(_log_returns(bars)).pow(2)
    mean = squared.ewm(span=span_bars, min_periods=span_bars // 2).mean()
    return np.asarray(np.maximum(np.sqrt(mean.to_numpy()), FLAT))


def _log_returns(bars: Bars, over: int = 1) -> Floats:
    log_close = np.log(bars.close)
    returns = np.full_like(log_close, np.nan)
    returns[over:] = log_close[over:] - log_close[:-over]
    return returns


def _lag(values: Floats, bars: int) -> Floats:
    return values if bars == 0 else np.concatenate([np.full_like(values[:bars], np.nan), values[:-bars]])


def _returns(bars: Bars, config: FeatureConfig) -> dict[Column, Floats]:
    scale = trailing_volatility(bars, config.scale_span_bars)
    one_bar = _log_returns(bars)
    columns = {
        Column(f"return_lag_{lag}", "vol"): _lag(one_bar, lag) / scale for lag in config.return_lags
    }
    for over in config.momentum_bars:
        columns[Column(f"momentum_{over}", "vol")] = _log_returns(bars, over) / scale / np.sqrt(over)
    mean = pd.DataFrame(bars.close).rolling(config.trend_bars).mean().to_numpy()
    distance = np.log(bars.close / mean) / scale / np.sqrt(config.trend_bars)
    columns[Column(f"trend_{config.trend_bars}", "vol")] = distance
    return columns


def _volatility(bars: Bars, config: FeatureConfig) -> dict[Column, Floats]:
    squared = pd.DataFrame(_log_returns(bars)).pow(2)
    short, long = (
        np.maximum(np.sqrt(squared.rolling(n).mean().to_numpy()), FLAT) for n in config.volatility_bars
    )
    annual = np.sqrt(bars.periods_per_year)
    return {
        Column(f"volatility_{config.volatility_bars[0]}", "1/sqrt(year)"): short * annual,
        Column("volatility_ratio", "log ratio"): np.log(short / long),
    }


def _oscillators(bars: Bars, config: FeatureConfig) -> dict[Column, Floats]:
    def rsi(asset: int) -> Floats:
        return np.asarray(talib.RSI(bars.close[:, asset], config.rsi_bars) / 50 - 1)

    def relative_range(asset: int) -> Floats:
        high, low, close = bars.high[:, asset], bars.low[:, asset], bars.close[:, asset]
        average = talib.ATR(high, low, close, config.atr_bars)
        return np.asarray(np.log(np.maximum(average / close, FLAT)))

    def by_symbol(indicator: Callable[[int], Floats]) -> Floats:
        return np.column_stack([indicator(asset) for asset in range(len(bars.symbols))])

    return {
        Column(f"rsi_{config.rsi_bars}", "ratio"): by_symbol(rsi),
        Column(f"atr_{config.atr_bars}", "z"): _zscore(by_symbol(relative_range), config.zscore_bars),
    }


def _volume(bars: Bars, config: FeatureConfig) -> dict[Column, Floats]:
    return {Column("volume", "z"): _zscore(np.log1p(bars.volume), config.zscore_bars)}


def _calendar(bars: Bars) -> dict[Column, Floats]:
    columns: dict[Column, Floats] = {}
    for name, phase in (
        ("weekday", bars.dates.day_of_week.to_numpy() / 5),
        ("month", (bars.dates.month.to_numpy() - 1) / 12),
    ):
        angle = 2 * np.pi * phase.astype(np.float64)[:, None]
        columns[Column(f"{name}_sin", "ratio")] = np.sin(angle)
        columns[Column(f"{name}_cos", "ratio")] = np.cos(angle)
    return columns


def _zscore(values: Floats, window: int) -> Floats:
    rolling = pd.DataFrame(values).rolling(window)
    deviation = np.maximum(rolling.std().to_numpy(), FLAT)
    return np.asarray((values - rolling.mean().to_numpy()) / deviation)
