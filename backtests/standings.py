"""Standings of a league: what each strategy earned, how surely, and how stably it ranks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from scipy import stats

from foretrade.backtests.contest import Played
from foretrade.backtests.returns import defined_sharpe, returns_of
from foretrade.backtests.significance import sharpe_ratio
from foretrade.backtests.stress import lost_by_delay
from foretrade.backtests.verdict import Verdict
from foretrade.markets.arrays import Floats


@dataclass(frozen=True)
class Standing:
    """One strategy on the test block; NaN is "undefined".

    Args:
        label: Its name in the league.
        forecaster: Whose forecasts are traded; of a reference its own name.
        rule: By which; empty for a reference.
        ic, r2_os, crps: Of the forecasts; see ``ForecastScores``.
        gross_sharpe: Annualised, without any cost.
        sharpe, sharpe_low, sharpe_high: After costs as configured, with its 95 % interval.
        difference_low, difference_high: 95 % interval of the Sharpe ratio less that of buy-and-hold.
        proven: Whether it gained by itself, and more than buy-and-hold; see ``Verdict``. The record of
            trials is not looked at.
        deflated: Probability that the true ratio exceeds what the best row would show by luck.
        mean_return: After costs, a year, arithmetic; −1 of a ruined account. After a margin call nothing
            is earned any more.
        turnover: Traded notional over equity, a year.
        break_even_bps: Cost of a unit of turnover at which the mean return would be zero, if the trades
            stayed as they are: gross mean return over turnover. NaN if nothing is earned before costs.
        break_even_level: The level of costs at which the mean return is zero, read from the levels that
            were played; infinite if it is above zero at all of them, NaN if at none.
        max_drawdown: After costs, a fraction, not positive; counts from the initial equity.
        later_sharpe: After costs, if every decision had come one bar later; NaN if that was not played.
        lost_low: Lower end of the 95 % interval of what that delay costs.
        ruined: Whether the account was lost. Such a row has no ratios and no break-even; in folds the
            bars after it count as 0.
        called: Whether a margin call took it, which leaves something.
        seeds: Policies behind the row; it shows the median one by Sharpe ratio.
        sharpe_min, sharpe_max: Over the seeds.
        fold_sharpes: After costs, in each fold.
        level_sharpes: At each level of costs.
    """

    label: str
    forecaster: str
    rule: str
    ic: float
    r2_os: float
    crps: float
    gross_sharpe: float
    sharpe: float
    sharpe_low: float
    sharpe_high: float
    difference_low: float
    difference_high: float
    proven: bool
    deflated: float
    mean_return: float
    turnover: float
    break_even_bps: float
    break_even_level: float
    max_drawdown: float
    later_sharpe: float
    lost_low: float
    ruined: bool
    called: bool
    seeds: int
    sharpe_min: float
    sharpe_max: float
    fold_sharpes: tuple[float, ...]
    level_sharpes: tuple[float, ...]

    def flat(self, cost_scales: Sequence[float]) -> dict[str, Any]:
        """One value a column: folds and levels of costs are spread out."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        folds, levels = values.pop("fold_sharpes"), values.pop("level_sharpes")
        values |= {f"sharpe_fold_{number}": sharpe for number, sharpe in enumerate(folds, start=1)}
        return values | {
            f"sharpe_at_costs_{scale:g}": sharpe
            for scale, sharpe in zip(cost_scales, levels, strict=True)
        }


def standing(
    label: str,
    forecaster: str,
    rule: str,
    seeds: Sequence[Played],
    verdict: Verdict,
    scores: Mapping[str, float],
    *,
    cost_scales: Sequence[float],
    folds: int,
    periods_per_year: float,
) -> Standing:
    """Put together the row of one strategy.

    Args:
        seeds: What its policies did, of which :func:`median_seed` is shown; one if it needs no seed.
        verdict: On the returns of that one.
        scores: ``ic``, ``r2_os`` and ``crps`` of its forecasts.
    """
    played = median_seed(seeds, cost_scales)
    gross, net = cost_scales.index(0.0), cost_scales.index(1.0)
    levels = range(len(cost_scales))
    means = np.array([_mean_return(played, level, periods_per_year) for level in levels])
    ratios = [_sharpe(one, net, periods_per_year) for one in seeds]
    sharpes = [ratio for ratio in ratios if not math.isnan(ratio)] or [math.nan]
    turnover, late, ruined = float(played.turnover[net]), returns_of(played.later), played.ruined[net]
    earned = turnover > 0 and means[gross] > 0 and not ruined
    row = Standing(
        label=label,
        forecaster=forecaster,
        rule=rule,
        **{name: scores.get(name, math.nan) for name in ("ic", "r2_os", "crps")},
        gross_sharpe=_sharpe(played, gross, periods_per_year),
        sharpe=verdict.sharpe,
        sharpe_low=verdict.low,
        sharpe_high=verdict.high,
        difference_low=verdict.difference_low,
        difference_high=verdict.difference_high,
        proven=verdict.gain and verdict.beats_benchmark,
        deflated=verdict.deflated,
        mean_return=float(means[net]),
        turnover=turnover,
        break_even_bps=float(means[gross]) / turnover * 1e4 if earned else math.nan,
        break_even_level=break_even_level(means, cost_scales),
        max_drawdown=max_drawdown(played.equity[:, net]),
        later_sharpe=defined_sharpe(late, periods_per_year),
        lost_low=lost_by_delay(played.lived(net), late, periods_per_year)[0],
        ruined=bool(ruined),
        called=bool(played.called[net]),
        seeds=len(seeds),
        sharpe_min=min(sharpes),
        sharpe_max=max(sharpes),
        fold_sharpes=tuple(
            sharpe_ratio(part, periods_per_year)
            for part in np.array_split(played.returns[:, net], folds)
        ),
        level_sharpes=tuple(_sharpe(played, level, periods_per_year) for level in levels),
    )
    return _without_ratios(row) if ruined else row


def _without_ratios(row: Standing) -> Standing:
    """What is left of a lost account: whatever it earned before is lost as well."""
    ratios = ("sharpe", "sharpe_low", "sharpe_high", "difference_low", "difference_high", "deflated")
    undefined: dict[str, Any] = dict.fromkeys(
        (*ratios, "break_even_level", "later_sharpe", "lost_low"), math.nan
    )
    return replace(row, proven=False, **undefined)


def _sharpe(played: Played, level: int, periods_per_year: float) -> float:
    """Annualised, at a level of costs; NaN of a lost account."""
    lost = bool(played.ruined[level])
    return math.nan if lost else defined_sharpe(played.returns[:, level], periods_per_year)


def _mean_return(played: Played, level: int, periods_per_year: float) -> float:
    """A year, at a level of costs; −100 % of a ruined account."""
    lost = bool(played.ruined[level]) and not played.called[level]
    return -1.0 if lost else float(played.returns[:, level].mean()) * periods_per_year


def median_seed(seeds: Sequence[Played], cost_scales: Sequence[float]) -> Played:
    """The one with the median net Sharpe ratio; of an even number the lower middle one.

    A lost account ranks below all others, one that never traded as zero.
    """
    net = cost_scales.index(1.0)

    def rank(one: Played) -> tuple[bool, float]:
        return not one.ruined[net], _or_zero(sharpe_ratio(one.lived(net)))

    ranked = sorted(seeds, key=rank)
    return ranked[(len(ranked) - 1) // 2]


def break_even_level(means: Floats, cost_scales: Sequence[float]) -> float:
    """Level of costs at which the mean return falls to zero, linear between those played."""
    if not means[0] > 0:
        return math.nan
    lost = np.flatnonzero(means <= 0)
    if not len(lost):
        return math.inf
    above, below = int(lost[0]) - 1, int(lost[0])
    share = means[above] / (means[above] - means[below])
    return float(cost_scales[above] + share * (cost_scales[below] - cost_scales[above]))


def max_drawdown(equity: Floats) -> float:
    """Deepest fall below the highest equity so far, as a fraction from 0 to −1, where all is lost."""
    return float(max((equity / np.maximum.accumulate(equity) - 1).min(), -1.0))


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rank correlation of a forecast score with profit across forecasters.

    ``low`` and ``high``: 95 % interval on Fisher's scale with the variance ``(1 + ρ²/2) / (n − 3)``
    (Bonett and Wright 2000, doi:10.1007/BF02294183); NaN below four forecasters, or if either does not
    vary.
    """

    score: str
    forecasters: int
    correlation: float
    low: float
    high: float


def rank_correlation(score: str, values: Sequence[float], profits: Sequence[float]) -> RankCorrelation:
    """Compare forecasters whose score and profit are both defined."""
    pairs = np.array([(v, p) for v, p in zip(values, profits, strict=True) if math.isfinite(v + p)])
    n = len(pairs)
    if n < 4 or min(np.ptp(pairs, axis=0)) == 0:
        return RankCorrelation(score, n, math.nan, math.nan, math.nan)
    rho = float(stats.spearmanr(pairs[:, 0], pairs[:, 1]).statistic)
    reach = stats.norm.ppf(0.975) * math.sqrt((1 + rho**2 / 2) / (n - 3))
    centre = math.atanh(min(max(rho, -1 + 1e-12), 1 - 1e-12))
    return RankCorrelation(score, n, rho, math.tanh(centre - reach), math.tanh(centre + reach))


@dataclass(frozen=True)
class Concordance:
    """How alike the ranks of strategies are in all folds.

    Args:
        ranks: 1 is the best, ``[folds, strategies]``; equal ones share the mean of their places.
        kendall_w: Kendall and Babington Smith's coefficient (1939), corrected for ties: 1 is the same
            ranking in each fold, 0 none at all. NaN with fewer than two folds or strategies.
        mean_correlation: Mean Spearman correlation of two folds.
        p_value: Of rankings that have nothing to do with each other, by the chi-squared approximation.
    """

    ranks: Floats
    kendall_w: float
    mean_correlation: float
    p_value: float


def concordance(scores: Floats) -> Concordance:
    """Rank strategies by their scores ``[folds, strategies]``; NaN (never traded) counts as 0."""
    ranks = np.array([stats.rankdata(-row) for row in np.nan_to_num(scores)])
    folds, n = ranks.shape
    counts = [np.unique(row, return_counts=True)[1] for row in ranks]
    ties = sum(float((c.astype(float) ** 3 - c).sum()) for c in counts)
    most = folds**2 * (n**3 - n) - folds * ties
    if folds < 2 or n < 2 or most <= 0:
        return Concordance(ranks, math.nan, math.nan, math.nan)
    totals = ranks.sum(axis=0)
    w = 12 * float(((totals - totals.mean()) ** 2).sum()) / most
    p = float(stats.chi2.sf(folds * (n - 1) * w, n - 1))
    return Concordance(ranks, w, (folds * w - 1) / (folds - 1), p)


def _or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value
