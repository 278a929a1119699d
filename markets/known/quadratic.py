"""Market A: signals that fade, quadratic costs and risk (Gârleanu and Pedersen 2013)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_discrete_lyapunov

from foretrade.markets.arrays import Floats
from foretrade.markets.costs import Costs
from foretrade.markets.known.market import (
    FIXED_NOTIONAL,
    KnownMarket,
    Optimum,
    autoregression,
    bars_of,
    check_finite,
    table_of,
)


@dataclass(frozen=True)
class QuadraticMarket:
    """Price changes ``r' = Σ f + u``, each signal ``f' = (1 − φ) f + e``; a position ``x`` earns
    ``x r' − ½ γ σ² x² − ½ λ σ² (Δx)²``, discounted by ``1 − ρ`` a bar.

    Gârleanu and Pedersen (2013, doi:10.1111/jofi.12080), for one asset: the best policy goes a fixed
    part of the way towards an aim in which fast signals count less than slow ones.

    Args:
        fading: φ of each signal, 0 to 1.
        loading: What a price changes for each unit of a signal.
        signal_std: Standard deviation of each signal.
        noise_std: σ, of the price change that no signal tells.
        risk_aversion: γ.
        cost: λ.
        discount: ρ, a bar.

    Raises:
        ValueError: A parameter is impossible.
    """

    fading: tuple[float, ...] = (0.1,)
    loading: tuple[float, ...] = (1.0,)
    signal_std: tuple[float, ...] = (0.001,)
    noise_std: float = 0.01
    risk_aversion: float = 5.0
    cost: float = 20.0
    discount: float = 0.0

    def __post_init__(self) -> None:
        check_finite(self)
        if not len(self.fading) == len(self.loading) == len(self.signal_std) > 0:
            raise ValueError("fading, loading and signal_std need one value a signal")
        if not all(0 < phi <= 1 for phi in self.fading) or not min(self.signal_std) > 0:
            raise ValueError("fading must be above 0 and at most 1, and signal_std positive")
        if not (min(self.noise_std, self.risk_aversion, self.cost) > 0 and 0 <= self.discount < 1):
            raise ValueError("noise_std, risk_aversion and cost must be positive, discount from 0 to 1")

    @property
    def trade_rate(self) -> float:
        """Share of the way to the aim that is traded each bar, ``a / λ``."""
        return self._a / self.cost

    @property
    def aim(self) -> Floats:
        """Units aimed at for each unit of a signal, ``B / (γ σ² (1 + φ a / γ))``, ``[signals]``."""
        phi, loading = np.array(self.fading), np.array(self.loading)
        gamma = self.risk_aversion
        return np.asarray(loading / (gamma * self.noise_std**2 * (1 + phi * self._a / gamma)))

    @property
    def _a(self) -> float:
        gamma, cost, rho = self.risk_aversion, self.cost, self.discount
        b = gamma * (1 - rho) + cost * rho
        return (math.sqrt(b**2 + 4 * gamma * cost * (1 - rho) ** 2) - b) / (2 * (1 - rho))

    def optimum(self) -> Optimum:
        """The best policy, and what it earns a bar."""
        rate, aim = self.trade_rate, self.aim
        std = np.array(self.signal_std)

        def policy(held: Floats, signals: Floats) -> Floats:
            return np.asarray((1 - rate) * held + rate * (signals @ (std * aim)))

        return Optimum(policy, self.average_reward(rate, aim))

    def average_reward(self, rate: float, aim: Floats) -> float:
        """What ``x' = (1 − rate) x + rate · aim · f`` earns a bar in the long run, from its moments."""
        keep = 1 - np.array(self.fading)
        pull = rate * np.asarray(aim)
        count = len(keep)
        step = np.zeros((count + 1, count + 1))  # of (position, signals)
        step[0, 0], step[0, 1:] = 1 - rate, pull * keep
        step[1:, 1:] = np.diag(keep)
        shock = np.vstack([pull, np.eye(count)])
        fresh = np.array(self.signal_std) ** 2 * (1 - keep**2)
        moments = solve_discrete_lyapunov(step, shock @ np.diag(fresh) @ shock.T)
        # what is traded is the position after less before: the same state one bar on
        after, cross = moments[0, 0], (step @ moments)[0, 0]
        traded = 2 * after - 2 * cross
        variance = self.noise_std**2
        gain = float(np.array(self.loading) @ moments[0, 1:])
        return gain - variance / 2 * float(self.risk_aversion * after + self.cost * traded)

    def draw(self, bars: int, *, seed: int = 0, price: float = 100.0, noisy: bool = True) -> KnownMarket:
        """One history of the market, with signals known at each close.

        What no signal tells is left out unless it is ``noisy``: every policy then earns what it is
        expected to.
        """
        rng = np.random.default_rng(seed)
        signals = np.column_stack(
            [
                autoregression(1 - phi, std, bars, rng)
                for phi, std in zip(self.fading, self.signal_std, strict=True)
            ]
        )
        changes = rng.normal(0.0, self.noise_std if noisy else 0.0, bars)
        changes[1:] += signals[:-1] @ np.array(self.loading)
        made = bars_of(changes, price=price, source=f"quadratic market, seed {seed}")
        free = {"fee_bps": 0.0, "half_spread_bps": 0.0, "borrow_bps_per_year": 0.0}
        reach = 4 * float(np.linalg.norm(self.aim * np.array(self.signal_std)))
        return KnownMarket(
            bars=made,
            signals=table_of(made, signals, self.signal_std),
            bounds=(-reach, reach),
            notional=price * reach,
            costs=Costs(**free, financing_bps_per_year=0.0, quadratic=self.cost * self.noise_std**2),
            rules=FIXED_NOTIONAL,
            risk_aversion=self.risk_aversion,
            variance=(self.noise_std / made.close) ** 2,
            optimum=self.optimum(),
        )
