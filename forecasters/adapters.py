"""A plain function as a forecaster.

Other adapters: ``base.SklearnForecaster``, ``keras_model.KerasModelForecaster``,
``torch_net.TorchForecaster``, ``river_online.RiverForecaster``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator

from foretrade.forecasters.base import Forecast
from foretrade.forecasters.blocks import BLOCK_ROWS, in_blocks
from foretrade.markets.arrays import Floats


class FunctionForecaster(BaseEstimator):
    """A plain function of the window; there is nothing to fit.

    Args:
        function: A window ``[lookback_bars, features]``, newest bar last, to a log return. It may not
            write to the window. To cache forecasts it must be a function in a module.
        vectorised: The function maps windows ``[n, lookback_bars, features]`` to ``[n]`` instead, and
            is called on 256 of them at a time.
    """

    def __init__(self, function: Callable[[Floats], Any], *, vectorised: bool = False) -> None:
        self.function = function
        self.vectorised = vectorised

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:
        return self

    def predict(self, X: Floats) -> Forecast:
        """Forecasts of the function.

        Raises:
            ValueError: A vectorised function did not give one value a window.
        """
        if self.vectorised:
            return Forecast(in_blocks(self._of_block, X))
        windows = X.view()
        windows.flags.writeable = False
        return Forecast(np.array([float(self.function(window)) for window in windows]))

    def _of_block(self, block: Floats) -> Floats:
        values = np.asarray(self.function(block), dtype=np.float64)
        if values.shape != (BLOCK_ROWS,):
            raise ValueError(
                f"a vectorised function must give one value a window; of {BLOCK_ROWS} windows it made "
                f"shape {values.shape}"
            )
        return values
