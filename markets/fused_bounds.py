"""Whether a bar is an ordinary one for whoever kept to the limits before: known from prices, rates and
limits alone, so that no account has to be looked at.

*Gearing* is the market value of a position over the equity. Orders bound it, and so does what a price
did since; by that it is known what a bar may cost at most.
"""

from __future__ import annotations

import numpy as np

from foretrade.markets.compiled import inlined
from foretrade.markets.fused_books import Bar, rate_of

WIDE = 4.0  # weights beyond take bars with care, so that a limit nobody comes near makes no bar look bad
SLACK = 1e-6  # more than rounding, and orders that are too small to be placed, may leave
HUGE = 1e100  # prices beyond, or below its inverse, may lead out of a number's range


@inlined
def gearing_ordered(bar: Bar) -> float:
    """The largest gearing that orders leave."""
    return min(bar.max_leverage, min(bar.room, WIDE) + bar.no_trade_band) + SLACK


@inlined
def drifted(gearing: float, ratio: float, carried: float) -> float:
    """The largest gearing once the price is ``ratio`` times what it was, and that part of the equity was
    paid or earned; inf if half of the equity may be lost."""
    left = 1.0 - carried - gearing * abs(ratio - 1.0)
    return gearing * ratio / left if left > 0.5 else np.inf


@inlined
def gearing_closed(bar: Bar) -> float:
    """The largest gearing at the close, that of accounts which take the bar with care left aside: those
    beyond it take the next one with care, too."""
    gearing = drifted(gearing_ordered(bar), bar.mark * bar.inverse_fill, 0.0)
    return gearing if gearing < np.inf else gearing_ordered(bar)


@inlined
def is_ordinary(bar: Bar, gearing: float, level: float) -> bool:
    """Whether each account can pay for any order with half of its equity, and stands at the close.

    Args:
        gearing: The largest at the close before.
        level: The highest level of costs.
    """
    rate, widest = rate_of(bar, level), min(bar.room, WIDE)
    carried = (1.0 + gearing) * max(bar.financing * level, bar.interest) + gearing * bar.borrow * level
    held = drifted(gearing, bar.fill / bar.valued, carried)
    # an order costs rate × (weight + held) ÷ (1 − rate × weight) of the equity at most
    pays = rate * (3.0 * widest + 2.0 * held) < 0.9
    stands = drifted(gearing_ordered(bar), bar.mark * bar.inverse_fill, 0.0) < np.inf
    return pays & stands & (bar.fill > 1.0 / HUGE) & (bar.fill < HUGE)
