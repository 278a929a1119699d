"""What luck alone does to the best of many, known by independent routes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from foretrade.backtests.deflation import expected_best_sharpe
from foretrade.backtests.selection import lead_of_the_best


def equal(rng, settings, seeds, std=0.3):
    return 0.7 + rng.normal(0, std, (settings, seeds))


@pytest.mark.parametrize("settings", [10, 30])
def test_the_lead_by_luck_is_the_expected_maximum(settings):
    """Two seeds: their median is their mean, of variance σ²/2, and the formula of the maximum holds."""
    found = lead_of_the_best(equal(np.random.default_rng(0), settings, 2), draws=20_000)
    formula = expected_best_sharpe(settings, found.seed_std**2 / 2)
    assert found.by_luck == pytest.approx(formula, rel=0.05)


@pytest.mark.parametrize("seeds", [2, 3])
def test_p_values_of_equal_settings_are_uniform(seeds):
    rng = np.random.default_rng(1)
    seen = [
        lead_of_the_best(equal(rng, 4, seeds), seed=number, draws=500).p_value for number in range(800)
    ]
    assert stats.kstest(seen, "uniform").pvalue > 0.01


def test_the_spread_between_seeds_is_measured_and_a_better_setting_found():
    rng = np.random.default_rng(2)
    scores = equal(rng, 200, 3, std=0.3)
    assert lead_of_the_best(scores).seed_std == pytest.approx(0.3, rel=0.1)
    assert lead_of_the_best(scores).p_value > 0.05
    scores[17] += 2.0
    found = lead_of_the_best(scores)
    assert found.p_value < 0.001
    assert found.score == pytest.approx(np.median(scores[17]))
    assert found.median == pytest.approx(np.median(np.median(scores, axis=1)))


@pytest.mark.parametrize("seeds", [2, 3])
def test_what_all_settings_owe_to_a_seed_is_no_luck(seeds):
    scores = equal(np.random.default_rng(3), 12, seeds)
    plain, shifted = lead_of_the_best(scores), lead_of_the_best(scores + 5.0 * np.arange(seeds))
    assert shifted.p_value == plain.p_value
    assert shifted.seed_std == pytest.approx(plain.seed_std)
    assert shifted.by_luck == pytest.approx(plain.by_luck)


def test_one_seed_or_one_setting_says_nothing_of_luck():
    for table in ([[0.3], [0.5]], [[0.3, 0.5, 0.9]]):
        found = lead_of_the_best(np.array(table))
        assert found.score == 0.5
        assert math.isnan(found.p_value)
        assert math.isnan(found.by_luck)


def test_settings_that_are_all_the_same_do_not_lead():
    found = lead_of_the_best(np.full((4, 3), 0.25))
    assert (found.score, found.by_luck, found.p_value) == (0.25, 0.0, 1.0)


@pytest.mark.parametrize("table", [[[0.1, math.nan]], [], [0.1, 0.2]])
def test_what_cannot_be_compared_is_refused(table):
    with pytest.raises(ValueError, match="finite scores"):
        lead_of_the_best(np.array(table))
