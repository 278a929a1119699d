"""Volatility that clusters, and rises more when prices fall."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from foretrade.markets.arrays import Floats
from foretrade.markets.bars import Bars
from foretrade.markets.realistic.days import OVERNIGHT, bars_of_days, overnight

BURN_IN_BARS = 1000  # from the mean variance to the variance's own distribution


@dataclass(frozen=True)
class GJRGarch:
    """Log returns ``μ + ε``, ``ε = σ z``, ``σ'² = ω + (α + γ 1[ε < 0]) ε² + β σ²``.

    Glosten, Jagannathan and Runkle (1993, J. Finance 48(5)), with Student-t shocks of variance one
    (Bollerslev 1987, REStat 69(3)). No return can be forecast beyond its mean; its size can. The
    defaults are what ``arch`` finds for the packaged S&P 500, 1999 to 2018, by maximum likelihood.

    Args:
        drift: ``μ``, a bar.
        volatility: Standard deviation of a bar's log return in the long run,
            ``√(ω / (1 − α − γ/2 − β))``.
        alpha, gamma: What a shock adds to the next variance, and what a fall adds besides.
        beta: What is left of this variance in the next.
        freedom: Degrees of freedom of the shocks; ``math.inf`` makes them normal.

    Raises:
        ValueError: The variance would grow without end, or a parameter is impossible.
    """

    drift: float = 3.7e-4
    volatility: float = 0.0112
    alpha: float = 0.0
    gamma: float = 0.181
    beta: float = 0.899
    freedom: float = 7.5

    def __post_init__(self) -> None:
        if not (self.volatility > 0 and math.isfinite(self.volatility) and math.isfinite(self.drift)):
            raise ValueError("volatility must be positive, and both it and drift finite")
        if not (min(self.alpha, self.alpha + self.gamma, self.beta) >= 0):
            raise ValueError("alpha, alpha + gamma and beta must not be negative: they make a variance")
        if not self.persistence < 1:
            raise ValueError(
                f"alpha + gamma/2 + beta = {self.persistence:g}: the variance explodes; stay below 1"
            )
        if not self.freedom > 2:
            raise ValueError(f"freedom must be above 2, else no variance exists; got {self.freedom}")

    @property
    def persistence(self) -> float:
        """What is left of a rise of the variance after a bar, on average: ``α + γ/2 + β``."""
        return self.alpha + self.gamma / 2 + self.beta

    @property
    def kurtosis(self) -> float:
        """Of the returns, 3 for a normal one; inf if the fourth moment does not exist.

        ``K (1 − p²) / (1 − E[A²])`` with the kurtosis ``K`` of the shocks, the persistence ``p`` and
        ``A = (α + γ 1[z < 0]) z² + β``.
        """
        shocks = 3.0
        if math.isfinite(self.freedom):
            shocks = 3 * (self.freedom - 2) / (self.freedom - 4) if self.freedom > 4 else math.inf
        squared = self.alpha**2 + self.alpha * self.gamma + self.gamma**2 / 2
        growth = squared * shocks if squared else 0.0
        growth += 2 * self.beta * (self.alpha + self.gamma / 2) + self.beta**2
        return shocks * (1 - self.persistence**2) / (1 - growth) if growth < 1 else math.inf

    def shocks(self, bars: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """``ε`` and the volatility ``σ`` that was known before it, ``[bars]`` each."""
        steps = bars + BURN_IN_BARS
        if math.isinf(self.freedom):
            drawn = rng.normal(size=steps)
        else:
            drawn = rng.standard_t(self.freedom, steps) * math.sqrt(1 - 2 / self.freedom)
        volatility, variance = np.empty(steps), self.volatility**2
        omega = variance * (1 - self.persistence)
        for k, z in enumerate(drawn.tolist()):
            volatility[k] = math.sqrt(variance)
            weight = self.alpha + self.gamma if z < 0 else self.alpha
            variance = omega + (weight * z * z + self.beta) * variance
        known = volatility[BURN_IN_BARS:]
        return drawn[BURN_IN_BARS:] * known, known

    def draw(self, bars: int, *, seed: int = 0) -> Bars:
        """Daily bars of one symbol; a fifth of each bar's variance falls between close and open."""
        rng = np.random.default_rng(seed)
        shocks, volatility = self.shocks(bars, rng)
        returns = self.drift + shocks
        gaps = overnight(returns, volatility, rng)
        within = math.sqrt(1 - OVERNIGHT) * volatility
        return bars_of_days(gaps, returns - gaps, within, rng, source=f"garch, seed {seed}")
