"""Rewards: small pure functions of the equity before and after a step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

Reward: TypeAlias = Literal["log_growth", "simple_return"]

RUIN_LEVEL = 1e-6
"""Share of equity at which log growth counts a ruined account, whose true logarithm is −∞."""


def log_growth(before: float, after: float) -> float:
    """``log(after / before)``; rewards of an episode sum to the log of final over initial equity."""
    return math.log(max(after / before, RUIN_LEVEL))


def simple_return(before: float, after: float) -> float:
    """``after / before − 1``."""
    return after / before - 1.0


REWARDS: Mapping[Reward, Callable[[float, float], float]] = MappingProxyType(
    {"log_growth": log_growth, "simple_return": simple_return}
)
