"""Market G: a martingale with costs and a signal that tells nothing: the best is to stay out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foretrade.markets.arrays import Floats
from foretrade.markets.known.market import (
    KnownMarket,
    Optimum,
    autoregression,
    bars_of,
    check_finite,
    one_unit,
    table_of,
)


@dataclass(frozen=True)
class NullMarket:
    """Price changes that nothing foretells; a position ``x`` from −1 to 1 earns ``x r' − c |Δx|``.

    No policy is expected to earn more than minus the costs of its trades, so that the best one makes
    none. The signal looks like that of :class:`BoundedMarket`, and is independent of the prices.

    Args:
        persistence: Of the signal, 0 to 1.
        noise_std: Of the price change.
        cost: ``c``, in quote currency for each unit traded.

    Raises:
        ValueError: A parameter is impossible.
    """

    persistence: float = 0.9
    noise_std: float = 0.01
    cost: float = 0.002

    def __post_init__(self) -> None:
        check_finite(self)
        if not 0 <= self.persistence < 1:
            raise ValueError(f"persistence must be from 0 to below 1, got {self.persistence}")
        if not self.cost > 0 or self.noise_std < 0:
            raise ValueError("cost must be positive, lest all be as good; noise_std not negative")

    def optimum(self) -> Optimum:
        """To hold nothing, which earns nothing."""

        def policy(held: Floats, signals: Floats) -> Floats:
            return np.zeros_like(held)

        return Optimum(policy, 0.0)

    def draw(self, bars: int, *, seed: int = 0, price: float = 100.0, noisy: bool = True) -> KnownMarket:
        """One history of the market, with the signal known at each close.

        Prices stand still unless it is ``noisy``: every policy then earns what it is expected to.
        """
        rng = np.random.default_rng(seed)
        signal = autoregression(self.persistence, 1.0, bars, rng)
        changes = rng.normal(0.0, self.noise_std if noisy else 0.0, bars)
        made = bars_of(changes, price=price, source=f"null market, seed {seed}")
        signals = table_of(made, signal[:, None], [1.0])
        return one_unit(made, signals, cost=self.cost, noise_std=self.noise_std, optimum=self.optimum())
