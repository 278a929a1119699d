"""Bar frequencies: what they are called, how long a bar lasts, how many make a year."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from foretrade.markets.bars import DataError

SESSIONS = {  # bars of whole sessions: usual distance of closes in days, bars in a year
    "1D": (1.0, 252.0),
    "1W": (7.0, 52.0),
    "1M": (365.25 / 12, 12.0),
}
TOLERANCE = 1.5
MOST_WEEKENDS = 0.1  # share of daily bars that may fall there by mistake, or for lack of a holiday


def normal_frequency(text: str) -> str:
    """``"1D"``, ``"1W"``, ``"1M"``, or hours or minutes as ``"4h"``, ``"15min"``.

    Raises:
        DataError: It is none of them.
    """
    if text.upper() in SESSIONS:
        return text.upper()
    if re.fullmatch(r"[1-9]\d*(h|min)", text.lower()):
        return text.lower()
    raise DataError(f"frequency {text!r} is unknown; write 1D, 1W, 1M, or such as 1h, 15min")


def is_session(frequency: str) -> bool:
    """Whether a bar spans a session or more, so that its date says when it closed."""
    return frequency in SESSIONS


def check_spacing(closes_at: pd.DatetimeIndex, frequency: str, source: str) -> None:
    """Compare the usual distance between bars with what the frequency says.

    Raises:
        DataError: They differ by more than half: annualised numbers would be wrong.
    """
    if len(closes_at) < 3:
        return
    if frequency in SESSIONS:
        expected = pd.Timedelta(days=SESSIONS[frequency][0])
    else:
        expected = pd.Timedelta(frequency)
    found = pd.Timedelta(np.median(np.diff(closes_at.as_unit("ns").asi8)), unit="ns")
    if not 1 / TOLERANCE < found / expected < TOLERANCE:
        raise DataError(
            f"{source}: bars are usually {found} apart, which is not {frequency}; say their frequency, "
            'such as --frequency 1W or frequency = "1h" under [data]'
        )


def count_periods(closes_at: pd.DatetimeIndex, frequency: str, source: str) -> float:
    """Bars in a year: the usual number, or for intraday bars the number counted in the data.

    Raises:
        DataError: There are too few bars to count, or the market has daily bars on weekends, too.
    """
    weekends = float((closes_at.day_of_week >= 5).mean())
    if frequency == "1D" and weekends > MOST_WEEKENDS:
        raise DataError(
            f"{source}: {weekends:.0%} of the daily bars are of weekends, so that a year has more than "
            f"{SESSIONS['1D'][1]:.0f} of them; say how many, such as --periods-per-year 365, or "
            "periods_per_year = 365 under [data]"
        )
    if frequency in SESSIONS:
        return SESSIONS[frequency][1]
    if len(closes_at) < 2:
        raise DataError(f"{source}: one bar cannot tell periods_per_year; give the number")
    years = (closes_at[-1] - closes_at[0]) / pd.Timedelta(days=365.25)
    return float((len(closes_at) - 1) / years)
