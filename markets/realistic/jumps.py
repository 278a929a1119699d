"""Prices that diffuse, and now and then jump."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from foretrade.markets.bars import Bars
from foretrade.markets.realistic.days import OVERNIGHT, bars_of_days, overnight


@dataclass(frozen=True)
class JumpDiffusion:
    """Log returns ``μ + σ z + J_1 + … + J_N``: ``N`` jumps a bar, Poisson, of normal size.

    Merton (1976, J. Financial Economics 3). The defaults have the highest likelihood for the packaged
    S&P 500, 1999 to 2018, whose "jumps" come in every other bar: they make tails more than crashes.

    Args:
        drift, volatility: Mean and standard deviation of a bar's log return without jumps.
        intensity: Jumps a bar on average.
        jump_mean, jump_std: Of a jump's size, as a log return.

    Raises:
        ValueError: A parameter is impossible.
    """

    drift: float = 9.5e-4
    volatility: float = 0.00514
    intensity: float = 0.65
    jump_mean: float = -1.24e-3
    jump_std: float = 0.0129

    def __post_init__(self) -> None:
        if not np.isfinite([getattr(self, name) for name in self.__dataclass_fields__]).all():
            raise ValueError("all parameters must be finite")
        if not self.volatility > 0 or min(self.intensity, self.jump_std) < 0:
            raise ValueError("volatility must be positive, intensity and jump_std not negative")

    @property
    def mean(self) -> float:
        """Of a bar's log return."""
        return self.drift + self.intensity * self.jump_mean

    @property
    def variance(self) -> float:
        """Of a bar's log return, ``σ² + λ E[J²]``."""
        return self.volatility**2 + self.intensity * (self.jump_mean**2 + self.jump_std**2)

    @property
    def skewness(self) -> float:
        """Of a bar's log return, ``λ E[J³] / variance^1.5``."""
        third = self.jump_mean**3 + 3 * self.jump_mean * self.jump_std**2
        return self.intensity * third / float(self.variance**1.5)

    @property
    def kurtosis(self) -> float:
        """Of a bar's log return, ``3 + λ E[J⁴] / variance²``; 3 for a normal one."""
        m, d = self.jump_mean, self.jump_std
        return 3 + self.intensity * (m**4 + 6 * m**2 * d**2 + 3 * d**4) / self.variance**2

    def draw(self, bars: int, *, seed: int = 0) -> Bars:
        """Daily bars of one symbol; jumps come between close and open, with a fifth of the diffusion."""
        rng = np.random.default_rng(seed)
        diffusion = self.drift + self.volatility * rng.normal(size=bars)
        jumps = rng.poisson(self.intensity, bars)
        sizes = self.jump_mean * jumps + self.jump_std * np.sqrt(jumps) * rng.normal(size=bars)
        gaps = overnight(diffusion, np.full(bars, self.volatility), rng)
        within = np.full(bars, math.sqrt(1 - OVERNIGHT) * self.volatility)
        return bars_of_days(gaps + sizes, diffusion - gaps, within, rng, source=f"jumps, seed {seed}")
