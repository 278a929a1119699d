"""Market B seen through a forecast of chosen skill."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from foretrade.markets.known.bounded import BoundedMarket
from foretrade.markets.known.market import KnownMarket, Optimum, autoregression, table_of


@dataclass(frozen=True)
class ForecastMarket:
    """A bounded market whose signal ``f`` nobody sees; a forecast ``h`` of it is all that is known.

    ``h = s (s f + √(1 − s²) g)`` with ``g`` independent of ``f`` and distributed alike. It has the
    correlation ``s`` with ``f``, the persistence of ``f``, and ``s`` times its standard deviation. What
    ``f`` is besides ``h`` is itself such a process, ``(1 − s²) f − s √(1 − s²) g``, whose covariance
    with ``h`` is zero at every lag: so ``E[f | h, and all h before] = h``. Whoever trades on the
    forecast alone is in a bounded market whose signal is ``h``, and its optimum is his.

    (Who also looks at prices can know a little more: they tell what ``f`` was.)

    Args:
        skill: ``s``, correlation of the forecast with the signal, above 0 and at most 1.
        market: What is forecast.

    Raises:
        ValueError: There is no such correlation.
    """

    skill: float = 1.0
    market: BoundedMarket = field(default_factory=BoundedMarket)

    def __post_init__(self) -> None:
        if not 0 < self.skill <= 1:
            raise ValueError(f"skill must be above 0 and at most 1, got {self.skill}")

    @cached_property
    def perceived(self) -> BoundedMarket:
        """The market as who sees the forecast alone has it before him."""
        return replace(self.market, signal_std=self.skill * self.market.signal_std)

    @property
    def return_correlation(self) -> float:
        """Of the forecast with the next price change."""
        signal, noise = self.market.signal_std, self.market.noise_std
        return self.skill * signal / math.hypot(signal, noise)

    def optimum(self) -> Optimum:
        """The best policy on the forecast alone, and what it earns a bar."""
        return self.perceived.optimum()

    def draw(self, bars: int, *, seed: int = 0, price: float = 100.0, noisy: bool = True) -> KnownMarket:
        """One history with the forecast known at each close; ``market.draw`` with the same arguments
        gives the same prices with the signal itself."""
        drawn = self.market.draw(bars, seed=seed, price=price, noisy=noisy)
        s, signal = self.skill, drawn.signals.values[:, 0]
        rng = np.random.default_rng([seed, 1])
        blur = autoregression(self.market.persistence, self.market.signal_std, bars, rng)[:, None]
        forecast = s * (s * signal + math.sqrt(1 - s**2) * blur)
        return replace(drawn, signals=table_of(drawn.bars, forecast), optimum=self.optimum())
