"""What users may write in short, and what the environment takes it for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from foretrade.envs.assembly import View
from foretrade.markets.arrays import Floats, read_only
from foretrade.markets.bars import Bars
from foretrade.markets.table import Table


def wish(
    options: dict[str, Any], blocks: Sequence[range], offsets: Sequence[int], episode_bars: int
) -> Floats:
    """Options of ``reset`` as the kernel takes them: NaN for what is to be drawn.

    Args:
        options: ``market``, ``start``, ``episode_bars`` and ``cost_scale``.
        blocks: Rows of each market; offsets: where its row 0 stands in the kernel's arrays.
        episode_bars: Decisions in an episode if the options do not say; 0 plays to the end.

    Raises:
        ValueError: An option is unknown, or the episode does not fit into the block.
    """
    chosen = dict(options)
    market, start, length, scale = (
        chosen.pop(name, None) for name in ("market", "start", "episode_bars", "cost_scale")
    )
    if chosen:
        raise ValueError(f"unknown reset options: {', '.join(chosen)}")
    for name, value in {"market": market, "start": start, "episode_bars": length}.items():
        if value is not None and not isinstance(value, int | np.integer):
            raise ValueError(f"{name} = {value!r} must be a whole number")
    if market is not None and not 0 <= market < len(blocks):
        raise ValueError(f"market {market} is none of 0 … {len(blocks) - 1}")
    if scale is not None and not (math.isfinite(scale) and scale >= 0):
        raise ValueError(f"cost_scale must not be negative, got {scale}")
    if start is not None and market is None and len(blocks) > 1:
        raise ValueError("a start needs a market, as there are several")
    part = 0 if market is None else int(market)
    rows = blocks[part] if market is not None else min(blocks, key=len)
    bars = episode_bars if length is None else int(length)
    first = rows.start if start is None else int(start)
    fits = first in rows and first + max(bars, 1) <= rows.stop - 1
    if not fits or (length is not None and bars < 1):
        raise ValueError(
            f"an episode of {bars or 'one or more'} decisions from row {first} does not fit into {rows}"
        )
    row = None if start is None else first + offsets[part]
    values = (market, row, length, scale)
    asked: Floats = read_only(np.array([np.nan if x is None else float(x) for x in values]))
    return asked


def as_list(table: Table | Sequence[Table]) -> list[Table]:
    """One table, or one of each market."""
    return [table] if isinstance(table, Table) else list(table)


def symbol_choices(bars: Bars, symbols: Sequence[str] | str | None) -> list[tuple[str, ...]]:
    """What each market of these bars trades."""
    if symbols is None:
        return [bars.symbols[:1]]
    if isinstance(symbols, str):
        return [(symbol,) for symbol in bars.symbols] if symbols == "each" else [(symbols,)]
    return [tuple(symbols)]


def view_of(
    table: Table, observe: Sequence[str] | None, window: Sequence[str] | None, lookback_bars: int
) -> View:
    """Which columns are shown, of the last bar and of a window."""
    if window is None:
        window = (observe or table.names) if lookback_bars > 1 else ()
        observe = () if lookback_bars > 1 else observe
    rest = tuple(name for name in table.names if name not in window)
    return View(tuple(rest if observe is None else observe), tuple(window), lookback_bars)
