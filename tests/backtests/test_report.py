"""The verdict in every case that can occur, and a page that is safe to open."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import browse, needs_browser
from rich.console import Console

from foretrade.agents.baselines import Constant
from foretrade.backtests.contest import Relay, oracle_weights
from foretrade.backtests.deflation import deflated_sharpe
from foretrade.backtests.engine import Run, read_runs, run, write_runs
from foretrade.backtests.league import Strategy, league_frame, league_rows, markdown_table
from foretrade.backtests.metrics import score_run
from foretrade.backtests.report import Report
from foretrade.backtests.significance import (
    minimum_track_record,
    probabilistic_sharpe,
    sharpe_difference,
    sharpe_error,
    sharpe_ratio,
)
from foretrade.backtests.tearsheet import write_tearsheet
from foretrade.backtests.trials import Trials
from foretrade.envs.market import MarketEnv
from foretrade.markets.bars import DataError
from foretrade.terminal import print_report

EVIL = "<script>alert(1)</script>"
FORECASTS = {
    "ridge": {
        "observations": 100, "independent": 100, "ic": 0.01, "rank_ic": None, "r2_os": -0.01,
        "r2_zero": -0.01, "hit_rate": 0.5, "rmse": 0.01, "coverage": 0.9,
    }
}  # fmt: skip


@pytest.fixture(scope="module")
def runs(walk):
    env = MarketEnv(walk)
    weights = {"buy-and-hold": 1.0, "flat": 0.0, "seed-0": 0.3, "seed-1": -0.2, "seed-2": 0.9}
    return {n: run(Constant(env.layout, env.actions, w), env, name=n) for n, w in weights.items()}


def report(runs: dict[str, Run], agent: tuple[str, ...], **changes: object) -> Report:
    scores = {name: score_run(item, 252.0) for name, item in runs.items()}
    strategies = [Strategy("Agent", agent), Strategy("Buy and hold", ("buy-and-hold",))]
    made = Report(
        title=EVIL,
        setting={"Data": EVIL},
        rows=league_rows(strategies, scores),
        benchmark="Buy and hold",
        runs=runs,
        forecasts=FORECASTS,
        trials=Trials(10, 1e-4),
        periods_per_year=252.0,
        warnings=[EVIL],
        tearsheets={},
    )
    return replace(made, **changes)


def visible(page: str) -> str:
    """What a reader without JavaScript gets, pictures left out."""
    return re.sub(r"<script.*?</script>|base64,[^\"]*", "", page, flags=re.DOTALL)


def with_returns(runs: dict[str, Run], values: np.ndarray) -> dict[str, Run]:
    """The same runs with another agent's returns, shown as equity."""
    ledger = runs["buy-and-hold"].ledger.copy()
    ledger["equity"] = 1e6 * np.cumprod(1 + values[: len(ledger)])
    return runs | {"agent": Run("agent", 1e6, ledger)}


def test_the_median_run_of_several_seeds_speaks(runs):
    page = report(runs, ("seed-0", "seed-1", "seed-2"))
    row = page.rows[0]
    sharpes = sorted(score_run(runs[f"seed-{n}"], 252.0).sharpe for n in range(3))
    assert [row.sharpe_min, row.scores.sharpe, row.sharpe_max] == sharpes
    assert "No edge after costs: Agent has a net Sharpe ratio of" in page.verdict()
    assert "median of 3 seeds" in page.verdict()
    assert "(one seed;" in report(runs, ("seed-0",)).verdict()


def test_an_agent_that_never_trades_has_no_sharpe_ratio(runs):
    page = report(runs, ("flat",))
    assert page.verdict() == (
        "No edge after costs: Agent never traded, or not long enough for a Sharpe ratio."
    )
    assert "| Agent | – | – |" in markdown_table(page.rows)
    assert "nan" not in visible(page.html()).lower().replace("finan", "")


def gains(runs: dict[str, Run], sharpe: float) -> np.ndarray:
    """Returns with just this Sharpe ratio a year, that vary alike."""
    noise = np.random.default_rng(0).normal(size=len(runs["flat"].ledger))
    return 0.01 * ((noise - noise.mean()) / noise.std(ddof=1) + sharpe / 252**0.5)


def told(page: Report, folder: Path) -> dict[str, str]:
    """The verdict in HTML, in Markdown and in a terminal, each from its first word."""
    shown = StringIO()
    print_report(Console(file=shown, width=10_000), folder, page)
    (html,) = re.findall(r'<p class="verdict">(.*?)</p>', page.html())
    first = [line for line in page.markdown().splitlines() if line.startswith("**")][-1]
    terminal = shown.getvalue().splitlines()[-2]
    return {"html": html, "markdown": first.strip("*"), "terminal": terminal.strip()}


def test_a_planted_leak_is_no_edge_wherever_the_verdict_stands(walk, tmp_path):
    """Who trades on the next bar's return is told to be looked at, not to be believed."""
    env = MarketEnv(walk)
    future = oracle_weights(env, -1.0, 1.0)
    constants = [Constant(env.layout, env.actions, weight) for weight in future]
    leak = Relay(constants, range(len(future)))
    hold = run(Constant(env.layout, env.actions, 1.0), env, name="buy-and-hold")
    page = report({"leak": run(leak, env, name="leak"), "buy-and-hold": hold}, ("leak",))
    assert page.rows[0].scores.sharpe > 5
    for text in told(page, tmp_path).values():
        assert text.startswith("These results look like a leak and are not to be believed until checked")
        assert re.match(r"[^.]*: Agent has a net Sharpe ratio of", text)
        assert not re.search("edge|A gain", text)
    assert '<p class="alarm">Probable leak. Agent: a net Sharpe ratio of' in page.html()


def test_a_gain_with_idealised_fills_is_no_edge_wherever_the_verdict_stands(runs, tmp_path):
    changed = {name: replace(item, fill="same_close") for name, item in runs.items()}
    changed |= {"agent": replace(with_returns(runs, gains(runs, 2.9))["agent"], fill="same_close")}
    page = report(changed, ("agent",))
    for text in told(page, tmp_path).values():
        assert text.startswith("These results were made with idealised fills and are not to be believed")
        assert not re.search("edge|A gain", text)
    both = report(changed | {"agent": with_returns(runs, gains(runs, 9))["agent"]}, ("agent",))
    assert "look like a leak, were made with idealised fills and are not" in both.verdict()
    poor = report(changed, ("seed-1",)).verdict()
    assert "until checked. No edge after costs: Agent has" in poor
    assert (
        report(changed, ("flat",)).verdict().startswith("These results were made with idealised fills")
    )


def test_a_gain_that_luck_does_not_explain_is_called_one(runs):
    changed = with_returns(runs, gains(runs, 2.9))
    market = with_returns(runs, gains(runs, 0.0))["agent"]
    page = report(changed | {"buy-and-hold": replace(market, name="buy-and-hold")}, ("agent",))
    assert page.verdict().startswith("An edge over the benchmark, after costs, that luck does not")
    many = replace(page, trials=Trials(10_000, 1.0))
    assert many.verdict().startswith("No edge after costs")


def test_half_the_benchmark_is_no_edge_over_it(runs):
    values = gains(runs, 2.9)
    changed = with_returns(runs, values)
    market = with_returns(runs, 2 * values)["agent"]
    page = report(changed | {"buy-and-hold": replace(market, name="buy-and-hold")}, ("agent",))
    assert page.verdict().startswith("A gain after costs that luck does not explain, but no proven edge")


def significance(page: Report) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The table by strategy, as Markdown has it and as the page has it."""
    shown = page.markdown().split("| Strategy | Sharpe | Lo error |")[1].split("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in shown.splitlines()[2:]]
    (table,) = re.findall(r'aria-label="Significance">(.*?)</table>', page.html(), re.DOTALL)
    lines = [re.findall(r"<td>(.*?)</td>", line) for line in re.findall(r"<tr.*?</tr>", table)[1:]]
    return tuple({name: rest for name, *rest in several} for several in (cells, lines))


def test_every_strategy_shows_how_sure_its_sharpe_ratio_is(runs):
    strategies = {"Agent": "seed-0", "Other": "seed-1", "Buy and hold": "buy-and-hold", "Flat": "flat"}
    scores = {name: score_run(item, 252.0) for name, item in runs.items()}
    rows = league_rows([Strategy(label, (name,)) for label, name in strategies.items()], scores)
    page = report(runs, ("seed-0",), rows=rows)
    hold = runs["buy-and-hold"].returns.to_numpy()
    told, shown = significance(page)
    assert told == shown
    assert list(told) == list(strategies)
    assert set(told["Flat"]) == {"–"}
    for label, name in list(strategies.items())[:3]:
        returns = runs[name].returns.to_numpy()
        needed = minimum_track_record(returns) / 252
        difference = sharpe_difference(returns, hold, 252.0)
        assert told[label] == [
            f"{sharpe_ratio(returns, 252.0):.2f}",
            f"{sharpe_error(returns, 252.0):.2f}",
            f"{probabilistic_sharpe(returns):.2f}",
            f"{deflated_sharpe(returns, 10, 1e-4):.2f}",
            "–" if name == "buy-and-hold" else f"{difference.low:.2f} … {difference.high:.2f}",
            f"{needed:.1f} years" if math.isfinite(needed) else "–",
        ]
    more = report(runs, ("seed-0",), rows=rows, trials=Trials(1000, 1e-4))
    assert all(significance(more)[0][label][3] < told[label][3] for label in ("Agent", "Buy and hold"))
    assert "above what the best of 1000 trials shows by luck" in more.html()


def test_the_numbers_behind_the_table_of_significance_are_in_the_csv(runs):
    page = report(runs, ("seed-0",))
    line = league_frame(page.rows, page.verdicts).set_index("strategy").loc["Agent"]
    returns, hold = (runs[name].returns.to_numpy() for name in ("seed-0", "buy-and-hold"))
    difference = sharpe_difference(returns, hold, 252.0)
    assert line["sharpe_error"] == sharpe_error(returns, 252.0)
    assert line["deflated"] == deflated_sharpe(returns, 10, 1e-4)
    assert (line["difference_low"], line["difference_high"]) == (difference.low, difference.high)
    assert line["needed_bars"] == minimum_track_record(returns)


def test_a_run_that_came_to_an_early_end_has_no_significance(runs):
    """Ruined, or closed by a margin call: there are not as many returns as of the benchmark."""
    whole = runs["seed-0"]
    for ruined in (False, True):
        ledger = whole.ledger.iloc[:200].assign(ruined=False)
        ledger.iloc[-1, ledger.columns.get_loc("ruined")] = ruined
        short = runs | {"short": Run("short", whole.initial_equity, ledger)}
        scores = {name: score_run(item, 252.0) for name, item in short.items()}
        rows = [*report(runs, ("seed-0",)).rows, *league_rows([Strategy("Short", ("short",))], scores)]
        told, shown = significance(report(short, ("seed-0",), rows=rows))
        assert told == shown
        assert [told["Short"][k] for k in (1, 3, 4, 5)] == ["–"] * 4


def test_one_ruined_seed_is_ruin(runs):
    changed = with_returns(runs, np.random.default_rng(0).normal(0.004, 0.01, 1000))
    ledger = changed["agent"].ledger.iloc[:60].copy()
    ledger["ruined"] = [False] * 59 + [True]
    changed["lost"] = Run("lost", 1e6, ledger)
    page = report(changed, ("agent", "lost", "seed-0"))
    assert page.verdict() == "Ruin: Agent lost its account in 1 of 3 runs."
    assert "| Agent (1 ruined) |" in markdown_table(page.rows)
    assert page.rows[0].median_run != "lost"
    page.html()  # pictures with seeds of different length


def test_intraday_runs_are_drawn_by_day(runs, tmp_path):
    hourly = {}
    for name, item in runs.items():
        ledger = item.ledger.copy()
        ledger["date"] = ledger["date"].iloc[np.arange(len(ledger)) // 6].to_numpy()
        hourly[name] = Run(name, item.initial_equity, ledger)
    report(hourly, ("seed-0", "seed-1")).html()
    path = tmp_path / "sheet.html"
    benchmark = hourly["buy-and-hold"]
    assert write_tearsheet(hourly["seed-0"], benchmark, path, title="x", periods_per_year=1500)


def test_a_tear_sheet_shows_a_drawdown_that_begins_on_the_first_bar(runs, tmp_path):
    values = np.concatenate([[-0.3], np.tile([0.001, -0.0005], 500)])
    changed = with_returns(runs, values)
    path = tmp_path / "sheet.html"
    write_tearsheet(changed["agent"], runs["buy-and-hold"], path, title="x", periods_per_year=252)
    row = re.search(r"Max Drawdown</td>.*?</tr>", path.read_text(), re.DOTALL).group()
    assert score_run(changed["agent"], 252.0).max_drawdown == pytest.approx(-0.3)
    assert "-30.0%" in row


def test_everything_is_escaped(runs, tmp_path):
    page = report(runs, ("seed-0",)).html()
    assert EVIL not in page
    assert visible(page).count("&lt;script&gt;") == 4
    assert EVIL not in report(runs, ("seed-0",)).markdown()
    assert "Data: &lt;script>alert(1)" in report(runs, ("seed-0",)).markdown()
    evil = Run(EVIL, 1e6, runs["seed-0"].ledger)
    path = tmp_path / "sheet.html"
    assert write_tearsheet(evil, runs["buy-and-hold"], path, title=EVIL, periods_per_year=252)
    assert EVIL not in path.read_text()


def test_a_tear_sheet_needs_no_network_and_leaves_no_trace(runs, tmp_path, caplog):
    import matplotlib as mpl

    settings = dict(mpl.rcParams)
    path = tmp_path / "sheet.html"
    assert write_tearsheet(runs["seed-0"], runs["buy-and-hold"], path, title="x", periods_per_year=252)
    assert not re.search(r"<(link|script|img)[^>]+https?:", path.read_text())
    assert not [r for r in caplog.records if "findfont" in r.getMessage()]
    assert {k: v for k, v in mpl.rcParams.items() if settings[k] != v} == {}


def test_a_tear_sheet_of_cash_is_not_drawn(runs, tmp_path):
    path = tmp_path / "sheet.html"
    assert not write_tearsheet(runs["flat"], runs["buy-and-hold"], path, title="x", periods_per_year=252)
    assert not path.exists()


def test_ledgers_survive_parquet(runs, tmp_path):
    path = tmp_path / "ledger.parquet"
    write_runs(list(runs.values()), path)
    again = read_runs(path)
    assert list(again) == list(runs)
    for name, item in runs.items():
        pd.testing.assert_frame_equal(again[name].ledger, item.ledger)
        assert again[name].initial_equity == item.initial_equity
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="not a readable ledger"):
        read_runs(path)


def test_the_frames_of_a_run_are_tidy(runs):
    item = runs["seed-1"]
    assert list(item.decisions) == ["decided_at", "requested", "achieved", "reward"]
    assert (item.decisions["requested"].round(6) == -0.2).all()
    assert (item.fills["traded"] > 0).all()
    assert item.costs.drop(columns="closes_at").to_numpy().min() >= 0
    value = item.positions["units"] * item.ledger["close"]
    np.testing.assert_allclose(item.positions["cash"] + value, item.ledger["equity"], rtol=1e-12)
    assert math.isclose(item.returns.add(1).prod(), item.equity.iloc[-1] / 1e6, rel_tol=1e-12)


@needs_browser
def test_a_browser_finds_nothing_to_complain_about(runs, tmp_path):
    path, shot = tmp_path / "report.html", tmp_path / "report.png"
    path.write_text(report(runs, ("seed-0",)).html())
    done = browse(tmp_path, f"--screenshot={shot}", path.as_uri())
    assert "CONSOLE" not in done.stderr
    assert shot.stat().st_size > 10_000
