"""Running standardisation: a member sees its inputs in units of their own recent spread."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import clone

from foretrade.forecasters.bagging import MemberWrapper
from foretrade.forecasters.base import Forecast, as_forecaster
from foretrade.markets.arrays import Floats

FLAT = 1e-12  # a spread below this is none: the input is shown as 0


class ScaledForecaster(MemberWrapper):
    """Each window less the exponential mean of its features, over their exponential spread.

    The moments at a row include that row. They are state: ``observe`` moves them with each new window,
    and the member's parameters stay as they are. For members that learn from labels: one that hands its
    inputs on, as ``drift`` and ``ewma`` do, would hand on scaled ones.

    Args:
        member: Forecaster or scikit-learn regressor; cloned at each fit.
        span_bars: Of the exponential moments.
    """

    def __init__(self, member: Any, *, span_bars: int = 252) -> None:
        self.member = member
        self.span_bars = span_bars

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:
        if self.span_bars < 2:
            raise ValueError(f"span_bars must be at least 2, got {self.span_bars}")
        self.mean_, self.square_, self.seen_ = np.zeros(X.shape[2]), np.zeros(X.shape[2]), 0.0
        scaled = np.empty_like(X)
        for row, window in enumerate(X):
            self._move(window[-1])
            scaled[row] = self._scaled(window)
        self.member_ = clone(as_forecaster(self.member)).fit(scaled, y, sample_weight)
        return self

    def observe(self, X: Floats) -> Self:
        """Move the moments by the newest row of each window, in time order."""
        for window in X:
            self._move(window[-1])
        return self

    def predict(self, X: Floats) -> Forecast:
        """Forecasts at the moments as they stand."""
        forecast: Forecast = self.member_.predict(self._scaled(X))
        return forecast

    def _move(self, row: Floats) -> None:
        """Weights of the moments sum to ``seen_``, which tends to 1."""
        weight = 2 / (self.span_bars + 1)
        self.mean_ += weight * (row - self.mean_)
        self.square_ += weight * (row**2 - self.square_)
        self.seen_ += weight * (1 - self.seen_)

    def _scaled(self, X: Floats) -> Floats:
        mean = self.mean_ / self.seen_
        spread = np.sqrt(np.maximum(self.square_ / self.seen_ - mean**2, 0.0))
        flat = spread < FLAT
        scaled: Floats = np.where(flat, 0.0, (X - mean) / np.where(flat, 1.0, spread))
        return scaled
