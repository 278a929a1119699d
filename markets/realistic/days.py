"""A day around a return: over night the price jumps, within the day it goes a Brownian way."""

from __future__ import annotations

import numpy as np

from foretrade.markets.arrays import Floats
from foretrade.markets.bars import Bars
from foretrade.markets.synthetic import daily_bars

OVERNIGHT = 0.2
"""Share of a diffusion's variance from close to open: a choice between that of an index, whose opens are
stale (.02 in the packaged S&P 500), and that of a share (.40 in the packaged AAPL)."""


def overnight(returns: Floats, volatility: Floats, rng: np.random.Generator) -> Floats:
    """The part of each return that falls between close and open, ``[bars]``.

    A Brownian bridge: it is drawn so that the two parts sum to the return and are not correlated.

    Args:
        returns: Log returns from close to close, ``[bars]``.
        volatility: Their standard deviation, ``[bars]``.
    """
    spread = np.sqrt(OVERNIGHT * (1 - OVERNIGHT)) * volatility
    return np.asarray(OVERNIGHT * returns + spread * rng.normal(size=len(returns)))


def bars_of_days(
    gaps: Floats, moves: Floats, volatility: Floats, rng: np.random.Generator, *, source: str
) -> Bars:
    """Daily bars, the first after a close of 100.

    High and low are drawn from the laws of the maximum and of the minimum of a Brownian motion with
    given ends (``P(M > m) = exp(−2 m (m − x) / σ²)``, e.g. Karatzas and Shreve 1991, 4.3.40), each by
    itself; so the variance estimator of Rogers and Satchell (1991) is not biased.

    Args:
        gaps, moves: Log returns from close to open and from open to close, ``[bars]``.
        volatility: Standard deviation of the moves, ``[bars]``.
    """
    close = 100 * np.exp(np.cumsum(gaps + moves))
    open_ = close / np.exp(moves)
    reach = np.sqrt(moves**2 - 2 * volatility**2 * np.log1p(-rng.random((2, len(moves)))))
    high, low = open_ * np.exp((moves + reach[0]) / 2), open_ * np.exp((moves - reach[1]) / 2)
    return daily_bars(
        open_[:, None],
        np.maximum(high, np.maximum(open_, close))[:, None],  # they may be below by a rounding
        np.minimum(low, np.minimum(open_, close))[:, None],
        close[:, None],
        rng,
        source=source,
    )
