"""Tree members: bagging and boosting."""

from __future__ import annotations

from lightgbm import LGBMRegressor
from sklearn.ensemble import RandomForestRegressor

from foretrade.forecasters.base import SklearnForecaster


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
    forest = RandomForestRegressor(
        n_estimators=n_estimators,
        min_samples_leaf=min_samples_leaf,
        max_features=max_features,
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
    booster = LGBMRegressor(
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
    )
    return SklearnForecaster(booster, window=window)
