"""What is kept of a strategy that is stepped over many bars: sums, moments of returns, reasons.

Like accounts, tallies lie in blocks: ``t[TURNOVER + j]`` belongs to lane ``j``. Central moments are
updated return by return (Pébay 2008, SAND2008-6212), so that nothing is lost to a mean that is large
beside the deviations.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foretrade.markets.accounts import LANES, offsets
from foretrade.markets.arrays import Floats, Index
from foretrade.markets.compiled import inlined
from foretrade.markets.reasons import REASONS

TALLY_FIELDS = (
    "turnover", "cost", "steps", "over", "mean", "second", "third", "fourth", "peak", "low", "high",
    *REASONS,
)  # fmt: skip
TURNOVER, COST, STEPS, OVER, MEAN, SECOND, THIRD, FOURTH, PEAK, LOW, HIGH, COUNTS = offsets(
    len(TALLY_FIELDS) - len(REASONS) + 1
)
"""Sums of notional and of costs over the equity before; steps; whether it is over; mean and sums of
powers of deviations; highest equity, and the pair of equity and peak before it that lie furthest apart;
how often each reason held, from ``COUNTS`` on."""


class Record(NamedTuple):
    """What a replay leaves behind, written column by column.

    Args:
        equity: At the closes, ``[steps + 1, strategies]``; with fewer rows, that of close ``k`` stands
            in row ``k % rows``.
        tallies: ``[TALLY_FIELDS, strategies]``.
        moments: Whether moments of returns and the drawdown are tallied.
        flows: Whether turnover and cost have to be; if not, they may still be for some bars.
    """

    equity: Floats
    tallies: Floats
    moments: bool
    flows: bool


@inlined
def hand_over(t: Floats, record: Record, at: Index, lanes: Index) -> None:
    """Write a block's tallies to the strategies from ``at`` on."""
    for j in range(lanes):
        for field in range(np.uint64(len(TALLY_FIELDS))):
            record.tallies[field, at + j] = t[field * np.uint64(LANES) + j]


@inlined
def clear_tally(t: Floats, j: Index, equity: float) -> None:
    """Nothing yet; the drawdown counts from the initial equity."""
    for k in range(len(TALLY_FIELDS)):
        t[k * LANES + j] = 0.0
    t[PEAK + j] = t[LOW + j] = t[HIGH + j] = equity


@inlined
def tally_flows(t: Floats, j: Index, before: float, traded: float, paid: float, stands: bool) -> None:
    """Add what an account traded and paid in a step that it began with an equity of ``before``."""
    inverse = 1.0 / before
    t[TURNOVER + j] += traded * inverse if stands else 0.0
    t[COST + j] += paid * inverse if stands else 0.0


@inlined
def tally_return(t: Floats, j: Index, count: float, before: float, after: float) -> None:
    """Add the return of step number ``count``, the first being 1; nothing once the account is over."""
    stands = t[OVER + j] == 0.0
    away = after / before - 1.0 - t[MEAN + j]
    part = away * (1.0 / count)
    square = part * part
    spread = away * part * (count - 1.0)
    second, third = t[SECOND + j], t[THIRD + j]
    more = spread * square * (count * count - 3.0 * count + 3.0)
    more += 6.0 * square * second - 4.0 * part * third
    t[FOURTH + j] += more if stands else 0.0
    t[THIRD + j] += spread * part * (count - 2.0) - 3.0 * part * second if stands else 0.0
    t[SECOND + j] += spread if stands else 0.0
    t[MEAN + j] += part if stands else 0.0


@inlined
def tally_drawdown(t: Floats, j: Index, equity: float) -> None:
    """See whether the equity is further below its peak than ever; ratios compared without a division."""
    stands = t[OVER + j] == 0.0
    peak = max(t[PEAK + j], equity)
    deeper = stands & (equity * t[HIGH + j] < t[LOW + j] * peak)
    t[PEAK + j] = peak if stands else t[PEAK + j]
    t[LOW + j] = equity if deeper else t[LOW + j]
    t[HIGH + j] = peak if deeper else t[HIGH + j]


@inlined
def close_tally(t: Floats, j: Index, count: float, status: float) -> None:
    """End the tally of an account with step number ``count``, unless that was done before."""
    t[STEPS + j] = count if t[OVER + j] == 0.0 else t[STEPS + j]
    t[OVER + j] = status if t[OVER + j] == 0.0 else t[OVER + j]
