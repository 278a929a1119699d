"""Calm and troubled times: drift and volatility that switch together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from foretrade.markets.arrays import Floats, Ints
from foretrade.markets.bars import Bars
from foretrade.markets.realistic.days import OVERNIGHT, bars_of_days, overnight


@dataclass(frozen=True)
class RegimeSwitching:
    """Normal log returns whose drift and volatility are those of a hidden Markov chain's regime.

    Hamilton (1989, Econometrica 57(2)). The defaults are what ``statsmodels`` finds for the packaged
    S&P 500, 1999 to 2018, by maximum likelihood: calm and troubled.

    Args:
        drift, volatility: Mean and standard deviation of a bar's log return, one a regime.
        transitions: Probability of each regime at the next bar, a row for each regime now.

    Raises:
        ValueError: A parameter is impossible, or a regime can never be left for another.
    """

    drift: tuple[float, ...] = (6.9e-4, -8.8e-4)
    volatility: tuple[float, ...] = (0.0068, 0.0180)
    transitions: tuple[tuple[float, ...], ...] = ((0.988, 0.012), (0.022, 0.978))

    def __post_init__(self) -> None:
        count = len(self.drift)
        rows = [len(row) for row in self.transitions]
        if not (len(self.volatility) == count > 1 and rows == [count] * count):
            raise ValueError("drift, volatility and transitions need one value, or row, a regime")
        if not (min(self.volatility) > 0 and np.isfinite([*self.drift, *self.volatility]).all()):
            raise ValueError("volatility must be positive, and both it and drift finite")
        chain = np.array(self.transitions)
        if not ((chain >= 0).all() and np.allclose(chain.sum(axis=1), 1.0, atol=1e-9)):
            raise ValueError("each row of transitions must be probabilities that sum to 1")
        reached = np.linalg.matrix_power(chain + np.eye(count), count) > 0
        if not reached.all():
            raise ValueError("transitions must lead from every regime to every other")

    @property
    def stationary(self) -> Floats:
        """Share of time in each regime in the long run, ``[regimes]``."""
        chain = np.array(self.transitions)
        equations = np.vstack([chain.T - np.eye(len(chain)), np.ones(len(chain))])
        shares: Floats = np.linalg.lstsq(equations, np.eye(len(chain) + 1)[-1], rcond=None)[0]
        return shares

    @property
    def dwell_bars(self) -> Floats:
        """Bars that a regime lasts on average, ``1 / (1 − p)``, ``[regimes]``."""
        return np.asarray(1 / (1 - np.diag(self.transitions)))

    @property
    def mean(self) -> float:
        """Of a bar's log return, in the long run."""
        return float(self.stationary @ np.array(self.drift))

    @property
    def variance(self) -> float:
        """Of a bar's log return, in the long run."""
        second = np.array(self.drift) ** 2 + np.array(self.volatility) ** 2
        return float(self.stationary @ second) - self.mean**2

    def autocovariance(self, lag_bars: int) -> float:
        """Of log returns a number of bars, at least 1, apart: drifts persist."""
        drift = np.array(self.drift)
        ahead = np.linalg.matrix_power(np.array(self.transitions), lag_bars) @ drift
        return float((self.stationary * drift) @ ahead) - self.mean**2

    def regimes(self, bars: int, *, seed: int = 0) -> Ints:
        """The regime of each bar of :meth:`draw` with that seed, from 0, ``[bars]``."""
        return self._chain(bars, np.random.default_rng(seed))

    def draw(self, bars: int, *, seed: int = 0) -> Bars:
        """Daily bars of one symbol; a fifth of each bar's variance falls between close and open."""
        rng = np.random.default_rng(seed)
        regime = self._chain(bars, rng)
        volatility = np.array(self.volatility)[regime]
        returns = np.array(self.drift)[regime] + volatility * rng.normal(size=bars)
        gaps = overnight(returns, volatility, rng)
        within = math.sqrt(1 - OVERNIGHT) * volatility
        return bars_of_days(gaps, returns - gaps, within, rng, source=f"regimes, seed {seed}")

    def _chain(self, bars: int, rng: np.random.Generator) -> Ints:
        steps = np.cumsum([self.stationary, *self.transitions], axis=1)
        steps[:, -1] = 1.0
        path, row = np.empty(bars, dtype=np.int64), 0  # of ``steps``: first where it begins
        for k, uniform in enumerate(rng.random(bars).tolist()):
            path[k] = steps[row].searchsorted(uniform, side="right")
            row = path[k] + 1
        return path
