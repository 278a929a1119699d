"""How far the mean of a series that depends on its past may lie from the truth."""

from __future__ import annotations

import math

import numpy as np

from foretrade.markets.arrays import Floats

MOST_PERSISTENT = 0.97
"""Bound of Andrews and Monahan (1992) on the coefficient that whitens a series."""


def long_run_variance(values: Floats) -> float:
    """Variance of ``√rows`` times the mean of ``values`` (``[rows]``), autocorrelation included.

    Quadratic spectral kernel with the bandwidth that Andrews (1991, Econometrica 59(3), eq. 6.2, 6.4)
    takes from a first-order autoregression, on residuals of such an autoregression (prewhitening of
    Andrews and Monahan 1992, Econometrica 60(4)): the choice of Ledoit and Wolf (2008). Zero if the
    values do not vary.
    """
    centred = values - values.mean()
    slope = _autoregression(centred)
    whitened = centred[1:] - slope * centred[:-1]
    bandwidth = _bandwidth(whitened)
    return quadratic_spectral(whitened, bandwidth) / (1 - slope) ** 2


def quadratic_spectral(values: Floats, bandwidth: float) -> float:
    """Sum of the autocovariances of ``values`` on both sides, weighted by the kernel; never negative."""
    centred = values - values.mean()
    n = len(centred)
    spectrum = np.abs(np.fft.rfft(centred, 2 * n)) ** 2
    covariances = np.fft.irfft(spectrum, 2 * n)[:n] / n
    if bandwidth <= 0:
        return float(covariances[0])
    x = 6 * math.pi / 5 * np.arange(1, n) / bandwidth
    weights = 3 / x**2 * (np.sin(x) / x - np.cos(x))
    return max(0.0, float(covariances[0] + 2 * weights @ covariances[1:]))


def autocorrelations(values: Floats, lags: int) -> Floats:
    """Of lags 1 … ``lags``, ``[lags]``; covariances are divided by the number of all rows."""
    centred = values - values.mean()
    squares = float(centred @ centred)
    return np.array([float(centred[k:] @ centred[:-k]) / squares for k in range(1, lags + 1)])


def _autoregression(centred: Floats) -> float:
    """Least-squares coefficient on the value before, bounded; zero if nothing varies."""
    squares = float(centred[:-1] @ centred[:-1])
    if squares == 0:
        return 0.0
    slope = float(centred[1:] @ centred[:-1]) / squares
    return min(max(slope, -MOST_PERSISTENT), MOST_PERSISTENT)


def _bandwidth(values: Floats) -> float:
    """``1.3221 (α₂ n)^(1/5)`` with ``α₂ = 4 ρ² / (1 − ρ)⁴``."""
    rho = _autoregression(values - values.mean())
    return float(1.3221 * (4 * rho**2 / (1 - rho) ** 4 * len(values)) ** 0.2)
