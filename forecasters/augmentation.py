"""Augmentation: altered copies of the training rows, for members that learn better from more of them.

Labels stay what they were (Iwana and Uchida 2021, doi:10.1371/journal.pone.0254841). Only rows given to
a fit are copied; predictions see true windows alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from scipy.interpolate import CubicSpline

from foretrade.forecasters.bagging import MemberWrapper, mean_block_bars, stationary_rows, unfitted
from foretrade.forecasters.base import Forecast, Forecaster, WarmStarted, as_forecaster
from foretrade.markets.arrays import AnyArray, Floats, Ints

METHODS = ("bootstrap", "jitter", "magnitude_warp", "window_slice")


def jitter(windows: Floats, rng: np.random.Generator, *, share: float) -> Floats:
    """Gaussian noise on each value, with ``share`` of its feature's standard deviation.

    Args:
        windows: ``[n, lookback_bars, features]``, as for the others.
    """
    spread = windows.std(axis=(0, 1))
    noisy: Floats = windows + share * spread * rng.normal(size=windows.shape)
    return noisy


def magnitude_warp(windows: Floats, rng: np.random.Generator, *, std: float, knots: int = 4) -> Floats:
    """Each feature of each window times a smooth random curve over the lookback (Um et al. 2017).

    The curve is a cubic spline through ``knots + 2`` normal numbers of mean 1, evenly spaced.
    """
    rows, bars, features = windows.shape
    at_knots = rng.normal(1.0, std, size=(knots + 2, rows, features))
    curves = CubicSpline(np.linspace(0, 1, knots + 2), at_knots)(np.linspace(0, 1, bars))
    warped: Floats = windows * curves.swapaxes(0, 1)
    return warped


def window_slice(windows: Floats, rng: np.random.Generator, *, share: float) -> Floats:
    """A random part of each window, stretched back to its length (Le Guennec et al. 2016).

    The part has ``share`` of the bars, rounded up, and need not end at the decision: the copy knows
    less than the row did. In between, values are interpolated linearly.
    """
    rows, bars, _ = windows.shape
    kept = int(np.ceil(share * bars))
    starts = rng.integers(bars - kept + 1, size=rows)
    at = starts[:, None] + np.linspace(0, kept - 1, bars)
    left = np.minimum(at.astype(np.int64), bars - 1)
    right = np.minimum(left + 1, bars - 1)
    fraction = (at - left)[:, :, None]
    before, after = (np.take_along_axis(windows, i[:, :, None], axis=1) for i in (left, right))
    stretched: Floats = before + fraction * (after - before)
    return stretched


class AugmentedForecaster(MemberWrapper):
    """A member fitted to its training rows and altered copies of them, in time order.

    A copy comes right after its original. :func:`augmented` makes one whose refits are warm if the
    member's are; this one fits anew each time.

    Args:
        member: Forecaster or scikit-learn regressor; cloned at each fit.
        methods: What is done to each copy, in this order: ``"bootstrap"`` draws its rows by the
            stationary bootstrap instead of taking each once; ``"jitter"``, ``"magnitude_warp"`` and
            ``"window_slice"`` as the functions of those names.
        copies: Rows are added so many times.
        seed: Of the alterations.
        jitter_share, warp_std, slice_share: How strong each is.
    """

    def __init__(
        self,
        member: Any,
        *,
        methods: Sequence[str] = ("jitter",),
        copies: int = 1,
        seed: int = 0,
        jitter_share: float = 0.05,
        warp_std: float = 0.2,
        slice_share: float = 0.9,
    ) -> None:
        self.member = member
        self.methods = methods
        self.copies = copies
        self.seed = seed
        self.jitter_share = jitter_share
        self.warp_std = warp_std
        self.slice_share = slice_share

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:
        """Fit the member to rows and copies; a copy has the weight of its original.

        Raises:
            ValueError: A setting is unknown or out of its range, or the member has a running state.
        """
        self._check()
        rows, windows = self._augment(X, y)
        weights = None if sample_weight is None else sample_weight[rows]
        self.member_: Forecaster = unfitted(self.member).fit(windows, y[rows], weights)
        return self

    def predict(self, X: Floats) -> Forecast:
        return self.member_.predict(X)

    def _check(self) -> None:
        unknown = [method for method in self.methods if method not in METHODS]
        if unknown or not self.methods:
            raise ValueError(f"methods must be some of {', '.join(METHODS)}, got {self.methods!r}")
        if self.copies < 1 or not 0 < self.slice_share <= 1:
            raise ValueError(
                "copies must be at least 1, and slice_share above 0 and at most 1; got "
                f"{self.copies} and {self.slice_share}"
            )
        if self.jitter_share < 0 or self.warp_std < 0:
            raise ValueError("jitter_share and warp_std must not be negative")

    def _augment(self, X: Floats, y: Floats) -> tuple[Ints, Floats]:
        """Each new row's original, and the new windows."""
        rows, windows = [np.arange(len(X))], [X]
        for number in range(self.copies):
            # by the labels too: warm refits shall not meet the same noise on the same row again
            rng = np.random.default_rng([self.seed, number, zlib.crc32(y.tobytes())])
            if "bootstrap" in self.methods:
                rows.append(stationary_rows(len(X), mean_block_bars(y), rng))
            else:
                rows.append(rows[0])
            windows.append(self._altered(X[rows[-1]], rng))
        sources = np.concatenate(rows)
        order = np.argsort(sources, kind="stable")
        return sources[order], np.concatenate(windows)[order]

    def _altered(self, windows: Floats, rng: np.random.Generator) -> Floats:
        for method in self.methods:
            if method == "jitter":
                windows = jitter(windows, rng, share=self.jitter_share)
            elif method == "magnitude_warp":
                windows = magnitude_warp(windows, rng, std=self.warp_std)
            elif method == "window_slice":
                windows = window_slice(windows, rng, share=self.slice_share)
        return windows


class WarmAugmentedForecaster(AugmentedForecaster):
    """The same around a member whose refits go on from its parameters (``WarmStarted``)."""

    def refit(self, X: Floats, y: Floats) -> Self:
        """Let the member go on with all rows given and altered copies of them."""
        rows, windows = self._augment(X, y)
        self._warm().refit(windows, y[rows])
        return self

    def state(self) -> dict[str, AnyArray]:
        """The member's."""
        return self._warm().state()

    def set_state(self, state: Mapping[str, AnyArray], X: Floats) -> Self:
        """Bring the member back to a state; ``X`` are true rows."""
        self._check()
        self.member_ = unfitted(self.member).set_state(state, X)
        return self

    def _warm(self) -> WarmStarted:
        if not isinstance(self.member_, WarmStarted):
            name = type(self.member_).__name__
            raise TypeError(f"{name} has no warm refit: wrap it in AugmentedForecaster")
        return self.member_


def augmented(
    member: Any,
    *,
    methods: Sequence[str] = ("jitter",),
    copies: int = 1,
    seed: int = 0,
    jitter_share: float = 0.05,
    warp_std: float = 0.2,
    slice_share: float = 0.9,
) -> AugmentedForecaster:
    """A member with augmentation, its refits warm if its own are; see :class:`AugmentedForecaster`."""
    is_warm = isinstance(as_forecaster(member), WarmStarted)
    kind = WarmAugmentedForecaster if is_warm else AugmentedForecaster
    return kind(
        member,
        methods=methods,
        copies=copies,
        seed=seed,
        jitter_share=jitter_share,
        warp_std=warp_std,
        slice_share=slice_share,
    )
