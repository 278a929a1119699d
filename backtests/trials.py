"""How much was tried before a winner was shown."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trials:
    """What was compared before the winner was shown.

    Args:
        count: Trials whose score was looked at.
        variance: Of their Sharpe ratios per bar, each scaled to the bars of the test block: by luck
            alone a ratio varies with one over the number of bars.
    """

    count: int
    variance: float
