"""Keras networks on the TensorFlow backend: LSTM, GRU, temporal CNN and Transformer."""

from __future__ import annotations

import os
import sys
import warnings
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
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
os.environ["TF_NUM_INTRAOP_THREADS"] = "1"  # large gradient sums are split by threads, and round so
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
import h5py  # type: ignore[import-untyped]
import numpy as np
from sklearn.base import BaseEstimator

from foretrade.forecasters import networks
from foretrade.forecasters.base import Forecast, UpdateMode
from foretrade.forecasters.blocks import (
    feature_importance,
    in_blocks,
    integrated_gradients,
    network_inputs,
)
from foretrade.markets.arrays import AnyArray, Float32s, Floats


@dataclass(kw_only=True, eq=False, repr=False)
class KerasForecaster(BaseEstimator, ABC):
    """How a Keras network learns and forecasts; what the network is, a subclass says.

    ``fit`` starts from scratch; ``refit`` goes on from the weights of the fit before with a fresh
    optimiser, so that a refit is a pure function of those weights, the rows and the seed; so is
    ``update``, some gentler steps on new rows alone. Labels are learned in units of their own spread.

    Args:
        epochs, refit_epochs, update_epochs: Passes over the rows in ``fit``, ``refit`` and ``update``.
        batch_size, learning_rate: Of Adam.
        update_learning_rate: The same in ``update``; a first step of Adam moves every weight by it.
        seed: Of the initial weights, the shuffling and the dropout.
    """

    epochs: int = 10
    refit_epochs: int = 2
    update_epochs: int = 1
    batch_size: int = 256
    learning_rate: float = 1e-3
    update_learning_rate: float = 1e-4
    seed: int = 0
    update_mode: UpdateMode = field(default="warm", init=False)

    @abstractmethod
    def _compiled(self, shape: tuple[int, ...]) -> Any:
        """A new network for inputs of ``shape`` (lookback_bars, features)."""

    def _head(self) -> networks.Head:
        return networks.PointHead()

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:
        self._build(X)
        self._standardise_labels(y)
        return self._train(X, y, self.epochs, self.seed, sample_weight)

    def refit(self, X: Floats, y: Floats) -> Self:
        """Train on from the present weights; labels are standardised anew on these rows."""
        self._standardise_labels(y)
        return self._train(X, y, self.refit_epochs, self.seed + len(X), None)

    def update(self, X: Floats, y: Floats) -> Self:
        """Train on from the present weights on new rows; labels keep their units."""
        # Seeded by the labels: the same dropout in each update would thin the network out for good.
        networks.restart(self.net_, self.optimiser_start_, self.seed + zlib.crc32(y.tobytes()))
        self.net_.optimizer.learning_rate = self.update_learning_rate
        inputs, labels = network_inputs(X), self._standardised(y)
        for _ in range(self.update_epochs):
            for start in range(0, len(y), self.batch_size):
                rows = slice(start, start + self.batch_size)
                self.net_.train_on_batch(inputs[rows], labels[rows])  # an eighth of fit's time
        return self

    def predict(self, X: Floats) -> Forecast:
        return self._head().forecast(_run(self.net_, X), self.label_mean_, self.label_std_)

    def integrated_gradients(self, X: Floats) -> Floats:
        """Parts of each forecast, ``[n, lookback_bars, features]``, in log returns.

        They sum to its difference from the forecast of a window of zeros, see
        :func:`foretrade.forecasters.blocks.integrated_gradients`.
        """
        inputs = network_inputs(X).astype(np.float64)
        return self.label_std_ * integrated_gradients(self.gradient_, inputs)

    def attribution(self, X: Floats) -> Floats:
        """Mean absolute part of each feature in the forecasts, ``[features]``, in log returns."""
        return feature_importance(self.integrated_gradients(X))

    def state(self) -> dict[str, AnyArray]:
        weights = {f"weight_{i:03d}": w for i, w in enumerate(self.net_.get_weights())}
        return weights | {"label": np.array([self.label_mean_, self.label_std_])}

    def set_state(self, state: Mapping[str, AnyArray], X: Floats) -> Self:
        """Take over the parameters of :meth:`state`; ``X`` gives the shape of the inputs."""
        self._build(X)
        self.net_.set_weights([state[name] for name in sorted(state) if name != "label"])
        self.label_mean_, self.label_std_ = (float(value) for value in state["label"])
        return self

    def save_weights(self, path: Path | str) -> None:
        """Write Keras weights, a file ``*.weights.h5``; the labels' units are an attribute in it."""
        self.net_.save_weights(path)
        with h5py.File(path, "a") as file:
            file.attrs["label"] = [self.label_mean_, self.label_std_]

    def load_weights(self, path: Path | str, X: Floats) -> Self:
        """Take over what :meth:`save_weights` wrote; ``X`` gives the shape of the inputs."""
        self._build(X)
        self.net_.load_weights(path)
        with h5py.File(path) as file:
            self.label_mean_, self.label_std_ = (float(value) for value in file.attrs["label"])
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Settings and :meth:`state`; a copy builds its own network from them."""
        kept = {name: value for name, value in vars(self).items() if not name.endswith("_")}
        return kept | ({"fitted": (self.recipe_[0], self.state())} if hasattr(self, "net_") else {})

    def __setstate__(self, kept: Mapping[str, Any]) -> None:
        self.__dict__.update({name: value for name, value in kept.items() if name != "fitted"})
        if "fitted" in kept:
            shape, state = kept["fitted"]
            self.set_state(state, np.empty((0, *shape)))

    def _build(self, X: Floats) -> None:
        """A network with its initial weights; one that was traced before is used again."""
        if X.ndim != 3:
            raise ValueError(f"X must be [n, lookback_bars, features], got shape {X.shape}")
        recipe = X.shape[1:], self.get_params(deep=False)
        if hasattr(self, "recipe_") and self.recipe_ == recipe:
            self.net_.set_weights(self.start_)
            return
        keras.utils.set_random_seed(self.seed)
        self.net_: Any = self._compiled(X.shape[1:])
        self.net_.optimizer.build(self.net_.trainable_variables)
        self.start_: list[AnyArray] = self.net_.get_weights()
        self.optimiser_start_ = [value.numpy() for value in self.net_.optimizer.variables]
        self.step_ = networks.training_step(self.net_)
        self.gradient_ = networks.mean_gradient(self.net_, self._head().mean_weights)
        self.recipe_: tuple[tuple[int, ...], dict[str, Any]] = recipe

    def _standardise_labels(self, y: Floats) -> None:
        self.label_mean_ = float(y.mean())
        self.label_std_ = float(max(y.std(), 1e-12))

    def _standardised(self, y: Floats) -> Float32s:
        return ((y - self.label_mean_) / self.label_std_).astype(np.float32)

    def _train(self, X: Floats, y: Floats, epochs: int, seed: int, sample_weight: Floats | None) -> Self:
        networks.restart(self.net_, self.optimiser_start_, seed)
        inputs, labels = network_inputs(X), self._standardised(y)
        rng = np.random.default_rng(seed)
        for _ in range(epochs):  # not by ``fit``, whose pipeline takes a third of the time
            order = rng.permutation(len(labels))
            for start in range(0, len(order), self.batch_size):
                rows = order[start : start + self.batch_size]
                weights = None if sample_weight is None else sample_weight[rows]
                self.step_(inputs[rows], labels[rows], weights)
        return self


@dataclass(kw_only=True, eq=False, repr=False)
class EncoderForecaster(KerasForecaster):
    """A shipped network: an encoder of the window, dropout, and a head, all with these settings.

    Args:
        dropout: Share of a layer's outputs dropped while training.
        head: ``"point"``, ``"gaussian"`` (gives a std) or ``"quantile"`` (gives a std and quantiles
            that never cross).
        quantiles: Levels of the quantile head, increasing.
        epochs, refit_epochs, update_epochs, batch_size, learning_rate, update_learning_rate, seed: See
            :class:`KerasForecaster`.
    """

    dropout: float = 0.2
    head: str = "point"
    quantiles: tuple[float, ...] = (0.05, 0.25, 0.5, 0.75, 0.95)

    @abstractmethod
    def _encode(self, inputs: networks.Tensor) -> networks.Tensor:
        """Windows ``[batch, lookback_bars, features]`` to ``[batch, width]``."""

    def features(self, X: Floats) -> Floats:
        """Output of the encoder, ``[n, width]``: what the network has learned to see."""
        return _run(self.encoder_, X)

    def _head(self) -> networks.Head:
        return networks.make_head(self.head, self.quantiles)

    def _compiled(self, shape: tuple[int, ...]) -> Any:
        head = self._head()
        inputs = keras.Input(shape)
        encoded = self._encode(inputs)
        net = keras.Model(inputs, head.output(keras.layers.Dropout(self.dropout)(encoded)))
        self.encoder_ = keras.Model(inputs, encoded)
        net.compile(keras.optimizers.Adam(self.learning_rate), head.loss, jit_compile=False)
        return net


@dataclass(kw_only=True, eq=False, repr=False)
class LSTMForecaster(EncoderForecaster):
    """Two stacked LSTM layers with dropout and a dense head (Fischer and Krauss 2018 is the kin).

    Args:
        units: Width of each LSTM layer.
    """

    units: tuple[int, ...] = (64, 64)

    def _encode(self, inputs: networks.Tensor) -> networks.Tensor:
        return networks.lstm(inputs, units=self.units, dropout=self.dropout)


@dataclass(kw_only=True, eq=False, repr=False)
class GRUForecaster(EncoderForecaster):
    """Stacked gated recurrent units with dropout and a head.

    Args:
        units: Width of each GRU layer.
    """

    units: tuple[int, ...] = (64, 64)

    def _encode(self, inputs: networks.Tensor) -> networks.Tensor:
        return networks.gru(inputs, units=self.units, dropout=self.dropout)


@dataclass(kw_only=True, eq=False, repr=False)
class TCNForecaster(EncoderForecaster):
    """Causal dilated convolutions, see :func:`foretrade.forecasters.networks.temporal_cnn`.

    Args:
        filters: Channels of every convolution.
        kernel_bars: Steps that a convolution looks at, ``dilations`` apart; one residual block each.
            The defaults reach 29 bars back.
    """

    filters: int = 32
    kernel_bars: int = 3
    dilations: tuple[int, ...] = (1, 2, 4)

    def _encode(self, inputs: networks.Tensor) -> networks.Tensor:
        return networks.temporal_cnn(
            inputs,
            filters=self.filters,
            kernel_bars=self.kernel_bars,
            dilations=self.dilations,
            dropout=self.dropout,
        )


@dataclass(kw_only=True, eq=False, repr=False)
class TransformerForecaster(EncoderForecaster):
    """A small Transformer encoder, see :func:`foretrade.forecasters.networks.transformer`.

    Args:
        width: Of the steps' representation; even, and a multiple of ``heads``.
        heads: Of the attention in each of the ``layers``.
    """

    width: int = 32
    heads: int = 4
    layers: int = 2

    def _encode(self, inputs: networks.Tensor) -> networks.Tensor:
        return networks.transformer(
            inputs, width=self.width, heads=self.heads, layers=self.layers, dropout=self.dropout
        )


def _run(net: Any, X: Floats) -> Floats:
    """Outputs of a network, ``[n, outputs]``."""
    outputs = in_blocks(lambda block: net.predict_on_batch(network_inputs(block)), X)
    return outputs.reshape(len(X), -1)
