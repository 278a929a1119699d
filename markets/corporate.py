"""Corporate actions: what a split and a dividend do to an account."""

from __future__ import annotations

from foretrade.markets.accounts import CASH, ENTRY, PENDING, ROW, UNITS
from foretrade.markets.arrays import Floats, Index, UInts
from foretrade.markets.compiled import compiled_part
from foretrade.markets.exchange import AT_DIVIDEND, AT_SPLIT
from foretrade.markets.trading import DIVIDEND, TARGET, VALUED


@compiled_part
def adjust(
    a: Floats, hs: Floats, clock: UInts, s: Floats, ms: Floats, lanes: Index, events: Floats,
    in_units: bool,
) -> None:  # fmt: skip
    """Multiply units by the new bar's split, and pay its dividend on them.

    Args:
        events: What happens in each bar, ``[bars, symbols, fields]``.
        in_units: Whether targets are units: they are split, too.
    """
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        for j in range(lanes):
            row = clock[ROW + j]
            split, dividend = events[row, i, AT_SPLIT], events[row, i, AT_DIVIDEND]
            h[UNITS + j] *= split
            h[PENDING + j] *= split
            m[TARGET + j] *= split if in_units else 1.0
            m[VALUED + j] /= split
            left = 1.0 - dividend / m[VALUED + j]  # of the price, as in prices adjusted for dividends
            h[ENTRY + j] *= (left if left > 0.0 else 1.0) / split
            paid = h[UNITS + j] * dividend
            s[DIVIDEND + j] += paid
            a[CASH + j] += paid
