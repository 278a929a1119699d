"""A river model as a forecaster: it learns each row as its label matures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator

from foretrade.forecasters.base import Forecast, UpdateMode
from foretrade.markets.arrays import AnyArray, Floats

try:
    from river.base import Regressor
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "RiverForecaster needs river: pip install 'foretrade[online]'", name=error.name
    ) from error


class RiverForecaster(BaseEstimator):
    """A river regressor or pipeline as a forecaster; ``fit(a).update(b)`` is ``fit(a + b)``.

    River models are objects, not arrays: :meth:`state` holds the rows that the model has learned
    from, and :meth:`set_state` learns them again.

    Args:
        model: Unlearned river model, such as ``StandardScaler() | LinearRegression()``; it is cloned at
            each fit. Its inputs are called ``"0"``, ``"1"``, … in the order of the columns.
        window: ``"last"`` shows it the features of the decision's row, ``"flat"`` the whole window.
    """

    update_mode: UpdateMode = "exact"

    def __init__(self, model: Regressor, *, window: str = "last") -> None:
        self.model = model
        self.window = window

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:
        """A fresh model that learns row by row.

        Raises:
            ValueError: Weights were given, or ``window`` is unknown.
        """
        if self.window not in ("last", "flat"):
            raise ValueError(f"window must be 'last' or 'flat', got {self.window!r}")
        if sample_weight is not None:
            raise ValueError("RiverForecaster learns each row once; give it no sample_weight")
        self._learn_anew(self._rows(X), y)
        return self

    def update(self, X: Floats, y: Floats) -> Self:
        """Learn further rows."""
        self._learn(self._rows(X), y)
        return self

    def predict(self, X: Floats) -> Forecast:
        rows = self._rows(X)
        return Forecast(np.array([float(self.model_.predict_one(_named(row))) for row in rows]))

    def state(self) -> dict[str, AnyArray]:
        rows, labels = (np.concatenate(parts) for parts in zip(*self.learned_, strict=True))
        return {"rows": rows, "labels": labels}

    def set_state(self, state: Mapping[str, AnyArray], X: Floats) -> Self:
        """Learn the rows of :meth:`state` anew."""
        self._learn_anew(state["rows"], state["labels"])
        return self

    def _learn_anew(self, rows: Floats, y: Floats) -> None:
        self.model_: Any = self.model.clone()
        self.learned_: list[tuple[Floats, Floats]] = []
        self._learn(rows, y)

    def _learn(self, rows: Floats, y: Floats) -> None:
        self.learned_.append((np.array(rows), np.array(y)))
        for row, label in zip(rows, y.tolist(), strict=True):
            self.model_.learn_one(_named(row), label)

    def _rows(self, X: Floats) -> Floats:
        return X[:, -1] if self.window == "last" else X.reshape(len(X), -1)


def _named(row: Floats) -> dict[str, float]:
    return {str(column): value for column, value in enumerate(row.tolist())}
