"""Market C: a drift that switches sign, a bounded position, a cost for each unit traded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foretrade.markets.arrays import Floats
from foretrade.markets.known.market import (
    KnownMarket,
    Optimum,
    bars_of,
    check_finite,
    one_unit,
    table_of,
)


@dataclass(frozen=True)
class RegimeMarket:
    """Price changes ``r' = ±m + u``, the sign known at the close and switching with a probability; a
    position ``x`` from −1 to 1 earns ``x r' − c |Δx|``.

    To follow the regime costs ``2c`` a switch and earns ``m − 2cq`` a bar; to stay in one position
    earns nothing in the long run, as to stay out does. So one follows if ``m > 2qc``. (It is never
    better to leave and wait: the worth of the right side over the wrong one is ``2m / (2q)``, against
    ``2c`` for changing.)

    Args:
        drift: ``m``, of a bar.
        switch_probability: ``q``, a bar, up to a half.
        noise_std: Of the price change besides.
        cost: ``c``, in quote currency for each unit traded.

    Raises:
        ValueError: A parameter is impossible.
    """

    drift: float = 0.001
    switch_probability: float = 0.05
    noise_std: float = 0.01
    cost: float = 0.004

    def __post_init__(self) -> None:
        check_finite(self)
        if not 0 < self.switch_probability <= 0.5:
            raise ValueError(
                f"switch_probability must be above 0 and at most 0.5, got {self.switch_probability}"
            )
        if not self.drift > 0 or min(self.noise_std, self.cost) < 0:
            raise ValueError("drift must be positive, noise_std and cost not negative")

    @property
    def follows(self) -> bool:
        """Whether following the regime pays for its costs."""
        return self.drift > 2 * self.switch_probability * self.cost

    def optimum(self) -> Optimum:
        """The best policy, and what it earns a bar."""
        earned = self.drift - 2 * self.switch_probability * self.cost

        def policy(held: Floats, signals: Floats) -> Floats:
            return np.sign(signals[:, 0]) if self.follows else np.zeros_like(held)

        return Optimum(policy, max(earned, 0.0))

    def draw(self, bars: int, *, seed: int = 0, price: float = 100.0, noisy: bool = True) -> KnownMarket:
        """One history of the market, with its regime known at each close.

        What no signal tells is left out unless it is ``noisy``: every policy then earns what it is
        expected to.
        """
        rng = np.random.default_rng(seed)
        switches = rng.random(bars) < self.switch_probability
        sign = np.where((np.cumsum(switches) + rng.integers(2)) % 2 == 0, 1.0, -1.0)
        changes = rng.normal(0.0, self.noise_std if noisy else 0.0, bars)
        changes[1:] += self.drift * sign[:-1]
        made = bars_of(changes, price=price, source=f"regime market, seed {seed}")
        signals = table_of(made, sign[:, None], [1.0])
        return one_unit(made, signals, cost=self.cost, noise_std=self.noise_std, optimum=self.optimum())
