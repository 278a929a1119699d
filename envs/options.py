"""What users may write in short, and what the environment takes it for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from foretrade.envs.actions import SHIPPED, Actions
from foretrade.envs.episodes import Episodes
from foretrade.envs.parts import View
from foretrade.envs.rewards import CODES, Reward
from foretrade.markets.arrays import Floats, read_only
from foretrade.markets.bars import Bars
from foretrade.markets.costs import Costs
from foretrade.markets.rules import Rules
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
    if scale is not None and not (isinstance(scale, NUMBER) and 0 <= scale < math.inf):
        raise ValueError(f"cost_scale must be a finite number of at least 0, got {scale!r}")
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


NUMBER = int | float | np.integer | np.floating
KINDS: Mapping[str, type] = MappingProxyType(
    {"costs": Costs, "rules": Rules, "episodes": Episodes, "actions": Actions, "reward": Reward}
)


def check_kinds(**settings: Any) -> None:
    """Refuse settings that are not objects of their class; leaving one out takes its default.

    Raises:
        TypeError: It names the setting.
    """
    for name, value in settings.items():
        if not isinstance(value, KINDS[name]):
            names = {"actions": tuple(SHIPPED), "reward": tuple(CODES)}.get(name, ())
            more = f", or one of {', '.join(map(repr, names))}" if names else ""
            raise TypeError(f"{name} must be {KINDS[name].__name__}(…){more}; got {value!r}")


def check_choice(name: str, value: Any, known: tuple[str | None, ...]) -> None:
    """Refuse what is none of the known."""
    if value not in known:
        raise ValueError(f"{name} = {value!r} must be one of {', '.join(map(repr, known))}")


def check_numbers(initial_equity: Any, lookback_bars: Any) -> None:
    """Refuse numbers that mean nothing."""
    if not (isinstance(initial_equity, NUMBER) and 0 < initial_equity < math.inf):
        raise ValueError(f"initial_equity must be positive and finite, got {initial_equity!r}")
    if not (isinstance(lookback_bars, int | np.integer) and lookback_bars >= 1):
        raise ValueError(f"lookback_bars must be a whole number of at least 1, got {lookback_bars!r}")


def bars_list(bars: Any) -> list[Bars | str]:
    """One market's bars, or those of several."""
    panels = [bars] if isinstance(bars, Bars | str) else bars
    if not isinstance(panels, list | tuple) or not all(isinstance(x, Bars | str) for x in panels):
        raise TypeError(
            f"bars must be Bars, the name of a packaged data set or a file, or a list of them; got "
            f"{type(bars).__name__} (a DataFrame: write it to a Parquet or CSV file and name that)"
        )
    return list(panels)


def seed_list(seed: int | list[int | None] | None, accounts: int) -> list[int | None]:
    """A seed for each account: a number and those that follow it, or as listed."""
    if seed is None:
        return [None] * accounts
    if isinstance(seed, int | np.integer):
        return [int(seed) + i for i in range(accounts)]
    if len(seed) != accounts:
        raise ValueError(f"{len(seed)} seeds for {accounts} accounts")
    return list(seed)


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
    table: Table,
    observe: Sequence[str] | str | None,
    window: Sequence[str] | str | None,
    lookback_bars: int,
) -> View:
    """Which columns are shown, of the last bar and of a window; a name alone is one of them.

    Raises:
        ValueError: A column is asked for twice.
    """
    observe = (observe,) if isinstance(observe, str) else observe
    window = (window,) if isinstance(window, str) else window
    if window is None:
        window = (observe or table.names) if lookback_bars > 1 else ()
        observe = () if lookback_bars > 1 else observe
    rest = tuple(name for name in table.names if name not in window)
    view = View(tuple(rest if observe is None else observe), tuple(window), lookback_bars)
    twice = [name for name, times in Counter(view.names).items() if times > 1]
    if twice:
        raise ValueError(f"column {twice[0]!r} is asked for twice, in observe and window together")
    return view
