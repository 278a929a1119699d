"""Linear members, on features and labels standardised within the training rows of each fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import ElasticNet, HuberRegressor, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from foretrade.forecasters.base import Forecast, SklearnForecaster, UpdateMode
from foretrade.markets.arrays import AnyArray, Floats


def ridge(*, alpha: float = 1000.0, window: str = "last") -> SklearnForecaster:
    """Ridge regression.

    Daily returns carry little signal, hence the strong default penalty (``alpha`` is in units of
    standardised rows).
    """
    return SklearnForecaster(make_pipeline(StandardScaler(), Ridge(alpha=alpha)), window=window)


def elastic_net(
    *, alpha: float = 0.02, l1_ratio: float = 0.5, window: str = "last"
) -> SklearnForecaster:
    """Elastic net (Zou and Hastie 2005); ``alpha`` is in units of the labels' standard deviation."""
    return _standardised(ElasticNet(alpha=alpha, l1_ratio=l1_ratio, max_iter=10_000), window)


def huber(*, epsilon: float = 1.35, alpha: float = 1000.0, window: str = "last") -> SklearnForecaster:
    """Huber's regression: errors beyond ``epsilon`` standard deviations count linearly."""
    return _standardised(HuberRegressor(epsilon=epsilon, alpha=alpha, max_iter=1000), window)


def _standardised(regressor: Any, window: str) -> SklearnForecaster:
    pipeline = make_pipeline(StandardScaler(), regressor)
    return SklearnForecaster(
        TransformedTargetRegressor(pipeline, transformer=StandardScaler()), window=window
    )


class OnlineRidgeForecaster(BaseEstimator):
    """Ridge regression from running sums: an update gives what a fit on all rows would.

    With ``forgetting`` below 1 a row counts that much less with each row after it (recursive least
    squares, e.g. Ljung 1999, section 11.2, with the ridge's penalty kept up).

    Args:
        alpha: Penalty, in units of standardised rows.
        forgetting: Per row; 1 forgets nothing, 0.998 has a memory of 500 rows.
    """

    update_mode: UpdateMode = "exact"

    def __init__(self, *, alpha: float = 1000.0, forgetting: float = 1.0) -> None:
        self.alpha = alpha
        self.forgetting = forgetting

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:
        if not 0 < self.forgetting <= 1 or self.alpha < 0:
            raise ValueError("forgetting must be above 0 and at most 1, alpha not negative")
        width = X.shape[2] + 2
        self.origin_: Floats = np.append(X[0, -1], 0.0)  # sums around it do not cancel
        self.sums_: Floats = np.zeros((width, width))
        return self._absorb(X, y, sample_weight)

    def update(self, X: Floats, y: Floats) -> Self:
        return self._absorb(X, y, None)

    def predict(self, X: Floats) -> Forecast:
        return Forecast(self.intercept_ + ((X[:, -1] - self.centre_) * self.slopes_).sum(axis=1))

    def state(self) -> dict[str, AnyArray]:
        return {"sums": self.sums_, "origin": self.origin_}

    def set_state(self, state: Mapping[str, AnyArray], X: Floats) -> Self:
        self.sums_, self.origin_ = np.array(state["sums"]), np.array(state["origin"])
        return self._solve()

    def _absorb(self, X: Floats, y: Floats, sample_weight: Floats | None) -> Self:
        """Add rows of ``(1, x, y)`` to the sums of their products."""
        rows = np.column_stack([np.ones(len(y)), X[:, -1], y])
        rows[:, 1:] -= self.origin_
        weights = self.forgetting ** np.arange(len(y))[::-1]
        weights = weights if sample_weight is None else weights * sample_weight
        self.sums_ = self.forgetting ** len(y) * self.sums_ + (rows * weights[:, None]).T @ rows
        return self._solve()

    def _solve(self) -> Self:
        count = self.sums_[0, 0]
        means = self.sums_[0, 1:] / count
        products = self.sums_[1:, 1:] - count * np.outer(means, means)
        spreads = np.sqrt(np.maximum(np.diag(products)[:-1] / count, 0.0))
        spreads[spreads < 1e-12] = 1.0  # a feature that does not vary
        scaled = products[:-1, :-1] / np.outer(spreads, spreads) + self.alpha * np.eye(len(spreads))
        self.slopes_: Floats = np.linalg.solve(scaled, products[:-1, -1] / spreads) / spreads
        self.centre_: Floats = means[:-1] + self.origin_[:-1]
        self.intercept_ = float(means[-1])
        return self
