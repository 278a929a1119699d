"""Keras networks on the TensorFlow backend: the stacked LSTM."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

# oneDNN's kernels give other bits: pin them off, which works only before TensorFlow is imported.
if "tensorflow" in sys.modules and os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0":
    warnings.warn(
        "tensorflow was imported before foretrade's networks, with oneDNN on: forecasts may differ "
        "in their last bits from other runs; import foretrade.forecasters.keras_nets first",
        RuntimeWarning,
        stacklevel=2,
    )
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextmanager
def _native_messages_muted() -> Iterator[None]:
    """TensorFlow reports missing GPUs from C++, before any of its settings can stop it."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


with _native_messages_muted():
    import keras
import numpy as np
from sklearn.base import BaseEstimator

from foretrade.forecasters.base import Forecast
from foretrade.markets.arrays import AnyArray, Float32s, Floats

CLIP = 10.0  # features are in units of their own spread; beyond this they are outliers
BLOCK_ROWS = 256  # the network always runs on this many rows: one trace, and the same bits a row


class LSTMForecaster(BaseEstimator):
    """Two stacked LSTM layers with dropout and a dense head (Fischer and Krauss 2018 is the kin).

    ``fit`` starts from scratch; ``refit`` goes on from the weights of the fit before with a fresh
    optimiser, so that a refit is a pure function of those weights, the rows and the seed.

    Args:
        units: Width of each LSTM layer.
        dropout: Share of a layer's outputs dropped while training.
        epochs, refit_epochs: Passes over the training rows in ``fit`` and ``refit``.
        batch_size, learning_rate: Of Adam.
        seed: Of the initial weights, the shuffling and the dropout.
    """

    def __init__(
        self,
        *,
        units: tuple[int, ...] = (64, 64),
        dropout: float = 0.2,
        epochs: int = 10,
        refit_epochs: int = 2,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        seed: int = 0,
    ) -> None:
        self.units = units
        self.dropout = dropout
        self.epochs = epochs
        self.refit_epochs = refit_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:
        self._build(X)
        self._standardise_labels(y)
        return self._train(X, y, self.epochs, self.seed, sample_weight)

    def refit(self, X: Floats, y: Floats) -> Self:
        """Train on from the present weights; labels are standardised anew on these rows."""
        self._standardise_labels(y)
        return self._train(X, y, self.refit_epochs, self.seed + len(X), None)

    def predict(self, X: Floats) -> Forecast:
        output = _in_blocks(self.net_, X)
        return Forecast(output[:, 0] * self.label_std_ + self.label_mean_)

    def features(self, X: Floats) -> Floats:
        """Output of the last LSTM layer, ``[n, units[-1]]``: what the network has learned to see."""
        return _in_blocks(self.encoder_, X)

    def state(self) -> dict[str, AnyArray]:
        weights = {f"weight_{i:02d}": w for i, w in enumerate(self.net_.get_weights())}
        return weights | {"label": np.array([self.label_mean_, self.label_std_])}

    def set_state(self, state: Mapping[str, AnyArray], X: Floats) -> Self:
        """Take over the parameters of :meth:`state`; ``X`` gives the shape of the inputs."""
        self._build(X)
        self.net_.set_weights([state[name] for name in sorted(state) if name != "label"])
        self.label_mean_, self.label_std_ = (float(value) for value in state["label"])
        return self

    def _build(self, X: Floats) -> None:
        keras.utils.set_random_seed(self.seed)
        inputs = keras.Input(X.shape[1:])
        hidden = inputs
        for i, units in enumerate(self.units):
            deeper = i + 1 < len(self.units)
            hidden = keras.layers.LSTM(units, return_sequences=deeper)(hidden)
            encoded = hidden
            hidden = keras.layers.Dropout(self.dropout)(hidden)
        self.net_ = keras.Model(inputs, keras.layers.Dense(1)(hidden))
        self.encoder_ = keras.Model(inputs, encoded)
        self.net_.compile(keras.optimizers.Adam(self.learning_rate), "mse")

    def _standardise_labels(self, y: Floats) -> None:
        self.label_mean_ = float(y.mean())
        self.label_std_ = float(max(y.std(), 1e-12))

    def _train(self, X: Floats, y: Floats, epochs: int, seed: int, sample_weight: Floats | None) -> Self:
        self._forget_optimiser()
        self._seed_dropout(seed)
        inputs = _inputs(X)
        labels = ((y - self.label_mean_) / self.label_std_).astype(np.float32)
        rng = np.random.default_rng(seed)
        for _ in range(epochs):
            rows = rng.permutation(len(labels))
            weights = None if sample_weight is None else sample_weight[rows]
            self.net_.fit(
                inputs[rows],
                labels[rows],
                batch_size=self.batch_size,
                sample_weight=weights,
                shuffle=False,
                verbose=0,
            )
        return self

    def _forget_optimiser(self) -> None:
        """Zero Adam's moments and step count, without the retracing that a new one would cost."""
        optimiser: Any = self.net_.optimizer
        optimiser.build(self.net_.trainable_variables)
        for variable in optimiser.variables:
            if variable is not optimiser._learning_rate:
                variable.assign(keras.ops.zeros_like(variable))

    def _seed_dropout(self, seed: int) -> None:
        """Restart the dropout masks, whose generators would otherwise remember earlier fits."""
        for number, layer in enumerate(self.net_.layers):
            if isinstance(layer, keras.layers.Dropout):
                layer.seed_generator.state.assign(np.array([seed, number], dtype=np.uint32))


def _in_blocks(net: Any, X: Floats) -> Floats:
    padded = _inputs(np.concatenate([X, np.repeat(X[-1:], -len(X) % BLOCK_ROWS, axis=0)]))
    blocks = padded.reshape(-1, BLOCK_ROWS, *X.shape[1:])
    outputs = [np.asarray(net.predict_on_batch(block)) for block in blocks]
    return np.concatenate(outputs)[: len(X)].astype(np.float64)


def _inputs(X: Floats) -> Float32s:
    return np.clip(X, -CLIP, CLIP).astype(np.float32)
