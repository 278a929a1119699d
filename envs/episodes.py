"""Episodes: where one begins, how long it lasts, which path it takes, at what level of costs.

Every draw is a pure function of the account's key, the number of its episode and the number of the
draw, so that accounts draw alike alone and in a batch, whatever the others do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from foretrade.markets.accounts import (
    ENTRY,
    EPISODE,
    KEY,
    LENGTH,
    MARKET,
    PENDING,
    ROW,
    STEPS,
    UNITS,
    Accounts,
)
from foretrade.markets.arrays import Floats, Index, Ints, UInts, read_only
from foretrade.markets.compiled import compiled_part, inlined
from foretrade.markets.exchange import AT_MARK
from foretrade.markets.ledger import deposit
from foretrade.markets.trading import TARGET

NO_WISH: Floats = read_only(np.full(4, np.nan))
"""Options of ``reset`` when there are none: market, start, length and cost level are all drawn."""

DRAW_MARKET, DRAW_START, DRAW_COSTS, DRAW_PATH = (np.uint64(k) for k in range(4))


@dataclass(frozen=True)
class Episodes:
    """How ``reset`` and autoreset begin an episode.

    Args:
        bars: Decisions in an episode; 0 plays to the end of the block.
        random_start: Whether the first bar is drawn.
        bootstrap_bars: Mean length of the blocks of a stationary bootstrap (Politis and Romano 1994,
            doi:10.1080/01621459.1994.10476870): after each decision the path goes on, with
            probability ``1 / bootstrap_bars``, from a bar drawn from those of the block in which every
            symbol has one; positions keep their value over the jump. At such a seam what follows
            has nothing to do with what the decision saw. 0 follows history.
        cost_range: Factor on all costs but interest, drawn log-uniformly for each episode.
        cost_levels: Factors multiplied onto it, one after the other: a curriculum.
        episodes_per_level: Episodes at each level; the last level stays.

    Raises:
        ValueError: A setting is impossible.
    """

    bars: int = 0
    random_start: bool = False
    bootstrap_bars: float = 0.0
    cost_range: tuple[float, float] = (1.0, 1.0)
    cost_levels: tuple[float, ...] = (1.0,)
    episodes_per_level: int = 100

    def __post_init__(self) -> None:
        low, high = self.cost_range
        if not (0 < low <= high < math.inf) and not (low == high == 0):
            raise ValueError(
                f"cost_range must be two positive factors in order, or (0, 0), got {self.cost_range}"
            )
        if not self.cost_levels or not all(math.isfinite(x) and x >= 0 for x in self.cost_levels):
            raise ValueError(f"cost_levels must be factors of 0 or more, got {self.cost_levels}")
        whole = all(isinstance(x, int | np.integer) for x in (self.bars, self.episodes_per_level))
        if not whole or self.bars < 0 or self.episodes_per_level < 1:
            raise ValueError("bars must be 0 or more, episodes_per_level 1 or more, both whole numbers")
        if self.bootstrap_bars != 0 and not 1 <= self.bootstrap_bars < math.inf:
            raise ValueError(f"bootstrap_bars must be 0 or at least 1, got {self.bootstrap_bars}")

    def constants(self) -> dict[str, float]:
        """The constants of the kernel."""
        low, high = (math.log(x) if x > 0 else -math.inf for x in self.cost_range)
        return {
            "bars": self.bars,
            "random_start": self.random_start,
            "jump": 1 / self.bootstrap_bars if self.bootstrap_bars else 0.0,
            "log_low": low,
            "log_spread": high - low if high > low else 0.0,
            "episodes_per_level": self.episodes_per_level,
        }


def check_places(accounts: Accounts, blocks: Ints) -> None:
    """Refuse accounts that stand outside the markets, whose ``blocks`` see in the kernel's ``Market``.

    Raises:
        ValueError: It names the first of them.
    """
    row, steps, length, market = (
        accounts.get(name).astype(np.int64) for name in ("row", "steps", "length", "market")
    )
    known = (market >= 0) & (market < len(blocks))
    first, last = blocks[np.where(known, market, 0), :2].T
    lost = ~(known & (first <= row) & (row < last) & (steps >= 0) & (steps <= length))
    if lost.any():
        i = int(lost.argmax())
        raise ValueError(
            f"account {i} stands at row {row[i]} of market {market[i]}, after {steps[i]} of {length[i]} "
            "steps: these are other markets than the ones that it is from"
        )


@inlined
def draw(key: Index, episode: Index, number: Index) -> float:
    """A uniform number in [0, 1): splitmix64 (Steele et al. 2014, doi:10.1145/2660193.2660195)."""
    x = key + (episode + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    for salt in (np.uint64(0), number + np.uint64(1)):
        x += salt * np.uint64(0xD1342543DE82EF95)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return np.float64(x >> np.uint64(11)) * 2.0**-53


@compiled_part
def begin(
    a: Floats, hs: Floats, clock: UInts, j: Index, blocks: Ints, levels: Floats, terms: Any, wish: Floats
) -> None:
    """Begin the next episode of a lane, in cash.

    ``wish`` holds market, start, length and cost level asked for, NaN where they are to be drawn.
    ``blocks`` holds the first row and the row after the last of each market.
    """
    key, episode = clock[KEY + j], clock[EPISODE + j]
    market = np.int64(draw(key, episode, DRAW_MARKET) * len(blocks))
    market = market if wish[0] != wish[0] else np.int64(wish[0])
    first, last = blocks[market, 0], blocks[market, 1] - 1
    length = terms.bars if wish[2] != wish[2] else np.int64(wish[2])
    latest = last - length if length > 0 else last - 1
    start = first
    if terms.random_start:
        start += np.int64(draw(key, episode, DRAW_START) * (latest + 1 - first))
    start = start if wish[1] != wish[1] else np.int64(wish[1])
    level = levels[min(np.int64(episode) // terms.episodes_per_level, len(levels) - 1)]
    scale = level * math.exp(terms.log_low + draw(key, episode, DRAW_COSTS) * terms.log_spread)
    deposit(a, hs, j, terms.notional, scale if wish[3] != wish[3] else wish[3])
    clock[MARKET + j] = np.uint64(market)
    clock[ROW + j] = np.uint64(start)
    clock[STEPS + j] = np.uint64(0)
    clock[LENGTH + j] = np.uint64(length if length > 0 else last - start)


@compiled_part
def jump(
    hs: Floats,
    clock: UInts,
    ms: Floats,
    lanes: Index,
    prices: Floats,
    blocks: Ints,
    landings: Ints,
    probability: float,
    in_units: bool,
) -> None:
    """Let bootstrapped paths go on elsewhere; units change so that positions and targets keep their
    value."""
    for j in range(lanes):
        key, episode, number = (
            clock[KEY + j],
            clock[EPISODE + j],
            DRAW_PATH + np.uint64(2) * clock[STEPS + j],
        )
        block, row = blocks[np.int64(clock[MARKET + j])], clock[ROW + j]
        if (draw(key, episode, number) < probability) | (np.int64(row) >= block[1] - 1):
            place = np.int64(draw(key, episode, number + np.uint64(1)) * (block[3] - block[2]))
            there = np.uint64(landings[block[2] + place])
            for i in range(len(hs)):
                ratio = prices[row, i, AT_MARK] / prices[there, i, AT_MARK]
                hs[i, UNITS + j] *= ratio
                hs[i, PENDING + j] *= ratio
                hs[i, ENTRY + j] /= ratio
                ms[i, TARGET + j] *= ratio if in_units else 1.0
            clock[ROW + j] = there
