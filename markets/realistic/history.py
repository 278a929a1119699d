"""History drawn anew in blocks: the same bars in another order, of all symbols at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from foretrade.markets.arrays import Floats
from foretrade.markets.bars import PRICE_FIELDS, Bars
from foretrade.markets.resampling import stationary_rows


def resampled(bars: Bars, block_bars: float, *, seed: int = 0) -> Bars:
    """Another history of as many bars, drawn by the stationary bootstrap.

    Politis and Romano (1994, JASA 89(428)): blocks of geometric length begin at bars drawn alike, and
    go on at the first bar after the last. All symbols take the same bars, so that what happens to them
    at once still does. A bar keeps its open, high, low and close relative to its symbol's last close
    before it (a symbol's first bar: to its own open), and its volume; a bar that is not there is not
    there in the new history either. Stamps are those of the old one, and so are first prices. Dividends
    and splits are reinvested.

    What depends on the order of bars beyond a block is lost: so choose blocks that are long beside what
    persists, such as ``block_lengths`` of squared returns (about 140 bars for the S&P 500).
    :class:`~foretrade.envs.episodes.Episodes` does the same inside the environment, where it needs no
    bars of its own.

    Args:
        block_bars: Mean length of a block, at least 1.

    Raises:
        ValueError: A block is shorter than a bar.
    """
    bars = bars.as_total_return()
    rows = next(stationary_rows(len(bars), block_bars, 1, seed))[0]
    before, level = _closes_before(bars), _first_opens(bars)
    growth = np.where(bars.present, bars.close / before, 1.0)[rows]
    base = level * np.cumprod(np.vstack([np.ones_like(level), growth[:-1]]), axis=0)
    prices = {name: (getattr(bars, name) / before)[rows] * base for name in PRICE_FIELDS}
    source = f"{bars.source}, drawn anew in blocks of {block_bars:g} bars, seed {seed}"
    return replace(bars, **prices, volume=bars.volume[rows], source=source)


def _closes_before(bars: Bars) -> Floats:
    """Each symbol's last close before each bar, or the open of its first, ``[bars, symbols]``."""
    latest = np.maximum.accumulate(np.where(bars.present, np.arange(len(bars))[:, None], -1), axis=0)
    latest = np.vstack([np.full((1, len(bars.symbols)), -1), latest[:-1]])
    closes = np.take_along_axis(bars.close, np.maximum(latest, 0), axis=0)
    return np.where(latest >= 0, closes, _first_opens(bars))


def _first_opens(bars: Bars) -> Floats:
    """Open of each symbol's first bar, ``[symbols]``; NaN if it has none."""
    first = bars.present.argmax(axis=0)
    return np.asarray(bars.open[first, np.arange(len(bars.symbols))])
