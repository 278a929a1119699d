"""The no-peek machinery: change the future, and see whether the past notices.

A computation is causal if its rows up to ``t`` keep every bit when all bars after ``t`` are cut
off, and when they are replaced by noise. Both probes are needed: cutting finds what reads ahead,
noise finds what counts on the length of the data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from foretrade.markets.arrays import AnyArray
from foretrade.markets.bars import PRICE_FIELDS, Bars


class PeekError(AssertionError):
    """An output changed although only its future did."""


def truncate(bars: Bars, cut: int) -> Bars:
    """The bars ``0 … cut`` (the cut itself included)."""
    return bars.rows(0, cut + 1)


def scramble_future(bars: Bars, cut: int, rng: np.random.Generator) -> Bars:
    """The same bars up to ``cut``, noise of another size and drift after it."""
    future = slice(cut + 1, None)
    shape = bars.close[future].shape
    path = bars.close[cut] * np.exp(np.cumsum(rng.normal(0.01, 0.1, shape), axis=0))
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
    return replace(bars, **changed)


def assert_future_invisible(
    compute: Callable[[Bars], AnyArray], bars: Bars, cuts: Sequence[int], *, seed: int = 0
) -> None:
    """Check that row ``t`` of ``compute(bars)`` depends on bars ``0 … t`` alone, bit for bit.

    Args:
        compute: Anything whose first axis runs over bars: features, forecasts (refitted inside),
            observations, actions.
        cuts: Rows after which the future is changed; the row of the cut is compared too.

    Raises:
        PeekError: Some row up to a cut changed; the message names row, column and probe.
    """
    expected = np.asarray(compute(bars))
    for cut in cuts:
        probes = {
            "cut off": truncate(bars, cut),
            "replaced by noise": scramble_future(bars, cut, np.random.default_rng([seed, cut])),
        }
        for probe, changed in probes.items():
            _compare(expected[: cut + 1], np.asarray(compute(changed))[: cut + 1], cut, probe)


def _compare(expected: AnyArray, actual: AnyArray, cut: int, probe: str) -> None:
    if expected.shape != actual.shape:
        raise PeekError(f"future after row {cut} {probe}: shape {expected.shape} → {actual.shape}")
    nan = np.isnan(expected) & np.isnan(actual) if expected.dtype.kind == "f" else False
    differs = (expected != actual) & ~np.asarray(nan)
    if differs.any():
        place = tuple(int(i[0]) for i in np.nonzero(differs))
        raise PeekError(
            f"future after row {cut} {probe}: row {place[0]}, entry {place[1:]} changed from "
            f"{expected[place]!r} to {actual[place]!r}; {int(differs.sum())} values changed in all"
        )
