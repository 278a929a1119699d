"""What the kernel works on, as compiled code finds it: a market, accounts, and what a step leaves."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from foretrade.envs.behaviour import SUMS
from foretrade.envs.writing import TOLD, TOLD_PER_SYMBOL
from foretrade.markets import exchange
from foretrade.markets.accounts import Accounts
from foretrade.markets.arrays import AnyArray, Bools, Float32s, Floats, Ints, UInts, aligned
from foretrade.markets.compiled import loader
from foretrade.markets.trading import Workspace

TERMS = np.dtype(  # ours first: numba would take a record that begins as the exchange's for one
    [(name, np.float64) for name in ("risk_aversion", "adaptation", "tail", "turnover_penalty")]
    + [(name, np.float64) for name in ("jump", "log_low", "log_spread", "low", "high")]
    + [(name, np.int64) for name in ("reward", "bars", "episodes_per_level", "kind", "stops", "takes")]
    + [("random_start", np.bool_)]
    + [(name, exchange.TERMS[name]) for name in exchange.TERMS.names or ()],
    align=True,
)
"""Constants of the environment's kernel: those of the exchange, of rewards, episodes and actions."""


class Market(NamedTuple):
    """What every account of an environment shares, read-only.

    Args:
        window: Normalised columns shown over a lookback, ``[bars, symbols × columns]``.
        current: Normalised columns shown of the last bar only, likewise.
        lookback_bars: Bars of the window.
        prices, events, rates, terms: Those of the exchange; its terms are of type :data:`TERMS`.
        reference: Log return of the benchmark, and variance of each symbol, ``[bars, 1 + symbols]``.
        levels: Targets, stops and profit targets to choose from, ``[3, most]``.
        limits: Least and largest entry of each part of an action, ``[parts, 2]``.
        blocks: First row and row after the last of each market, and where its landings begin and end,
            ``[markets, 4]``.
        landings: Rows at which every symbol has a bar, where a bootstrapped path may go on.
        cost_levels: The curriculum.
    """

    window: Float32s
    current: Float32s
    lookback_bars: int
    prices: Floats
    events: Floats
    rates: Floats
    terms: AnyArray
    reference: Floats
    levels: Floats
    limits: Floats
    blocks: Ints
    landings: Ints
    cost_levels: Floats


class Outcome(NamedTuple):
    """What the last step gave each of ``n`` accounts.

    Args:
        rewards: ``[n]``; terminated, truncated: ``[n]``.
        told: What infos tell, in the order of ``TOLD`` and ``TOLD_PER_SYMBOL``, ``[n, names]``; nobody
            asks if it is empty.
        sums, asked: What :func:`foretrade.envs.behaviour.count` adds up, ``[SUMS, n]`` and
            ``[n, symbols, bins]``; likewise.
        shown: Of each of two arrays in which windows slide, what :func:`foretrade.envs.writing.observe`
            has to know of them, ``[2, n]``; likewise.
        over, last: Which accounts ended, ``[most]``, and what they saw last, ``[most, entries]``: the
            kernel begins their next episodes itself, if these are not too many.
    """

    rewards: Floats
    terminated: Bools
    truncated: Bools
    told: Floats
    sums: Floats
    asked: Ints
    shown: UInts
    over: Ints
    last: Float32s


def new_outcome(
    n: int,
    symbols: int,
    *,
    tells: bool,
    bins: int = 0,
    slides: bool = False,
    last: tuple[int, int] = (0, 0),
) -> Outcome:
    """Nothing yet.

    Args:
        bins: Into which targets are counted; 0 counts nothing.
        slides: Whether windows slide.
        last: For how many accounts that end, and entries of what they see.
    """
    names = len(TOLD) + symbols * len(TOLD_PER_SYMBOL)
    told, counted = np.zeros((n if tells else 0, names)), n if bins else 0
    sums, asked = np.zeros((len(SUMS), counted)), np.zeros((counted, symbols, bins), dtype=np.int64)
    ends = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
    shown = np.full((2, n if slides else 0), NOWHERE)
    over, seen = np.zeros(last[0], dtype=np.int64), np.zeros(last, dtype=np.float32)
    return Outcome(aligned(n), *ends, told, sums, asked, shown, over, seen)


NOWHERE = np.uint64(2**63)
"""No row: what stands in an array is no window."""
NOBODY: Bools = np.zeros(0, dtype=np.bool_)
"""No account is to begin anew."""


class Stage(NamedTuple):
    """All that one call of the kernel needs besides actions and a place for observations."""

    market: Market
    accounts: Accounts
    work: Workspace
    outcome: Outcome


def _array(kind: Any, dimensions: int, *, readonly: bool = False) -> Any:
    return numba.types.Array(numba.from_dtype(np.dtype(kind)), dimensions, "C", readonly)


def _tuple(fields: Any, *kinds: Any) -> Any:
    return numba.types.NamedTuple(kinds, fields)


def _shared(kind: Any, dimensions: int) -> Any:
    return _array(kind, dimensions, readonly=True)


STAGE = _tuple(
    Stage,
    _tuple(
        Market,
        _shared("f4", 2), _shared("f4", 2), numba.int64,
        _shared("f8", 3), _shared("f8", 3), _shared("f8", 3), _shared(TERMS, 1),
        _shared("f8", 2), _shared("f8", 2), _shared("f8", 2),
        _shared("i8", 2), _shared("i8", 1), _shared("f8", 1),
    ),
    _tuple(Accounts, _array("f8", 2), _array("f8", 3), _array("u8", 2), numba.int64),
    _tuple(Workspace, _array("f8", 1), _array("f8", 2)),
    _tuple(
        Outcome,
        _array("f8", 1), _array("?", 1), _array("?", 1),
        _array("f8", 2), _array("f8", 2), _array("i8", 3), _array("u8", 2),
        _array("i8", 1), _array("f4", 2),
    ),
)  # fmt: skip
"""Types of the above, in the same order."""
stage_at = loader(STAGE)
