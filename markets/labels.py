"""Labels: the return that a decision can earn, and the bar at which it is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foretrade.markets.arrays import Floats
from foretrade.markets.bars import Bars
from foretrade.markets.fills import Fill, fill_lag_bars, fill_prices


@dataclass(frozen=True)
class LabelConfig:
    """What the forecasters are asked to predict.

    Args:
        horizon_bars: Bars over which the return runs, at least 1.
        fill: The return runs from the fill of the decision to the same price
            ``horizon_bars`` later, so that what is forecast is what can be traded.
    """

    horizon_bars: int = 1
    fill: Fill = "next_close"

    def __post_init__(self) -> None:
        if self.horizon_bars < 1:
            raise ValueError("horizon_bars must be at least 1")

    @property
    def resolution_bars(self) -> int:
        """Bars after the decision at whose close the label is known."""
        return fill_lag_bars(self.fill) + self.horizon_bars


def forward_returns(bars: Bars, config: LabelConfig) -> Floats:
    """Forward log return of each decision, ``[bars, symbols]``.

    Row ``t`` is ``log(p[t + lag + horizon] / p[t + lag])`` with ``p`` the fill price; it is known
    at the close of bar ``t + resolution_bars``. Rows whose label is not resolved yet are NaN.
    Dividends and splits are reinvested.
    """
    log_price = np.log(fill_prices(bars.as_total_return(), config.fill))
    labels = np.full_like(log_price, np.nan)
    lag, resolution = fill_lag_bars(config.fill), config.resolution_bars
    if len(bars) > resolution:
        labels[:-resolution] = log_price[resolution:] - log_price[lag : len(bars) - config.horizon_bars]
    return labels


def one_bar_returns(bars: Bars) -> Floats:
    """Log return of each bar from the close before, ``[bars, symbols]``; known at its own close.

    The first row is NaN. Dividends and splits are reinvested.
    """
    log_close = np.log(bars.as_total_return().close)
    return np.concatenate([np.full_like(log_close[:1], np.nan), np.diff(log_close, axis=0)])
