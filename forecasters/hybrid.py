"""Hybrid: what a trained LSTM has learned to see, read by several bagged random forests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestRegressor

from foretrade.forecasters.base import Forecast
from foretrade.forecasters.keras_nets import LSTMForecaster
from foretrade.markets.arrays import AnyArray, Floats


class HybridForecaster(BaseEstimator):
    """A month of bars → LSTM features → several random forests → their mean.

    The network is trained on the labels, its last hidden layer becomes the features of
    ``forests`` random forests, each grown on its own bootstrap sample of the training rows, and
    their predictions are averaged (bagging, Breiman 1996); their spread is the forecast's ``std``
    of the mean, not of the return, and is therefore not reported as such.

    Args:
        forests: Number of random forests.
        trees: Trees in each.
        min_samples_leaf: Training rows in a leaf at least.
        epochs, refit_epochs: Of the network, see :class:`LSTMForecaster`.
        seed: Of the network, the bootstrap samples and the forests.
    """

    def __init__(
        self,
        *,
        forests: int = 5,
        trees: int = 20,
        min_samples_leaf: int = 20,
        epochs: int = 10,
        refit_epochs: int = 2,
        seed: int = 0,
    ) -> None:
        self.forests = forests
        self.trees = trees
        self.min_samples_leaf = min_samples_leaf
        self.epochs = epochs
        self.refit_epochs = refit_epochs
        self.seed = seed

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:
        self.encoder_ = self._encoder().fit(X, y, sample_weight)
        return self._grow(X, y)

    def refit(self, X: Floats, y: Floats) -> Self:
        """Train the network on, and grow new forests on what it now sees."""
        self.encoder_.refit(X, y)
        return self._grow(X, y)

    def predict(self, X: Floats) -> Forecast:
        seen = self.encoder_.features(X)
        return Forecast(np.mean([forest.predict(seen) for forest in self.forests_], axis=0))

    def state(self) -> dict[str, AnyArray]:
        """The network; the forests are grown anew at each refit."""
        return self.encoder_.state()

    def set_state(self, state: Mapping[str, AnyArray], X: Floats) -> Self:
        self.encoder_ = self._encoder().set_state(state, X)
        return self

    def _encoder(self) -> LSTMForecaster:
        return LSTMForecaster(epochs=self.epochs, refit_epochs=self.refit_epochs, seed=self.seed)

    def _grow(self, X: Floats, y: Floats) -> Self:
        seen = self.encoder_.features(X)
        self.forests_ = []
        for number in range(self.forests):
            rng = np.random.default_rng([self.seed, number])
            rows = rng.integers(len(seen), size=len(seen))
            forest = RandomForestRegressor(
                n_estimators=self.trees,
                min_samples_leaf=self.min_samples_leaf,
                max_features="sqrt",
                max_samples=0.5,
                random_state=self.seed * 1000 + number,
                n_jobs=1,
            )
            self.forests_.append(forest.fit(seen[rows], y[rows]))
        return self
