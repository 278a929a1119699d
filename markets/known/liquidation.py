"""Market E: selling a large position, the faster the dearer, the slower the riskier."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from foretrade.markets.arrays import Floats
from foretrade.markets.known.market import check_finite


@dataclass(frozen=True)
class Liquidation:
    """Sell ``units`` in ``steps`` sales; a sale of ``n`` units costs ``(η̃ / τ) n²``, holding ``x``
    over a step costs ``λ σ² τ x²`` of risk.

    Almgren and Chriss (2001, Optimal execution of portfolio transactions, J. Risk 3(2)): the best path
    is a hyperbolic sine.

    Args:
        units: To sell.
        steps: Sales, one a step of ``time_per_step`` (τ; any unit of time).
        volatility: σ, of the price, in quote currency and the same unit of time.
        impact: η̃, temporary impact net of half the permanent one.
        risk_aversion: λ.

    Raises:
        ValueError: A parameter is impossible.
    """

    units: float = 1e6
    steps: int = 10
    time_per_step: float = 1.0
    volatility: float = 0.95
    impact: float = 2.5e-6
    risk_aversion: float = 1e-6

    def __post_init__(self) -> None:
        check_finite(self)
        positive = (self.units, self.time_per_step, self.volatility, self.impact, self.risk_aversion)
        if self.steps < 1 or not min(positive) > 0:
            raise ValueError("all parameters must be positive, and steps at least 1")

    @property
    def urgency(self) -> float:
        """κ, with ``cosh(κ τ) − 1 = 2 sinh²(κ τ / 2) = λ σ² τ² / (2 η̃)``."""
        tau = self.time_per_step
        excess = self.risk_aversion * (self.volatility * tau) ** 2 / (2 * self.impact)
        return 2 * math.asinh(math.sqrt(excess / 2)) / tau

    def path(self) -> Floats:
        """Units left after each sale, beginning with all of them, ``[steps + 1]``."""
        left = self.urgency * self.time_per_step * np.arange(self.steps, -1, -1.0)
        # sinh(left) / sinh(left[0]), by what neither overflows nor cancels
        return np.asarray(
            self.units * np.exp(left - left[0]) * np.expm1(-2 * left) / np.expm1(-2 * left[0])
        )

    def cost(self, path: Floats) -> float:
        """Impact and risk of a path ``[steps + 1]``, in quote currency."""
        sales = -np.diff(path)
        tau = self.time_per_step
        risk = self.risk_aversion * self.volatility**2 * tau * np.sum(path[1:] ** 2)
        return float(self.impact / tau * np.sum(sales**2) + risk)
