"""Planted cheats that the no-peek check must catch, and clean parts on which it stays silent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from foretrade.envs.market import MarketEnv
from foretrade.markets.bars import Bars, DataError
from foretrade.markets.features import compute_features
from foretrade.markets.labels import LabelConfig, forward_returns
from foretrade.markets.nopeek import PeekError, assert_future_invisible
from foretrade.markets.table import NEVER, Column, Table

CUTS = (120, 333, 598)


def close(bars: Bars) -> pd.DataFrame:
    return pd.DataFrame(bars.close)


def gappy(bars: Bars) -> pd.DataFrame:
    """Every seventh close."""
    return close(bars).where(np.arange(len(bars))[:, None] % 7 == 0)


CHEATS: dict[str, Callable[[Bars], pd.DataFrame | np.ndarray]] = {
    "shift by one": lambda bars: close(bars).shift(-1),
    "centred window": lambda bars: close(bars).rolling(5, center=True).mean(),
    "back-fill": lambda bars: gappy(bars).bfill(),
    "interpolation": lambda bars: (
        close(bars).where(np.arange(len(bars))[:, None] % 7 == 0).interpolate()
    ),
    "full-sample z-score": lambda bars: (close(bars) - close(bars).mean()) / close(bars).std(),
    "full-sample rank": lambda bars: close(bars).rank(pct=True),
    "scaled by the length of the data": lambda bars: close(bars) * len(bars),
    "label as feature": lambda bars: forward_returns(bars, LabelConfig()),
}
CLEAN: dict[str, Callable[[Bars], pd.DataFrame | np.ndarray]] = {
    "shipped features": lambda bars: compute_features(bars).values,
    "expanding z-score": lambda bars: close(bars) - close(bars).expanding().mean(),
    "lag": lambda bars: close(bars).shift(3),
    "volume": lambda bars: bars.volume,
}


@pytest.mark.parametrize("cheat", CHEATS.values(), ids=CHEATS.keys())
def test_every_planted_cheat_is_caught(walk, cheat):
    with pytest.raises(PeekError, match="future after row"):
        assert_future_invisible(lambda bars: np.asarray(cheat(bars)), walk, CUTS)


@pytest.mark.parametrize("clean", CLEAN.values(), ids=CLEAN.keys())
def test_clean_parts_raise_no_alarm(walk, clean):
    assert_future_invisible(lambda bars: np.asarray(clean(bars)), walk, CUTS)


def test_the_market_refuses_forecasts_of_a_model_that_saw_the_future(walk):
    """In-sample forecasts: fitted up to the last bar, shown from the first."""
    cutoff = np.full(len(walk), walk.stamps[-1])
    leaked = Table.from_columns(walk, {Column("f.mean", "log return"): walk.close}, cutoff=cutoff)
    with pytest.raises(DataError, match="fitted up to .*after the decision at"):
        MarketEnv(walk, leaked)
    one_late = np.full(len(walk), NEVER)
    one_late[400] = walk.stamps[401]
    leaked = Table.from_columns(walk, {Column("f.mean", "log return"): walk.close}, cutoff=one_late)
    with pytest.raises(DataError, match="row 400"):
        MarketEnv(walk, leaked)
    fair = np.concatenate([[NEVER], walk.stamps[:-1]])
    table = Table.from_columns(walk, {Column("f.mean", "log return"): walk.close}, cutoff=fair)
    MarketEnv(walk, table).reset()
