"""Bagging: the mean of copies of a member, each fitted to its own resample of the training rows."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, clone

from foretrade.forecasters.base import Forecast, Forecaster, Inputs, Observing, as_forecaster, inputs_of
from foretrade.markets.arrays import Floats, Ints

SHORT_SAMPLE_ROWS = 30  # below this, autocorrelations say nothing about the length of blocks


class MemberWrapper(BaseEstimator):
    """A forecaster around another one: it is shown what that one is shown."""

    member: Any

    @property
    def inputs(self) -> Inputs:
        return inputs_of(as_forecaster(self.member))

    @property
    def is_constant(self) -> bool:
        """Whether a forecast that does not vary is meant."""
        return bool(getattr(self.member, "is_constant", False))

    @property
    def lookback_bars(self) -> int:
        """Only there if the member has one."""
        bars: int = self.member.lookback_bars
        return bars


class BaggedForecaster(MemberWrapper):
    """Bagging (Breiman 1996) with the stationary block bootstrap (Politis and Romano 1994).

    Blocks of rows that follow each other keep the dependence of their labels. Their mean length is
    the optimal one of the labels or of their squares, whichever is longer (Politis and White 2004;
    Patton, Politis and White 2009). Each refit draws and fits anew.

    Args:
        member: Forecaster or scikit-learn regressor; cloned for each copy.
        copies: How many are fitted and averaged.
        seed: Of the resamples, and of the copies if the member takes a ``seed`` or ``random_state``.
    """

    def __init__(self, member: Any, *, copies: int = 10, seed: int = 0) -> None:
        self.member = member
        self.copies = copies
        self.seed = seed

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:
        """Fit the copies.

        Raises:
            ValueError: ``copies`` is below 1, or the member has a running state.
        """
        if self.copies < 1:
            raise ValueError(f"copies must be at least 1, got {self.copies}")
        self.block_bars_ = mean_block_bars(y)
        self.copies_: list[Forecaster] = []
        for number in range(self.copies):
            rng = np.random.default_rng([self.seed, number])
            rows = stationary_rows(len(y), self.block_bars_, rng)
            weights = None if sample_weight is None else sample_weight[rows]
            copy = seeded_clone(self.member, self.seed, number)
            self.copies_.append(copy.fit(X[rows], y[rows], weights))
        return self

    def predict(self, X: Floats) -> Forecast:
        """Mean of the copies; its std, if they give one, is that of their mixture."""
        forecasts = [copy.predict(X) for copy in self.copies_]
        means = np.array([forecast.mean for forecast in forecasts])
        mean = means.mean(axis=0)
        stds = [forecast.std for forecast in forecasts if forecast.std is not None]
        if len(stds) < len(forecasts):
            return Forecast(mean)
        within = (np.array(stds) ** 2).mean(axis=0)
        return Forecast(mean, np.sqrt(within + ((means - mean) ** 2).mean(axis=0)))


def stationary_rows(rows: int, block_bars: float, rng: np.random.Generator) -> Ints:
    """Row numbers of one stationary bootstrap sample, ``[rows]``: blocks of geometric length, wrapped
    around at the end."""
    from arch.bootstrap import StationaryBootstrap

    numbers: Ints = StationaryBootstrap(block_bars, np.arange(rows), seed=rng).update_indices()
    return numbers


def mean_block_bars(labels: Floats) -> float:
    """Optimal mean block length for labels ``[rows]`` or their squares, the longer, at least 1.

    ``rows ** (1/3)``, its order of growth, if there are too few rows or they do not vary.
    """
    from arch.bootstrap import optimal_block_length

    lengths = [
        float(optimal_block_length(series)["stationary"].iloc[0])
        for series in (labels, labels**2)
        if len(series) >= SHORT_SAMPLE_ROWS and np.ptp(series) > 0
    ]
    return max(1.0, max(lengths, default=len(labels) ** (1 / 3)))


def unfitted(member: Any) -> Any:
    """A clone of what a wrapper wraps.

    Raises:
        ValueError: The member has a running state, which does not bear rows out of order.
    """
    copy = clone(as_forecaster(member))
    if isinstance(copy, Observing):
        name = type(copy).__name__
        raise ValueError(f"{name} has a running state: put it around the wrapper, not inside")
    return copy


def seeded_clone(member: Any, seed: int, number: int) -> Any:
    """Copy ``number`` of a member, with a seed of its own wherever the member takes one.

    Raises:
        ValueError: As :func:`unfitted`.
    """
    copy = unfitted(member)
    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1)
    keys = [key for key in copy.get_params() if key.split("__")[-1] in ("seed", "random_state")]
    return copy.set_params(**dict.fromkeys(keys, own))
