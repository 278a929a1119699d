"""The ensemble: several members, one forecast, how much they disagree, and how far it may be off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, clone

from foretrade.forecasters.base import Forecast, as_forecaster
from foretrade.forecasters.conformal import adaptive_bounds, error_scale
from foretrade.forecasters.fusion import FUSIONS
from foretrade.forecasters.scores import resolved_mean
from foretrade.markets.arrays import Floats
from foretrade.markets.table import Column

RETURN = "log return"
BOUND = 0.90  # coverage that the bounds aim at


def combine(means: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weighted mean of member forecasts and their disagreement.

    Args:
        means: Member forecasts, ``[n, members]``.
        weights: Not negative, ``[members]`` or ``[n, members]``. A weight of 0 also passes a NaN over.

    Returns:
        ``x̂ = Σ w_k f_k``, and with ``v = w / Σ w`` the disagreement ``sqrt(Σ v_k (f_k − Σ v f)²)``, each
        ``[n]``; NaN where a weight or a weighted member is.
    """
    means = np.where(weights == 0, 0.0, means)
    mean = (means * weights).sum(axis=1)
    total = np.broadcast_to(weights, means.shape).sum(axis=1)
    shares = np.divide(weights, total[:, None], out=np.zeros_like(means), where=total[:, None] > 0)
    centre = (means * shares).sum(axis=1)
    disagreement = np.sqrt((shares * (means - centre[:, None]) ** 2).sum(axis=1))
    return mean, np.where(np.isnan(mean), np.nan, disagreement)


def forecast_columns(
    forecasts: Mapping[str, tuple[Floats, Floats]],
    labels: Floats,
    *,
    resolution_bars: int,
    fusions: Mapping[str, str],
    in_ensemble: tuple[str, ...],
    first: int,
) -> dict[Column, Floats]:
    """Columns of the forecast table, ``[bars]`` each, for members and fusions of them.

    ``<name>.mean``; ``.std``, the member's own or else the exponentially weighted root mean square of
    its matured errors; ``.lower`` and ``.upper``, conformal bounds that aim at 90 %; per fusion
    ``.disagreement`` and the weights in force, ``weight.<member>`` (of further fusions
    ``<fusion>.weight.<member>``).

    Args:
        forecasts: Member to its mean and std ``[bars]``, NaN before the first fit and where it failed.
        labels: ``[bars]``; of each row known ``resolution_bars`` later.
        fusions: Name of a fused forecast to its kind, a key of ``FUSIONS``; the first is the ensemble.
        in_ensemble: Members that are fused.
        first: First row with a forecast; from there on, the mean of the labels resolved so far stands in
            for one that is missing.
    """
    instead = resolved_mean(labels, resolution_bars)
    instead[:first] = np.nan
    columns: dict[Column, Floats] = {}

    def add(name: str, mean: Floats, std: Floats) -> None:
        mean = np.where(np.isnan(mean), instead, mean)
        own = error_scale(mean, labels, resolution_bars=resolution_bars)
        std = np.where(np.isnan(mean) | ~np.isnan(std), std, own)
        lower, upper = adaptive_bounds(
            mean, std, labels, resolution_bars=resolution_bars, coverage=BOUND
        )
        for part, values in (("mean", mean), ("std", std), ("lower", lower), ("upper", upper)):
            columns[Column(f"{name}.{part}", RETURN)] = values

    for name, (mean, std) in forecasts.items():
        add(name, mean, std)
    means = np.column_stack([forecasts[name][0] for name in in_ensemble])
    for number, (name, kind) in enumerate(fusions.items()):
        weights = FUSIONS[kind].weights(means, labels, resolution_bars=resolution_bars)
        mean, disagreement = combine(means, weights)
        add(name, mean, np.full_like(mean, np.nan))
        columns[Column(f"{name}.disagreement", RETURN)] = disagreement
        prefix = "" if number == 0 else f"{name}."
        for k, member in enumerate(in_ensemble):
            columns[Column(f"{prefix}weight.{member}", "weight")] = weights[:, k]
    return columns


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
        return Forecast(means.mean(axis=1))
