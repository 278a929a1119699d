"""Market B: a bounded position, a cost for each unit traded, a signal that persists."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

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

NODES = 200  # of the quadrature over the band, where all that is not in closed form happens


@dataclass(frozen=True)
class BoundedMarket:
    """Price changes ``r' = f + u``, the signal ``f' = persistence · f + e``; a position ``x`` from −1
    to 1 earns ``x r' − c |Δx|``.

    De Lataillade, Deremble, Potters and Bouchaud (2012, Optimal trading with linear costs, J.
    Investment Strategies 1(3)): the best position is always +1 or −1, and changes side only when the
    signal crosses a threshold ``q``. A policy that goes by the sign of the signal trades far too
    often. Without noise and persistence the signal is the next change itself: a leaked future.

    Args:
        persistence: Of the signal, 0 to 1.
        signal_std: Standard deviation of the signal.
        noise_std: Of the price change that the signal does not tell.
        cost: ``c``, in quote currency for each unit traded.

    Raises:
        ValueError: A parameter is impossible.
    """

    persistence: float = 0.9
    signal_std: float = 0.001
    noise_std: float = 0.01
    cost: float = 0.002

    def __post_init__(self) -> None:
        check_finite(self)
        if not 0 <= self.persistence < 1:
            raise ValueError(f"persistence must be from 0 to below 1, got {self.persistence}")
        if not self.signal_std > 0 or min(self.noise_std, self.cost) < 0:
            raise ValueError("signal_std must be positive, noise_std and cost not negative")

    @cached_property
    def threshold(self) -> float:
        """``q``: beyond it the position changes side.

        The worth of being long instead of short, trading as is best, is ``D(f) = clip(G(f), −2c, 2c)``
        with ``G(f) = 2f + E[D(f') | f]``, and ``G(q) = 2c``. ``D`` is odd and is ``±2c`` beyond
        ``±q``, so that ``G`` solves a linear integral equation on the band, by Gauss-Legendre
        quadrature.
        """
        if self.cost == 0:
            return 0.0
        most = self.cost * (1 + 1e-9)  # q = c without persistence; what persists may be followed sooner
        return float(brentq(self._gap, 1e-9 * most, most, xtol=1e-16, rtol=1e-14))

    def _gap(self, q: float) -> float:
        """``G(q) − 2c`` if the band ended at ``q``."""
        f, w = _legendre(q)
        at = np.append(f, q)
        kernel = self._density(at[:, None], f) * w
        beyond = ndtr((self.persistence * at - q) / self._shock) - ndtr(
            (-self.persistence * at - q) / self._shock
        )
        known = 2 * at + 2 * self.cost * beyond
        inside = np.linalg.solve(np.eye(NODES) - kernel[:-1], known[:-1])
        return float(known[-1] + kernel[-1] @ inside - 2 * self.cost)

    @property
    def _shock(self) -> float:
        return self.signal_std * math.sqrt(1 - self.persistence**2)

    def _density(self, now: Floats, then: Floats) -> Floats:
        """Of the next signal, given this one."""
        z = (then - self.persistence * now) / self._shock
        return np.asarray(np.exp(-0.5 * z**2) / (self._shock * math.sqrt(2 * math.pi)))

    def optimum(self) -> Optimum:
        """The best policy, and what it earns a bar."""
        q = self.threshold

        def policy(held: Floats, signals: Floats) -> Floats:
            f = self.signal_std * signals[:, 0]
            return np.where(f > q, 1.0, np.where(f < -q, -1.0, held))

        gross, turnover = self.average_of(q)
        return Optimum(policy, gross - self.cost * turnover)

    def average_of(self, threshold: float) -> tuple[float, float]:
        """Gross reward and units traded a bar in the long run, of changing side beyond ``threshold``.

        ``h(f)``, the density of the signal where the position is long, solves a linear integral
        equation on the band; where it comes from beyond it is known in closed form, because the
        signal's past given its present is distributed as its future.
        """
        s, q = self.signal_std, threshold
        outside = s * math.exp(-0.5 * (q / s) ** 2) / math.sqrt(2 * math.pi)  # ∫ f n(f) beyond q
        if q == 0:
            crossing = math.acos(self.persistence) / (2 * math.pi)
            return 2 * outside, 4 * crossing
        f, w = _legendre(q)
        normal = np.exp(-0.5 * (f / s) ** 2) / (s * math.sqrt(2 * math.pi))
        came = normal * ndtr((self.persistence * f - q) / self._shock)
        kernel = (self._density(f[:, None], f) * w[:, None]).T  # to a row from each column
        long = np.linalg.solve(np.eye(NODES) - kernel, came)
        gross = 2 * (float(w @ (f * long)) + outside)
        rises = ndtr((self.persistence * f - q) / self._shock)
        flips = float(w @ ((normal - long) * rises)) + self._from_below(q)
        return gross, 4 * flips

    def _from_below(self, q: float) -> float:
        """Probability that the signal jumps from below ``−q`` to above ``q``."""
        s = self.signal_std
        f, w = np.polynomial.legendre.leggauss(NODES)
        z = q / s + 5.0 * (f + 1)  # from q to ten standard deviations beyond
        normal = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
        return float(5.0 * w @ (normal * ndtr((-self.persistence * z * s - q) / self._shock)))

    def draw(self, bars: int, *, seed: int = 0, price: float = 100.0, noisy: bool = True) -> KnownMarket:
        """One history of the market, with the signal known at each close.

        What no signal tells is left out unless it is ``noisy``: every policy then earns what it is
        expected to.
        """
        rng = np.random.default_rng(seed)
        signal = autoregression(self.persistence, self.signal_std, bars, rng)
        changes = rng.normal(0.0, self.noise_std if noisy else 0.0, bars)
        changes[1:] += signal[:-1]
        made = bars_of(changes, price=price, source=f"bounded market, seed {seed}")
        signals = table_of(made, signal[:, None], [self.signal_std])
        return one_unit(made, signals, cost=self.cost, noise_std=self.noise_std, optimum=self.optimum())


def _legendre(q: float) -> tuple[Floats, Floats]:
    """Nodes and weights on the band from ``−q`` to ``q``."""
    f, w = np.polynomial.legendre.leggauss(NODES)
    return q * f, q * w
