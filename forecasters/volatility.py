"""Members that forecast how far the return may be off, rather than where it goes."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator

from foretrade.forecasters.base import Forecast, Inputs
from foretrade.markets.arrays import Floats

PERCENT = 100.0  # arch fits best on returns of size one


class _VolatilityForecaster(BaseEstimator):
    """Mean of the training labels, and a standard deviation that follows the last returns.

    The variance of the next bar is ``ω + α ε² + β σ²`` over the returns of the window; the std is scaled
    so that over the training rows its mean square is the labels', whatever their horizon.
    """

    is_constant = True  # its mean
    inputs: Inputs = "returns"
    lookback_bars: int

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:
        self.mean_ = float(np.average(y, weights=sample_weight))
        returns = np.concatenate([X[0, :, 0], X[1:, -1, 0]])
        self.return_mean_, self.omega_, self.alpha_, self.beta_ = self._parameters(returns)
        self.start_ = float(returns.var())
        own = np.average(self._variances(X), weights=sample_weight)
        labels = np.average((y - self.mean_) ** 2, weights=sample_weight)
        self.scale_ = float(np.sqrt(labels / own)) if own > 0 else 0.0
        return self

    def predict(self, X: Floats) -> Forecast:
        return Forecast(np.full(len(X), self.mean_), self.scale_ * np.sqrt(self._variances(X)))

    def _variances(self, X: Floats) -> Floats:
        """Variance of the bar after each window, ``[n]``."""
        variance = np.full(len(X), self.start_)
        for bar in range(X.shape[1]):
            shock = X[:, bar, 0] - self.return_mean_
            variance = self.omega_ + self.alpha_ * shock**2 + self.beta_ * variance
        return variance

    def _parameters(self, returns: Floats) -> tuple[float, float, float, float]:
        """Mean of the returns, ``ω``, ``α`` and ``β``."""
        raise NotImplementedError


class EWMAVolatilityForecaster(_VolatilityForecaster):
    """Exponentially weighted variance (RiskMetrics 1996: ``decay`` 0.94 for daily returns)."""

    def __init__(self, *, decay: float = 0.94, lookback_bars: int = 126) -> None:
        self.decay = decay
        self.lookback_bars = lookback_bars

    def _parameters(self, returns: Floats) -> tuple[float, float, float, float]:
        return float(returns.mean()), 0.0, 1 - self.decay, self.decay


class GARCHForecaster(_VolatilityForecaster):
    """GARCH(1, 1) (Bollerslev 1986), fitted by ``arch`` with normal or Student-t errors.

    Raises:
        ValueError: At ``fit``, if the returns do not vary, or the likelihood does not converge.
    """

    def __init__(self, *, distribution: str = "t", lookback_bars: int = 126) -> None:
        self.distribution = distribution
        self.lookback_bars = lookback_bars

    def _parameters(self, returns: Floats) -> tuple[float, float, float, float]:
        from arch import arch_model

        if np.ptp(returns) == 0:
            raise ValueError("GARCH needs returns that vary; leave it out on a price that stands still")
        model = arch_model(
            PERCENT * returns,
            mean="Constant",
            vol="GARCH",
            p=1,
            q=1,
            dist=self.distribution,
            rescale=False,
        )
        fitted: Any = model.fit(disp="off", show_warning=False)
        if fitted.convergence_flag != 0:
            raise ValueError(f"GARCH did not converge on {len(returns)} returns; give more history")
        mean, omega, alpha, beta = (
            float(fitted.params[name]) for name in ("mu", "omega", "alpha[1]", "beta[1]")
        )
        return mean / PERCENT, omega / PERCENT**2, alpha, beta
