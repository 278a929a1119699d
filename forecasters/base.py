"""The contract of a forecaster, and the adapter that lets a scikit-learn regressor keep it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self, TypeAlias, get_args, runtime_checkable

import numpy as np
from sklearn.base import BaseEstimator, clone, is_regressor

from foretrade.markets.arrays import AnyArray, Floats

Inputs: TypeAlias = Literal["features", "returns"]
UpdateMode: TypeAlias = Literal["exact", "warm"]


@dataclass(frozen=True)
class Forecast:
    """Forecast of ``n`` forward log returns.

    Args:
        mean: Expected log return over the horizon, ``[n]``.
        std: The model's own idea of the return's standard deviation, ``[n]``, or None: then the
            walk-forward measures the spread of its errors itself. Bounds are scaled by it.
        quantiles: Level to values ``[n]``; may be empty. For the model's own use and for scores.
    """

    mean: Floats
    std: Floats | None = None
    quantiles: Mapping[float, Floats] = field(default_factory=dict)


@runtime_checkable
class Forecaster(Protocol):
    """Scikit-learn shaped: hyper-parameters are keyword arguments of ``__init__``.

    ``X`` is ``[n, lookback_bars, features]``; its last step is the row of the decision. ``y`` is
    the forward log return, ``[n]``, in time order. A fit with the same seed gives the same bits.
    What else a forecaster can do, it says by keeping one of the contracts below; with an attribute
    ``inputs`` it chooses what it is shown, with ``lookback_bars`` how much of it.
    """

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self: ...

    def predict(self, X: Floats) -> Forecast: ...

    def get_params(self, deep: bool = True) -> dict[str, Any]: ...

    def set_params(self, **params: Any) -> Self: ...


@runtime_checkable
class WarmStarted(Forecaster, Protocol):
    """A forecaster whose refit starts from the parameters of the fit before.

    ``refit`` is given the whole training sample, as ``fit`` is. ``state`` and ``set_state`` carry the
    parameters between processes as plain arrays.
    """

    def refit(self, X: Floats, y: Floats) -> Self: ...

    def state(self) -> dict[str, AnyArray]: ...

    def set_state(self, state: Mapping[str, AnyArray], X: Floats) -> Self: ...


@runtime_checkable
class Updating(Forecaster, Protocol):
    """A forecaster that learns from new rows alone, between refits.

    ``update`` is given only rows whose label has matured since the last fit or update.
    ``update_mode`` says what that amounts to: ``"exact"``, ``fit(a).update(b)`` is ``fit(a + b)``;
    ``"warm"``, some steps of learning from where the parameters stand.
    """

    update_mode: UpdateMode

    def update(self, X: Floats, y: Floats) -> Self: ...

    def state(self) -> dict[str, AnyArray]: ...

    def set_state(self, state: Mapping[str, AnyArray], X: Floats) -> Self: ...


@runtime_checkable
class Observing(Forecaster, Protocol):
    """A forecaster with a running state, such as moments of its inputs.

    ``observe`` is given each window in time order, once, before its forecast is asked for. It changes
    that state and no parameter.
    """

    def observe(self, X: Floats) -> Self: ...


def inputs_of(model: Any) -> Inputs:
    """What a forecaster is shown: ``"features"``, or ``"returns"`` if it has an attribute that says so.

    Returns are the log returns of single bars, newest last, dividends and splits reinvested: windows
    ``[n, lookback_bars, 1]`` in units of one.
    """
    inputs: Inputs = getattr(model, "inputs", "features")
    if inputs not in get_args(Inputs):
        raise ValueError(f"{type(model).__name__}.inputs = {inputs!r} must be 'features' or 'returns'")
    return inputs


class SklearnForecaster(BaseEstimator):
    """Any scikit-learn regressor as a forecaster.

    Args:
        estimator: Unfitted regressor; it is cloned at each fit.
        window: ``"last"`` shows it the features of the decision's row, ``"flat"`` the whole window.
    """

    def __init__(self, estimator: Any, *, window: str = "last") -> None:
        self.estimator = estimator
        self.window = window

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:
        if self.window not in ("last", "flat"):
            raise ValueError(f"window must be 'last' or 'flat', got {self.window!r}")
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        self.estimator_ = clone(self.estimator).fit(self.rows(X), y, **weights)
        return self

    def predict(self, X: Floats) -> Forecast:
        return Forecast(np.asarray(self.estimator_.predict(self.rows(X)), dtype=np.float64))

    def rows(self, X: Floats) -> Floats:
        """Windows as the regressor is shown them, ``[n, columns]``."""
        return X[:, -1] if self.window == "last" else X.reshape(len(X), -1)


def as_forecaster(model: Any) -> Forecaster:
    """The model itself if it is a forecaster, else a scikit-learn regressor in its adapter.

    Raises:
        TypeError: The model is neither.
    """
    if isinstance(model, BaseEstimator) and is_regressor(model):
        return SklearnForecaster(model)
    if isinstance(model, Forecaster):
        return model
    raise TypeError(
        f"{type(model).__name__} is neither a forecaster nor a scikit-learn regressor; give it "
        "fit(X, y), predict(X) -> Forecast, get_params and set_params"
    )
