"""Fusion: how much weight each member's forecast gets, learnt from matured errors alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from scipy.linalg import solve_triangular
from scipy.optimize import nnls

from foretrade.forecasters.experts import BOA, EWA, SMALLEST, check_history
from foretrade.markets.arrays import Floats

TIE = 1e-12  # relative difference of losses below which two members are equally good


class Fusion(Protocol):
    """Weights of members' forecasts, row by row, as they would have been set at the time."""

    def weights(self, means: Floats, labels: Floats, *, resolution_bars: int) -> Floats:
        """Weights ``[bars, members]``, not negative.

        Row ``t`` depends on ``means[: t + 1]`` and ``labels[: t − resolution_bars + 1]`` alone. A member
        without a forecast in a row has weight 0 there, and the others share what it would have had in
        proportion to theirs. Rows where no member has a forecast are NaN.

        Args:
            means: Out-of-sample forecasts, ``[bars, members]``; NaN before the first fit and where a
                member failed.
            labels: What they forecast, ``[bars]``; NaN where not resolved.
            resolution_bars: Bars after a row at whose close its label is known.

        Raises:
            ValueError: Shapes do not match, or ``resolution_bars`` is below 1.
        """
        ...


@dataclass(frozen=True)
class TrimmedMean:
    """Mean without the highest and the lowest forecasts of a row; members with equal forecasts share.

    Equal weights are hard to beat out of sample (Timmermann 2006, doi:10.1016/S1574-0706(05)01004-9).

    Args:
        trim: Share of the members left out at each end, rounded down: 0 is the mean, 0.5 the median.
    """

    trim: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.trim <= 0.5:
            raise ValueError(f"trim must be between 0 and 0.5, got {self.trim}")

    def weights(self, means: Floats, labels: Floats, *, resolution_bars: int) -> Floats:
        """See :class:`Fusion`; the labels are not used."""
        check_history(means, labels, resolution_bars)
        present = np.isfinite(means)
        count = present.sum(axis=1, keepdims=True)
        low = (means[:, None, :] < means[:, :, None]).sum(axis=2)  # places low … high - 1 of the order
        same = (means[:, None, :] == means[:, :, None]).sum(axis=2)
        drop = np.minimum(np.floor(self.trim * count + 1e-9), (count - 1) // 2)
        inside = np.minimum(low + same, count - drop) - np.maximum(low, drop)
        kept = np.maximum(inside, 0) / np.maximum(same, 1)
        return over_present(kept / np.maximum(count - 2 * drop, 1), means)


@dataclass(frozen=True)
class InverseMSE:
    """Weights in proportion to ``1 / MSE`` of each member's matured errors (Bates and Granger 1969).

    A member with fewer than ``minimum_bars`` of them is taken to be as good as the others on average;
    as long as all have fewer, weights are equal.

    Args:
        window_bars: Rows over which errors are averaged.
    """

    window_bars: int = 252
    minimum_bars: int = 63

    def __post_init__(self) -> None:
        _check_window(self.window_bars, self.minimum_bars)

    def weights(self, means: Floats, labels: Floats, *, resolution_bars: int) -> Floats:
        """See :class:`Fusion`."""
        check_history(means, labels, resolution_bars)
        squared = pd.DataFrame((labels[:, None] - means) ** 2).shift(resolution_bars)
        window = squared.rolling(self.window_bars, min_periods=self.minimum_bars)
        precision = (1 / window.mean().clip(lower=SMALLEST)).where(np.isfinite(means))
        precision = precision.div(precision.mean(axis=1), axis=0).fillna(1.0)
        return over_present(precision.to_numpy(), means, total=1.0)


@dataclass(frozen=True)
class Stacking:
    """Non-negative ridge of labels on out-of-sample forecasts, without intercept (Breiman 1996).

    ``min_w≥0 Σ (y − f·w)² + penalty · s² |w|²`` over matured rows, with ``s²`` their mean squared label:
    the mode under a normal prior of variance ``1 / penalty``. The sum of the weights is free: forecasts
    that explain nothing shrink towards zero. Rows in time order are never shuffled or held out, since
    each forecast was made before its label.

    Args:
        window_bars: Rows before a refit that it learns from.
        minimum_bars: Weights are equal until a member has so many matured forecasts among them; a
            member that has fewer when another has enough gets none until the next refit.
        refit_every_bars: Between refits, counted from the first row with a forecast.
    """

    window_bars: int = 1260
    minimum_bars: int = 126
    refit_every_bars: int = 21
    penalty: float = 1.0

    def __post_init__(self) -> None:
        _check_window(self.window_bars, self.minimum_bars, self.refit_every_bars)
        if not self.penalty > 0:
            raise ValueError(f"penalty must be above 0, got {self.penalty}")

    def weights(self, means: Floats, labels: Floats, *, resolution_bars: int) -> Floats:
        """See :class:`Fusion`; they need not sum to one."""
        return _refitted(means, labels, resolution_bars, self)

    def solve(self, forecasts: Floats, labels: Floats) -> Floats:
        """Weights ``[members]`` of one refit, from matured ``[rows, members]`` and ``[rows]``."""
        scale = float(np.sqrt((labels**2).mean()))
        if scale == 0:
            return np.zeros(forecasts.shape[1])
        X, y = forecasts / scale, labels / scale
        root = np.linalg.cholesky(X.T @ X + self.penalty * np.eye(X.shape[1]))
        solution: Floats = nnls(root.T, solve_triangular(root, X.T @ y, lower=True))[0]
        return solution


@dataclass(frozen=True)
class Greedy:
    """Forward selection of members with replacement (Caruana et al. 2004), by squared error.

    Starts from nothing and adds, ``steps`` times, the member that makes the mean of those chosen best;
    keeps the best bag on the way. Members that are equally good share a step.

    Args:
        window_bars, minimum_bars, refit_every_bars: As in :class:`Stacking`.
        steps: Members in the bag at most, with repetition.
    """

    window_bars: int = 1260
    minimum_bars: int = 126
    refit_every_bars: int = 21
    steps: int = 50

    def __post_init__(self) -> None:
        _check_window(self.window_bars, self.minimum_bars, self.refit_every_bars)
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")

    def weights(self, means: Floats, labels: Floats, *, resolution_bars: int) -> Floats:
        """See :class:`Fusion`."""
        return _refitted(means, labels, resolution_bars, self)

    def solve(self, forecasts: Floats, labels: Floats) -> Floats:
        """Weights ``[members]`` of one refit, from matured ``[rows, members]`` and ``[rows]``."""
        errors = labels[:, None] - forecasts  # of a bag with shares w: w' E'E w, as shares sum to one
        products = errors.T @ errors
        counts = np.zeros(errors.shape[1])
        best, least = counts, np.inf
        for size in range(1, self.steps + 1):
            joint = products @ counts
            losses = (counts @ joint + 2 * joint + np.diag(products)) / size**2
            tied = losses <= losses.min() + TIE * products.max()
            counts = counts + tied / tied.sum()
            if losses.min() < least - TIE * products.max():
                best, least = counts / size, losses.min()
        return best


def over_present(weights: Floats, means: Floats, *, total: float | None = None) -> Floats:
    """Weights ``[bars, members]`` of those members alone that have a forecast in a row.

    Each row is scaled to what it summed to, or to ``total``. Members present share equally where those
    that had all the weight are absent; rows without any member are NaN.
    """
    present = np.isfinite(means)
    target = weights.sum(axis=1, keepdims=True) if total is None else total
    kept = np.where(present, weights, 0.0)
    kept = np.where(kept.sum(axis=1, keepdims=True) > 0, kept, present)
    left = kept.sum(axis=1, keepdims=True)
    scaled: Floats = np.divide(kept * target, left, out=np.full(means.shape, np.nan), where=left > 0)
    return scaled


def _refitted(means: Floats, labels: Floats, resolution_bars: int, fusion: Stacking | Greedy) -> Floats:
    """Weights of a fusion that is fitted to matured rows at fixed dates."""
    check_history(means, labels, resolution_bars)
    bars, members = means.shape
    weights = np.full(means.shape, 1.0 / members)
    present = np.isfinite(means)
    usable = present.any(axis=1)
    first = int(usable.argmax()) if usable.any() else bars
    usable &= np.isfinite(labels)
    # a gap is filled as the weights fill it: by the other members
    row_means = np.where(present, means, 0.0).sum(axis=1) / np.maximum(present.sum(axis=1), 1)
    filled = np.where(present, means, row_means[:, None])
    for refit in range(first, bars, fusion.refit_every_bars):
        stop = max(first, refit - resolution_bars + 1)
        start = max(first, refit - fusion.window_bars)
        rows = start + np.flatnonzero(usable[start:stop])
        chosen = present[rows].sum(axis=0) >= fusion.minimum_bars
        if chosen.any():
            fitted = np.zeros(members)
            fitted[chosen] = fusion.solve(filled[rows][:, chosen], labels[rows])
            weights[refit : refit + fusion.refit_every_bars] = fitted
    return over_present(weights, means)


def _check_window(window_bars: int, minimum_bars: int, refit_every_bars: int = 1) -> None:
    if not 1 <= minimum_bars <= window_bars or refit_every_bars < 1:
        raise ValueError(
            "minimum_bars must be between 1 and window_bars, and refit_every_bars at least 1; got "
            f"{minimum_bars}, {window_bars} and {refit_every_bars}"
        )


FUSIONS: Mapping[str, Fusion] = {
    "boa": BOA(),
    "ewa": EWA(),
    "greedy": Greedy(),
    "inverse_mse": InverseMSE(),
    "mean": TrimmedMean(0.0),
    "median": TrimmedMean(0.5),
    "stacking": Stacking(),
    "trimmed_mean": TrimmedMean(),
}
