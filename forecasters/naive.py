"""Forecasts that need no features: what every other member has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
from sklearn.base import BaseEstimator

from foretrade.forecasters.base import Forecast, Inputs, UpdateMode
from foretrade.markets.arrays import AnyArray, Floats


class ZeroForecaster(BaseEstimator):
    """Tomorrow's return is zero: the martingale."""

    is_constant = True

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:
        return self

    def predict(self, X: Floats) -> Forecast:
        return Forecast(np.zeros(len(X)))


class HistoricalMeanForecaster(BaseEstimator):
    """Tomorrow's return is the mean of all returns seen: the benchmark of R²_OS."""

    is_constant = True
    update_mode: UpdateMode = "exact"

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:
        self.mean_ = float(np.average(y, weights=sample_weight))
        self.weight_ = float(len(y) if sample_weight is None else sample_weight.sum())
        return self

    def update(self, X: Floats, y: Floats) -> Self:
        self.weight_ += len(y)
        self.mean_ += float((y - self.mean_).sum()) / self.weight_
        return self

    def predict(self, X: Floats) -> Forecast:
        return Forecast(np.full(len(X), self.mean_))

    def state(self) -> dict[str, AnyArray]:
        return {"mean": np.array([self.mean_, self.weight_])}

    def set_state(self, state: Mapping[str, AnyArray], X: Floats) -> Self:
        self.mean_, self.weight_ = (float(value) for value in state["mean"])
        return self


class DriftForecaster(BaseEstimator):
    """The returns of the last ``lookback_bars`` go on: their mean, over the horizon."""

    inputs: Inputs = "returns"

    def __init__(self, *, lookback_bars: int = 252, horizon_bars: int = 1) -> None:
        self.lookback_bars = lookback_bars
        self.horizon_bars = horizon_bars

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:
        return self

    def predict(self, X: Floats) -> Forecast:
        return Forecast(X[:, :, 0].mean(axis=1) * self.horizon_bars)


class EWMAForecaster(BaseEstimator):
    """Exponentially weighted mean of the last returns, over the horizon.

    Args:
        halflife_bars: Age at which a return counts half of the newest.
        lookback_bars: Where the weights are cut off.
    """

    inputs: Inputs = "returns"

    def __init__(
        self, *, halflife_bars: float = 21.0, lookback_bars: int = 126, horizon_bars: int = 1
    ) -> None:
        self.halflife_bars = halflife_bars
        self.lookback_bars = lookback_bars
        self.horizon_bars = horizon_bars

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:
        ages = np.arange(X.shape[1])[::-1]
        weights = 0.5 ** (ages / self.halflife_bars)
        self.weights_: Floats = weights / weights.sum()
        return self

    def predict(self, X: Floats) -> Forecast:
        return Forecast((X[:, :, 0] * self.weights_).sum(axis=1) * self.horizon_bars)


class ARForecaster(BaseEstimator):
    """First-order autoregression: ``a + b r``, ``r`` the newest return; by least squares."""

    inputs: Inputs = "returns"

    def __init__(self, *, lookback_bars: int = 1) -> None:
        self.lookback_bars = lookback_bars

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:
        last = X[:, -1, 0]
        weights = np.ones_like(y) if sample_weight is None else sample_weight
        x_mean, y_mean = np.average(last, weights=weights), np.average(y, weights=weights)
        spread = float((weights * (last - x_mean) ** 2).sum())
        common = float((weights * (last - x_mean) * (y - y_mean)).sum())
        self.slope_ = common / spread if spread > 0 else 0.0
        self.intercept_ = float(y_mean - self.slope_ * x_mean)
        return self

    def predict(self, X: Floats) -> Forecast:
        return Forecast(self.intercept_ + self.slope_ * X[:, -1, 0])
