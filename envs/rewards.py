"""Rewards: small pure functions of the equity before and after a step, compiled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

from foretrade.markets.compiled import inlined

Reward: TypeAlias = Literal["log_growth", "simple_return"]

LOG_GROWTH, SIMPLE_RETURN = range(2)
REWARDS: Mapping[Reward, int] = MappingProxyType(
    {"log_growth": LOG_GROWTH, "simple_return": SIMPLE_RETURN}
)

RUIN_LEVEL = 1e-6
"""Share of equity at which log growth counts a ruined account, whose true logarithm is −∞."""


@inlined
def log_growth(before: float, after: float) -> float:
    """``log(after / before)``; rewards of an episode sum to the log of final over initial equity."""
    return math.log(max(after / before, RUIN_LEVEL))


@inlined
def simple_return(before: float, after: float) -> float:
    """``after / before − 1``."""
    return after / before - 1.0


@inlined
def reward(code: int, before: float, after: float) -> float:
    """The reward with a number of ``REWARDS``."""
    if code == SIMPLE_RETURN:
        return simple_return(before, after)
    return log_growth(before, after)
