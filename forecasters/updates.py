"""Between scheduled refits: updates with each new row, refits on drift, and a guard over both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from foretrade.markets.arrays import Floats

SCALE_WEIGHT = 0.02  # of the newest error in the running mean square by which errors are divided


@dataclass(frozen=True)
class Updates:
    """What happens between scheduled refits, always with labels that have matured.

    Args:
        every_bars: Members that can learn from new rows alone (``Updating``) do so every so many bars;
            0 never.
        on_drift: Refit at once when the member's errors drift (ADWIN, Bifet and Gavaldà 2007,
            doi:10.1137/1.9781611972771.42, on squared standardised errors; needs the extra ``online``).
        drift_delta: Its confidence: the smaller, the fewer false alarms.
        guard: Roll a refit or update back if it raises, gives no finite forecasts, or is significantly
            worse on the newest matured rows than the forecasts that were issued for them.
        guard_bars: How many matured rows the guard compares; ``guard_z`` how many standard errors of
            the mean difference of squared errors are too many.
    """

    every_bars: int = 0
    on_drift: bool = False
    drift_delta: float = 0.002
    guard: bool = True
    guard_bars: int = 126
    guard_z: float = 2.326

    def __post_init__(self) -> None:
        if self.every_bars < 0 or self.guard_bars < 2:
            raise ValueError("every_bars must not be negative, and guard_bars be at least 2")
        if not 0 < self.drift_delta < 1 or not self.guard_z > 0:
            raise ValueError("drift_delta must be between 0 and 1, and guard_z positive")


@dataclass(frozen=True)
class Event:
    """Something that happened to a member on its walk, other than by the calendar.

    Args:
        member: Its name; row: before whose forecast.
        kind: ``"drift"``, refitted because its errors had drifted; ``"rolled back"``, a refit or update
            was not taken over; ``"failed"``, it had no forecast and is left out until the next refit;
            ``"constant"``, it forecast the same value for a whole block; ``"no std"``, its std was not a
            positive number, and that of its errors stands in.
        message: What went wrong.
    """

    member: str
    row: int
    kind: str
    message: str


class DriftDetector:
    """ADWIN on squared errors in units of their own running mean square; errors that are not finite
    are passed over.

    Raises:
        ModuleNotFoundError: The extra ``online`` is not installed.
    """

    def __init__(self, delta: float) -> None:
        try:
            from river.drift import ADWIN
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "on_drift needs river: pip install 'foretrade[online]'", name=error.name
            ) from error
        make: Any = ADWIN
        self._adwin = make(delta=delta)
        self._scale = 0.0

    def drifts(self, error: float) -> bool:
        """Take one more error in; whether errors are of another size from here on."""
        if not np.isfinite(error):
            return False
        before, squared = self._scale, error * error
        self._scale = squared if before == 0 else before + SCALE_WEIGHT * (squared - before)
        if before == 0:
            return False
        self._adwin.update(min(squared / before, 100.0))
        return bool(self._adwin.drift_detected)


def is_worse(champion: Floats, challenger: Floats, z: float) -> bool:
    """Whether the challenger's squared errors exceed the champion's by ``z`` standard errors.

    Both are errors ``[rows]`` on the same rows.
    """
    excess = challenger**2 - champion**2
    return bool(excess.mean() > z * excess.std(ddof=1) / np.sqrt(len(excess)))
