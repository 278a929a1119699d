"""Tests of a whole field of strategies at once, of which some may be the same or never trade."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from foretrade.backtests.candidates import MIN_BARS, ROUNDING, distinct
from foretrade.backtests.superiority import confidence_set, step_m, superior_ability
from foretrade.markets.arrays import Floats


@dataclass(frozen=True)
class FieldTests:
    """What may be said of the best of many; NaN is undefined.

    Args:
        superior_to_benchmark, superior_to_cash: Hansen's SPA p-value of: no strategy has a higher mean
            return.
        beats_benchmark: Strategies that do, by StepM at 5 %.
        confidence: p-value of each strategy and of the benchmark in the model confidence set of the
            highest mean return; it is in the 90 % set if above 0.10.
        left_out: Strategies whose returns do not vary.
    """

    superior_to_benchmark: float
    superior_to_cash: float
    beats_benchmark: tuple[str, ...]
    confidence: Mapping[str, float]
    left_out: tuple[str, ...]


def field_tests(
    returns: Mapping[str, Floats], benchmark_name: str, benchmark: Floats, *, seed: int = 0
) -> FieldTests:
    """Compare strategies with each other, with a benchmark and with cash.

    Strategies whose returns do not vary are left out; of those whose returns are the same, the first
    stands for all.

    Args:
        returns: Net simple returns of every strategy that was tried, ``[bars]``.
        benchmark: The same of the benchmark.
    """
    traded = {name: own for name, own in returns.items() if np.ptp(own) > ROUNDING}
    idle = tuple(name for name in returns if name not in traded)
    field = distinct(traded, benchmark)
    first = {own.tobytes(): name for name, own in field.items()}
    if not field or len(benchmark) < MIN_BARS or np.ptp(benchmark) <= ROUNDING:
        return FieldTests(math.nan, math.nan, (), {}, idle)
    ability = superior_ability(field, benchmark, seed=seed).consistent
    over_cash = superior_ability(field, np.zeros_like(benchmark), seed=seed).consistent
    found = set(step_m(field, benchmark, seed=seed))
    stands_for = {name: first.get(own.tobytes(), benchmark_name) for name, own in traded.items()} | {
        benchmark_name: benchmark_name
    }
    p_values = confidence_set(field | {benchmark_name: benchmark}, seed=seed).p_values
    return FieldTests(
        ability,
        over_cash,
        tuple(name for name in traded if stands_for[name] in found),
        {name: p_values[other] for name, other in stands_for.items()},
        idle,
    )
