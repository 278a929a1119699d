"""Markets D and F: how much to hold, so that wealth grows fastest (Kelly) or utility is highest
(Merton)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from foretrade.markets.arrays import Floats
from foretrade.markets.known.market import check_finite


@dataclass(frozen=True)
class KellyBet:
    """A bar returns ``up`` with a probability, else ``−down``; what is held is a fraction of wealth.

    Kelly (1956, doi:10.1002/j.1538-7305.1956.tb03809.x): log wealth grows fastest with the fraction
    ``p / down − (1 − p) / up``.

    Raises:
        ValueError: A parameter is impossible.
    """

    probability: float = 0.52
    up: float = 0.1
    down: float = 0.1

    def __post_init__(self) -> None:
        check_finite(self)
        if not (0 < self.probability < 1 and self.up > 0 and 0 < self.down <= 1):
            raise ValueError(
                "probability must be between 0 and 1, up positive, down above 0 and at most 1"
            )

    @property
    def fraction(self) -> float:
        """Of wealth, to hold at every bar."""
        return self.probability / self.down - (1 - self.probability) / self.up

    def growth(self, fraction: float) -> float:
        """Expected log growth a bar; −inf for what may lose everything."""
        if min(1 + fraction * self.up, 1 - fraction * self.down) <= 0:
            return -math.inf
        win, loss = math.log1p(fraction * self.up), math.log1p(-fraction * self.down)
        return self.probability * win + (1 - self.probability) * loss

    def returns(self, bars: int, *, seed: int = 0) -> Floats:
        """Simple returns of one history, ``[bars]``."""
        wins = np.random.default_rng(seed).random(bars) < self.probability
        return np.where(wins, self.up, -self.down)


@dataclass(frozen=True)
class MertonMarket:
    """A stock with log-normal returns beside cash; utility ``W^{1−γ} / (1 − γ)``, or ``log W`` for ``γ
    = 1``.

    Merton (1969, doi:10.2307/1926560): traded without pause, the best fraction in stock is
    ``(μ − r) / (γ σ²)`` at all times.

    Args:
        drift: μ, interest: r, volatility: σ, a year; ``log`` of the stock grows by ``(μ − σ²/2)`` a
        year. risk_aversion: γ.

    Raises:
        ValueError: A parameter is impossible.
    """

    drift: float = 0.08
    interest: float = 0.02
    volatility: float = 0.2
    risk_aversion: float = 3.0

    def __post_init__(self) -> None:
        check_finite(self)
        if not min(self.volatility, self.risk_aversion) > 0:
            raise ValueError("volatility and risk_aversion must be positive")

    @property
    def fraction(self) -> float:
        """Of wealth, in stock, at all times."""
        return (self.drift - self.interest) / (self.risk_aversion * self.volatility**2)

    def _period(self, periods_per_year: float) -> tuple[Floats, float, Floats]:
        """What a unit of stock and of cash becomes in a period, at the nodes of a quadrature, and their
        weights."""
        z, w = np.polynomial.hermite_e.hermegauss(40)
        step = 1 / periods_per_year
        log_stock = (self.drift - self.volatility**2 / 2) * step + self.volatility * math.sqrt(step) * z
        return np.exp(log_stock), math.exp(self.interest * step), w / w.sum()

    def certainty_equivalent(self, fraction: float, periods_per_year: float = 252.0) -> float:
        """Rate a year (continuous) as good as ``fraction`` in stock, rebalanced once a period, by
        quadrature."""
        stock, cash, w = self._period(periods_per_year)
        wealth = fraction * stock + (1 - fraction) * cash
        if wealth.min() <= 0:
            return -math.inf
        gamma = self.risk_aversion
        if gamma == 1:
            return float(w @ np.log(wealth)) * periods_per_year
        return math.log(float(w @ wealth ** (1 - gamma))) / (1 - gamma) * periods_per_year

    def best_rebalanced(self, periods_per_year: float = 252.0) -> float:
        """The best fraction if one rebalances once a period only, by search; nothing is held that loses
        everything at a node of the quadrature."""
        stock, cash, _ = self._period(periods_per_year)
        least, most = -cash / (stock.max() - cash), cash / (cash - stock.min())
        found = minimize_scalar(
            lambda fraction: -self.certainty_equivalent(fraction, periods_per_year),
            bounds=(least, most),
            method="bounded",
            options={"xatol": 1e-10},
        )
        return float(found.x)
