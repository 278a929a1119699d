"""Linear members."""

from __future__ import annotations

from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from foretrade.forecasters.base import SklearnForecaster


def ridge(*, alpha: float = 1000.0, window: str = "last") -> SklearnForecaster:
    """Ridge regression on features standardised within the training rows of each fit.

    Daily returns carry little signal, hence the strong default penalty (``alpha`` is in units of
    standardised rows).
    """
    return SklearnForecaster(make_pipeline(StandardScaler(), Ridge(alpha=alpha)), window=window)
