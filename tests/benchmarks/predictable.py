"""A market whose next return is partly known, and how well positions do in it; numpy alone.

``r' = f + u``, the signal ``f' = .9 f + e`` is observed, a position from −1 to 1 pays a fee on what is
traded. A policy is judged by what it can expect, ``Σ (x f − fee |Δx|)``, beside what the best policy can
expect on the same signals: luck in the returns does not enter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

POSITIONS = (-1.0, 0.0, 1.0)
PERSISTENCE, SIGNAL, NOISE, FEE = 0.9, 0.001, 0.01, 0.0005
THRESHOLD = 2.8894e-4  # beyond which the best policy changes side; see foretrade.markets.known.bounded


@dataclass(frozen=True)
class Draw:
    """One history: log returns, the first of them zero, and the signals of their successors."""

    returns: Floats
    signals: Floats


def draw(bars: int, seed: int) -> Draw:
    rng = np.random.default_rng(seed)
    shocks = rng.normal(0.0, SIGNAL * np.sqrt(1 - PERSISTENCE**2), bars)
    signals = np.empty(bars)
    signals[0] = rng.normal(0.0, SIGNAL)
    for t in range(1, bars):
        signals[t] = PERSISTENCE * signals[t - 1] + shocks[t]
    returns = rng.normal(0.0, NOISE, bars)
    returns[0] = 0.0
    returns[1:] += signals[:-1]
    return Draw(returns, signals)


def best(signals: Floats, threshold: float) -> Floats:
    """Positions of the best policy, from none."""
    held, positions = 0.0, np.empty(len(signals))
    for t, signal in enumerate(signals.tolist()):
        held = 1.0 if signal > threshold else -1.0 if signal < -threshold else held
        positions[t] = held
    return positions


def expected(positions: Floats, signals: Floats, fee: float) -> float:
    """What positions held after each signal can expect, from none."""
    return float(positions @ signals - fee * np.abs(np.diff(positions, prepend=0.0)).sum())


def share(positions: Floats, signals: Floats, fee: float, threshold: float) -> float:
    """Of the optimum."""
    most = expected(best(signals, threshold), signals, fee)
    return expected(positions, signals, fee) / most
