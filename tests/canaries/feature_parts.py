"""Features: planted leaks, and clean ones beside them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from canaries.trial import FIRST_ROW, LABEL, PUBLISHED_AFTER, RESOLUTION, data, enter, folds
from scipy.signal import butter, filtfilt, lfilter
from sklearn.feature_selection import f_regression

from foretrade.markets.bars import Bars
from foretrade.markets.features import compute_features, trailing_volatility
from foretrade.markets.labels import forward_returns
from foretrade.markets.nopeek import Compute
from foretrade.markets.table import Column, Table

LEAKS: dict[str, Compute] = {}
CLEAN: dict[str, Compute] = {}
leak, clean = enter(LEAKS), enter(CLEAN)


def close(bars: Bars) -> pd.Series:
    return pd.Series(bars.close[:, 0])


def gappy(bars: Bars) -> pd.Series:
    """Every seventh close."""
    return close(bars).where(np.arange(len(bars)) % 7 == 0)


def week(bars: Bars) -> np.ndarray:
    return (bars.dates - pd.to_timedelta(bars.dates.dayofweek, unit="D")).to_numpy()


@leak
def shift_by_minus_one(bars: Bars) -> pd.Series:
    """Tomorrow's close in today's row."""
    return close(bars).shift(-1)


@clean
def lag(bars: Bars) -> pd.Series:
    """The close of three bars ago."""
    return close(bars).shift(3)


@leak
def centred_window(bars: Bars) -> pd.Series:
    """Moving average with two bars on either side."""
    return close(bars).rolling(5, center=True).mean()


@clean
def trailing_window(bars: Bars) -> pd.Series:
    """Moving average of the last five bars."""
    return close(bars).rolling(5).mean()


@leak
def back_fill(bars: Bars) -> pd.Series:
    """Gaps filled from the next known value."""
    return gappy(bars).bfill()


@leak
def interpolation(bars: Bars) -> pd.Series:
    """Gaps filled on a line to the next known value."""
    return gappy(bars).interpolate()


@clean
def forward_fill(bars: Bars) -> pd.Series:
    """Gaps filled from the last known value."""
    return gappy(bars).ffill()


@leak
def full_sample_z_score(bars: Bars) -> pd.Series:
    """Mean and deviation of the whole sample."""
    return (close(bars) - close(bars).mean()) / close(bars).std()


@clean
def expanding_z_score(bars: Bars) -> pd.Series:
    """Mean and deviation of the sample so far."""
    return (close(bars) - close(bars).expanding().mean()) / close(bars).expanding().std()


@leak
def full_sample_rank(bars: Bars) -> pd.Series:
    """Rank of the close in the whole sample."""
    return close(bars).rank(pct=True)


@clean
def trailing_rank(bars: Bars) -> pd.Series:
    """Rank of the close among the last 60."""
    return close(bars).rolling(60).rank(pct=True)


@leak
def full_sample_minimum(bars: Bars) -> pd.Series:
    """Distance from the lowest close of the whole sample."""
    return close(bars) / close(bars).min()


@clean
def running_minimum(bars: Bars) -> pd.Series:
    """Distance from the lowest close so far."""
    return close(bars) / close(bars).cummin()


@leak
def share_of_the_sample(bars: Bars) -> np.ndarray:
    """Time as a share of the sample's length."""
    return np.arange(len(bars)) / len(bars)


@leak
def filter_there_and_back(bars: Bars) -> np.ndarray:
    """Low-pass filter run forwards and backwards (zero phase)."""
    return filtfilt(*butter(2, 0.1), bars.close[:, 0])


@clean
def filter_one_way(bars: Bars) -> np.ndarray:
    """The same low-pass filter, forwards only."""
    return lfilter(*butter(2, 0.1), bars.close[:, 0])


def is_pivot(bars: Bars) -> pd.Series:
    """Whether a low is the lowest of five, two on either side."""
    low = pd.Series(bars.low[:, 0])
    return (low == low.rolling(5, center=True).min()).astype(float)


@leak
def pivot_at_its_own_bar(bars: Bars) -> pd.Series:
    """A low marked where it stands, though the two bars after it confirm it."""
    return is_pivot(bars)


@clean
def pivot_once_confirmed(bars: Bars) -> pd.Series:
    """The same low, marked two bars later."""
    return is_pivot(bars).shift(2)


@leak
def back_adjusted_price(bars: Bars) -> np.ndarray:
    """Price level scaled down by every dividend still to come."""
    return bars.close * bars.total_return / bars.total_return[-1]


@clean
def total_return_price(bars: Bars) -> np.ndarray:
    """Price level scaled up by the dividends so far (shipped)."""
    return bars.as_total_return().close


@clean
def shipped_features(bars: Bars) -> Table:
    """All standard features with their default windows (shipped)."""
    return compute_features(bars)


@clean
def shipped_volatility(bars: Bars) -> np.ndarray:
    """Exponentially weighted volatility (shipped)."""
    return trailing_volatility(bars, 63)


@leak
def weekly_bar_before_its_close(bars: Bars) -> np.ndarray:
    """Friday's close on the Monday before it."""
    return close(bars).groupby(week(bars)).transform("last")


@clean
def weekly_bar_once_closed(bars: Bars) -> pd.Series:
    """The close of the last week that is over."""
    weekly = close(bars).groupby(week(bars)).last().shift(1)
    return weekly.reindex(week(bars))


def joined(bars: Bars, releases: pd.DataFrame) -> Table:
    table = Table.from_columns(bars, {Column("close", "price"): bars.close})
    return table.join_asof(releases).select([str(name) for name in releases.columns])


@leak
def release_by_reference_date(bars: Bars, releases: pd.DataFrame) -> Table:
    """A month's inflation at the end of the month, 40 days before it is published."""
    return joined(bars, releases.set_axis(releases.index - PUBLISHED_AFTER))


@clean
def release_by_publication(bars: Bars, releases: pd.DataFrame) -> Table:
    """A month's inflation from the instant of its publication (shipped join)."""
    return joined(bars, releases)


@leak
def label_as_feature(bars: Bars) -> np.ndarray:
    """The forward return among the features."""
    return forward_returns(bars, LABEL)


@clean
def resolved_label(bars: Bars) -> np.ndarray:
    """The last forward return that is known."""
    return pd.DataFrame(forward_returns(bars, LABEL)).shift(RESOLUTION)


def first_component(X: np.ndarray, rows: range) -> np.ndarray:
    centre, spread = X[rows].mean(axis=0), X[rows].std(axis=0) + 1e-9
    axis = np.linalg.svd((X[rows] - centre) / spread, full_matrices=False)[2][0]
    return ((X - centre) / spread * axis).sum(axis=1)


@leak
def full_sample_pca(bars: Bars) -> np.ndarray:
    """First principal component, its axis from the whole sample."""
    return first_component(data(bars)[0], range(FIRST_ROW, len(bars)))


@clean
def pca_of_the_warm_up(bars: Bars) -> np.ndarray:
    """First principal component, its axis from the rows before the first forecast."""
    projected = first_component(data(bars)[0], folds(bars)[0].train)
    return np.where(np.arange(len(bars)) >= folds(bars)[0].start, projected, np.nan)


@leak
def full_sample_selection(bars: Bars) -> np.ndarray:
    """The feature that correlates best with the label in the whole sample."""
    X, y = data(bars)
    rows = np.arange(len(bars)) >= FIRST_ROW
    rows &= np.isfinite(y)
    return X[:, f_regression(X[rows], y[rows])[0].argmax()]
