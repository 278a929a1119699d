"""What accounts did, summed over their steps: how much they traded, paid and held, and asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from foretrade.envs.actions import GRID, Actions
from foretrade.markets.arrays import Floats, Index, Ints
from foretrade.markets.compiled import compiled_part
from foretrade.markets.trading import (
    BEFORE,
    BORROW,
    DIVIDEND,
    FEE,
    FINANCING,
    IMPACT,
    INTEREST,
    PRICE_PNL,
    SEEN_WEIGHT,
    SPREAD,
    TRADED,
)

SUMS = ("turnover", "gross", "costs", "invested", "position", "exposure")
TURNOVER, GROSS, COSTS, INVESTED, POSITION, EXPOSURE = (np.uint64(k) for k in range(len(SUMS)))
INSIDE = 10  # bins of a continuous action between its bounds; each bound has one of its own


@dataclass(frozen=True)
class Behaviour:
    """What accounts did over a number of steps, all of them together.

    Amounts are over the equity before the step, means over steps and accounts. An account that ended
    counts with its last step.

    Args:
        steps: Taken by all accounts.
        turnover: Notional traded, a step.
        gross: Price P&L and dividends before any cost, a step.
        costs: Fees, spread, impact, borrow and financing less interest, a step.
        time_in_market: Share of closes with a position in anything.
        position: Net weight at the closes.
        exposure: Sum of absolute weights at the closes.
        actions: Share of targets asked for, by target or interval of targets, the least first. Of a
            continuous space the first and the last are the bounds themselves.
    """

    steps: int
    turnover: float
    gross: float
    costs: float
    time_in_market: float
    position: float
    exposure: float
    actions: Mapping[str, float]

    @property
    def cost_share(self) -> float:
        """Costs as a share of the profit before costs; NaN if there was none."""
        return cost_share(self.gross, self.costs)


def cost_share(gross: float, costs: float) -> float:
    """``costs / gross``, or NaN without a gross profit."""
    return costs / gross if gross > 0 else math.nan


def behaviour_of(sums: Floats, asked: Ints, actions: Actions) -> Behaviour:
    """What :func:`count` has added up, ``sums`` ``[SUMS, n]`` and ``asked`` ``[n, symbols, bins]``.

    Raises:
        ValueError: No step was counted.
    """
    steps = int(asked.sum()) // asked.shape[1]
    if steps == 0:
        raise ValueError(
            "no step was counted: the environment must be made with counts=True, and stepped"
        )
    turnover, gross, costs, invested, position, exposure = (sums.sum(axis=1) / steps).tolist()
    shares = asked.sum(axis=(0, 1)) / asked.sum()
    named = dict.fromkeys(target_names(actions), 0.0)
    for name, share in zip(target_bins(actions), shares.tolist(), strict=True):
        named[name] += share
    return Behaviour(steps, turnover, gross, costs, invested, position, exposure, named)


def target_names(actions: Actions) -> list[str]:
    """The names of :attr:`Behaviour.actions`."""
    names = dict.fromkeys(target_bins(actions))
    return sorted(names, key=float) if actions.kind == GRID else list(names)


def target_bins(actions: Actions) -> list[str]:
    """The name of each bin into which targets are counted: a target, or ``"low..high"``."""
    if actions.kind == GRID:
        return [f"{target:g}" for target in actions.grid]
    low, high = actions.bounds()
    edges = [f"{edge:g}" for edge in np.linspace(low, high, INSIDE + 1).round(12).tolist()]
    return [edges[0], *(f"{a}..{b}" for a, b in pairwise(edges)), edges[-1]]


@compiled_part
def count(
    terms: Any, s: Floats, ms: Floats, lanes: Index, n: Index, actions: Floats, sums: Floats,
    asked: Ints,
) -> None:  # fmt: skip
    """Add the step that the lanes have taken to ``sums`` and ``asked`` of the accounts from ``n`` on."""
    for j in range(lanes):
        share = 1.0 / s[BEFORE + j]
        paid = s[FEE + j] + s[SPREAD + j] + s[IMPACT + j] + s[BORROW + j] + s[FINANCING + j]
        sums[TURNOVER, n + j] += s[TRADED + j] * share
        sums[GROSS, n + j] += (s[PRICE_PNL + j] + s[DIVIDEND + j]) * share
        sums[COSTS, n + j] += (paid - s[INTEREST + j]) * share
    for j in range(lanes):
        net, size = 0.0, 0.0
        for i in range(len(ms)):
            net += ms[i, SEEN_WEIGHT + j]
            size += abs(ms[i, SEEN_WEIGHT + j])
        sums[POSITION, n + j] += net
        sums[EXPOSURE, n + j] += size
        sums[INVESTED, n + j] += 1.0 if size > 0.0 else 0.0
    _count_targets(terms, len(ms), lanes, n, actions, asked)


@compiled_part
def _count_targets(
    terms: Any, symbols: Index, lanes: Index, n: Index, actions: Floats, asked: Ints
) -> None:  # fmt: skip
    low, high = terms.low, terms.high
    bottom, top = max(low, np.float64(np.float32(low))), min(high, np.float64(np.float32(high)))
    bins = INSIDE / (high - low)  # the space is float32: its edge counts as the bound
    for i in range(np.uint64(symbols)):
        for j in range(lanes):
            value = actions[n + j, i]
            if terms.kind == GRID:
                at = int(value)
            elif value <= bottom:
                at = 0
            elif value >= top:
                at = INSIDE + 1
            else:
                at = min(int((value - low) * bins), INSIDE - 1) + 1
            asked[n + j, i, at] += 1
