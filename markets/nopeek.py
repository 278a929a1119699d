"""The no-peek machinery: change the future, and see whether the past notices.

A computation is causal if its rows up to ``t`` keep every bit when all bars after ``t`` are cut
off, and when they are replaced by noise. Both probes are needed: cutting finds what counts on the
length of the data, noise finds what depends on values that cutting happens to spare (a maximum that
stood before the cut anyway).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from foretrade.markets.arrays import AnyArray
from foretrade.markets.bars import PRICE_FIELDS, Bars, DataError
from foretrade.markets.table import Table

Rows: TypeAlias = Table | AnyArray
"""Anything whose first axis runs over bars."""
Compute: TypeAlias = Callable[..., Rows]
"""``(bars) -> rows``, or ``(bars, releases) -> rows``."""
Probe: TypeAlias = Literal["cut off", "replaced by noise"]

UNIT_DIVIDEND = 0.02  # of the price: noise in the place of dividends


class PeekError(AssertionError):
    """An output changed although only its future did."""


@dataclass(frozen=True)
class Peek:
    """One probe that changed the past.

    Args:
        cut: Last row whose bar was left alone.
        probe: What was done to the future.
        what: Row, column and values of the first change, and the number of changes.
    """

    cut: int
    probe: Probe
    what: str

    def __str__(self) -> str:
        return f"future after row {self.cut} {self.probe}: {self.what}"


def assert_future_invisible(
    compute: Compute,
    bars: Bars,
    cuts: Sequence[int] | int,
    *,
    seed: int = 0,
    releases: pd.DataFrame | None = None,
) -> None:
    """Check that row ``t`` of ``compute(bars)`` depends on bars ``0 … t`` alone, bit for bit.

    Args:
        compute: Gives a Table or an array whose first axis runs over bars: features, forecasts
            (refitted inside), observations, actions.
        cuts: Rows after which the future is changed; the row of the cut is compared too. A number
            draws that many from the rows that hold a value. What peeks only now and then is seen
            only where it does: give the rows of refits besides.
        seed: Of cuts and noise.
        releases: Series from elsewhere, float columns indexed by publication time, as for
            :meth:`Table.join_asof`. ``compute`` gets them as its second argument; what is
            published after the close of the cut is cut off, or replaced by noise, as well.

    Raises:
        PeekError: Some row up to a cut changed; the message names row, column and probe.
        ValueError: A cut leaves no future to change or no value to compare, or ``compute`` differs
            when it is repeated on the same bars.
        DataError: The releases carry no timezone.
    """
    for peek in find_peeks(compute, bars, cuts, seed=seed, releases=releases):
        raise PeekError(str(peek))


def find_peeks(
    compute: Compute,
    bars: Bars,
    cuts: Sequence[int] | int,
    *,
    seed: int = 0,
    releases: pd.DataFrame | None = None,
) -> Iterator[Peek]:
    """The same as :func:`assert_future_invisible`, but goes on: at most one finding a cut and probe."""
    given = () if releases is None else (releases,)
    expected = compute(bars, *given)
    repeated = False
    for cut in _checked_cuts(expected, bars, cuts, seed):
        for probe, changed in _probes(bars, cut, seed, releases):
            if what := _difference(expected, _quietly(compute, *changed), cut):
                if not repeated and _difference(expected, compute(bars, *given), cut):
                    raise ValueError(
                        "computed again on the same bars it gives other values; fix its seed, and "
                        "let it keep nothing from one call to the next"
                    )
                repeated = True
                yield Peek(cut, probe, what)


def _quietly(compute: Compute, *changed: Any) -> Rows:
    """Compute without warnings for the user: they would be about bars that are made up."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return compute(*changed)


def random_cuts(bars: Bars, number: int, *, seed: int = 0, first_row: int = 0) -> list[int]:
    """Different rows from ``first_row`` to the last but one, in order; all of them if they are fewer."""
    rows = np.arange(first_row, len(bars) - 1)
    drawn = np.random.default_rng(seed).choice(rows, min(number, len(rows)), replace=False)
    return sorted(drawn.tolist())


def truncate(bars: Bars, cut: int) -> Bars:
    """The bars ``0 … cut`` (the cut itself included)."""
    return bars.rows(0, cut + 1)


def scramble_future(bars: Bars, cut: int, rng: np.random.Generator) -> Bars:
    """The same bars up to ``cut``; noise of another size and drift, and other dividends, after it."""
    future = slice(cut + 1, None)
    shape = bars.close[future].shape
    last = np.where(bars.present[cut], bars.close[cut], 100.0)
    path = last * np.exp(np.cumsum(rng.normal(0.01, 0.1, shape), axis=0))
    changed = {name: getattr(bars, name).copy() for name in (*PRICE_FIELDS, "volume")}
    changed["close"][future] = path
    changed["open"][future] = path * np.exp(rng.normal(0, 0.05, shape))
    top = np.maximum(changed["open"], changed["close"])[future]
    bottom = np.minimum(changed["open"], changed["close"])[future]
    changed["high"][future] = top * 1.05
    changed["low"][future] = bottom / 1.05
    changed["volume"][future] = rng.uniform(1, 1e6, shape)
    absent = ~bars.present
    absent[: cut + 1] = False
    for values in changed.values():
        values[absent] = np.nan
    if bars.has_corporate_actions:
        changed |= {"dividend": bars.dividend.copy(), "split": bars.split.copy()}
        paid = path * rng.uniform(0, UNIT_DIVIDEND, shape)
        changed["dividend"][future] = np.where(absent[future], 0.0, paid)
        changed["split"][future] = np.where(absent[future], 1.0, rng.choice([0.5, 1.0, 2.0], shape))
    return replace(bars, **changed)


def _probes(
    bars: Bars, cut: int, seed: int, releases: pd.DataFrame | None
) -> Iterator[tuple[Probe, tuple[Bars | pd.DataFrame, ...]]]:
    rng = np.random.default_rng([seed, cut])
    if releases is None:
        yield "cut off", (truncate(bars, cut),)
        yield "replaced by noise", (scramble_future(bars, cut, rng),)
        return
    if not isinstance(releases.index, pd.DatetimeIndex) or releases.index.tz is None:
        raise DataError("releases need an index of timezone-aware publication times")
    later = np.asarray(releases.index > bars.closes_at[cut])
    yield "cut off", (truncate(bars, cut), releases[~later])
    values = releases.to_numpy(dtype=np.float64, copy=True)
    values[later] += rng.normal(0, 10 * (1 + np.nanstd(values)), values[later].shape)
    noisy = pd.DataFrame(values, releases.index, releases.columns)
    yield "replaced by noise", (scramble_future(bars, cut, rng), noisy)


def _checked_cuts(expected: Rows, bars: Bars, cuts: Sequence[int] | int, seed: int) -> Sequence[int]:
    """Cuts that leave something to compare before them and something to change after them."""
    values = _arrays(expected)["values"]
    if values.ndim == 0 or len(values) != len(bars):
        raise ValueError(f"the output has shape {values.shape}; its first axis must be {len(bars)} bars")
    known = ~_missing(values).reshape(len(bars), -1).all(axis=1)
    first = int(known.argmax()) if known.any() else len(bars)
    if isinstance(cuts, int):
        cuts = random_cuts(bars, cuts, seed=seed, first_row=first)
    if not len(cuts) or min(cuts) < first or max(cuts) > len(bars) - 2:
        raise ValueError(
            f"cuts {list(cuts)}: give some between row {first}, the first that holds a value, and row "
            f"{len(bars) - 2}, the last but one; elsewhere there is nothing to compare"
        )
    return cuts


def _difference(expected: Rows, actual: Rows, cut: int) -> str:
    """What differs up to the cut; empty if nothing does."""
    before, after = _arrays(expected), _arrays(actual)
    if before.keys() != after.keys():
        return f"{type(expected).__name__} → {type(actual).__name__}"
    for name, values in before.items():
        old, new = values[: cut + 1], after[name][: cut + 1]
        if old.shape != new.shape:
            return f"shape {old.shape} → {new.shape}"
        both_missing = _missing(old) & _missing(new)
        differs = ((old != new) | (_negative(old) != _negative(new))) & ~both_missing
        if differs.any():
            place = tuple(int(i[0]) for i in np.nonzero(differs))
            return (
                f"{_where(expected, name, place)} changed from {old[place]} to {new[place]}; "
                f"{int(differs.sum())} values changed in all"
            )
    return ""


def _arrays(rows: Rows) -> dict[str, AnyArray]:
    if isinstance(rows, Table):
        return {"values": rows.values, "known_at": rows.known_at, "cutoff": rows.cutoff}
    return {"values": np.asarray(rows)}


def _missing(values: AnyArray) -> AnyArray:
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, dtype=bool)


def _negative(values: AnyArray) -> AnyArray:
    """Sign bits, in which -0.0 differs from 0.0."""
    return np.signbit(values) if values.dtype.kind == "f" else np.zeros(values.shape, dtype=bool)


def _where(rows: Rows, name: str, place: tuple[int, ...]) -> str:
    if isinstance(rows, Table) and len(place) == 3:
        of = "" if name == "values" else f"{name} of "
        return f"row {place[0]}, {of}{rows.symbols[place[1]]}, column {rows.names[place[2]]!r}"
    return f"row {place[0]}, {name if name != 'values' else 'entry'} {place[1:]}"
