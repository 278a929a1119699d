"""The one decision: an edge, or luck."""

from __future__ import annotations

import math

import numpy as np
import pytest

from foretrade.backtests.deflation import deflated_sharpe
from foretrade.backtests.significance import (
    minimum_track_record,
    probabilistic_sharpe,
    sharpe_difference,
    sharpe_error,
    sharpe_interval,
    sharpe_ratio,
)
from foretrade.backtests.trials import Trials
from foretrade.backtests.verdict import CONFIDENCE, MIN_ACTIVE, judge

ALONE = Trials(1, 0.0)
GAIN = np.random.default_rng(0).normal(0.002, 0.01, 1000)
OTHER = np.random.default_rng(1).normal(0.0, 0.01, 1000)


def test_its_numbers_are_those_of_the_tests_one_by_one():
    found = judge(GAIN, OTHER, Trials(10, 1e-4), 252.0)
    difference = sharpe_difference(GAIN, OTHER, 252.0)
    assert found.sharpe == sharpe_ratio(GAIN, 252.0)
    assert (found.low, found.high) == sharpe_interval(GAIN, 252.0)
    assert found.error == sharpe_error(GAIN, 252.0)
    assert found.needed_bars == minimum_track_record(GAIN)
    assert found.deflated == deflated_sharpe(GAIN, 10, 1e-4)
    assert (found.difference_low, found.difference_high) == (difference.low, difference.high)


@pytest.mark.parametrize(
    ("returns", "benchmark", "trials", "words"),
    [
        (OTHER, GAIN, ALONE, "No edge after costs"),
        (GAIN, OTHER, Trials(10_000, 1.0), "No edge after costs"),
        (GAIN, 2 * GAIN, ALONE, "A gain after costs that luck does not explain, but no proven edge"),
        (GAIN, OTHER, ALONE, "An edge over the benchmark, after costs"),
        (GAIN, OTHER, Trials(1, 0.0, whole=False), "A gain after costs, but the record of trials is"),
        (OTHER, GAIN, Trials(1, 0.0, whole=False), "No edge after costs"),
        (np.zeros(1000), OTHER, ALONE, "No edge after costs"),
        (GAIN[:10], OTHER[:10], ALONE, "No edge after costs"),
    ],
)
def test_every_case_has_its_words(returns, benchmark, trials, words):
    found = judge(returns, benchmark, trials, 252.0)
    assert found.finding().startswith(words)
    assert found.edge == words.startswith(("A gain after costs that", "An edge"))


def test_a_doubt_comes_first_and_takes_the_place_of_a_gain():
    for benchmark, trials in ((OTHER, ALONE), (2 * GAIN, ALONE), (OTHER, Trials(1, 0.0, whole=False))):
        assert judge(GAIN, benchmark, trials, 252.0).finding("It leaks") == "It leaks"
    nothing = judge(OTHER, GAIN, ALONE, 252.0).finding("It leaks")
    assert nothing == "It leaks. No edge after costs"


def test_what_does_not_vary_or_is_too_short_is_undefined():
    for returns in (np.zeros(1000), GAIN[:19]):
        found = judge(returns, OTHER[: len(returns)], ALONE, 252.0)
        numbers = (found.sharpe, found.low, found.high, found.deflated, found.difference_low)
        numbers += (found.error, found.needed_bars)
        assert all(map(math.isnan, numbers))
        assert not found.edge
        assert not found.beats_benchmark


@pytest.mark.parametrize("active", [1, 2, 3, 5, 20])
def test_few_bars_of_noise_are_no_edge(active):
    """However lucky: of 100 each, a test at its nominal rate may find five."""
    for seed in range(100):
        returns, rng = np.zeros(1000), np.random.default_rng([seed, active])
        returns[rng.choice(1000, active, replace=False)] = rng.normal(0, 0.01, active)
        if probabilistic_sharpe(returns) > CONFIDENCE:  # the others are quicker told
            assert not judge(returns, OTHER, Trials(1, 1e-3), 252.0).edge


def test_many_bars_of_noise_are_an_edge_as_seldom_as_the_tests_say():
    declared = 0
    for seed in range(300):
        returns, rng = np.zeros(1000), np.random.default_rng([seed, 77])
        returns[rng.choice(1000, MIN_ACTIVE, replace=False)] = rng.normal(0, 0.01, MIN_ACTIVE)
        if probabilistic_sharpe(returns) > CONFIDENCE:
            declared += judge(returns, OTHER, Trials(1, 1e-3), 252.0).edge
    assert 1 <= declared <= 15  # 2.5 % of 300 are 7.5


def test_too_few_bars_are_told():
    few, none = np.zeros(1000), OTHER.copy()
    few[::100] = np.linspace(0.01, 0.02, 10)
    found = judge(few, OTHER, ALONE, 252.0)
    assert found.low > 0
    assert found.deflated > CONFIDENCE
    assert found.finding() == (
        "No edge after costs, as too few bars gain or lose to tell (10; 50 are needed)"
    )
    none[::100] += np.linspace(0.01, 0.02, 10)
    apart = judge(GAIN + none - OTHER, GAIN, ALONE, 252.0)
    assert apart.edge
    assert not apart.beats_benchmark
    assert apart.finding().endswith(
        "no proven edge over the benchmark, as too few bars differ from it to tell (10; 50 are needed)"
    )


def test_more_trials_never_make_an_edge():
    edges = [judge(GAIN, OTHER, Trials(n, 1e-3), 252.0).edge for n in (1, 2, 5, 50, 5000)]
    assert edges == sorted(edges, reverse=True)
    assert edges[0]
    assert not edges[-1]


def test_returns_that_are_not_finite_or_not_as_long_are_refused():
    with pytest.raises(ValueError, match="holds nan in row 3"):
        judge(np.where(np.arange(1000) == 3, np.nan, GAIN), OTHER, ALONE, 252.0)
    with pytest.raises(ValueError, match="returns or more of the same bars"):
        judge(GAIN, OTHER[:-1], ALONE, 252.0)
