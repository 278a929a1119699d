"""Scores and ratios against ffn and empyrical-reloaded, in the engines' own environment.

Where the libraries mean the same, they agree to 1e-9; where they mean something else, what turns one
into the other is spelt out here and in docs/metrics.md.
"""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from parity.test_engines import PYTHON, pytestmark

from foretrade.backtests.drawdowns import drawdown_table
from foretrade.backtests.metrics import score_returns
from foretrade.backtests.ratios import drawdowns_of, growth_of, omega, shape_of
from foretrade.backtests.relative import relative_to
from foretrade.backtests.windows import by_period

__all__ = ["pytestmark"]
RTOL = 1e-9
PERIODS = 252.0
SCRIPT = Path(__file__).with_name("ratio_libraries.py")


@pytest.fixture(scope="module")
def data(sp500):
    """Half the index and a noise with drift, beside the index; and the days, the one before included."""
    close = sp500.close[:, 0]
    benchmark = close[1:] / close[:-1] - 1
    returns = 0.5 * benchmark + np.random.default_rng(0).normal(0.0002, 0.006, len(benchmark))
    return pd.Series(returns, sp500.dates[1:]), pd.Series(benchmark, sp500.dates[1:]), sp500.dates


@pytest.fixture(scope="module")
def theirs(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("libraries")
    returns, benchmark, days = data
    arrays = {"returns": returns, "benchmark": benchmark, "days": days.to_numpy(), "periods": PERIODS}
    np.savez(folder / "data.npz", **arrays)
    command = [PYTHON, SCRIPT, folder / "data.npz", folder / "out.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "out.json").read_text())


def test_the_headline_ratios_agree_with_empyrical(data, theirs):
    scores, other = score_returns(data[0], PERIODS), theirs["empyrical"]
    for name in ("cagr", "volatility", "sharpe", "sortino", "calmar", "max_drawdown"):
        assert_allclose(getattr(scores, name), other[name], rtol=RTOL, err_msg=name)


def test_tails_agree_with_empyrical(data, theirs):
    shape, other = shape_of(data[0].to_numpy()), theirs["empyrical"]
    for name in ("value_at_risk", "expected_shortfall", "tail_ratio"):
        assert_allclose(getattr(shape, name), other[name], rtol=RTOL, err_msg=name)
    assert_allclose(omega(data[0].to_numpy()), other["omega"], rtol=RTOL)
    assert_allclose(shape.profit_factor, other["omega"], rtol=RTOL)


def test_ratios_against_the_benchmark_agree_with_empyrical_and_ffn(data, theirs):
    """empyrical compounds alpha, and both leave the information ratio per bar."""
    relative, other = relative_to(data[0].to_numpy(), data[1].to_numpy(), PERIODS), theirs["empyrical"]
    assert_allclose(relative.beta, other["beta"], rtol=RTOL)
    assert_allclose((1 + relative.alpha / PERIODS) ** PERIODS - 1, other["alpha"], rtol=RTOL)
    for library in theirs.values():
        yearly = library["information_ratio_per_bar"] * math.sqrt(PERIODS)
        assert_allclose(relative.information_ratio, yearly, rtol=RTOL)


@pytest.mark.parametrize("period", ["week", "month", "quarter", "year"])
def test_calendar_periods_agree_with_empyrical(data, theirs, period):
    assert_allclose(by_period(data[0], period), theirs["empyrical"][period], rtol=RTOL, atol=1e-14)


def test_drawdowns_agree_with_ffn(data, theirs):
    """ffn ends an open drawdown with the last day; here it has no recovery."""
    table, other = drawdown_table(data[0]), theirs["ffn"]
    assert [str(day.date()) for day in table["start"]] == other["starts"]
    ends = table["recovery"].fillna(data[0].index[-1])
    assert [str(day.date()) for day in ends] == other["ends"]
    assert_allclose(table["depth"], other["depths"], rtol=RTOL)
    assert_allclose(score_returns(data[0], PERIODS).max_drawdown, other["max_drawdown"], rtol=RTOL)


def test_growth_and_ulcer_ratios_agree_with_ffn(data, theirs):
    """ffn's years are calendar days over 365.25, and its ulcer index, in per cent, has n + 1 prices."""
    returns, days = data[0], data[2]
    other, scores = theirs["ffn"], score_returns(data[0], PERIODS)
    years = (days[-1] - days[0]).days / 365.25
    assert_allclose(scores.total_return, other["total_return"], rtol=RTOL)
    assert_allclose((1 + other["cagr_by_days"]) ** years, 1 + scores.total_return, rtol=RTOL)
    drawdowns, n = drawdowns_of(returns, returns.to_numpy(), PERIODS), len(returns)
    ulcer = drawdowns.ulcer_index * math.sqrt(n / (n + 1))
    assert_allclose(ulcer * 100, other["ulcer_index_percent"], rtol=RTOL)
    assert_allclose(other["cagr_by_days"] / ulcer, other["ulcer_performance_by_days"], rtol=RTOL)
    growth = growth_of(returns, start=days[0])
    mine = (growth.three_years, growth.five_years, growth.ten_years)
    for span, rate, by_days in zip((3, 5, 10), mine, other["windows_by_days"], strict=True):
        elapsed = (days[-1] - (days[-1] - pd.DateOffset(years=span))).days / 365.25
        assert_allclose((1 + rate) ** span, (1 + by_days) ** elapsed, rtol=RTOL)
    assert_allclose(growth.best_month, other["best_month"], rtol=RTOL)
    assert_allclose(growth.worst_month, other["worst_month"], rtol=RTOL)
