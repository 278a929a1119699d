"""What the parts of the catalogue are tried on, and how they enter it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from foretrade.forecasters.checks import FEATURES
from foretrade.markets.bars import Bars
from foretrade.markets.features import compute_features
from foretrade.markets.labels import LabelConfig, forward_returns
from foretrade.markets.nopeek import Compute, random_cuts
from foretrade.markets.splits import Fold, WalkForward
from foretrade.markets.synthetic import random_walk

LABEL = LabelConfig()
RESOLUTION = LABEL.resolution_bars
LOOKBACK_BARS = 3
SCHEDULE = WalkForward(refit_every_bars=45, warm_up_bars=150)
PUBLISHED_AFTER = pd.Timedelta(days=40)


def enter(parts: dict[str, Compute]) -> Callable[[Compute], Compute]:
    """A decorator that puts a part under its name, in words."""

    def decorate(part: Compute) -> Compute:
        parts[part.__name__.replace("_", " ")] = part
        return part

    return decorate


def dividend_payer() -> Bars:
    bars = random_walk(600, seed=3)
    dividend = np.zeros_like(bars.close)
    dividend[63::63] = 0.005 * bars.close[63::63]
    return replace(bars, dividend=dividend)


def monthly_releases(bars: Bars) -> pd.DataFrame:
    """One number a month, indexed by the instant of its publication, 40 days after its month."""
    months = pd.date_range(bars.closes_at[0], bars.closes_at[-1], freq="ME", tz="UTC")
    values = np.random.default_rng(1).normal(size=len(months))
    return pd.DataFrame({"inflation": values}, index=months + PUBLISHED_AFTER)


def data(bars: Bars) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of every row."""
    return compute_features(bars, FEATURES).values[:, 0], forward_returns(bars, LABEL)[:, 0]


def folds(bars: Bars) -> list[Fold]:
    return list(SCHEDULE.folds(FIRST_ROW, len(bars), RESOLUTION))


BARS = dividend_payer()
RELEASES = monthly_releases(BARS)
FIRST_ROW = int(np.isfinite(data(BARS)[0]).all(axis=1).argmax()) + LOOKBACK_BARS - 1
REFIT_CUTS = [fold.start for fold in folds(BARS)][-5:-1]
RANDOM_CUTS = random_cuts(BARS, 20, seed=1, first_row=300)
