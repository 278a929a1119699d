"""The ensemble: several members, one forecast, and how much they disagree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, clone

from foretrade.forecasters.base import Forecast, as_forecaster
from foretrade.markets.arrays import Floats


def equal_weights(members: int) -> Floats:
    """``1/K`` each: hard to beat out of sample (Timmermann 2006, section 3)."""
    return np.full(members, 1.0 / members)


def combine(means: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weighted mean of member forecasts and their disagreement.

    Args:
        means: Member forecasts, ``[n, members]``.
        weights: Non-negative, summing to one, ``[members]`` or ``[n, members]``.

    Returns:
        ``x̂ = Σ w_k f_k`` and ``sqrt(Σ w_k (f_k − x̂)²)``, each ``[n]``; NaN where a member is.
    """
    mean = (means * weights).sum(axis=1)
    disagreement = np.sqrt((weights * (means - mean[:, None]) ** 2).sum(axis=1))
    return mean, disagreement


class EnsembleForecaster(BaseEstimator):
    """``x̂ = (1/K) Σ f_k`` of K members, as a forecaster like any other.

    Args:
        members: Name to forecaster or scikit-learn regressor; each is cloned at each fit.
    """

    def __init__(self, members: Mapping[str, Any]) -> None:
        self.members = members

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:
        self.members_ = {
            name: clone(as_forecaster(member)).fit(X, y, sample_weight)
            for name, member in self.members.items()
        }
        return self

    def predict(self, X: Floats) -> Forecast:
        means = np.column_stack([member.predict(X).mean for member in self.members_.values()])
        return Forecast(combine(means, equal_weights(means.shape[1]))[0])
