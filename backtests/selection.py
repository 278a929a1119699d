"""How far the best of several settings leads by luck, if all are equally good."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from foretrade.markets.arrays import Floats

DRAWS = 4000


@dataclass(frozen=True)
class Lead:
    """Of the best setting over the median one, each scored by the median of its seeds.

    Args:
        score: Of the best.
        median: Of all scores.
        seed_std: Standard deviation between the seeds of one setting; NaN for a single seed or setting.
        by_luck: Lead to expect if all settings were equally good and only their seeds differed.
        p_value: Chance of a lead as large as this one, in units of ``seed_std``, by that luck.
    """

    score: float
    median: float
    seed_std: float
    by_luck: float
    p_value: float


def lead_of_the_best(scores: Floats, *, seed: int = 0, draws: int = DRAWS) -> Lead:
    """How far the best setting leads, and how far it would by the luck of its seeds alone.

    Under the null, ``score = common + effect of the seed + normal error``: what all settings owe to a
    seed is taken out first. The standard deviation is that of a two-way layout without replication,
    ``(settings − 1)(seeds − 1)`` degrees of freedom; the lead over it has, under the null, a
    distribution without unknowns, which is drawn here. So the p-value is exact for normal errors of
    equal variance, however few seeds there are. It says nothing of the luck of the bars, which all
    settings share.

    Args:
        scores: ``[settings, seeds]``, the same seeds for every setting.
        seed: Of the draws.
        draws: Their number.

    Raises:
        ValueError: A score is not finite, or there is none.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise ValueError("give finite scores [settings, seeds], at least one")
    medians = np.median(table, axis=1)
    best, middle = float(medians.max()), float(np.median(medians))
    if min(table.shape) < 2:
        return Lead(best, middle, math.nan, math.nan, math.nan)
    lead, spread = (float(found[0]) for found in _lead_and_spread(table[None]))
    noise = np.random.default_rng(seed).normal(size=(draws, *table.shape))
    leads, spreads = _lead_and_spread(noise)
    as_large = np.count_nonzero(leads * spread >= lead * spreads)
    by_luck = float(leads.mean()) * spread
    return Lead(best, middle, spread, by_luck, (1 + as_large) / (1 + draws))


def _lead_and_spread(tables: Floats) -> tuple[Floats, Floats]:
    """Lead of the best, standard deviation between seeds; of tables ``[tables, settings, seeds]``."""
    _, settings, seeds = tables.shape
    alike = tables - tables.mean(axis=1, keepdims=True)
    medians = np.median(alike, axis=2)
    errors = alike - alike.mean(axis=2, keepdims=True)
    spread = np.sqrt((errors**2).sum(axis=(1, 2)) / ((settings - 1) * (seeds - 1)))
    return medians.max(axis=1) - np.median(medians, axis=1), spread
