"""Tests of a whole field of strategies at once, of which some may be the same or never trade."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from foretrade.backtests.candidates import MIN_BARS, ROUNDING
from foretrade.backtests.superiority import confidence_set, step_m, superior_ability
from foretrade.markets.arrays import Floats


@dataclass(frozen=True)
class FieldTests:
    """What may be said of the best of many at one volatility; NaN is undefined.

    Args:
        superior_to_benchmark, superior_to_cash: Hansen's SPA p-value of: no strategy has a higher mean
            return.
        beats_benchmark: Strategies that do, by StepM at 5 %.
        confidence: p-value of each strategy and of the benchmark in the model confidence set of the
            highest mean return; it is in the 90 % set if above 0.10.
        left_out: Strategies whose returns do not vary.
        ruined: Strategies that lost their account; they are not tested either.
    """

    superior_to_benchmark: float
    superior_to_cash: float
    beats_benchmark: tuple[str, ...]
    confidence: Mapping[str, float]
    left_out: tuple[str, ...]
    ruined: tuple[str, ...] = ()


def field_tests(
    returns: Mapping[str, Floats],
    benchmark_name: str,
    benchmark: Floats,
    *,
    closed: Collection[str] = (),
    seed: int = 0,
) -> FieldTests:
    """Compare strategies with each other, with a benchmark and with cash, at one volatility.

    The tests compare mean returns, which leverage multiplies. So each strategy is scaled to the
    volatility of the benchmark first: what is left is a difference of Sharpe ratios. Who lost the
    account has no such multiple, and neither has who never varies: both are left out. Of those whose
    scaled returns are the same but for a constant, the first stands for all.

    Args:
        returns: Net simple returns of every strategy that was tried, ``[bars]``; one of −100 % is ruin.
        benchmark: The same of the benchmark.
        closed: Strategies whose account a margin call closed: that is lost, too.
    """
    ruined = tuple(name for name, own in returns.items() if own.min() <= -1.0 or name in closed)
    alive = {name: own for name, own in returns.items() if name not in ruined}
    traded = {name: own for name, own in alive.items() if np.ptp(own) > ROUNDING}
    idle = tuple(name for name in alive if name not in traded)
    if not traded or len(benchmark) < MIN_BARS or np.ptp(benchmark) <= ROUNDING:
        return FieldTests(math.nan, math.nan, (), {}, idle, ruined)
    alike, field = _stand_ins({benchmark_name: benchmark} | at_one_volatility(traded, benchmark))
    del field[benchmark_name]
    if not field:
        return FieldTests(math.nan, math.nan, (), {}, idle, ruined)
    ability = superior_ability(field, benchmark, seed=seed).consistent
    over_cash = superior_ability(field, np.zeros_like(benchmark), seed=seed).consistent
    found = set(step_m(field, benchmark, seed=seed))
    p_values = confidence_set(field | {benchmark_name: benchmark}, seed=seed).p_values
    return FieldTests(
        ability,
        over_cash,
        tuple(name for name in traded if alike[name] in found),
        {name: p_values[other] for name, other in alike.items()},
        idle,
        ruined,
    )


def at_one_volatility(returns: Mapping[str, Floats], benchmark: Floats) -> dict[str, Floats]:
    """Returns that vary, each multiplied so that its standard deviation is that of the benchmark."""
    deviation = float(np.std(benchmark))
    return {name: own * (deviation / float(np.std(own))) for name, own in returns.items()}


def _stand_ins(returns: Mapping[str, Floats]) -> tuple[dict[str, str], dict[str, Floats]]:
    """Which strategy stands for each, and those that stand for themselves.

    One that is but a constant away from another, beyond rounding, cannot be tested beside it.
    """
    alike: dict[str, str] = {}
    kept: dict[str, Floats] = {}
    for name, own in returns.items():
        same = (other for other, known in kept.items() if np.ptp(own - known) <= ROUNDING)
        alike[name] = next(same, name)
        if alike[name] == name:
            kept[name] = own
    return alike, kept
