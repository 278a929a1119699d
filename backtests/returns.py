"""Series of returns: checked, by exchange day, cut at ruin, and on the bars that two have in common."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from foretrade.backtests.candidates import MIN_BARS
from foretrade.backtests.significance import sharpe_ratio
from foretrade.markets.arrays import Floats
from foretrade.markets.bars import DataError

PRICE_LEVEL = 0.05  # returns are seldom of this size and all alike; prices are
PRICE_STEP = 0.2
DAILY = 180  # days a year that have a return, at the least, where bars are days or shorter


def is_defined(returns: pd.Series | Floats) -> bool:
    """Whether ratios of these returns mean anything: at least ``MIN_BARS``, and they vary."""
    return not math.isnan(defined_sharpe(np.asarray(returns)))


def returns_of(equity: Floats) -> Floats:
    """Simple return of each bar, of accounts in columns or of one; 0 after ruin.

    A loss of all and more counts as −100 %.
    """
    before = equity[:-1]
    away = np.divide(equity[1:] - before, before, out=np.zeros_like(before), where=before > 0)
    return np.maximum(away, -1.0)


def defined_sharpe(returns: Floats, periods_per_year: float = 1.0) -> float:
    """Annualised Sharpe ratio; NaN of fewer than ``MIN_BARS`` returns, or if they do not vary."""
    enough = len(returns) >= MIN_BARS
    return sharpe_ratio(returns, periods_per_year) if enough else math.nan


def checked_returns(returns: Any, *, what: str = "returns") -> pd.Series:
    """The same returns as float64, once they are seen to be simple returns of days.

    Nothing is mended. Prices are told from returns by their sizes alone: they are refused if half of
    them are at least 1, or if they are mostly above 5 % and neighbours differ by less than a fifth of
    that; prices below 0.05 pass.

    Args:
        returns: By exchange day: midnights without timezone, ascending, each once, one value a bar.
        what: Their name in errors.

    Raises:
        DataError: They are something else; the message says what, where, and how to mend it.
    """
    if isinstance(returns, str):
        raise DataError(
            f"{what}: {returns!r} is a name, and nothing is downloaded; give its returns as a Series"
        )
    if not isinstance(returns, pd.Series):
        raise DataError(f"{what}: give one pandas Series, not a {type(returns).__name__}")
    if returns.empty or returns.dtype.kind not in "fiu":
        raise DataError(f"{what}: give numbers, at least one; got {len(returns)} of {returns.dtype}")
    _check_days(returns.index, what)
    values = returns.astype(np.float64)
    require_finite(values, what)
    if looks_like_prices(np.asarray(values, dtype=np.float64)):
        raise DataError(
            f"{what}: these are prices or equity, not returns; give prices.pct_change().iloc[1:]"
        )
    return values


def require_finite(returns: pd.Series, what: str = "returns") -> None:
    """Refuse a gap: compounded, it would count as a return of 0.

    Raises:
        DataError: A value is not finite; the message names its place.
    """
    finite = np.isfinite(returns.to_numpy(dtype=np.float64))
    if not finite.all():
        place = returns.index[int(np.argmin(finite))]
        is_day = isinstance(place, pd.Timestamp) and place == place.normalize()
        shown = place.date() if is_day else place
        raise DataError(f"{what}: the value of {shown} is not finite; give it, or leave it out")


def looks_like_prices(values: Floats) -> bool:
    """Whether numbers are too large and too smooth to be returns; see :func:`checked_returns`."""
    level = float(np.median(np.abs(values)))
    if level >= 1.0 or len(values) < 2:
        return level >= 1.0
    return level > PRICE_LEVEL and float(np.median(np.abs(np.diff(values)))) < PRICE_STEP * level


def _check_days(index: pd.Index, what: str) -> None:
    if not isinstance(index, pd.DatetimeIndex):
        raise DataError(f"{what}: the index must be a DatetimeIndex of days, not {type(index).__name__}")
    if index.tz is not None:
        raise DataError(
            f"{what}: the index is in {index.tz}; use the exchange's own day: "
            "by_exchange_day(returns, timezone)"
        )
    if index.hasnans or not index.equals(index.normalize()):
        raise DataError(
            f"{what}: the index holds times of day or gaps; compound to days: "
            "by_exchange_day(returns, timezone)"
        )
    if not (index.is_monotonic_increasing and index.is_unique):
        raise DataError(f"{what}: days must ascend, each once; sort them, or compound by day")


def by_exchange_day(returns: pd.Series, timezone: str) -> pd.Series:
    """Returns at aware stamps, compounded within each calendar day of the exchange.

    Raises:
        DataError: The stamps are naive: which day it is then depends on where one stands; or a return
            is not finite.
    """
    index = returns.index
    if not isinstance(index, pd.DatetimeIndex) or index.tz is None:
        raise DataError("stamps are naive; name their timezone: returns.tz_localize('UTC')")
    local = index.tz_convert(timezone).tz_localize(None).normalize()
    return by_day(returns.set_axis(local.rename("date")))


def by_day(returns: pd.Series) -> pd.Series:
    """Returns compounded within each day of the index; quantstats counts a row as a day.

    Raises:
        DataError: A return is not finite.
    """
    require_finite(returns)
    return (1 + returns).groupby(level=0).prod() - 1


def until_ruin(returns: pd.Series) -> tuple[pd.Series, pd.Timestamp | None]:
    """Returns up to the first that loses everything, which counts as −100 %, and its day.

    A loss of more than all would flip the sign of equity, and the next one flip it back.
    """
    lost = np.flatnonzero(returns.to_numpy() <= -1.0)
    if not len(lost):
        return returns, None
    kept = returns.iloc[: lost[0] + 1].clip(lower=-1.0)
    return kept, kept.index[-1]


def joined(returns: pd.Series, benchmark: pd.Series) -> pd.DataFrame:
    """Both on the stamps that both have, columns ``strategy`` and ``benchmark``.

    Where one has a stamp that the other lacks, its returns are compounded up to the next common one,
    so that both columns span the same time and no return is lost between the first and the last.

    Raises:
        DataError: They have no stamp in common.
    """
    if returns.index.equals(benchmark.index):
        return pd.DataFrame({"strategy": returns, "benchmark": benchmark})
    common = pd.DatetimeIndex(returns.index.intersection(benchmark.index))
    if common.empty:
        raise DataError(
            f"no day in common: the strategy runs from {_span(returns)}, the benchmark from "
            f"{_span(benchmark)}"
        )
    return pd.DataFrame({"strategy": _onto(returns, common), "benchmark": _onto(benchmark, common)})


def joined_periods(returns: pd.Series, both: pd.DataFrame, periods_per_year: float) -> float:
    """Bars a year of what :func:`joined` made of ``returns``, which has ``periods_per_year`` itself.

    As many fewer as ``both`` has fewer bars than ``returns`` from the first common close to the last.
    """
    inside = returns.loc[both.index[0] : both.index[-1]]
    return periods_per_year * (len(both) - 1) / (len(inside) - 1) if len(both) > 1 else periods_per_year


def _onto(returns: pd.Series, common: pd.DatetimeIndex) -> pd.Series:
    inside = returns.loc[common[0] : common[-1]]
    if len(inside) == len(common):
        return inside
    ends = common[common.searchsorted(inside.index)]
    return (1 + inside).groupby(ends).prod() - 1


def _span(returns: pd.Series) -> str:
    return f"{returns.index[0].date()} to {returns.index[-1].date()}"
