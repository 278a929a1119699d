"""Online expert weighting: weights that follow matured errors, with a bound on the regret.

Rows are played in time order. The weights of row ``t`` come from the rows whose label is known at
``t``, that is up to ``t − resolution_bars``. Neither algorithm has units: forecasts and labels times a
constant change no weight. A member without a forecast in a row sleeps there: its weight goes to the
others in proportion, and the row changes nothing for it (Freund et al. 1997).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from foretrade.markets.arrays import Bools, Floats

SMALLEST = 1e-200  # in place of a squared error of zero


@dataclass(frozen=True)
class EWA:
    """Exponentially weighted average with squared loss (Cesa-Bianchi and Lugosi 2006, section 2.2).

    ``w_k ∝ exp(η R_k)`` with ``R_k`` the regret against member ``k`` so far and
    ``η = 2 sqrt(ln K / A)``. With ``r_s`` the range of the members' losses in row ``s``,
    ``A = Σ r_s² + 2 r_s Σ r_u``, the inner sum over the rows ``u`` before ``s`` whose label was still
    open at ``s``: what a delay costs (Joulani, György and Szepesvári 2016). The squared errors of the
    combination exceed those of the best member by no more than the order of ``sqrt(A ln K)``.

    Args:
        learning_rate: Multiple of that rate.
        minimum_bars: Equal weights until so many rows have matured.
    """

    learning_rate: float = 1.0
    minimum_bars: int = 21

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}")

    def weights(self, means: Floats, labels: Floats, *, resolution_bars: int) -> Floats:
        """Weights ``[bars, members]`` that sum to one; NaN rows where no member has a forecast."""
        check_history(means, labels, resolution_bars)
        learner = _Exponential(means.shape[1], resolution_bars, self.learning_rate)
        return _play(learner, means, labels, resolution_bars, self.minimum_bars)


@dataclass(frozen=True)
class BOA:
    """Bernstein online aggregation with squared loss (Wintenberger 2017, doi:10.1007/s10994-016-5592-6).

    ``w_k ∝ η_k exp(η_k Σ (r − η_k r²))`` with ``r`` the regret against member ``k`` on the gradient of
    the loss, and a rate of its own for each member, ``η_k = min(1 / 2B, sqrt(ln K / V_k))``, where
    ``V_k = Σ r²`` and ``B`` is the largest ``|r|`` of all. Because of the gradient it competes with the
    best mixture of members too. The regret against member ``k`` is of the order
    ``sqrt(V_k ln K) + B ln K``, up to ``ln ln bars``, where labels are known one bar later; a longer
    delay adds to it. A regret above the largest before it is cut down to that, at a cost of ``B`` in
    all (Mhammedi, Koolen and van Erven 2019), in place of the paper's doubling of ``B``.

    Args:
        minimum_bars: Equal weights until so many rows have matured.
    """

    minimum_bars: int = 21

    def weights(self, means: Floats, labels: Floats, *, resolution_bars: int) -> Floats:
        """Weights ``[bars, members]`` that sum to one; NaN rows where no member has a forecast."""
        check_history(means, labels, resolution_bars)
        return _play(_Bernstein(means.shape[1]), means, labels, resolution_bars, self.minimum_bars)


def check_history(means: Floats, labels: Floats, resolution_bars: int) -> None:
    """Whether forecasts and labels go together.

    Raises:
        ValueError: Shapes do not match, or a label would be known before its row is over.
    """
    if means.ndim != 2 or labels.shape != means.shape[:1]:
        raise ValueError(
            f"means must be [bars, members] and labels [bars], got {means.shape} and {labels.shape}"
        )
    if resolution_bars < 1:
        raise ValueError(f"resolution_bars must be at least 1, got {resolution_bars}")


class _Learner(Protocol):
    def shares(self, awake: Bools) -> Floats:
        """Weights of the members that have a forecast, summing to one."""
        ...

    def learn(self, awake: Bools, forecasts: Floats, issued: float, label: float) -> None:
        """Take in a matured row: the members' forecasts, the one issued from them, and the label."""
        ...


def _play(
    learner: _Learner, means: Floats, labels: Floats, resolution_bars: int, minimum_bars: int
) -> Floats:
    awake = np.isfinite(means)
    forecasts = np.where(awake, means, 0.0)
    played: Bools = np.asarray(awake.any(axis=1))
    learnable = played & np.isfinite(labels)
    weights, learnt = np.full(means.shape, np.nan), 0
    for row in range(len(means)):
        told = row - resolution_bars
        if told >= 0 and learnable[told]:
            issued = float(weights[told] @ forecasts[told])
            learner.learn(awake[told], forecasts[told], issued, float(labels[told]))
            learnt += 1
        if played[row]:
            equal = awake[row] / awake[row].sum()
            weights[row] = equal if learnt < minimum_bars else learner.shares(awake[row])
    return weights


class _Exponential:
    def __init__(self, members: int, resolution_bars: int, learning_rate: float) -> None:
        self.numerator = 2 * learning_rate * np.sqrt(np.log(members))
        self.regret = np.zeros(members)
        self.ranges = 0.0  # A
        self.open: deque[float] = deque(maxlen=resolution_bars - 1)  # ranges before the row to learn

    def shares(self, awake: Bools) -> Floats:
        rate = self.numerator / np.sqrt(self.ranges) if self.ranges > 0 else 0.0
        return _softmax(rate * self.regret, awake)

    def learn(self, awake: Bools, forecasts: Floats, issued: float, label: float) -> None:
        losses = (forecasts - label) ** 2
        # not the issued weights: learning goes on as if the labels before this one had been known
        self.regret += np.where(awake, self.shares(awake) @ losses - losses, 0.0)
        spread = float(np.ptp(losses[awake]))
        self.ranges += spread * (spread + 2 * sum(self.open))
        self.open.append(spread)


class _Bernstein:
    def __init__(self, members: int) -> None:
        self.log_members = np.log(max(members, 2))
        self.surrogate = np.zeros(members)  # Σ (r − η r²)
        self.squares = np.zeros(members)  # V
        self.largest = 0.0  # B

    def shares(self, awake: Bools) -> Floats:
        rates = self._rates()
        return _softmax(rates * self.surrogate + np.log(rates), awake)

    def learn(self, awake: Bools, forecasts: Floats, issued: float, label: float) -> None:
        middle = self.shares(awake) @ forecasts
        regret = np.where(awake, 2 * (issued - label) * (middle - forecasts), 0.0)
        rates, before = self._rates(), self.largest
        self.largest = max(before, float(np.abs(regret).max()))
        if self.largest > before:
            regret *= before / self.largest
        self.surrogate += regret - rates * regret**2
        self.squares += regret**2

    def _rates(self) -> Floats:
        if self.largest == 0:
            return np.ones_like(self.squares)
        own = np.sqrt(self.log_members / np.maximum(self.squares, SMALLEST))
        rates: Floats = np.minimum(own, 0.5 / self.largest)
        return rates


def _softmax(scores: Floats, awake: Bools) -> Floats:
    raised = np.where(awake, np.exp(np.minimum(scores - scores[awake].max(), 0.0)), 0.0)
    shares: Floats = raised / raised.sum()
    return shares
