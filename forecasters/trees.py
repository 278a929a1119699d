"""Tree members: bagging and boosting."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, Self

import numpy as np
from lightgbm import LGBMRegressor
from sklearn.base import BaseEstimator
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from foretrade.forecasters.base import Forecast, SklearnForecaster
from foretrade.markets.arrays import Floats


def random_forest(
    *,
    n_estimators: int = 100,
    min_samples_leaf: int = 20,
    max_features: float = 0.33,
    max_samples: float = 0.5,
    seed: int = 0,
    window: str = "last",
) -> SklearnForecaster:
    """Random forest (Breiman 2001), with one thread: its parallel sum is not deterministic."""
    return _forest(
        RandomForestRegressor, n_estimators, min_samples_leaf, max_features, max_samples, seed, window
    )


def extra_trees(
    *,
    n_estimators: int = 100,
    min_samples_leaf: int = 20,
    max_features: float = 0.33,
    max_samples: float = 0.5,
    seed: int = 0,
    window: str = "last",
) -> SklearnForecaster:
    """Extremely randomised trees (Geurts, Ernst and Wehenkel 2006), on bootstrap samples."""
    return _forest(
        ExtraTreesRegressor, n_estimators, min_samples_leaf, max_features, max_samples, seed, window
    )


def _forest(
    kind: type[Any], n_estimators: int, min_samples_leaf: int, max_features: float, max_samples: float,
    seed: int, window: str,
) -> SklearnForecaster:  # fmt: skip
    forest = kind(
        n_estimators=n_estimators,
        min_samples_leaf=min_samples_leaf,
        max_features=max_features,
        bootstrap=True,
        max_samples=max_samples,
        random_state=seed,
        n_jobs=1,
    )
    return SklearnForecaster(forest, window=window)


def lightgbm(
    *,
    n_estimators: int = 150,
    learning_rate: float = 0.02,
    num_leaves: int = 7,
    min_child_samples: int = 50,
    seed: int = 0,
    window: str = "last",
) -> SklearnForecaster:
    """Gradient boosting (Ke et al. 2017) of shallow trees on row and column samples."""
    booster = _booster(n_estimators, learning_rate, num_leaves, min_child_samples, seed)
    return SklearnForecaster(booster, window=window)


def _booster(
    n_estimators: int,
    learning_rate: float,
    num_leaves: int,
    min_child_samples: int,
    seed: int,
    **more: Any,
) -> LGBMRegressor:
    return LGBMRegressor(
        n_estimators=n_estimators,
        learning_rate=learning_rate,
        num_leaves=num_leaves,
        min_child_samples=min_child_samples,
        subsample=0.7,
        subsample_freq=1,
        colsample_bytree=0.7,
        reg_lambda=1.0,
        random_state=seed,
        n_jobs=1,
        deterministic=True,
        force_row_wise=True,
        verbose=-1,
        **more,
    )


class LightGBMQuantileForecaster(BaseEstimator):
    """One booster a quantile, by the pinball loss (Koenker and Bassett 1978).

    The mean is the median's forecast; the std is that of a normal distribution whose outer quantiles
    are as far apart. Quantiles that cross are sorted.

    Args:
        quantiles: Levels, ascending, symmetric around 0.5, which is one of them.
    """

    def __init__(
        self,
        *,
        quantiles: tuple[float, ...] = (0.05, 0.5, 0.95),
        n_estimators: int = 100,
        learning_rate: float = 0.03,
        num_leaves: int = 7,
        min_child_samples: int = 50,
        seed: int = 0,
    ) -> None:
        self.quantiles = quantiles
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves
        self.min_child_samples = min_child_samples
        self.seed = seed

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:
        if (
            0.5 not in self.quantiles
            or len(self.quantiles) < 3
            or sorted(self.quantiles) != list(self.quantiles)
        ):
            raise ValueError(f"quantiles = {self.quantiles} must ascend around 0.5")
        settings = (self.n_estimators, self.learning_rate, self.num_leaves, self.min_child_samples)
        self.boosters_ = {
            level: _booster(*settings, self.seed, objective="quantile", alpha=level).fit(
                X[:, -1], y, sample_weight=sample_weight
            )
            for level in self.quantiles
        }
        return self

    def predict(self, X: Floats) -> Forecast:
        raw = [booster.predict(X[:, -1]) for booster in self.boosters_.values()]
        values = np.sort(np.column_stack(raw).astype(np.float64), axis=1)
        by_level = {level: values[:, k] for k, level in enumerate(self.quantiles)}
        width = NormalDist().inv_cdf(self.quantiles[-1]) - NormalDist().inv_cdf(self.quantiles[0])
        return Forecast(by_level[0.5], (values[:, -1] - values[:, 0]) / width, by_level)
