"""What a tear sheet says of its own numbers is true: each row is compared with the report's."""

from __future__ import annotations

import re
from html import unescape

import numpy as np
import pandas as pd
import pytest

from foretrade.backtests.engine import LEDGER_COLUMNS, Run
from foretrade.backtests.metrics import Scores, score_run
from foretrade.backtests.ratio_tables import RATIOS
from foretrade.backtests.ratios import Ratios, ratios_of
from foretrade.backtests.tearsheet import OTHERWISE, PADDED, otherwise, write_tearsheet

FORMULAS = {  # rows of a sheet that the report knows too, and what they are there
    "Time in Market": lambda s, r: 100 * r.exposure.time_in_market,
    "Cumulative Return": lambda s, r: 100 * s.total_return,
    "CAGR %": lambda s, r: 100 * s.cagr,
    "Sharpe": lambda s, r: s.sharpe,
    "Prob. Sharpe Ratio": lambda s, r: 100 * s.psr,
    "Sortino": lambda s, r: s.sortino,
    "Omega": lambda s, r: r.shape.profit_factor,
    "Max Drawdown": lambda s, r: 100 * s.max_drawdown,
    "Longest DD Days": lambda s, r: r.drawdowns.longest_days,
    "Volatility (ann.)": lambda s, r: 100 * s.volatility,
    "Information Ratio": lambda s, r: r.relative.information_ratio,
    "Calmar": lambda s, r: s.calmar,
    "Skew": lambda s, r: r.shape.skew,
    "Kurtosis": lambda s, r: r.shape.excess_kurtosis,
    "Ulcer Performance Index": lambda s, r: r.drawdowns.ulcer_performance,
    "Risk-Adjusted Return": lambda s, r: 100 * r.exposure.risk_adjusted_return,
    "Daily Value-at-Risk": lambda s, r: 100 * r.shape.value_at_risk,
    "Expected Shortfall (cVaR)": lambda s, r: 100 * r.shape.expected_shortfall,
    "Payoff Ratio": lambda s, r: r.shape.payoff,
    "Profit Factor": lambda s, r: r.shape.profit_factor,
    "Tail Ratio": lambda s, r: r.shape.tail_ratio,
    "1Y": lambda s, r: 100 * r.growth.one_year,
    "3Y (ann.)": lambda s, r: 100 * r.growth.three_years,
    "5Y (ann.)": lambda s, r: 100 * r.growth.five_years,
    "10Y (ann.)": lambda s, r: 100 * r.growth.ten_years,
    "Best Day": lambda s, r: 100 * r.shape.best_bar,
    "Worst Day": lambda s, r: 100 * r.shape.worst_bar,
    "Best Month": lambda s, r: 100 * r.growth.best_month,
    "Worst Month": lambda s, r: 100 * r.growth.worst_month,
    "Recovery Factor": lambda s, r: r.drawdowns.recovery_factor,
    "Ulcer Index": lambda s, r: r.drawdowns.ulcer_index,
    "Win Days": lambda s, r: 100 * r.shape.win_rate,
    "Win Month": lambda s, r: 100 * r.growth.months_won,
    "Beta": lambda s, r: r.relative.beta,
    "Alpha": lambda s, r: r.relative.alpha,
    "Correlation": lambda s, r: 100 * r.relative.correlation,
    "Treynor Ratio": lambda s, r: 100 * r.relative.treynor,
}
LISTED = {name for names in OTHERWISE for name in names}


def made(days: pd.DatetimeIndex, seed: int, name: str, scale: float = 0.02) -> Run:
    """A run that is in the market but for a while, and that begins with a gain."""
    values = np.random.default_rng(seed).standard_t(4, len(days)) * scale + 0.002
    values[0], values[40:110] = 0.01, 0.0
    ledger = pd.DataFrame(0.0, index=range(len(days)), columns=list(LEDGER_COLUMNS)).assign(split=1.0)
    ledger["closes_at"] = (days + pd.Timedelta(hours=16)).tz_localize("UTC")
    ledger["decided_at"] = ledger["closes_at"] - pd.Timedelta(days=1)
    ledger["date"], ledger["equity"] = days, 1e6 * np.cumprod(1 + values)
    ledger["close"], ledger["units"], ledger["ruined"] = 1.0, ledger["equity"], False
    return Run(name, 1e6, ledger)


def shown(run: Run, market: Run, path, a_year: float) -> dict[str, float]:
    """The last column of the sheet's table."""
    assert write_tearsheet(run, market, path, title="x", periods_per_year=a_year)
    rows = re.findall(r"<tr.*?</tr>", path.read_text(), re.DOTALL)
    cells = [[unescape(c).strip() for c in re.findall(r"<td[^>]*>(.*?)</td>", r, re.S)] for r in rows]
    known = [line for line in cells if line and line[0] in FORMULAS]
    return {line[0]: float(line[-1].replace(",", "").replace("%", "")) for line in known}


def differing(run: Run, market: Run, path, a_year: float) -> set[str]:
    """Rows that are not the report's to the digits shown."""
    scores: Scores = score_run(run, a_year)
    ratios: Ratios = ratios_of(run, market, a_year)
    found = shown(run, market, path, a_year)
    assert set(found) == set(FORMULAS)
    exact = {name: formula(scores, ratios) for name, formula in FORMULAS.items()}
    return {name for name, value in exact.items() if not abs(found[name] - value) <= 0.0051}


def test_what_a_tear_sheet_shows_differently_is_listed_and_nothing_else(tmp_path):
    """Of days and of weeks, over a short and a long time."""
    found = set()
    for frequency, bars, a_year in (("B", 700, 252), ("W-FRI", 320, 52), ("W-FRI", 60, 52)):
        days = pd.date_range("2009-01-02", periods=bars, freq=frequency)
        run, market = made(days, 1, "strategy"), made(days, 2, "market")
        new = differing(run, market, tmp_path / "sheet.html", a_year)
        assert new <= LISTED
        found |= new
    assert found >= LISTED - {"Ulcer Index"}  # of many bars its second digit seldom changes


def test_the_report_has_all_that_a_tear_sheet_shows_differently():
    names = {name for table in RATIOS.values() for name in table}
    assert names >= {
        "One year", "Three years", "Five years", "Ten years", "Months won", "Value at risk",
        "Expected shortfall", "Skew", "Excess kurtosis", "Longest drawdown", "Ulcer index",
        "Ulcer performance", "Recovery factor", "Time in market", "Return over it",
        "Information ratio", "Treynor",
    }  # fmt: skip
    assert len(LISTED) == 18


@pytest.mark.parametrize(
    ("frequency", "a_year", "told"),
    [
        ("W-FRI", 52, "What it calls a day, or daily, is one bar, of which a year has 52."),
        ("W-FRI", 52.18, "It takes a year to have 52 bars instead of 52.18"),
        ("D", 365, "Its Risk-Adjusted Return takes a year to have 252 bars."),
    ],
)
def test_what_differs_because_of_the_bars_is_told(frequency, a_year, told, tmp_path):
    run = made(pd.date_range("2009-01-02", periods=320, freq=frequency), 1, "strategy")
    assert told in " ".join(otherwise(run, a_year))
    assert told not in " ".join(otherwise(run, 252))
    lost = run.ledger.assign(equity=run.ledger["equity"].where(run.ledger.index > 0, 0.9e6))
    for one, padded in ((run, False), (Run("lost", 1e6, lost), True)):
        assert write_tearsheet(one, run, tmp_path / "s.html", title="x", periods_per_year=a_year)
        assert (PADDED in (tmp_path / "s.html").read_text()) == padded


def test_a_sheet_of_hours_is_told_to_be_of_days():
    run = made(pd.date_range("2009-01-02", periods=320, freq="B"), 1, "strategy")
    hourly = Run(
        "hours", 1e6, run.ledger.assign(date=run.ledger["date"].to_numpy()[np.arange(320) // 5])
    )
    assert "It is made of returns by day" in " ".join(otherwise(hourly, 252))
    assert "It is made of returns by day" not in " ".join(otherwise(run, 252))
