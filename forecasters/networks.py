"""What the Keras networks are made of: one encoder each, and heads that say what they output.

Keras is imported inside the functions, because ``keras_nets`` must set its environment first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any, Protocol, TypeAlias

import numpy as np

from foretrade.forecasters.base import Forecast
from foretrade.markets.arrays import AnyArray, Float32s, Floats

Tensor: TypeAlias = Any
MIN_STD = 1e-3  # of a Gaussian head, in units of the labels' spread


def lstm(inputs: Tensor, *, units: tuple[int, ...], dropout: float) -> Tensor:
    """Stacked LSTM layers (Hochreiter and Schmidhuber 1997) with dropout between them, last step.

    Like every encoder here it maps ``[batch, lookback_bars, features]`` to ``[batch, width]``.
    """
    import keras

    return _stacked(keras.layers.LSTM, inputs, units, dropout)


def gru(inputs: Tensor, *, units: tuple[int, ...], dropout: float) -> Tensor:
    """Stacked gated recurrent units (Cho et al. 2014, arXiv:1406.1078), last step."""
    import keras

    return _stacked(keras.layers.GRU, inputs, units, dropout)


def _stacked(layer: Any, inputs: Tensor, units: tuple[int, ...], dropout: float) -> Tensor:
    import keras

    hidden = inputs
    for i, width in enumerate(units):
        deeper = i + 1 < len(units)
        hidden = layer(width, return_sequences=deeper)(hidden)
        if deeper:
            hidden = keras.layers.Dropout(dropout)(hidden)
    return hidden


def temporal_cnn(
    inputs: Tensor, *, filters: int, kernel_bars: int, dilations: tuple[int, ...], dropout: float
) -> Tensor:
    """Causal dilated convolutions in residual blocks (Bai, Kolter and Koltun 2018, arXiv:1803.01271).

    A block holds two convolutions; weights are not normalised. The last step sees the newest
    ``1 + 2 (kernel_bars − 1) Σ dilations`` bars.
    """
    import keras

    hidden = inputs
    for dilation in dilations:
        kept = hidden
        for _ in range(2):
            hidden = keras.layers.Conv1D(
                filters, kernel_bars, padding="causal", dilation_rate=dilation, activation="relu"
            )(hidden)
            hidden = keras.layers.Dropout(dropout)(hidden)
        if kept.shape[-1] != filters:
            kept = keras.layers.Conv1D(filters, 1)(kept)
        hidden = keras.layers.ReLU()(keras.layers.Add()([hidden, kept]))
    return hidden[:, -1]


def transformer(inputs: Tensor, *, width: int, heads: int, layers: int, dropout: float) -> Tensor:
    """Transformer encoder (Vaswani et al. 2017, arXiv:1706.03762), last step.

    Layers are normalised before attention and not after it, which needs no warm-up of the learning
    rate (Xiong et al. 2020, arXiv:2002.04745). Steps attend to the whole window: all of it is known.
    """
    import keras

    if width % 2 or width % heads:
        raise ValueError(f"width must be even and a multiple of heads = {heads}, got {width}")
    hidden = keras.layers.Dense(width)(inputs) + positions(inputs.shape[1], width)
    for _ in range(layers):
        normal = keras.layers.LayerNormalization()(hidden)
        seen = keras.layers.MultiHeadAttention(heads, width // heads)(normal, normal)
        hidden = hidden + keras.layers.Dropout(dropout)(seen)
        normal = keras.layers.LayerNormalization()(hidden)
        wide = keras.layers.Dense(2 * width, activation="relu")(normal)
        hidden = hidden + keras.layers.Dropout(dropout)(keras.layers.Dense(width)(wide))
    return keras.layers.LayerNormalization()(hidden[:, -1])


def positions(steps: int, width: int) -> Float32s:
    """Sine and cosine code of each step, ``[steps, width]`` (Vaswani et al. 2017, section 3.5)."""
    angle = np.arange(steps)[:, None] / 10_000 ** (np.arange(0, width, 2) / width)
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(steps, width).astype(np.float32)


def restart(net: Any, optimiser_start: Sequence[AnyArray], seed: int) -> None:
    """Forget all earlier training but the weights: moments, step count, and the state of every noise.

    A new optimiser would cost a retracing, and dropout's generators remember what they have drawn.
    """
    for variable, start in zip(net.optimizer.variables, optimiser_start, strict=True):
        variable.assign(start)
    for number, layer in enumerate(net.layers):
        states = [value for value in layer.variables if value.name == "seed_generator_state"]
        for inner, state in enumerate(states):
            state.assign(np.array([seed, number + 1000 * inner], dtype=np.uint32))


def training_step(net: Any) -> Callable[[Float32s, Float32s, Floats | None], None]:
    """One update of a compiled network by a batch of any length, traced once for all of them.

    With a trace for each length, the bits of an update would depend on which came before.
    """
    import tensorflow as tf  # type: ignore[import-untyped]

    windows = tf.TensorSpec([None, *net.input_shape[1:]], tf.float32)
    numbers = tf.TensorSpec([None], tf.float32)

    @tf.function(input_signature=[windows, numbers])  # type: ignore[untyped-decorator]
    def plain(x: Tensor, y: Tensor) -> None:
        net.train_step((x, y))

    @tf.function(input_signature=[windows, numbers, numbers])  # type: ignore[untyped-decorator]
    def weighted(x: Tensor, y: Tensor, weights: Tensor) -> None:
        net.train_step((x, y, weights))

    def step(x: Float32s, y: Float32s, weights: Floats | None) -> None:
        if weights is None:
            plain(x, y)
        else:
            weighted(x, y, weights.astype(np.float32))

    return step


def mean_gradient(net: Any, mean_weights: Floats) -> Callable[[Floats], Float32s]:
    """A function of windows to the gradient of their mean forecasts; it is traced once a shape."""
    import tensorflow as tf

    weights = tf.constant(mean_weights[:, None], tf.float32)

    @tf.function  # type: ignore[untyped-decorator]
    def traced(windows: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            tape.watch(windows)
            outputs = tf.reshape(net(windows, training=False), (-1, len(mean_weights)))
            mean = tf.matmul(outputs, weights)
        return tape.gradient(mean, windows)

    def gradient(windows: Floats) -> Float32s:
        values: Float32s = traced(tf.constant(windows, tf.float32)).numpy()
        return values

    return gradient


class Head(Protocol):
    """The end of a network, in units of the labels' mean and standard deviation.

    ``mean_weights`` ``[outputs]`` make the forecast's mean of the outputs ``[n, outputs]``.
    """

    mean_weights: Floats

    @property
    def loss(self) -> str | Callable[[Tensor, Tensor], Tensor]: ...

    def output(self, hidden: Tensor) -> Tensor: ...

    def forecast(self, output: Floats, centre: float, scale: float) -> Forecast: ...


class PointHead:
    """The mean alone, by least squares."""

    mean_weights = np.ones(1)
    loss = "mse"

    def output(self, hidden: Tensor) -> Tensor:
        import keras

        return keras.layers.Dense(1)(hidden)

    def forecast(self, output: Floats, centre: float, scale: float) -> Forecast:
        return Forecast(output[:, 0] * scale + centre)


class GaussianHead:
    """Mean and standard deviation, by maximum likelihood (Nix and Weigend 1994)."""

    mean_weights = np.array([1.0, 0.0])

    def output(self, hidden: Tensor) -> Tensor:
        import keras

        raw = keras.layers.Dense(2)(hidden)
        return keras.ops.concatenate([raw[:, :1], MIN_STD + keras.ops.softplus(raw[:, 1:])], axis=1)

    def loss(self, labels: Tensor, output: Tensor) -> Tensor:
        """Negative log likelihood of each row, without its constant."""
        import keras

        mean, std = output[:, 0], output[:, 1]
        errors = (keras.ops.reshape(labels, (-1,)) - mean) / std
        return keras.ops.log(std) + 0.5 * errors * errors

    def forecast(self, output: Floats, centre: float, scale: float) -> Forecast:
        return Forecast(output[:, 0] * scale + centre, std=output[:, 1] * scale)


class QuantileHead:
    """Quantiles that cannot cross, by the pinball loss (Koenker and Bassett 1978).

    Steps between neighbours are positive. The mean is that of the distribution which the quantiles
    outline, linear between them and flat beyond; the std is that of a normal distribution whose outer
    quantiles are as far apart.

    Args:
        levels: Two or more, increasing, between 0 and 1.
    """

    def __init__(self, levels: tuple[float, ...]) -> None:
        steps = np.diff([0.0, *levels, 1.0])
        if len(levels) < 2 or (steps <= 0).any():
            raise ValueError(f"quantiles must be two or more that increase from 0 to 1, got {levels!r}")
        self.levels = tuple(levels)
        share = np.concatenate([steps[:1], steps[1:-1] / 2, steps[-1:]])
        self.mean_weights = share[:-1] + share[1:]  # trapezoid rule

    def output(self, hidden: Tensor) -> Tensor:
        import keras

        raw = keras.layers.Dense(len(self.levels))(hidden)
        steps = keras.ops.softplus(raw[:, 1:])
        rises = keras.ops.pad(keras.ops.cumsum(steps, axis=1), ((0, 0), (1, 0)))
        return raw[:, :1] + rises - keras.ops.mean(rises, axis=1, keepdims=True)

    def loss(self, labels: Tensor, output: Tensor) -> Tensor:
        """Pinball loss of each row, mean over the levels."""
        import keras

        errors = keras.ops.reshape(labels, (-1, 1)) - output
        levels = np.array(self.levels, dtype=np.float32)
        return keras.ops.mean(keras.ops.maximum(levels * errors, (levels - 1) * errors), axis=1)

    def forecast(self, output: Floats, centre: float, scale: float) -> Forecast:
        values = output * scale + centre
        by_level = {level: values[:, k] for k, level in enumerate(self.levels)}
        width = NormalDist().inv_cdf(self.levels[-1]) - NormalDist().inv_cdf(self.levels[0])
        std = (values[:, -1] - values[:, 0]) / width
        return Forecast((values * self.mean_weights).sum(axis=1), std, by_level)


def make_head(name: str, levels: tuple[float, ...]) -> Head:
    """The head called ``"point"``, ``"gaussian"`` or ``"quantile"``.

    Raises:
        ValueError: There is none of that name, or the levels do not increase.
    """
    if name == "point":
        return PointHead()
    if name == "gaussian":
        return GaussianHead()
    if name == "quantile":
        return QuantileHead(levels)
    raise ValueError(f"head must be 'point', 'gaussian' or 'quantile', got {name!r}")
