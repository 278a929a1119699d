"""Every score against an independent formula."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from foretrade.backtests.engine import LEDGER_COLUMNS, Run
from foretrade.backtests.metrics import score_run


def made_run(returns: np.ndarray, *, traded: float = 0.0, ruined: bool = False) -> Run:
    """A run with the given returns and nothing else of interest."""
    equity = 1e6 * np.cumprod(1 + np.asarray(returns, dtype=float))
    days = pd.bdate_range("2014-01-02", periods=len(equity))
    ledger = pd.DataFrame(0.0, index=range(len(equity)), columns=list(LEDGER_COLUMNS)).assign(split=1.0)
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
