"""A Keras model of one's own as a forecaster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from foretrade.forecasters.keras_nets import KerasForecaster


@dataclass(kw_only=True, eq=False, repr=False)
class KerasModelForecaster(KerasForecaster):
    """What a factory of Keras models builds, as a forecaster.

    A compiled model keeps its loss and optimiser; else it learns by least squares with Adam. Labels
    come to it in units of their own spread. Random layers are seeded if they are layers of the model
    or of its layers. TensorFlow must not be imported before ``foretrade.forecasters.keras_nets``.

    Args:
        build: ``(lookback_bars, features)`` to a ``keras.Model`` that gives one value a window,
            ``[n, 1]`` or ``[n]``. To cache forecasts it must be a function in a module.
        epochs, refit_epochs, update_epochs, batch_size, learning_rate, update_learning_rate, seed: See
            ``KerasForecaster``; ``learning_rate`` is not used if the model is compiled.
    """

    build: Callable[[tuple[int, ...]], Any] = field(kw_only=False)

    def _compiled(self, shape: tuple[int, ...]) -> Any:
        import keras  # here, not above: keras_nets has set its environment first

        net = self.build(shape)
        given = net(np.zeros((2, *shape), dtype=np.float32)).shape  # also makes the weights
        if tuple(given) not in ((2,), (2, 1)):
            raise ValueError(
                f"build must return a model that gives one value a window, [n, 1]; of 2 windows it "
                f"made {tuple(given)}; end it with keras.layers.Dense(1)"
            )
        if not net.compiled:
            net.compile(keras.optimizers.Adam(self.learning_rate), "mse", jit_compile=False)
        return net
