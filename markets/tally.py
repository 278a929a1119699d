"""What is kept of a strategy that is stepped over many bars: sums, moments of returns, reasons.

Like accounts, tallies lie in blocks: ``t[TURNOVER + j]`` belongs to lane ``j``. Central moments are
updated return by return (Pébay 2008, SAND2008-6212), so that nothing is lost to a mean that is large
beside the deviations.
"""

from __future__ import annotations

from foretrade.markets.accounts import LANES, offsets
from foretrade.markets.arrays import Floats, Index
from foretrade.markets.compiled import inlined
from foretrade.markets.orders import REASONS

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


@inlined
def clear_tally(t: Floats, j: Index, equity: float) -> None:
    """Nothing yet; the drawdown counts from the initial equity."""
    for k in range(len(TALLY_FIELDS)):
        t[k * LANES + j] = 0.0
    t[PEAK + j] = t[LOW + j] = t[HIGH + j] = equity


@inlined
def tally_step(
    t: Floats, j: Index, before: float, after: float, traded: float, paid: float, moments: bool
) -> None:
    """Add a step that an account took from one equity to another; nothing once it is over."""
    stands = t[OVER + j] == 0.0
    inverse = 1.0 / before
    t[TURNOVER + j] += traded * inverse if stands else 0.0
    t[COST + j] += paid * inverse if stands else 0.0
    t[STEPS + j] += 1.0 if stands else 0.0
    if moments:
        _add_return(t, j, stands, after * inverse - 1.0)
        _add_equity(t, j, stands, after)


@inlined
def _add_return(t: Floats, j: Index, stands: bool, value: float) -> None:
    count = t[STEPS + j]
    away = value - t[MEAN + j]
    part = away / count
    square = part * part
    spread = away * part * (count - 1.0)
    second, third = t[SECOND + j], t[THIRD + j]
    fourth = spread * square * (count * count - 3.0 * count + 3.0)
    fourth += 6.0 * square * second - 4.0 * part * third
    third = spread * part * (count - 2.0) - 3.0 * part * second
    t[FOURTH + j] += fourth if stands else 0.0
    t[THIRD + j] += third if stands else 0.0
    t[SECOND + j] += spread if stands else 0.0
    t[MEAN + j] += part if stands else 0.0


@inlined
def _add_equity(t: Floats, j: Index, stands: bool, equity: float) -> None:
    peak = max(t[PEAK + j], equity)
    deeper = stands & (equity * t[HIGH + j] < t[LOW + j] * peak)  # without a division
    t[PEAK + j] = peak if stands else t[PEAK + j]
    t[LOW + j] = equity if deeper else t[LOW + j]
    t[HIGH + j] = peak if deeper else t[HIGH + j]
