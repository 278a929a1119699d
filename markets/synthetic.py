"""Made-up markets whose properties are known."""

from __future__ import annotations

import numpy as np
import pandas as pd

from foretrade.markets.bars import Bars


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
    days = pd.bdate_range("2000-01-03", periods=bars) + pd.Timedelta(hours=16)
    return Bars(
        symbols=tuple(f"WALK{number}" for number in range(symbols)),
        closes_at=days.tz_localize("America/New_York").tz_convert("UTC"),
        open=open_,
        high=np.maximum(open_, close) * reach[0],
        low=np.minimum(open_, close) / reach[1],
        close=close,
        volume=np.exp(rng.normal(13.0, 0.3, shape)).round(),
        frequency="1D",
        periods_per_year=252.0,
        timezone="America/New_York",
        source=f"random walk, seed {seed}",
    )
