"""Forecasts that know nothing of the features: what every other member has to beat."""

from __future__ import annotations

from typing import Self

import numpy as np
from sklearn.base import BaseEstimator

from foretrade.forecasters.base import Forecast
from foretrade.markets.arrays import Floats


class ZeroForecaster(BaseEstimator):
    """Tomorrow's return is zero: the martingale."""

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:
        self.std_ = float(np.sqrt(np.average(y**2, weights=sample_weight)))
        return self

    def predict(self, X: Floats) -> Forecast:
        return Forecast(np.zeros(len(X)), np.full(len(X), self.std_))


class HistoricalMeanForecaster(BaseEstimator):
    """Tomorrow's return is the mean of all returns seen: the benchmark of R²_OS."""

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:
        self.mean_ = float(np.average(y, weights=sample_weight))
        self.std_ = float(np.sqrt(np.average((y - self.mean_) ** 2, weights=sample_weight)))
        return self

    def predict(self, X: Floats) -> Forecast:
        return Forecast(np.full(len(X), self.mean_), np.full(len(X), self.std_))
