"""Returns by the calendar: trailing windows of whole years, and months, quarters and years."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from foretrade.backtests.returns import require_finite

Period: TypeAlias = Literal["week", "month", "quarter", "year"]
CODES: dict[str, str] = {"week": "W-SUN", "month": "M", "quarter": "Q", "year": "Y"}


def by_period(returns: pd.Series, period: Period) -> pd.Series:
    """Compounded within each calendar period of the exchange's days; indexed by ``pandas.Period``.

    Weeks end on Sunday and keep their year: the week of 31 December 2018 is one week, and not part of
    January 2018.

    Raises:
        DataError: A return is not finite.
        ValueError: There is no such period.
    """
    if period not in CODES:
        raise ValueError(f"period = {period!r} must be one of {', '.join(map(repr, CODES))}")
    require_finite(returns)
    spans = pd.DatetimeIndex(returns.index).to_period(CODES[period])
    return ((1 + returns).groupby(spans).prod() - 1).rename_axis(period)


def month_table(returns: pd.Series) -> pd.DataFrame:
    """One row a year, columns 1 … 12 and ``year``: months without bars are NaN."""
    months = by_period(returns, "month")
    spans = pd.PeriodIndex(months.index)
    table = pd.DataFrame({"y": spans.year, "m": spans.month, "r": months.to_numpy()})
    wide = table.pivot(index="y", columns="m", values="r").reindex(columns=range(1, 13))
    wide["year"] = by_period(returns, "year").to_numpy()
    return wide.rename_axis(index="year", columns=None)


def trailing_return(returns: pd.Series, years: int, *, start: pd.Timestamp | None = None) -> float:
    """Annualised return of the last so many calendar years, to the last day.

    Three years back from 31 December 2018 is the equity of 31 December 2015, or of the last day before
    it that has one: 36 months, not 35. NaN if the history does not reach back that far.

    Args:
        start: Day of the equity before the first return; without it the history begins on the first
            return's own day.

    Raises:
        DataError: A return is not finite.
    """
    require_finite(returns)
    days = pd.DatetimeIndex(returns.index)
    since = days[-1] - pd.DateOffset(years=years)
    if (days[0] if start is None else start) > since:
        return math.nan
    growth = float(np.prod(1 + returns.to_numpy()[days > since]))
    return float(growth ** (1 / years) - 1)
