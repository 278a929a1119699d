"""Net returns of strategies side by side, checked before any test compares them.

A test across strategies answers whatever it is given: one NaN makes the p-value of a superior
predictive ability 0 in ``arch``. So what cannot be compared is an error that names the strategy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd

from foretrade.markets.arrays import Floats

Returns: TypeAlias = Mapping[str, Floats] | pd.DataFrame
"""Name of each strategy to its net simple returns, ``[bars]``, or a data frame of them."""

MIN_BARS = 20
"""Below which nothing is said of returns."""
ROUNDING = 1e-14
"""What returns may differ by, if it is but rounding."""


@dataclass(frozen=True)
class Candidates:
    """Strategies that may be compared.

    Args:
        names: Of the strategies.
        returns: Theirs, ``[bars, strategies]``, finite; each varies, and no two are the same.
    """

    names: tuple[str, ...]
    returns: Floats


def candidates(returns: Returns, *, at_least: int = 1) -> Candidates:
    """The strategies as a table.

    Raises:
        ValueError: Fewer strategies than ``at_least`` or than 20 bars, bars that differ, a return that
            is not finite, a strategy whose returns do not vary, two with one name or the same returns.
    """
    names = tuple(str(name) for name in returns)
    if len(names) < at_least:
        raise ValueError(f"{at_least} strategies or more can be compared, got {list(names)}")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two strategies are called {twice!r}: rename one")
    if isinstance(returns, pd.DataFrame):
        table = np.ascontiguousarray(returns.to_numpy(dtype=np.float64))
    else:
        table = _side_by_side(names, returns)
    if len(table) < MIN_BARS:
        raise ValueError(f"{len(table)} bars are too few to compare strategies: give {MIN_BARS} or more")
    _require_finite(names, table)
    _require_different(names, table)
    return Candidates(names, table)


def excess_over(benchmark: Floats | pd.Series, returns: Returns) -> Candidates:
    """The strategies' returns less those of a benchmark over the same bars, as a table.

    Raises:
        ValueError: As :func:`candidates`; or the benchmark has other bars, a return that is not finite,
            or is no more than a constant away from a strategy.
    """
    compared = candidates(returns)
    name = "the benchmark"
    _require_one_index({name: benchmark} | {str(key): column for key, column in returns.items()})
    own = np.asarray(benchmark, dtype=np.float64)
    if own.shape != compared.returns.shape[:1]:
        bars = len(compared.returns)
        raise ValueError(f"{name} has returns of the shape {own.shape}, the strategies {bars} bars")
    _require_finite((name,), own[:, None])
    excess = compared.returns - own[:, None]
    for strategy, column in zip(compared.names, excess.T, strict=True):
        if np.ptp(column) <= ROUNDING:
            raise ValueError(f"{strategy!r} differs from {name} by a constant: leave it out")
    return Candidates(compared.names, excess)


def distinct(returns: Mapping[str, Floats], benchmark: Floats | None = None) -> dict[str, Floats]:
    """Those that vary, of equal ones the first: what :func:`candidates` takes, if their bars agree.

    With a benchmark also none that differs from it by a constant: what :func:`excess_over` takes.
    """
    if benchmark is not None:
        beside = {n: own - benchmark for n, own in returns.items() if len(own) == len(benchmark)}
        returns = {
            n: own for n, own in returns.items() if n not in beside or np.ptp(beside[n]) > ROUNDING
        }
    first = {np.asarray(column).tobytes(): name for name, column in reversed(list(returns.items()))}
    kept = set(first.values())
    return {n: column for n, column in returns.items() if n in kept and np.ptp(column) > ROUNDING}


def _require_one_index(series: Mapping[str, Floats | pd.Series]) -> None:
    dated = {name: values.index for name, values in series.items() if isinstance(values, pd.Series)}
    for name, index in dated.items():
        if not index.equals(first := next(iter(dated.values()))):
            other = next(iter(dated))
            raise ValueError(
                f"{name!r} has other dates ({len(index)}, from {index[0]}) than {other!r} "
                f"({len(first)}, from {first[0]}): join them first"
            )


def _side_by_side(names: tuple[str, ...], returns: Mapping[str, Floats]) -> Floats:
    arrays = [np.asarray(column, dtype=np.float64) for column in returns.values()]
    for name, array in zip(names, arrays, strict=True):
        if array.ndim != 1 or len(array) != len(arrays[0]):
            raise ValueError(
                f"{name!r} has returns of the shape {array.shape}, {names[0]!r} of {arrays[0].shape}: "
                "give all of them over the same bars"
            )
    _require_one_index(returns)
    return np.column_stack(arrays)


def _require_finite(names: tuple[str, ...], table: Floats) -> None:
    if not np.isfinite(table).all():
        row, column = np.argwhere(~np.isfinite(table))[0]
        raise ValueError(
            f"{names[column]!r} has the return {table[row, column]} in row {row}: leave the row out of "
            "every strategy, or the strategy"
        )


def _require_different(names: tuple[str, ...], table: Floats) -> None:
    seen: dict[bytes, str] = {}
    for name, column in zip(names, np.ascontiguousarray(table.T), strict=True):
        if np.ptp(column) <= ROUNDING:
            raise ValueError(f"the returns of {name!r} do not vary: leave it out")
        twin = seen.setdefault(column.tobytes(), name)
        if twin != name:
            raise ValueError(f"{twin!r} and {name!r} have the same returns: leave one out")
