"""What each member of an ensemble is worth in profit and loss: leave-one-out and Shapley values.

A coalition is a subset of the members; its value is what the equally weighted mean of their forecasts
earns, traded by one rule. The empty coalition does not trade and is worth nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import numpy as np

from foretrade.markets.arrays import Bools, Floats, Ints
from foretrade.markets.resampling import block_lengths, resampled_means

EXACT_MEMBERS = 10  # more have over a thousand coalitions: orders are sampled instead
LEAST_DEVIATION = 1e-14

Value: TypeAlias = Literal["mean", "sharpe"]


@dataclass(frozen=True)
class Coalitions:
    """Which coalitions have to be traded, and how their values make those of members.

    Args:
        subsets: Whether a coalition holds a member, ``[coalitions, members]``; the first is empty, the
            last holds all.
        before: Coalitions that a member joins, ``[members, additions]``; after: the same with it.
        weights: Of each addition, the same for all members, ``[members, additions]``; rows sum to 1.
        sampled: Whether the additions are those of random orders, not all there are.
    """

    subsets: Bools
    before: Ints
    after: Ints
    weights: Floats
    sampled: bool

    def shapley(self, values: Floats) -> Floats:
        """Shapley value of each member, ``[…, members]``, from values of coalitions ``[…, coalitions]``.

        ``φ_i = Σ_S |S|! (n − |S| − 1)! / n! · (v(S ∪ i) − v(S))`` (Shapley 1953, in Contributions to the
        Theory of Games II): the mean over all orders in which members may join of what ``i`` adds. Over
        sampled orders it is the mean of those.
        """
        found: Floats = (self._gains(values) * self.weights).sum(axis=-1)
        return found

    def left_out(self, values: Floats) -> Floats:
        """What all members are worth above all but one, ``[…, members]``."""
        members = self.subsets.shape[1]
        without = [
            int(np.flatnonzero((self.subsets == row).all(axis=1))[0])
            for row in ~np.eye(members, dtype=bool)
        ]
        found: Floats = values[..., -1:] - values[..., without]
        return found

    def sampling_error(self, values: Floats) -> Floats:
        """Standard error of :meth:`shapley`, ``[members]``: not all orders are drawn; 0 if they are."""
        if not self.sampled:
            return np.zeros(self.subsets.shape[1])
        gains = self._gains(values)
        error: Floats = gains.std(axis=-1, ddof=1) / math.sqrt(gains.shape[-1])
        return error

    def _gains(self, values: Floats) -> Floats:
        gains: Floats = values[..., self.after] - values[..., self.before]
        return gains


def coalitions(members: int, *, orders: int = 200, seed: int = 0) -> Coalitions:
    """All coalitions of up to ten members; of more, those on the way of ``orders`` random orders.

    Sampling orders is unbiased (Castro, Gómez and Tejada 2009, doi:10.1016/j.cor.2008.04.004); its error
    is :meth:`Coalitions.sampling_error`.

    Raises:
        ValueError: No members, or fewer than two orders.
    """
    if members < 1 or orders < 2:
        raise ValueError(f"need a member and two orders at least, got {members} and {orders}")
    return _all(members) if members <= EXACT_MEMBERS else _sampled(members, orders, seed)


def _all(members: int) -> Coalitions:
    codes = np.arange(2**members)
    subsets = (codes[:, None] >> np.arange(members)) & 1 == 1
    sizes = subsets.sum(axis=1)
    before = np.array([codes[~subsets[:, i]] for i in range(members)])
    after = before + (1 << np.arange(members))[:, None]
    share = [1 / (members * math.comb(members - 1, size)) for size in range(members)]
    return Coalitions(subsets, before, after, np.array(share)[sizes[before]], sampled=False)


def _sampled(members: int, orders: int, seed: int) -> Coalitions:
    rng = np.random.default_rng(seed)
    drawn = np.array([rng.permutation(members) for _ in range(orders)])
    place = drawn.argsort(axis=1)  # [orders, members]: when each joins
    joined = place[:, None, :] < np.arange(members + 1)[None, :, None]  # [orders, steps, members]
    always = np.concatenate([~np.eye(members, dtype=bool), np.ones((1, members), dtype=bool)])
    every = np.concatenate([joined.reshape(-1, members), always])
    subsets, number = np.unique(every, axis=0, return_inverse=True)
    by_size = np.argsort(subsets.sum(axis=1), kind="stable")
    rank = by_size.argsort()
    steps = rank[number.reshape(-1)][: orders * (members + 1)].reshape(orders, members + 1)
    before = np.take_along_axis(steps, place, axis=1).T
    after = np.take_along_axis(steps, place + 1, axis=1).T
    return Coalitions(subsets[by_size], before, after, np.full(before.shape, 1 / orders), sampled=True)


@dataclass(frozen=True)
class MemberWorth:
    """What one member is worth, with 95 % intervals.

    Args:
        member: Its name.
        shapley, shapley_low, shapley_high: Its Shapley value; all of them sum to what the whole
            ensemble earns.
        left_out, left_out_low, left_out_high: What the ensemble earns more with it than without.
        sampling_error: Standard error of ``shapley`` because not all orders were tried; 0 if they were.
    """

    member: str
    shapley: float
    shapley_low: float
    shapley_high: float
    left_out: float
    left_out_low: float
    left_out_high: float
    sampling_error: float


def member_worth(
    returns: Floats,
    plan: Coalitions,
    members: Sequence[str],
    *,
    value: Value,
    periods_per_year: float,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> list[MemberWorth]:
    """Worth of each member in the value of coalitions.

    The intervals are percentiles of a paired stationary bootstrap over bars (Politis and Romano 1994,
    doi:10.1080/01621459.1994.10476870; block length of Politis and White 2004, corrected 2009): all
    coalitions are resampled together, so that what they share cancels.

    Args:
        returns: Of each coalition of ``plan``, ``[bars, coalitions]``; zero of the empty one.
        value: ``"mean"``, the annual mean return, or ``"sharpe"``, the annual Sharpe ratio; that of a
            coalition whose returns do not vary is 0.
        periods_per_year: Bars in a year.

    Raises:
        ValueError: The shapes do not match, there are fewer than 20 bars, or a return is not finite.
    """
    if (
        returns.ndim != 2
        or returns.shape[1] != len(plan.subsets)
        or len(members) != plan.subsets.shape[1]
    ):
        raise ValueError(
            f"returns must be [bars, {len(plan.subsets)}] of {plan.subsets.shape[1]} members, got "
            f"{returns.shape} and {len(members)} names"
        )
    if len(returns) < 20 or not np.isfinite(returns).all():
        raise ValueError(f"worth needs 20 bars or more, all finite, got {len(returns)}")
    moments = np.concatenate([returns, returns**2], axis=1)
    varies = np.std(returns, axis=0) > LEAST_DEVIATION
    block = _block_bars(plan.shapley(returns))
    valued = partial(_values, varies=varies, bars=len(returns), value=value, periods=periods_per_year)
    point = valued(moments.mean(axis=0))
    draws = valued(resampled_means(moments, block, resamples, seed))
    tails = [(1 - level) / 2, (1 + level) / 2]
    shapley, left_out = plan.shapley(point), plan.left_out(point)
    shapley_range = np.quantile(plan.shapley(draws), tails, axis=0)
    left_range = np.quantile(plan.left_out(draws), tails, axis=0)
    errors = plan.sampling_error(point)
    return [
        MemberWorth(name, *map(float, numbers))
        for name, *numbers in zip(
            members, shapley, *shapley_range, left_out, *left_range, errors, strict=True
        )
    ]


def _values(moments: Floats, *, varies: Bools, bars: int, value: Value, periods: float) -> Floats:
    """Value of coalitions, ``[…, coalitions]``, from the means of their returns, then of the squares."""
    mean, square = np.split(moments, 2, axis=-1)
    if value == "mean":
        return np.asarray(mean * periods)
    deviation = np.sqrt(np.maximum(square - mean**2, 0.0) * bars / (bars - 1))
    defined = varies & (deviation > LEAST_DEVIATION)
    ratio = np.divide(mean, deviation, out=np.zeros_like(mean), where=defined)
    return np.asarray(ratio * math.sqrt(periods))


def _block_bars(contributions: Floats) -> float:
    """Mean block length for the contributions of members, ``[bars, members]``; 1 if none varies."""
    varying = contributions[:, contributions.std(axis=0) > LEAST_DEVIATION]
    return float(block_lengths(varying).max()) if varying.shape[1] else 1.0
