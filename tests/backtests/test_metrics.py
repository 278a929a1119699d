"""What quantstats may be given, and what a reader is told when it cannot be: one test a fault.

The table in docs/metrics.md names these tests; most show quantstats' fault beside what is done here.
"""

from __future__ import annotations

import math
import re
import socket
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from foretrade.agents.baselines import Constant
from foretrade.backtests.alarms import IDEALISED_FILLS
from foretrade.backtests.charts import equity_chart, relative_equity
from foretrade.backtests.drawdowns import drawdown_table
from foretrade.backtests.engine import LEDGER_COLUMNS, Run, run
from foretrade.backtests.league import Strategy, league_frame, league_rows, spreadsheet_safe
from foretrade.backtests.metrics import score_returns, score_run
from foretrade.backtests.ratios import ratios_of
from foretrade.backtests.returns import by_day, by_exchange_day, checked_returns, joined, until_ruin
from foretrade.backtests.tearsheet import otherwise, undrawable, write_tearsheet
from foretrade.backtests.windows import by_period, month_table, trailing_return
from foretrade.envs.market import MarketEnv
from foretrade.markets.bars import DataError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import quantstats.stats as qs


def days(count, first="2014-01-02"):
    return pd.bdate_range(first, periods=count, name="date")


def normal(count=300, seed=0, mean=0.0005):
    return pd.Series(np.random.default_rng(seed).normal(mean, 0.01, count), days(count))


def made_run(returns, name="made", closes_at=None, timezone="America/New_York"):
    """A run with these returns by date, and nothing else of interest."""
    values = np.asarray(returns, dtype=float)
    index = days(len(values)) if not isinstance(returns, pd.Series) else returns.index
    stamps = (index + pd.Timedelta(hours=16)).tz_localize(timezone).tz_convert("UTC")
    stamps = stamps if closes_at is None else closes_at
    equity = 1e6 * np.cumprod(1 + values)
    ledger = pd.DataFrame(0.0, index=range(len(values)), columns=list(LEDGER_COLUMNS)).assign(split=1.0)
    ledger["closes_at"], ledger["date"] = (
        stamps,
        stamps.tz_convert(timezone).tz_localize(None).normalize(),
    )
    ledger["decided_at"] = stamps - pd.Timedelta(days=1)
    ledger["equity"], ledger["close"], ledger["units"] = equity, 1.0, equity
    ledger["ruined"] = equity <= 0
    return Run(name, 1e6, ledger)


# what is no series of returns


def test_prices_are_refused(sp500):
    """quantstats: an equity that falls from 1 to 0.6 has a Sharpe ratio above 100."""
    falling = pd.Series(np.linspace(1.0, 0.6, 300), days(300))
    assert qs.sharpe(falling, periods=252) > 50
    exchange_rate = pd.Series(0.7 * np.exp(np.cumsum(normal(mean=0.0))), days(300))
    touching_zero = pd.Series(1e6 - 4e3 * np.arange(300.0), days(300))
    prices = [falling, exchange_rate, touching_zero, pd.Series(sp500.close[:500, 0], days(500))]
    for series in prices:
        with pytest.raises(DataError, match="these are prices or equity, not returns"):
            score_returns(series, 252)


@pytest.mark.parametrize("scale", [1e-5, 1.0, 30.0])
def test_returns_of_every_size_pass(scale):
    returns = (normal() * scale).clip(lower=-0.99)
    assert checked_returns(returns).equals(returns)
    interest = pd.Series(1e-4, days(300))
    assert score_returns(interest, 252).cagr == pytest.approx(1.0001**252 - 1)


def test_gains_of_more_than_all_are_not_taken_for_prices():
    """quantstats: returns of which none is negative and one above 100 % are read as prices."""
    returns = np.concatenate([np.tile([0.01, 0.02], 30), [1.5]])
    series = pd.Series(returns, days(61))
    expected = returns.mean() / returns.std(ddof=1) * math.sqrt(252)
    assert abs(qs.sharpe(series, periods=252) - expected) > 0.1
    scores = score_run(made_run(series), 252)
    assert_allclose(scores.sharpe, expected, rtol=1e-9)
    assert_allclose(scores.volatility, returns.std(ddof=1) * math.sqrt(252), rtol=1e-9)
    assert_allclose(scores.cagr, np.prod(1 + returns) ** (252 / 61) - 1, rtol=1e-9)
    assert scores.max_drawdown == 0.0
    assert "take that for prices" in undrawable(made_run(series), made_run(normal(61)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda r: r.tz_localize("Asia/Tokyo"),
            r"the index is in Asia/Tokyo; use the exchange's own day",
        ),
        (
            lambda r: r.reset_index(drop=True),
            "the index must be a DatetimeIndex of days, not RangeIndex",
        ),
        (lambda r: r.set_axis(r.index + pd.Timedelta(hours=9)), "holds times of day"),
        (lambda r: r[::-1], "days must ascend, each once"),
        (lambda r: pd.concat([r.iloc[:1], r]), "days must ascend, each once"),
        (lambda r: r.where(r.index != r.index[7]), "the value of 2014-01-13 is not finite"),
        (lambda r: r.replace(r.iloc[3], np.inf), "the value of 2014-01-07 is not finite"),
        (lambda r: r.iloc[:0], "give numbers, at least one; got 0"),
        (lambda r: r.astype(str), "give numbers, at least one; got 300 of"),
        (lambda r: r.to_frame(), "give one pandas Series, not a DataFrame"),
        (lambda r: r.to_numpy(), "give one pandas Series, not a ndarray"),
    ],
)
def test_what_is_no_series_of_daily_returns_is_refused(change, message):
    with pytest.raises(DataError, match=f"^returns: .*{message}"):
        score_returns(change(normal()), 252)
    with pytest.raises(DataError, match=f"^benchmark: .*{message}"):
        score_returns(normal(), 252, benchmark=change(normal()))


@pytest.mark.parametrize(
    "compound",
    [
        by_day,
        lambda r: by_exchange_day(r.tz_localize("UTC"), "Asia/Tokyo"),
        lambda r: by_period(r, "month"),
        month_table,
        lambda r: trailing_return(r, 1),
        drawdown_table,
    ],
)
def test_a_gap_is_no_return_of_zero(compound):
    """pandas leaves NaN out of products."""
    with pytest.raises(DataError, match="the value of 2014-01-13.* is not finite; give it, or leave"):
        compound(normal().where(normal().index != normal().index[7]))


def test_drawdowns_need_their_order():
    with pytest.raises(DataError, match="days must ascend"):
        drawdown_table(normal()[::-1])


def test_a_benchmark_by_name_is_refused_and_nothing_is_downloaded(monkeypatch):
    """quantstats: a string is a ticker that it fetches, and without network beta is 0."""

    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(DataError, match="benchmark: 'SPY' is a name, and nothing is downloaded"):
        score_returns(normal(), 252, benchmark="SPY")


@pytest.mark.parametrize("periods", [0.0, -252.0, math.nan, math.inf])
def test_periods_must_be_given_and_positive(periods):
    with pytest.raises(ValueError, match="periods_per_year must be positive"):
        score_returns(normal(), periods)


def test_the_callers_series_is_left_alone():
    """quantstats: takes the timezone of its caller's index away."""
    returns = normal()
    before = returns.copy()
    score_returns(returns, 252, benchmark=returns)
    pd.testing.assert_series_equal(returns, before)


# what is too short, flat or ruined


def test_a_flat_strategy_against_a_benchmark_is_undefined():
    """quantstats: the Sharpe ratio of a strategy that does not vary is −1e17, its tear sheet crashes."""
    flat = pd.Series(-1e-4, days(300))
    assert abs(qs.sharpe(flat, periods=252)) > 1e10
    scores = score_returns(flat, 252, benchmark=normal())
    assert math.isnan(scores.sharpe)
    assert math.isnan(scores.sortino)
    assert scores.relative.beta == pytest.approx(0.0, abs=1e-9)
    assert math.isnan(scores.relative.treynor)
    assert math.isnan(score_returns(normal(), 252, benchmark=flat).relative.beta)


@pytest.mark.parametrize("count", [1, 2, 5, 19])
def test_fewer_than_twenty_bars_are_undefined(count):
    scores = score_returns(normal(count), 252, benchmark=normal(count, seed=1))
    undefined = ("cagr", "volatility", "sharpe", "sortino", "calmar", "max_drawdown")
    assert all(math.isnan(getattr(scores, name)) for name in undefined)
    assert math.isnan(scores.relative.beta)
    assert scores.total_return == pytest.approx(np.prod(1 + normal(count)) - 1)


def test_a_run_that_loses_more_than_all_has_lost_all():
    returns = normal().copy()
    returns.iloc[-1] = -3.0
    run = made_run(returns, "ruined")
    scores = score_run(run, 252.0)
    assert scores.ruined
    assert (scores.total_return, scores.max_drawdown, run.returns.iloc[-1]) == (-1.0, -1.0, -1.0)
    assert run.equity.iloc[-1] < 0  # what is owed stays in the books
    assert relative_equity(run).iloc[-1] == 0.0
    assert "Ruin, where the line ends: ruined on" in equity_chart({"ruined": run}, {}, []).note


def test_few_bars_have_no_ratios():
    run, other = made_run(normal().iloc[:15]), made_run(normal(seed=2).iloc[:15], "other")
    ratios = ratios_of(run, other, 252.0)
    assert math.isnan(ratios.exposure.risk_adjusted_return)
    assert math.isnan(ratios.relative.excess_return)


def test_what_comes_after_ruin_is_left_out_and_ruin_is_marked():
    """quantstats: two losses of 150 % make a CAGR of −3 %, for equity flips its sign back."""
    values = normal().to_numpy().copy()
    values[[40, 80]] = -1.5
    returns = pd.Series(values, days(300))
    assert qs.cagr(returns, periods=252) > -1
    scores = score_returns(returns, 252)
    assert scores.ruined_on == days(300)[40]
    assert (scores.bars, scores.total_return, scores.cagr, scores.max_drawdown) == (41, -1.0, -1.0, -1.0)
    kept, ruined_on = until_ruin(normal())
    assert ruined_on is None
    assert len(kept) == 300


# other dates, frequencies and timezones


def test_a_benchmark_with_other_dates_spans_the_same_time():
    """Returns over a gap are compounded, so that both columns span the same time."""
    full = normal(100)
    gappy = (1 + normal(100, seed=1)).cumprod().drop(days(100)[[30, 31, 60]]).pct_change().iloc[1:]
    both = joined(full, gappy.loc[: days(100)[80]])
    assert both.index.equals(gappy.loc[: days(100)[80]].index)
    wealth = (1 + full).cumprod().to_numpy()
    at = full.index.get_indexer(both.index)
    before = np.concatenate([[at[0] - 1], at[:-1]])  # the close before, of those that both have
    assert_allclose(both["strategy"], wealth[at] / wealth[before] - 1, rtol=1e-9)
    assert_allclose(both["benchmark"], gappy.loc[both.index], rtol=0)
    again = joined(both["benchmark"], full)
    assert_allclose(again["benchmark"], both["strategy"], rtol=1e-15)


def test_a_benchmark_with_a_gap_does_not_change_what_it_is():
    """quantstats: a beta of 0.993 and an information ratio against itself, for it fills and shifts."""
    full = normal(1500)
    wealth = (1 + full).cumprod()
    gappy = wealth.drop(full.index[[200, 201, 700]]).pct_change().iloc[1:]
    assert abs(qs.greeks(full, gappy.iloc[:1000], periods=252)["beta"] - 1) > 0.005
    relative = score_returns(full, 252, benchmark=gappy).relative
    assert relative.bars == 1500 - 4
    assert_allclose([relative.beta, relative.correlation], 1.0, rtol=1e-12)
    assert relative.alpha == pytest.approx(0.0, abs=1e-12)
    assert relative.tracking_error == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("gap", ["weekly", "holidays"])
def test_against_a_benchmark_with_fewer_bars_a_year_is_annualised_by_those(gap):
    """As if both had been by week, or without the holidays, from the start."""
    market = normal(1041).set_axis(days(1041, "2014-01-03"))  # from a Friday to a Friday
    mine = 0.5 * market + normal(1041, seed=1).to_numpy()
    keep = market.index[::5] if gap == "weekly" else market.index.delete(np.arange(20, 1020, 20))
    ends = keep[keep.searchsorted(market.index)]
    mine_less, market_less = ((1 + series).groupby(ends).prod() - 1 for series in (mine, market))
    periods = 252 * (len(keep) - 1) / 1040
    exact = vars(score_returns(mine_less, periods, benchmark=market_less).relative)
    assert vars(score_returns(mine, 252, benchmark=market_less).relative) == pytest.approx(exact)
    assert vars(score_returns(mine_less, periods, benchmark=market).relative) == pytest.approx(exact)
    runs = made_run(mine, "mine"), made_run(market_less, "market")
    assert vars(ratios_of(*runs, 252).relative) == pytest.approx(exact)


def test_a_benchmark_without_a_common_day_is_refused():
    later = normal(50).set_axis(days(50, "2020-01-01"))
    with pytest.raises(DataError, match="no day in common: the strategy runs from 2014-01-02 to"):
        score_returns(normal(50), 252, benchmark=later)


@pytest.mark.parametrize(("code", "periods"), [("W-FRI", 52), ("ME", 12)])
def test_weekly_and_monthly_bars_have_their_own_periods(code, periods):
    """quantstats: assumes 252 bars a year wherever it is not told."""
    index = pd.date_range("2000-01-07", periods=200, freq=code)
    returns = pd.Series(np.random.default_rng(1).normal(0.004, 0.02, 200), index)
    scores = score_returns(returns, periods)
    growth = float(np.prod(1 + returns)) ** (periods / 200) - 1
    assert_allclose(scores.cagr, growth, rtol=1e-9)
    assert qs.cagr(returns) > 2 * growth
    assert_allclose(scores.sharpe, returns.mean() / returns.std() * math.sqrt(periods), rtol=1e-9)


def test_a_day_in_tokyo_is_tokyos():
    """quantstats: turns a timezone into UTC, and Tokyo's days shift."""
    local = days(300).tz_localize("Asia/Tokyo")
    returns = pd.Series(normal().to_numpy(), local)
    shift = qs.monthly_returns(returns) - qs.monthly_returns(normal())
    assert shift.abs().max().max() > 0.01
    daily = by_exchange_day(returns, "Asia/Tokyo")
    assert daily.index.equals(days(300))
    assert_allclose(daily, normal(), rtol=0, atol=1e-15)
    in_utc = by_exchange_day(returns.tz_convert("UTC"), "Asia/Tokyo")
    pd.testing.assert_series_equal(in_utc, daily)
    assert not by_exchange_day(returns, "UTC").index.equals(days(300))
    with pytest.raises(DataError, match="stamps are naive"):
        by_exchange_day(normal(), "Asia/Tokyo")


def test_intraday_returns_are_compounded_by_exchange_day():
    local = [day + pd.Timedelta(hours=hour) for day in days(50) for hour in (10, 12, 15)]
    hours = pd.DatetimeIndex(local).tz_localize("Asia/Tokyo").tz_convert("UTC")
    returns = pd.Series(np.random.default_rng(0).normal(0, 0.005, 150), hours)
    daily = by_exchange_day(returns, "Asia/Tokyo")
    assert_allclose(daily, (1 + returns.to_numpy()).reshape(50, 3).prod(axis=1) - 1, rtol=1e-12)
    assert score_returns(daily, 250).bars == 50


# tear sheets


def test_a_tear_sheet_says_which_of_its_numbers_are_not_the_reports(tmp_path):
    path = tmp_path / "sheet.html"
    run = made_run(normal())
    assert sheet(run, path)
    page = path.read_text()
    assert "onload" not in page
    assert " ".join(otherwise(run, 252)).split("; ")[0] in page
    assert IDEALISED_FILLS not in page
    assert sheet(Run("same", 1e6, run.ledger, fill="same_close"), path)
    assert IDEALISED_FILLS in path.read_text()


def sheet(strategy, path, benchmark=None, periods=252.0, title="x"):
    other = benchmark or made_run(normal(seed=9), "benchmark")
    return write_tearsheet(strategy, other, path, title=title, periods_per_year=periods)


@pytest.mark.parametrize(("code", "periods"), [("W-FRI", 52), ("ME", 12)])
def test_tear_sheets_of_weeks_and_months(code, periods, tmp_path):
    index = pd.date_range("2010-01-08", periods=60, freq=code)
    values = np.random.default_rng(0).normal(0.004, 0.02, (2, 60))
    strategy, market = (made_run(pd.Series(v, index), n) for v, n in zip(values, "ab", strict=True))
    assert undrawable(strategy, market) == ""
    assert sheet(strategy, tmp_path / "sheet.html", market, periods)


def test_a_tear_sheet_of_a_ruined_run_beside_a_benchmark_with_other_dates(tmp_path):
    returns = normal(120)
    returns.iloc[-1] = -1.5
    path, market = tmp_path / "sheet.html", made_run(normal().drop(days(300)[[10, 20]]), "market")
    assert sheet(made_run(returns, "ruined"), path, market)
    assert "-100.0%" in path.read_text()


def test_why_there_is_no_tear_sheet_is_told(tmp_path):
    """quantstats: a tear sheet of returns that do not vary crashes, and one of a single day is drawn."""
    short, flat = made_run(normal(30), "short"), made_run(np.zeros(300), "flat")
    other = made_run(normal(seed=9), "market")
    assert undrawable(short, other) == "it has 30 days in common with market; 40 are needed"
    assert undrawable(flat, other) == "its returns do not vary, or are fewer than 20"
    for item in (short, flat):
        assert not sheet(item, tmp_path / "sheet.html", other)
    assert not (tmp_path / "sheet.html").exists()


def test_a_tear_sheet_is_escaped_and_the_same_bytes_each_time(tmp_path):
    """quantstats: puts the title into the page as it is, and the time of drawing into the pictures."""
    evil = "<script>alert(1)</script>"
    strategy = made_run(normal(), f"=cmd(){evil}")
    pages = [tmp_path / "1.html", tmp_path / "2.html"]
    assert all(sheet(strategy, page, title=evil) for page in pages)
    assert evil not in pages[0].read_text()
    assert pages[0].read_bytes() == pages[1].read_bytes()


# tables


def test_names_that_look_like_formulas_are_made_harmless(walk):
    env = MarketEnv(walk, rows=range(300, 400))
    made = run(Constant(env.layout, env.actions, 1.0), env)
    names = ["=cmd()", "+1", "-1", "@x", "\tx", "=1+1", "plain", "a=b"]
    scores = {name: score_run(replace(made, name=name), 252) for name in names}
    rows = league_rows([Strategy(name, (name,)) for name in names], scores)
    text = league_frame(rows, {}).to_csv(index=False)
    read = pd.read_csv(pd.io.common.StringIO(text))
    assert list(read["strategy"])[-2:] == ["plain", "a=b"]
    assert all(
        cell.startswith("'") for column in ("strategy", "median_run") for cell in read[column][:6]
    )
    assert read["sharpe"].dtype == np.float64
    frame = pd.DataFrame({"=a": [-1.0, 2.0], "b": ["@x", None]}, index=["+1", "x"])
    safe = spreadsheet_safe(frame)
    assert list(safe) == ["'=a", "b"]
    assert list(safe.index) == ["'+1", "x"]
    assert safe["'=a"].tolist() == [-1.0, 2.0]
    assert safe["b"].iloc[0] == "'@x"


def test_the_documented_tests_exist():
    """docs/metrics.md names for each fault the test that shows it."""
    root = Path(__file__).parents[2]
    named = set(re.findall(r"`(test_\w+)`", (root / "docs" / "metrics.md").read_text()))
    files = [Path(__file__), Path(__file__).with_name("test_ratios.py")]
    there = {name for path in files for name in re.findall(r"def (test_\w+)", path.read_text())}
    assert len(named) >= 20
    assert named <= there
