"""Made-up markets whose properties are known."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from foretrade.markets.arrays import Floats
from foretrade.markets.bars import Bars

Noise: TypeAlias = Literal["normal", "student-t", "garch"]

MOST_DAYS = 68_000


def random_walk(bars: int = 1000, *, symbols: int = 1, volatility: float = 0.01, seed: int = 0) -> Bars:
    """The null market: daily bars whose log close is a driftless Gaussian walk.

    No forecast of it is worth anything: the best policy is to stay out.

    Args:
        volatility: Standard deviation of a bar's log return from open to close; the gap from
            close to open has a third of it.
    """
    rng = np.random.default_rng(seed)
    shape = (bars, symbols)
    gap, move = rng.normal(0, volatility / 3, shape), rng.normal(0, volatility, shape)
    close = 100 * np.exp(np.cumsum(gap + move, axis=0))
    open_ = close / np.exp(move)
    reach = np.exp(np.abs(rng.normal(0, volatility / 2, (2, *shape))))
    high, low = np.maximum(open_, close) * reach[0], np.minimum(open_, close) / reach[1]
    names = tuple(f"WALK{number}" for number in range(symbols))
    return daily_bars(open_, high, low, close, rng, symbols=names, source=f"random walk, seed {seed}")


def shocks(noise: Noise, bars: int, rng: np.random.Generator) -> Floats:
    """Unpredictable, of mean zero and variance one: ``[bars]``.

    ``normal`` is independent; ``student-t`` too, with four degrees of freedom, so that its kurtosis is
    infinite; ``garch`` has normal shocks on a volatility that clusters (Bollerslev 1986): variance
    ``0.02 + 0.08 shock² + 0.90 variance``.

    Raises:
        ValueError: There is no such noise.
    """
    if noise == "normal":
        return rng.normal(size=bars)
    if noise == "student-t":
        return np.asarray(rng.standard_t(4, size=bars) / np.sqrt(2.0))
    if noise != "garch":
        raise ValueError(f"noise = {noise!r} must be normal, student-t or garch")
    drawn, variance = rng.normal(size=bars), 1.0
    for bar in range(bars):
        drawn[bar] *= np.sqrt(variance)
        variance = 0.02 + 0.08 * drawn[bar] ** 2 + 0.90 * variance
    return drawn


def market_of(returns: Floats, rng: np.random.Generator, *, source: str) -> Bars:
    """Daily bars whose simple returns from close to close are ``returns [bars - 1]``; opens are the
    closes before.
    """
    close = 100 * np.cumprod(np.concatenate([[1.0], 1.0 + returns]))[:, None]
    open_ = np.concatenate([close[:1], close[:-1]])
    reach = np.exp(np.abs(rng.normal(0, 0.005, (2, len(close), 1))))
    high, low = np.maximum(open_, close) * reach[0], np.minimum(open_, close) / reach[1]
    return daily_bars(open_, high, low, close, rng, source=source)


def daily_bars(
    open_: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    rng: np.random.Generator,
    *,
    symbols: tuple[str, ...] = ("MADE",),
    source: str,
) -> Bars:
    """Bars of New York business days since 2000 with these prices ``[bars, symbols]``, and a volume that
    has nothing to do with them.

    Raises:
        ValueError: There are more days than until the year 2262, where nanosecond stamps end.
    """
    if len(close) > MOST_DAYS:
        raise ValueError(f"{len(close):,} daily bars are too many: give at most {MOST_DAYS:,}")
    days = pd.bdate_range("2000-01-03", periods=len(close)) + pd.Timedelta(hours=16)
    return Bars(
        symbols=symbols,
        closes_at=days.tz_localize("America/New_York").tz_convert("UTC"),
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=np.exp(rng.normal(13.0, 0.3, close.shape)).round(),
        frequency="1D",
        periods_per_year=252.0,
        timezone="America/New_York",
        source=source,
    )
