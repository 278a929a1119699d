"""The space of settings that ``foretrade tune`` tries, as a configuration declares it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from itertools import product
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict


@dataclass(frozen=True)
class Range:
    """Where a search looks for the value of one setting: from ``low`` to ``high``, or in ``choices``.

    Args:
        low, high: Both are possible; if both are whole numbers, so is all between.
        log: Whether to draw evenly on a logarithmic scale.
        choices: Values without an order.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if self.choices:
            if (self.low, self.high, self.log) != (None, None, False):
                raise ValueError("give low and high, or choices")
            _check_different(self.choices)
            return
        if self.low is None or self.high is None:
            raise ValueError("give low and high, or choices")
        if not -math.inf < self.low < self.high < math.inf or (self.log and self.low <= 0):
            raise ValueError("low must be below high, both finite, and above zero on a log scale")

    @property
    def is_whole(self) -> bool:
        """Whether it holds whole numbers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def examples(self) -> tuple[Any, ...]:
        """Every choice; or both ends and a value between them."""
        if self.low is None or self.high is None:
            return self.choices
        between = self.low + 0.381966 * (self.high - self.low)
        return self.low, int(between) if self.is_whole else between, self.high


def _flat(values: Any, is_value: Callable[[Any], bool]) -> Any:
    """Nested tables as one with dotted keys: both may be written in TOML."""

    def items(nested: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for key, value in nested.items():
            if is_value(value):
                yield prefix + key, value
            else:
                yield from items(value, f"{prefix}{key}.")

    return dict(items(values, "")) if isinstance(values, Mapping) else values


def _flat_grid(values: Any) -> Any:
    return _flat(values, lambda value: not isinstance(value, Mapping))


def _flat_search(values: Any) -> Any:
    names = {one.name for one in fields(Range)}
    return _flat(values, lambda value: not isinstance(value, Mapping) or bool(names & value.keys()))


@dataclass(frozen=True)
class TuneConfig:
    """What ``foretrade tune`` tries: a grid, or a search by Optuna.

    Args:
        trials: Of a search; a grid has as many as it has combinations.
        seeds: Policies trained for each trial; its score is the median of theirs.
        grid: Setting to its values; every combination is tried, the last setting changing fastest.
        search: Setting to the :class:`Range` in which Optuna's TPE looks for good values.
    """

    trials: int = 20
    seeds: int = 2
    grid: Annotated[dict[str, tuple[Any, ...]], BeforeValidator(_flat_grid)] = field(
        default_factory=dict
    )
    search: Annotated[dict[str, Range], BeforeValidator(_flat_search)] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if min(self.trials, self.seeds) < 1:
            raise ValueError("trials and seeds must be at least 1")
        if self.grid and self.search:
            raise ValueError("give a grid or a search, not both")
        for values in self.grid.values():
            _check_different(values)

    @property
    def keys(self) -> tuple[str, ...]:
        """Settings that are tuned."""
        return tuple(self.grid or self.search)

    def points(self) -> list[dict[str, Any]]:
        """All combinations of the grid, in order."""
        combined = product(*self.grid.values()) if self.grid else ()
        return [dict(zip(self.grid, values, strict=True)) for values in combined]


def _check_different(values: tuple[Any, ...]) -> None:
    if not values or any(value in values[:number] for number, value in enumerate(values)):
        raise ValueError("give one value or more, each once")
