"""How much each feature moved one forecast of a tree member: SHAP values."""

from __future__ import annotations

import importlib

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.utils.validation import check_is_fitted

from foretrade.forecasters.base import Forecaster, SklearnForecaster
from foretrade.markets.arrays import Floats


def shap_values(forecaster: Forecaster, X: Floats) -> Floats:
    """Exact SHAP values of a fitted tree member: each row sums to its forecast.

    Path-dependent TreeSHAP (Lundberg, Erion and Lee 2018, arXiv:1802.03888, algorithm 2): a feature that
    is left out is averaged over by the training rows at each split. LightGBM computes its own; forests
    need the extra ``explain``.

    Args:
        forecaster: A :class:`SklearnForecaster` around a LightGBM regressor or a forest, such as those
            of :mod:`foretrade.forecasters.trees`.
        X: Windows, ``[n, lookback_bars, features]``.

    Returns:
        ``[n, features + 1]``, or ``[n, lookback_bars · features + 1]`` for ``window="flat"``, in log
        return; the last column is the mean forecast over the rows that the trees were grown on.

    Raises:
        ValueError: The forecaster is of another kind.
        NotFittedError: It is not fitted.
        ModuleNotFoundError: The extra ``explain`` is not installed.
    """
    from lightgbm import LGBMRegressor

    kinds = (LGBMRegressor, RandomForestRegressor, ExtraTreesRegressor)
    inner = getattr(forecaster, "estimator", None)
    if not isinstance(forecaster, SklearnForecaster) or not isinstance(inner, kinds):
        raise ValueError(
            f"SHAP values need a SklearnForecaster around one of {[kind.__name__ for kind in kinds]}, "
            f"got {type(forecaster).__name__} around {type(inner).__name__}; use permutation_importance"
        )
    check_is_fitted(forecaster)
    trees, table = forecaster.estimator_, forecaster.rows(X)
    if isinstance(trees, LGBMRegressor):
        return np.asarray(trees.predict(table, pred_contrib=True), dtype=np.float64)
    try:
        shap = importlib.import_module("shap")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "SHAP values of forests need shap: pip install 'foretrade[explain]'", name=error.name
        ) from error
    explainer = shap.TreeExplainer(trees, feature_perturbation="tree_path_dependent")
    values = np.asarray(explainer.shap_values(table), dtype=np.float64)
    return np.column_stack([values, np.full(len(values), float(np.ravel(explainer.expected_value)[0]))])
