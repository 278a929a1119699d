"""What every feature function must do; each check raises ``AssertionError`` with a sentence.

A feature function is ``(bars) -> Table``, or an array whose first axis runs over bars.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeAlias, TypeGuard

import numpy as np

from foretrade.markets.arrays import AnyArray
from foretrade.markets.bars import ACTIONS, FIELDS, Bars
from foretrade.markets.nopeek import Rows, assert_future_invisible
from foretrade.markets.synthetic import random_walk
from foretrade.markets.table import Table

FeatureFunction: TypeAlias = Callable[[Bars], Rows]

BARS, SYMBOLS = 600, 2
DIVIDEND_EVERY_BARS, DIVIDEND_YIELD = 63, 0.005
CUTS = 40


def is_feature_function(part: Any) -> TypeGuard[FeatureFunction]:
    """Whether it is called with one required argument, annotated as Bars or not at all."""
    if isinstance(part, type) or not callable(part) or hasattr(part, "predict"):
        return False
    try:
        parameters = inspect.signature(part).parameters.values()
    except ValueError:  # some compiled functions have none
        return False
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    required = [p for p in parameters if p.default is p.empty and p.kind not in variable]
    if len(required) != 1 or required[0].kind is inspect.Parameter.KEYWORD_ONLY:
        return False
    annotation = required[0].annotation
    name = annotation.rpartition(".")[2] if isinstance(annotation, str) else annotation
    return name in (Bars, "Bars", inspect.Parameter.empty)


def yield_checks(features: FeatureFunction) -> Iterator[Callable[[FeatureFunction], None]]:
    """The checks that apply to a feature function."""
    yield check_gives_one_row_a_bar
    yield check_computes_the_same_bits_twice
    yield check_leaves_the_bars_alone
    yield check_gaps_only_at_the_start
    yield check_future_is_invisible


def check_gives_one_row_a_bar(features: FeatureFunction) -> None:
    """A Table over the same bars and symbols, or numbers whose first axis runs over bars."""
    bars = _market()
    rows = features(bars)
    if isinstance(rows, Table):
        assert rows.closes_at.equals(bars.closes_at), "the table's closes are not those of the bars"
        assert rows.symbols == bars.symbols, f"the table has symbols {rows.symbols}, not {bars.symbols}"
        return
    values = np.asarray(rows)
    assert values.dtype.kind in "fiub", (
        f"returned {type(rows).__name__} of {values.dtype}, neither a Table nor an array of numbers"
    )
    assert values.ndim > 0, "returned a single number instead of one row a bar"
    assert len(values) == len(bars), f"{len(values)} rows for {len(bars)} bars"


def check_computes_the_same_bits_twice(features: FeatureFunction) -> None:
    """The same bars give the same features, to the bit."""
    first, second = (_values(features(_market())) for _ in range(2))
    assert np.array_equal(first, second, equal_nan=first.dtype.kind == "f"), (
        "two computations on the same bars differ"
    )


def check_leaves_the_bars_alone(features: FeatureFunction) -> None:
    """Nothing is written to the bars."""
    bars, untouched = _market(), _market()
    features(bars)
    for name in (*FIELDS, *ACTIONS):
        same = np.array_equal(getattr(bars, name), getattr(untouched, name))
        assert same, f"{name} of the bars was changed"


def check_gaps_only_at_the_start(features: FeatureFunction) -> None:
    """NaN until the window of a column is full, finite from then on."""
    values = _values(features(_market()))
    values = values.reshape(len(values), -1)
    known = np.isfinite(values)
    assert known.any(), f"no value in {len(values)} bars; try it with shorter windows"
    for column in range(values.shape[1]):
        assert known[:, column].any(), f"column {column} of {values.shape[1]} has no value"
        start = int(known[:, column].argmax())
        gaps = np.flatnonzero(~known[start:, column])
        assert not len(gaps), (
            f"column {column} of {values.shape[1]} starts in row {start} and is "
            f"{values[start + gaps[0], column]} in row {start + gaps[0]}; "
            f"{len(gaps)} rows lack it in all"
        )
        assert not np.isinf(values[:start, column]).any(), f"column {column} is infinite at the start"


def check_future_is_invisible(features: FeatureFunction) -> None:
    """Cut off or replaced by noise at random cuts, the future changes no bit of the past."""
    assert_future_invisible(features, _market(), CUTS)


def _market() -> Bars:
    """Two walks that pay dividends."""
    bars = random_walk(BARS, symbols=SYMBOLS, seed=4)
    dividend = np.zeros_like(bars.close)
    paid = slice(DIVIDEND_EVERY_BARS, None, DIVIDEND_EVERY_BARS)
    dividend[paid] = DIVIDEND_YIELD * bars.close[paid]
    return replace(bars, dividend=dividend)


def _values(rows: Rows) -> AnyArray:
    return rows.values if isinstance(rows, Table) else np.asarray(rows)
