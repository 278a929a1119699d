"""Hybrid: what a trained network has learned to see, read by several bagged random forests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestRegressor

from foretrade.forecasters.base import Forecast
from foretrade.forecasters.keras_nets import (
    EncoderForecaster,
    GRUForecaster,
    LSTMForecaster,
    TCNForecaster,
    TransformerForecaster,
)
from foretrade.markets.arrays import AnyArray, Floats

ENCODERS: Mapping[str, type[EncoderForecaster]] = {
    "gru": GRUForecaster,
    "lstm": LSTMForecaster,
    "tcn": TCNForecaster,
    "transformer": TransformerForecaster,
}


class HybridForecaster(BaseEstimator):
    """A month of bars → a network's features → several random forests → their mean.

    The network is trained on the labels, its last hidden layer becomes the features of
    ``forests`` random forests, each grown on its own bootstrap sample of the training rows, and
    their predictions are averaged (bagging, Breiman 1996); their spread is the forecast's ``std``
    of the mean, not of the return, and is therefore not reported as such.

    Args:
        encoder: ``"lstm"``, ``"gru"``, ``"tcn"`` or ``"transformer"``.
        encoder_settings: Further settings of the network, such as ``{"units": (32,)}``.
        forests: Number of random forests.
        trees: Trees in each.
        min_samples_leaf: Training rows in a leaf at least.
        max_samples: Share of a forest's rows that each of its trees sees.
        epochs, refit_epochs: Of the network, see ``KerasForecaster``.
        seed: Of the network, the bootstrap samples and the forests.
    """

    def __init__(
        self,
        *,
        encoder: str = "lstm",
        encoder_settings: Mapping[str, Any] | None = None,
        forests: int = 5,
        trees: int = 20,
        min_samples_leaf: int = 20,
        max_samples: float = 0.25,
        epochs: int = 10,
        refit_epochs: int = 2,
        seed: int = 0,
    ) -> None:
        self.encoder = encoder
        self.encoder_settings = encoder_settings
        self.forests = forests
        self.trees = trees
        self.min_samples_leaf = min_samples_leaf
        self.max_samples = max_samples
        self.epochs = epochs
        self.refit_epochs = refit_epochs
        self.seed = seed

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:
        self.encoder_ = self._encoder().fit(X, y, sample_weight)
        return self._grow(self.encoder_.features(X), y)

    def refit(self, X: Floats, y: Floats) -> Self:
        """Train the network on, and grow new forests on what it now sees."""
        self.encoder_.refit(X, y)
        return self._grow(self.encoder_.features(X), y)

    def predict(self, X: Floats) -> Forecast:
        seen = self.encoder_.features(X)
        return Forecast(np.mean([forest.predict(seen) for forest in self.forests_], axis=0))

    def state(self) -> dict[str, AnyArray]:
        """The network, and the rows that the forests were grown from."""
        seen = self.seen_.astype(np.float32)  # as the network made them: nothing is lost
        return self.encoder_.state() | {"seen": seen, "seen_labels": self.labels_}

    def set_state(self, state: Mapping[str, AnyArray], X: Floats) -> Self:
        """Take over the network of :meth:`state`, and grow its forests again."""
        network = {name: value for name, value in state.items() if not name.startswith("seen")}
        self.encoder_ = self._encoder().set_state(network, X)
        return self._grow(state["seen"].astype(np.float64), state["seen_labels"])

    def _encoder(self) -> EncoderForecaster:
        if self.encoder not in ENCODERS:
            raise ValueError(f"encoder must be one of {', '.join(ENCODERS)}, got {self.encoder!r}")
        settings = {"epochs": self.epochs, "refit_epochs": self.refit_epochs, "seed": self.seed}
        return ENCODERS[self.encoder](**(settings | dict(self.encoder_settings or {})))

    def _grow(self, seen: Floats, y: Floats) -> Self:
        self.seen_, self.labels_ = seen, np.array(y)
        self.forests_ = []
        for number in range(self.forests):
            rng = np.random.default_rng([self.seed, number])
            rows = rng.integers(len(seen), size=len(seen))
            forest = RandomForestRegressor(
                n_estimators=self.trees,
                min_samples_leaf=self.min_samples_leaf,
                max_features="sqrt",
                max_samples=self.max_samples,
                random_state=self.seed * 1000 + number,
                n_jobs=1,
            )
            self.forests_.append(forest.fit(seen[rows], y[rows]))
        return self
