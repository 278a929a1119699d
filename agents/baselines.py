"""Rules that a learned policy has to beat."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from foretrade.envs.actions import Actions
from foretrade.envs.observation import Layout
from foretrade.markets.arrays import AnyArray, Float32s, Floats


@dataclass(frozen=True)
class Rule(ABC):
    """A target weight computed from one observation.

    Args:
        layout: Where the entries stand: ``env.unwrapped.layout``.
        actions: How a weight becomes an action: ``env.unwrapped.actions``.
    """

    layout: Layout
    actions: Actions

    @abstractmethod
    def weights(self, observation: Float32s) -> Floats:
        """Target weights ``[n]`` for observations ``[n, entries]``."""

    def reset(self) -> None:  # noqa: B027  a rule has nothing to forget
        """Rules remember nothing."""

    def decide(self, observation: Float32s) -> AnyArray:
        return self.actions.encode(self.weights(observation))

    def entry(self, observation: Float32s, name: str) -> Floats:
        return observation[:, self.layout.index(name)].astype(np.float64)


@dataclass(frozen=True)
class Constant(Rule):
    """Always the same target weight: 0 is flat, 1 is buy-and-hold."""

    weight: float = 0.0

    def weights(self, observation: Float32s) -> Floats:
        return np.full(len(observation), self.weight)


@dataclass(frozen=True)
class MovingAverageTrend(Rule):
    """Long above the moving average of the close, short below it."""

    column: str = "trend_200"

    def weights(self, observation: Float32s) -> Floats:
        return np.sign(self.entry(observation, self.column))


@dataclass(frozen=True)
class FollowForecast(Rule):
    """Long if the forecast is positive, short if it is negative."""

    column: str = "ensemble.mean"

    def weights(self, observation: Float32s) -> Floats:
        return np.sign(self.entry(observation, self.column))


@dataclass(frozen=True)
class VolatilityTarget(Rule):
    """The forecast's sign, sized so that the position's volatility is constant.

    Args:
        target_volatility: Of the position, annualised; the weight is
            ``sign × target / trailing volatility``, at most ``max_weight``.
    """

    column: str = "ensemble.mean"
    volatility_column: str = "volatility_21"
    target_volatility: float = 0.10
    max_weight: float = 1.0

    def weights(self, observation: Float32s) -> Floats:
        volatility = np.maximum(self.entry(observation, self.volatility_column), 1e-4)
        size = np.minimum(self.target_volatility / volatility, self.max_weight)
        return np.sign(self.entry(observation, self.column)) * size


@dataclass(frozen=True)
class MeanVariance(Rule):
    """What a mean-variance investor holds: ``mean / (risk_aversion × std²)``, at most ``max_weight``.

    Markowitz (1952); with a risk aversion of 1, Kelly (1956). Mean and std are those of the same log
    return, over whichever horizon, as mean and variance both grow with it. The mean counts as that of
    the simple return: a forecast of zero holds nothing. The band within which nothing is traded is the
    ledger's (``Rules.no_trade_band``), which knows the position.

    Args:
        column, std_column: Entries that are shown as they are, not scaled by their own past.
    """

    column: str = "ensemble.mean.unscaled"
    std_column: str = "ensemble.std.unscaled"
    risk_aversion: float = 5.0
    max_weight: float = 1.0

    def weights(self, observation: Float32s) -> Floats:
        variance = np.maximum(self.entry(observation, self.std_column), 1e-6) ** 2
        best = self.entry(observation, self.column) / (self.risk_aversion * variance)
        return np.clip(best, -self.max_weight, self.max_weight)
