"""Pictures of a report: colours, axes and notes that fit the data that they show."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from foretrade.agents.baselines import Constant
from foretrade.backtests.charts import (
    adjusted_close,
    equity_chart,
    monthly_chart,
    position_chart,
    rolling_sharpe_chart,
)
from foretrade.backtests.engine import LEDGER_COLUMNS, Run, run
from foretrade.backtests.explanation import Explanation
from foretrade.backtests.forecast_charts import deletion_chart
from foretrade.backtests.marks import colour_of
from foretrade.backtests.vega import Chart
from foretrade.envs.market import MarketEnv
from foretrade.markets.synthetic import random_walk


def run_on(days: pd.DatetimeIndex, name: str = "made") -> Run:
    """A run with a bar on each day, and nothing else of interest."""
    values = np.random.default_rng(0).normal(0.0005, 0.01, len(days))
    ledger = pd.DataFrame(0.0, index=range(len(days)), columns=list(LEDGER_COLUMNS)).assign(split=1.0)
    ledger["date"], ledger["equity"], ledger["ruined"] = days, 1e6 * np.cumprod(1 + values), False
    return Run(name, 1e6, ledger)


def labels(chart: Chart) -> list[str]:
    """Texts of the drawn picture."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", chart.svg())


def colours(chart: Chart, layer: int) -> dict[str, str]:
    scale = chart.spec["layer"][layer]["encoding"]["color"]["scale"]
    return dict(zip(scale["domain"], scale["range"], strict=True))


def test_a_label_has_one_colour_in_all_pictures():
    names = ["agent", "agent without forecasts", "hold"]
    runs = {name: run_on(pd.bdate_range("2014-01-02", periods=300), name) for name in names}
    everywhere = colours(equity_chart(runs, {}, names), 0)
    two = {name: runs[name] for name in ("agent", "hold")}
    rolling = rolling_sharpe_chart(two, 252, names)
    assert colours(rolling, 1) == {name: everywhere[name] for name in two}
    assert rolling.spec["layer"][0]["mark"]["color"] == colour_of("agent", names)


@pytest.mark.parametrize(
    ("frequency", "a_year", "word"), [("B", 252, "days"), ("W-FRI", 52, "weeks"), ("ME", 12, "months")]
)
def test_the_window_of_the_rolling_ratio_is_named_as_the_bars_are(frequency, a_year, word):
    run = run_on(pd.date_range("1994-01-02", periods=200, freq=frequency))
    assert rolling_sharpe_chart({"a": run}, a_year).note.startswith(f"Over the last 126 {word}.")


@pytest.mark.parametrize(("bars", "expected"), [(20, "12 Nov 2018"), (300, "Feb 2019"), (2500, "2020")])
def test_dates_on_an_axis_are_as_fine_as_the_span(bars, expected):
    chart = equity_chart({"a": run_on(pd.bdate_range("2018-11-01", periods=bars))}, {}, ["a"])
    found = [text for text in labels(chart) if re.search(r"\b20\d\d$", text)]
    assert expected in found
    assert len(found) == len(set(found))


def test_months_of_a_winter_stand_in_their_order():
    chart = monthly_chart({"a": run_on(pd.bdate_range("2018-11-01", "2019-02-28"))})
    names = [text for text in labels(chart) if text.isalpha()]
    assert names == ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def test_entries_are_counted_in_whole_numbers():
    rows = [{"size": n, "top": 0.2 * n, "random": 0.1, "random_high": 0.15} for n in (1, 2)]
    sizes, groups = {"x": 1.0, "y": 0.5}, {"x": "account", "y": "account"}
    why = Explanation("a", 10, 0.0, groups, sizes, {}, {"account": 0.1}, rows)
    numbers = [text for text in labels(deletion_chart(why)) if re.fullmatch(r"[12](\.\d+)?", text)]
    assert numbers == ["1", "2"]


def test_a_split_is_no_fall_of_the_price():
    """Twice: the picture shows the market without splits, in units of the last day."""
    whole = random_walk(340, symbols=2)
    split, parts = np.ones_like(whole.close), np.ones_like(whole.close)
    split[290, 1], split[310, 1] = 2.0, 5.0
    parts[:290, 1], parts[290:310, 1] = 10.0, 5.0
    fields = {name: getattr(whole, name) * parts for name in ("open", "high", "low", "close")}
    bars = replace(whole, split=split, volume=whole.volume / parts, **fields)
    env = MarketEnv(bars, symbols=["WALK1"])
    played = run(Constant(env.layout, env.actions, 0.5), env)
    shown = adjusted_close(played)
    assert played.ledger["close"].pct_change().min() < -0.75
    assert_allclose(shown, whole.close[-len(shown) :, 1], rtol=1e-12)
    assert_allclose(position_chart({"half": played}).data["price"]["price"], shown)
