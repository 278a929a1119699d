"""Every ratio against an independent float64 formula, beside what quantstats makes of the same."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from foretrade.agents.baselines import Constant
from foretrade.backtests.drawdowns import drawdown_table, ulcer_index, underwater
from foretrade.backtests.engine import LEDGER_COLUMNS, Run, run
from foretrade.backtests.ratios import (
    drawdowns_of,
    growth_of,
    joined_runs,
    omega,
    ratios_frame,
    ratios_of,
    shape_of,
)
from foretrade.backtests.relative import relative_to
from foretrade.backtests.windows import by_period, month_table, trailing_return
from foretrade.envs.market import MarketEnv
from foretrade.markets.bars import DataError
from foretrade.markets.rules import Rules

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import quantstats.stats as qs

RETURNS = st.lists(st.floats(-0.2, 0.25), min_size=25, max_size=80).map(np.array)


def series(values, first="2014-01-02"):
    values = np.asarray(values, dtype=float)
    return pd.Series(values, pd.bdate_range(first, periods=len(values), name="date"))


@pytest.fixture(scope="module")
def index(sp500):
    close = sp500.close[:, 0]
    return pd.Series(close[1:] / close[:-1] - 1, sp500.dates[1:])


@pytest.fixture(scope="module")
def nasdaq():
    """A second series with the same days: a noisy half of the first, and a drift."""
    return np.random.default_rng(0).normal(0.0002, 0.006, 5030)


@pytest.fixture(scope="module")
def market(walk):
    env = MarketEnv(walk)
    return run(Constant(env.layout, env.actions, 1.0), env, name="market")


# by the calendar


def test_windows_are_whole_years(index):
    """quantstats: its windows of 3, 5 and 10 years are 35, 59 and 119 months."""
    wealth = (1 + index).cumprod()
    for years in (1, 3, 5, 10):
        then = wealth[: index.index[-1] - pd.DateOffset(years=years)].iloc[-1]
        exact = (wealth.iloc[-1] / then) ** (1 / years) - 1
        assert_allclose(trailing_return(index, years), exact, rtol=1e-12)
        growth = growth_of(index)
    assert_allclose(
        [growth.one_year, growth.three_years, growth.five_years, growth.ten_years],
        [trailing_return(index, years) for years in (1, 3, 5, 10)],
        rtol=0,
    )


@pytest.mark.parametrize("months", [36, 60, 120])
def test_a_window_of_three_years_is_36_months(months):
    """Equal monthly gains compound to one rate in every window; the start is the month end before."""
    ends = pd.date_range("2010-01-31", periods=months, freq="ME")
    gains = pd.Series(0.01, ends)
    start = ends[0] - pd.offsets.MonthEnd()
    assert_allclose(trailing_return(gains, months // 12, start=start), 1.01**12 - 1, rtol=1e-12)
    assert math.isnan(trailing_return(gains, months // 12, start=ends[0]))
    assert math.isnan(trailing_return(gains, months // 12 + 1, start=start))
    longer = pd.concat([pd.Series([-0.5], [start]), gains])
    assert_allclose(trailing_return(longer, months // 12), 1.01**12 - 1, rtol=1e-12)


def test_a_run_knows_the_day_on_which_it_began(market):
    """The first return of a run of exactly one year began a year before its last."""
    assert math.isnan(ratios_of(market, None, 252).growth.three_years)
    assert not math.isnan(ratios_of(market, None, 252).growth.one_year)
    days = pd.DatetimeIndex(market.ledger["date"])
    last = market.ledger.index[days <= days[0] + pd.DateOffset(years=1) - pd.Timedelta(days=1)][-1]
    assert days[last] == days[0] + pd.DateOffset(years=1) - pd.Timedelta(days=1)
    year = replace(market, ledger=market.ledger.iloc[: last + 1])
    expected = year.equity.iloc[-1] / 1e6 - 1
    assert_allclose(ratios_of(year, None, 252).growth.one_year, expected, rtol=1e-12)
    shorter = replace(market, ledger=market.ledger.iloc[:last])
    assert math.isnan(ratios_of(shorter, None, 252).growth.one_year)


@pytest.mark.parametrize("period", ["week", "month", "quarter", "year"])
def test_periods_compound_to_the_whole(index, period):
    parts = by_period(index, period)
    assert_allclose((1 + parts).prod(), (1 + index).prod(), rtol=1e-12)
    assert parts.index.is_unique
    assert parts.index.is_monotonic_increasing
    keys = {
        "week": lambda d: d.isocalendar()[:2], "month": lambda d: (d.year, d.month),
        "quarter": lambda d: (d.year, d.quarter), "year": lambda d: d.year,
    }  # fmt: skip
    product: dict[object, float] = {}
    for day, value in index.items():
        key = keys[period](day)
        product[key] = product.get(key, 1.0) * (1 + value)
    assert_allclose(parts, np.array(list(product.values())) - 1, rtol=1e-12, atol=1e-15)


def test_the_last_week_of_a_year_is_one_week(index):
    """quantstats: pairs calendar year and ISO week, and counts 31 December 2018 to January 2018."""
    week = by_period(index["2018-12-24":], "week")
    assert len(week) == 2
    assert_allclose(week.iloc[-1], index["2018-12-31"], rtol=1e-12)
    with pytest.raises(ValueError, match="period = 'M' must be one of 'week', 'month'"):
        by_period(index, "M")


def test_the_table_of_months(index):
    table = month_table(index)
    assert table.shape == (20, 13)
    assert_allclose(table.loc[2008, 10], (1 + index["2008-10"]).prod() - 1, rtol=1e-12)
    assert_allclose((1 + table.drop(columns="year")).prod(axis=1) - 1, table["year"], atol=1e-13)


# drawdowns


@settings(max_examples=50)
@given(RETURNS)
def test_drawdowns_agree_with_a_walk_along_the_bars(values):
    wealth = peak = 1.0
    below, spells = [], []
    for bar, value in enumerate(values):
        wealth *= 1 + value
        peak = max(peak, wealth)
        loss = wealth / peak - 1 if wealth < peak * (1 - 1e-12) else 0.0
        if loss and not (below and below[-1]):
            spells.append([bar, bar, None, loss, 0])
        if loss:
            spells[-1][4] += 1
            if loss < spells[-1][3]:
                spells[-1][1], spells[-1][3] = bar, loss
        elif below and below[-1]:
            spells[-1][2] = bar
        below.append(loss)
    dated = series(values)
    assert_allclose(underwater(values), below, rtol=1e-9, atol=1e-12)
    table, days = drawdown_table(dated), dated.index
    assert len(table) == len(spells)
    for row, (start, valley, end, depth, bars) in zip(table.itertuples(), spells, strict=True):
        assert row.start == days[start]
        assert row.valley == days[valley] or math.isclose(below[valley], below[days.get_loc(row.valley)])
        assert row.recovery is pd.NaT if end is None else row.recovery == days[end]
        assert row.depth == pytest.approx(depth, rel=1e-9)
        assert row.bars == bars
        assert row.days == (days[len(days) - 1 if end is None else end] - days[start]).days
    assert ulcer_index(values) == pytest.approx(math.sqrt(sum(b * b for b in below) / len(below)))


def test_a_drawdown_that_begins_on_the_first_bar_is_in_the_table():
    """quantstats: its table of drawdowns is empty for a strategy that only falls."""
    falling = series(np.full(30, -0.01))
    assert qs.drawdown_details(qs.to_drawdown_series(falling)).empty
    table = drawdown_table(falling)
    assert table["start"].tolist() == [falling.index[0]]
    assert table["recovery"].isna().all()
    assert_allclose(table["depth"], 0.99**30 - 1, rtol=1e-12)
    assert drawdown_table(series(np.full(30, 0.01))).empty


def test_the_ulcer_ratios_are_annual(index):
    """quantstats: divides the total return by the ulcer index, so that it grows with the years."""
    values = index.to_numpy()
    found = drawdowns_of(index, values, 252)
    wealth = np.concatenate([[1.0], np.cumprod(1 + values)])
    below = np.array([wealth[k] / wealth[: k + 1].max() - 1 for k in range(1, len(wealth))])
    ulcer = math.sqrt((below**2).mean())
    cagr = wealth[-1] ** (252 / len(values)) - 1
    assert_allclose(found.ulcer_index, ulcer, rtol=1e-12)
    assert_allclose(found.ulcer_performance, cagr / ulcer, rtol=1e-12)
    assert_allclose(found.recovery_factor, (wealth[-1] - 1) / -below.min(), rtol=1e-12)
    assert found.under_water == (below < 0).mean()
    assert qs.ulcer_performance_index(index) > 20 * found.ulcer_performance
    again = drawdowns_of(series(np.tile(values, 2)), np.tile(values, 2), 252)
    assert again.ulcer_performance < 1.5 * found.ulcer_performance


def test_the_recovery_factor_of_a_loser_is_negative(index):
    """quantstats: takes the size of the total return."""
    loser = series(np.random.default_rng(0).normal(-0.001, 0.01, 500))
    assert qs.recovery_factor(loser) > 0
    found = drawdowns_of(loser, loser.to_numpy(), 252)
    assert found.recovery_factor == pytest.approx((np.prod(1 + loser) - 1) / -underwater(loser).min())
    assert found.recovery_factor < 0


# returns per bar


def test_the_shape_of_returns(index):
    """quantstats: its CVaR is that of a Normal distribution, −2.5 % where the worst lost 2.9 %."""
    values = index.to_numpy()
    found, ranked = shape_of(values), sorted(values)
    place = 0.05 * (len(values) - 1)
    low = ranked[int(place)] + (place % 1) * (ranked[int(place) + 1] - ranked[int(place)])
    high = -(lambda r: r[int(place)] + (place % 1) * (r[int(place) + 1] - r[int(place)]))(
        sorted(-values)
    )
    gains, losses = [v for v in values if v > 0], [v for v in values if v < 0]
    mean, size = values.mean(), len(values)
    deviation = math.sqrt(((values - mean) ** 2).sum() / size)
    expected = {
        "best_bar": ranked[-1],
        "worst_bar": ranked[0],
        "win_rate": len(gains) / (len(gains) + len(losses)),
        "payoff": (math.fsum(gains) / len(gains)) / (-math.fsum(losses) / len(losses)),
        "profit_factor": math.fsum(gains) / -math.fsum(losses),
        "value_at_risk": low,
        "expected_shortfall": math.fsum(v for v in values if v <= low) / sum(v <= low for v in values),
        "tail_ratio": high / -low,
        "skew": ((values - mean) ** 3).sum() / size / deviation**3,
        "excess_kurtosis": ((values - mean) ** 4).sum() / size / deviation**4 - 3,
    }
    for name, value in expected.items():
        assert_allclose(getattr(found, name), value, rtol=1e-9, err_msg=name)
    assert found.expected_shortfall < found.value_at_risk < 0
    assert qs.cvar(index) > 0.9 * found.expected_shortfall
    assert_allclose(omega(values), found.profit_factor, rtol=1e-12)
    required = 0.0001
    over = [v - required for v in values]
    exact = math.fsum(v for v in over if v > 0) / -math.fsum(v for v in over if v < 0)
    assert_allclose(omega(values, required), exact, rtol=1e-12)


def test_what_has_no_losses_or_is_too_short_is_undefined():
    assert all(math.isnan(v) for v in vars(shape_of(np.full(19, 0.01))).values())
    winner = shape_of(np.tile([0.01, 0.02], 20))
    assert math.isnan(winner.payoff)
    assert math.isnan(winner.profit_factor)
    assert winner.win_rate == 1.0
    flat = shape_of(np.zeros(40))
    assert math.isnan(flat.win_rate)
    assert math.isnan(flat.tail_ratio)
    assert math.isnan(flat.skew)


# against a benchmark


@pytest.mark.parametrize("periods", [252, 52, 12])
def test_ratios_against_a_benchmark(index, nasdaq, periods):
    """quantstats: Treynor's ratio of the total return, and an information ratio per bar."""
    market = index.to_numpy()
    mine = 0.5 * market + nasdaq
    found, n = relative_to(mine, market, periods), len(mine)
    slope, intercept = np.polyfit(market, mine, 1)
    active = mine - market
    expected = {
        "bars": n,
        "excess_return": math.prod(1 + mine) ** (periods / n) - math.prod(1 + market) ** (periods / n),
        "beta": slope,
        "alpha": intercept * periods,
        "correlation": slope * market.std() / mine.std(),
        "tracking_error": active.std(ddof=1) * math.sqrt(periods),
        "information_ratio": active.mean() / active.std(ddof=1) * math.sqrt(periods),
        "treynor": mine.mean() * periods / slope,
    }
    for name, value in expected.items():
        assert_allclose(getattr(found, name), value, rtol=1e-9, err_msg=name)
    dated = pd.Series(mine, index.index)
    assert qs.treynor_ratio(dated, index, periods=periods) > 3 * found.treynor
    per_bar = qs.information_ratio(dated, index)
    assert_allclose(per_bar * math.sqrt(periods), found.information_ratio, rtol=1e-6)


def test_a_strategy_against_itself_and_against_what_does_not_move(index):
    values = index.to_numpy()
    same = relative_to(values, values, 252)
    assert_allclose([same.beta, same.correlation], 1.0, rtol=1e-12)
    assert same.alpha == pytest.approx(0.0, abs=1e-12)
    assert same.tracking_error == same.excess_return == 0
    assert math.isnan(same.information_ratio)
    flat = relative_to(values, np.zeros(len(values)), 252)
    assert all(math.isnan(v) for k, v in vars(flat).items() if k not in ("bars", "excess_return"))
    cash = relative_to(np.zeros(len(values)), values, 252)
    assert (cash.beta, cash.alpha) == (0, 0)
    assert math.isnan(cash.treynor)
    assert cash.information_ratio == pytest.approx(-values.mean() / values.std(ddof=1) * math.sqrt(252))


# of runs


def test_time_in_market_comes_from_positions(market):
    """quantstats: counts days whose return is zero as out of the market, and rounds up to a per cent."""
    ledger = market.ledger.copy()
    ledger.loc[10:19, "units"] = 0.0
    ledger.loc[20:29, "units"] *= -1.0
    ledger.loc[30:59, "equity"] = ledger.loc[29, "equity"]  # invested, and nothing moves
    n = len(ledger)
    made = replace(market, ledger=ledger)
    found = ratios_of(made, None, 252).exposure
    assert found.time_in_market == (n - 10) / n
    assert found.short == 10 / n
    assert found.long == (n - 20) / n
    growth = (ledger["equity"].iloc[-1] / 1e6) ** (252 / n) - 1
    assert_allclose(found.risk_adjusted_return, growth / ((n - 10) / n), rtol=1e-12)
    assert found.trades == pytest.approx((ledger["traded"] > 0).sum() / n * 252)
    assert qs.exposure(made.returns) != found.time_in_market


def test_the_risk_adjusted_return_knows_its_periods(index):
    """quantstats: always divides by 252 bars a year."""
    monthly = by_period(index, "month").to_timestamp()
    ledger = pd.DataFrame(0.0, index=range(len(monthly)), columns=list(LEDGER_COLUMNS)).assign(split=1.0)
    stamps = (monthly.index + pd.Timedelta(hours=21)).tz_localize("UTC")
    ledger["closes_at"], ledger["date"] = stamps, monthly.index
    ledger["decided_at"] = stamps - pd.Timedelta(days=30)
    ledger["equity"] = 1e6 * np.cumprod(1 + monthly.to_numpy())
    ledger["units"], ledger["close"], ledger["ruined"] = 1.0, ledger["equity"], False
    found = ratios_of(Run("monthly", 1e6, ledger), None, 12).exposure
    exact = float(np.prod(1 + monthly)) ** (12 / len(monthly)) - 1
    assert_allclose(found.risk_adjusted_return, exact, rtol=1e-12)
    assert qs.rar(monthly, periods=12) > 20 * exact


def test_runs_are_joined_by_day_or_by_the_instant_of_their_close(market):
    ledger = market.ledger
    gappy = replace(market, name="gappy", ledger=ledger.drop(index=[5, 6]).reset_index(drop=True))
    assert_allclose(*joined_runs(market, gappy).to_numpy().T, rtol=1e-9)
    assert len(joined_runs(market, gappy)) == len(ledger) - 2
    hourly = ledger.assign(date=ledger["date"].iloc[np.arange(len(ledger)) // 6].to_numpy())
    several = replace(market, ledger=hourly)
    assert len(joined_runs(several, several)) == len(ledger)
    later = replace(
        market, ledger=hourly.assign(closes_at=hourly["closes_at"] + pd.Timedelta(days=9999))
    )
    with pytest.raises(DataError, match="no day in common"):
        joined_runs(several, later)


def test_a_ruined_run_is_measured_up_to_its_ruin(market):
    ledger = market.ledger.iloc[:60].copy()
    ledger.loc[59, ["equity", "ruined"]] = [-1e5, True]
    found = ratios_of(replace(market, name="lost", ledger=ledger), market, 252)
    assert found.shape.worst_bar == -1.0
    assert found.drawdowns.recovery_factor == -1.0
    assert found.relative.bars == 60
    assert found.exposure.risk_adjusted_return == -1.0


def test_cash_has_ratios_that_say_so(market, walk):
    env = MarketEnv(walk)
    found = ratios_of(run(Constant(env.layout, env.actions, 0.0), env), market, 252)
    assert (found.exposure.time_in_market, found.exposure.trades, found.exposure.refused) == (0, 0, 0)
    assert math.isnan(found.exposure.risk_adjusted_return)
    assert math.isnan(found.drawdowns.ulcer_performance)
    assert found.relative.beta == 0
    assert found.as_dict()["shape"]["skew"] is None


def test_refused_orders_are_counted(walk):
    env = MarketEnv(walk, rules=Rules(lot_size=1000.0))
    made = run(Constant(env.layout, env.actions, 0.5), env)
    share = ratios_of(made, None, 252).exposure.refused
    assert share == len(made.refusals) / len(made.ledger) > 0


def test_any_number_of_strategies_stand_side_by_side(market):
    """quantstats: ten strategies raise an IndexError, for it has nine colours."""
    runs = [replace(market, name=f"run {k}") for k in range(25)]
    frame = ratios_frame(runs, market, 252)
    assert frame.shape[0] == 25
    assert frame.loc["run 7", ("relative", "beta")] == pytest.approx(1.0)
    assert frame.notna().sum(axis=1).nunique() == 1
    assert ratios_frame(runs, None, 252).columns.get_level_values("group").unique().tolist() == [
        "growth", "shape", "drawdowns", "exposure",
    ]  # fmt: skip
