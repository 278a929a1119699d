"""Drawdowns: how far, how long and how often below the highest equity so far."""

from __future__ import annotations

import numpy as np
import pandas as pd

from foretrade.backtests.returns import require_finite
from foretrade.markets.arrays import Floats
from foretrade.markets.bars import DataError

ROUNDING = 1e-12  # of equity: a loss this small is float noise


def underwater(returns: Floats) -> Floats:
    """Equity over its highest value so far, less one, at each close; the start is a peak too.

    So a loss on the first bar is a drawdown like any other.
    """
    wealth = np.concatenate([[1.0], np.cumprod(1.0 + returns)])
    below: Floats = (wealth / np.maximum.accumulate(wealth) - 1.0)[1:]
    return np.where(below < -ROUNDING, below, 0.0)


def ulcer_index(returns: Floats) -> float:
    """Root mean square of the drawdowns at all ``n`` closes: Martin and McCann (1989)."""
    return float(np.sqrt(np.mean(underwater(returns) ** 2)))


def drawdown_table(returns: pd.Series) -> pd.DataFrame:
    """Every drawdown, in order: one row each.

    Columns: ``start`` (first day below the peak), ``valley`` (deepest day), ``recovery`` (day on which
    the peak is reached again; NaT if it never was), ``depth`` (a negative fraction), ``days`` (calendar
    days from start to recovery, or to the last day) and ``bars`` (closes below the peak).

    Raises:
        DataError: A return is not finite, or the days do not ascend.
    """
    require_finite(returns)
    if not returns.index.is_monotonic_increasing:
        raise DataError("returns: days must ascend; sort them first")
    below, days = underwater(returns.to_numpy()), pd.DatetimeIndex(returns.index)
    edges = np.diff(np.concatenate([[False], below < 0, [False]]).astype(np.int8))
    first, after = np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)
    valley = np.array(
        [a + below[a:b].argmin() for a, b in zip(first, after, strict=True)], dtype=np.int64
    )
    recovered = after < len(days)
    ends = days[np.minimum(after, len(days) - 1)]
    start = days[first]
    return pd.DataFrame(
        {
            "start": start,
            "valley": days[valley],
            "recovery": pd.Series(ends).where(recovered),
            "depth": below[valley],
            "days": (ends - start).days,
            "bars": after - first,
        }
    )
