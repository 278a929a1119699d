"""Every score against an independent formula, and significance against published numbers."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from foretrade.backtests.engine import LEDGER_COLUMNS, Run
from foretrade.backtests.metrics import score_run
from foretrade.backtests.significance import (
    deflated_sharpe,
    expected_best_sharpe,
    probabilistic_sharpe,
    psr_from_moments,
    sharpe_interval,
    sharpe_ratio,
)


def made_run(returns: np.ndarray, *, traded: float = 0.0, ruined: bool = False) -> Run:
    """A run with the given returns and nothing else of interest."""
    equity = 1e6 * np.cumprod(1 + np.asarray(returns, dtype=float))
    days = pd.bdate_range("2014-01-02", periods=len(equity))
    ledger = pd.DataFrame(0.0, index=range(len(equity)), columns=list(LEDGER_COLUMNS))
    stamps = (days + pd.Timedelta(hours=21)).tz_localize("UTC")
    ledger["closes_at"], ledger["decided_at"], ledger["date"] = stamps, stamps, days
    before = np.concatenate([[1e6], equity[:-1]])
    ledger["equity"], ledger["traded"] = equity, traded * before
    ledger["price_pnl"] = equity - before
    ledger["close"] = 1.0
    ledger["ruined"] = [False] * (len(equity) - 1) + [ruined]
    return Run("made", 1e6, ledger)


@pytest.mark.parametrize("periods", [252.0, 52.0, 12.0])
def test_scores_agree_with_independent_formulas(sp500, periods):
    close = sp500.close[:, 0]
    returns = close[1:] / close[:-1] - 1
    scores = score_run(made_run(returns, traded=0.1), periods)
    wealth = np.concatenate([[1.0], np.cumprod(1 + returns)])
    n = len(returns)
    cagr = wealth[-1] ** (periods / n) - 1
    drawdown = (wealth / np.maximum.accumulate(wealth) - 1).min()
    downside = math.sqrt((np.minimum(returns, 0) ** 2).sum() / n)
    expected = {
        "total_return": wealth[-1] - 1,
        "cagr": cagr,
        "volatility": returns.std(ddof=1) * math.sqrt(periods),
        "sharpe": returns.mean() / returns.std(ddof=1) * math.sqrt(periods),
        "gross_sharpe": returns.mean() / returns.std(ddof=1) * math.sqrt(periods),
        "sortino": returns.mean() / downside * math.sqrt(periods),
        "max_drawdown": drawdown,
        "calmar": cagr / -drawdown,
        "turnover": 0.1 * periods,
    }
    for name, value in expected.items():
        assert_allclose(getattr(scores, name), value, rtol=1e-9, err_msg=name)


def test_the_index_has_the_published_numbers(sp500):
    """CAGR 3.64 %, volatility 19.10 %, Sharpe 0.2827, drawdown −56.8 % over 1999-2018."""
    close = sp500.close[:, 0]
    scores = score_run(made_run(close[1:] / close[:-1] - 1), 252.0)
    assert_allclose(
        [scores.cagr, scores.volatility, scores.sharpe, scores.max_drawdown],
        [0.0364, 0.1910, 0.2827, -0.568],
        atol=5e-4,
    )
    assert scores.sharpe_low < 0 < scores.sharpe_high


def test_a_drawdown_that_begins_on_the_first_bar_counts():
    returns = np.concatenate([[-0.2], np.tile([0.001, 0.002], 20)])
    assert_allclose(score_run(made_run(returns), 252.0).max_drawdown, -0.2, rtol=1e-12)


@pytest.mark.parametrize("returns", [np.zeros(100), np.full(100, -1e-4), np.full(10, 0.01)])
def test_what_does_not_vary_or_is_too_short_is_undefined(returns):
    scores = score_run(made_run(returns), 252.0)
    assert math.isnan(scores.sharpe)
    assert math.isnan(scores.sharpe_low)
    assert math.isnan(scores.calmar)
    assert scores.as_dict()["sharpe"] is None
    assert_allclose(scores.total_return, np.prod(1 + returns) - 1, rtol=1e-9)


def test_a_ruined_account_loses_all_and_no_more():
    returns = np.concatenate([np.tile([0.01, -0.01], 20), [-1.5]])
    scores = score_run(made_run(returns, ruined=True), 252.0)
    assert scores.ruined
    assert scores.max_drawdown == -1.0
    assert scores.cagr == -1.0


def test_published_probabilistic_sharpe_ratios():
    """Bailey and López de Prado (2012), 24 monthly returns: .982 if Normal, .913 as they are."""
    assert_allclose(psr_from_moments(0.458, 0.0, 24, 0.0, 3.0), 0.982, atol=5e-4)
    assert_allclose(psr_from_moments(0.458, 0.0, 24, -2.448, 10.164), 0.913, atol=5e-4)


def test_published_deflated_sharpe_ratio():
    """Bailey and López de Prado (2014): SR0 .1132, DSR .9004 for N = 100; .9505 for N = 46."""
    best = expected_best_sharpe(100, 0.5 / 250)
    assert_allclose(best, 0.1132, atol=5e-5)
    sharpe = 2.5 / math.sqrt(250)
    assert_allclose(psr_from_moments(sharpe, best, 1250, -3.0, 10.0), 0.9004, atol=5e-5)
    fewer = expected_best_sharpe(46, 0.5 / 250)
    assert_allclose(psr_from_moments(sharpe, fewer, 1250, -3.0, 10.0), 0.9505, atol=5e-5)


def test_expected_best_of_ten_and_of_one():
    """Bailey, Borwein, López de Prado and Zhu (2014): E[max of 10] = 1.5746."""
    assert_allclose(expected_best_sharpe(10, 1.0), 1.5746, atol=5e-5)
    assert expected_best_sharpe(1, 1.0) == 0.0


def test_more_trials_deflate_more(sp500):
    returns = np.diff(np.log(sp500.close[-1000:, 0]))
    values = [deflated_sharpe(returns, trials, 1e-3) for trials in (1, 10, 100)]
    assert values == sorted(values, reverse=True)
    assert values[0] == probabilistic_sharpe(returns)


def test_the_bootstrap_interval_covers_what_theory_says():
    """For independent returns the standard error of a Sharpe ratio is √((1 + SR²/2)/n)."""
    returns = np.random.default_rng(0).normal(0.05, 1.0, 2000)
    low, high = sharpe_interval(returns, 1.0)
    width = 2 * 1.96 * math.sqrt((1 + sharpe_ratio(returns) ** 2 / 2) / 2000)
    assert_allclose(high - low, width, rtol=0.1)
    assert low < sharpe_ratio(returns) < high
