"""How many were tried: published numbers, and the expected best of a simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from foretrade.backtests.deflation import (
    deflated_sharpe,
    effective_trials,
    expected_best_sharpe,
    minimum_backtest_length,
)
from foretrade.backtests.significance import probabilistic_sharpe, psr_from_moments


def test_published_deflated_sharpe_ratio():
    """Bailey and López de Prado (2014): SR0 .1132, DSR .9004 for N = 100; .9505 for N = 46."""
    best = expected_best_sharpe(100, 0.5 / 250)
    assert_allclose(best, 0.1132, atol=5e-5)
    sharpe = 2.5 / math.sqrt(250)
    assert_allclose(psr_from_moments(sharpe, best, 1250, -3.0, 10.0), 0.9004, atol=5e-5)
    fewer = expected_best_sharpe(46, 0.5 / 250)
    assert_allclose(psr_from_moments(sharpe, fewer, 1250, -3.0, 10.0), 0.9505, atol=5e-5)
    normal = expected_best_sharpe(88, 0.5 / 250)
    assert_allclose(psr_from_moments(sharpe, normal, 1250, 0.0, 3.0), 0.9505, atol=5e-5)


def test_expected_best_of_ten_and_of_one():
    """Bailey, Borwein, López de Prado and Zhu (2014): E[max of 10] = 1.5746."""
    assert_allclose(expected_best_sharpe(10, 1.0), 1.5746, atol=5e-5)
    assert expected_best_sharpe(1, 1.0) == 0.0


@pytest.mark.parametrize("trials", [10, 100, 1000])
def test_the_expected_best_is_that_of_a_simulation(trials):
    best = np.random.default_rng(0).standard_normal((4000, trials)).max(axis=1)
    assert_allclose(expected_best_sharpe(trials, 1.0), best.mean(), rtol=0.03)
    assert_allclose(expected_best_sharpe(trials, 0.25), best.mean() / 2, rtol=0.03)


def test_five_years_allow_45_trials():
    """Bailey, Borwein, López de Prado and Zhu (2014): more, and a ratio of 1 is to be expected."""
    assert_allclose(minimum_backtest_length(45), 5.0, atol=5e-3)
    assert minimum_backtest_length(46) > 5 > minimum_backtest_length(44)
    assert_allclose(minimum_backtest_length(45, 2.0), minimum_backtest_length(45) / 4)
    assert minimum_backtest_length(1) == 0.0
    for trials in (10, 100, 1000):  # their upper bound
        assert minimum_backtest_length(trials) < 2 * math.log(trials)


def test_more_trials_deflate_more(sp500):
    returns = np.diff(np.log(sp500.close[-1000:, 0]))
    values = [deflated_sharpe(returns, trials, 1e-3) for trials in (1, 10, 100)]
    assert values == sorted(values, reverse=True)
    assert values[0] == probabilistic_sharpe(returns)


@pytest.mark.parametrize(
    ("trials", "variance", "message"),
    [
        (0, 1.0, "whole number from 1 on, got 0"),
        (2.5, 1.0, "whole number"),
        (math.nan, 1.0, "whole number"),
        (math.inf, 1.0, "whole number"),
        (10, -1.0, "variance of the trials"),
        (10, math.nan, "variance of the trials"),
    ],
)
def test_counts_and_variances_that_cannot_be_are_refused(trials, variance, message):
    with pytest.raises(ValueError, match=message):
        deflated_sharpe(np.arange(30.0), trials, variance)


def test_a_missing_return_is_refused():
    with pytest.raises(ValueError, match="nan in row 1"):
        deflated_sharpe(np.array([0.1, np.nan, 0.2]), 10, 1.0)
    with pytest.raises(ValueError, match="trial 1 holds nan in row 2"):
        effective_trials(np.array([[0.1, 0.2], [0.3, 0.2], [0.1, np.nan]]))
    with pytest.raises(ValueError, match="sharpe must be positive"):
        minimum_backtest_length(10, 0.0)


@given(st.integers(2, 8), st.integers(0, 1000))
def test_effective_trials_are_the_average_correlation_between_one_and_all(trials, seed):
    rng = np.random.default_rng(seed)
    returns = rng.normal(size=(50, trials)) + rng.uniform(0, 3) * rng.normal(size=(50, 1))
    correlations = np.corrcoef(returns.T)[np.triu_indices(trials, 1)]
    average = min(max(correlations.mean(), 0.0), 1.0)
    assert effective_trials(returns) == math.ceil(average + (1 - average) * trials - 1e-9)


def test_copies_are_one_trial_and_what_never_traded_is_one_more():
    returns = np.random.default_rng(0).normal(size=(100, 1))
    assert effective_trials(np.repeat(returns, 7, axis=1)) == 1
    assert effective_trials(returns) == 1
    assert effective_trials(np.column_stack([returns, np.zeros(100)])) == 2
    assert effective_trials(np.column_stack([returns, -returns])) == 2


def test_effective_trials_are_conservative():
    """The best of correlated trials is not expected to be better than that of the effective number."""
    rng = np.random.default_rng(1)
    for rho in (0.2, 0.5, 0.9):
        together, alone = rng.standard_normal((4000, 1)), rng.standard_normal((4000, 50))
        ratios = math.sqrt(rho) * together + math.sqrt(1 - rho) * alone
        best = ratios.max(axis=1).mean()
        assert best <= expected_best_sharpe(effective_trials(ratios), 1.0) + 0.05
