"""The league from its configuration to its page, on a market of which it is known who knows what."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import assert_readable_on_a_phone, browse, needs_browser, sorted_by_clicks
from rich.console import Console
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from foretrade import experiment, forecasting, league_season, policies
from foretrade import league as program
from foretrade.agents.store import load_policy
from foretrade.backtests.contest import asked_weights, read_played
from foretrade.backtests.league_page import HEADER
from foretrade.backtests.trials import Trial
from foretrade.config import ConfigError, read_config
from foretrade.counting import ledger_of
from foretrade.forecasters.base import Forecast
from foretrade.job import Job
from foretrade.league_tasks import Tasks
from foretrade.markets.bars import DataError
from foretrade.pages import hash_source
from foretrade.rundir import RunDirectory
from foretrade.storage import file_hash
from foretrade.terminal import print_league

FORETRADE = str(Path(sys.executable).parent / "foretrade")
FILES = ("league.csv", "worth.csv", "league.md", "league.html")
SETTINGS = """
name = "planted"
data.source = "{source}"
data.timezone = "America/New_York"
[blocks]
train = "2002-09-02"
validation = "2003-03-03"
test = "2003-09-01"
[forecast]
members = ["test_league:Knows", "test_league:Guesses"]
baselines = ["historical_mean", "zero"]
also_fused_by = ["inverse_mse"]
schedule.warm_up_bars = 252
schedule.refit_every_bars = 504
[league]
rules = ["mean_variance", "sign"]
random_policies = 20
[ppo]
steps = 256
environments = 2
rollout_bars = 64
batch_size = 64
episode_bars = 60
checkpoints = 1
"""


class Knows(BaseEstimator):
    """That a third of each bar's return comes again two bars later."""

    def fit(self, X, y, sample_weight=None):
        self.slope_ = float(X[:, -1, 0] @ y) / float(X[:, -1, 0] @ X[:, -1, 0])
        return self

    def predict(self, X):
        return Forecast(self.slope_ * X[:, -1, 0])


class Guesses(BaseEstimator):
    """A number that has to do with nothing."""

    def fit(self, X, y, sample_weight=None):
        return self

    def predict(self, X):
        return Forecast(2e-3 * np.sin(1e6 * X[:, -1, 0]))


def planted_prices(path: Path) -> None:
    """Daily bars whose log return is ``r[t] = 0.33 r[t−2] + e[t]``."""
    rng = np.random.default_rng(11)
    returns = rng.normal(0, 0.01, 1800)
    for t in range(2, len(returns)):
        returns[t] += 0.33 * returns[t - 2]
    close = 100 * np.exp(np.cumsum(returns))
    days = pd.bdate_range("2000-01-03", periods=len(close))
    frame = pd.DataFrame({"open": close, "high": close, "low": close, "close": close}, index=days)
    frame.assign(volume=1e6).to_csv(path, index_label="date")


def job_at(folder: Path, config, workers: int = 1) -> Job:
    return Job(RunDirectory.create(folder, config), Console(quiet=True), workers=workers)


def hashes(folder: Path) -> dict[str, str]:
    return {name: file_hash(folder / "league" / name) for name in FILES}


@pytest.fixture(scope="module")
def planted(tmp_path_factory, league):
    folder = tmp_path_factory.mktemp("league")
    planted_prices(folder / "prices.csv")
    (folder / "league.toml").write_text(SETTINGS.format(source=folder / "prices.csv"))
    here, tests = str(Path(__file__).parent), str(Path(__file__).parents[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORETRADE_CACHE", str(folder / "cache"))
        patch.setenv("PYTHONPATH", os.pathsep.join([here, tests, os.environ.get("PYTHONPATH", "")]))
        patch.syspath_prepend(here)
        job = job_at(folder / "first" / "run", read_config(folder / "league.toml"))
        league(job)
        yield job


@pytest.fixture(scope="module")
def league():
    """The league played in this process, on one thread as in a worker: no process has to start."""

    def one_by_one(function, items, **_):
        return [function(item) for item in items]

    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1):
        for module in (experiment, forecasting, league_season, policies, program):
            patch.setattr(module, "run_parallel", one_by_one)
        yield program.league


def only_forecasts(job: Job, folder: Path) -> Path:
    """A run of which only the forecasts are made."""
    folder.mkdir(parents=True)
    for name in ("forecasts.parquet", "events.json"):
        shutil.copy(job.run.path / name, folder)
    manifest = json.loads((job.run.path / "manifest.json").read_text())
    manifest["steps"] = {"forecast": manifest["steps"]["forecast"]}
    manifest.pop("trials", None)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def table(job: Job) -> pd.DataFrame:
    return pd.read_csv(job.run.path / "league" / "league.csv").set_index("label")


def test_who_knows_something_comes_first(planted):
    rows = table(planted)
    alone = [name for name in rows.index if not name.startswith("ensemble")]  # who listen to it too
    assert alone[:2] == ["Knows, mean variance", "Knows, sign"]
    assert alone[2].startswith(("Guesses", "historical_mean"))
    best = rows.loc["Knows, mean variance"]
    assert best["sharpe_low"] > 0
    assert best["difference_low"] > 0
    assert best["deflated"] > 0.95
    assert best["confidence_set_p"] > 0.1
    assert 0 < best["sharpe"] < best["gross_sharpe"] < rows.iloc[-1]["gross_sharpe"]
    assert rows.loc["Guesses, mean variance", "sharpe"] < 1
    text = (planted.run.path / "league" / "league.md").read_text()
    assert text.startswith("**Probable leak. ")  # as who plants a Sharpe ratio of 4 has to be told
    assert "\n\n**These results look like a leak and are not to be believed until checked. " in text
    assert "earned more than buy and hold" not in text


def test_who_earns_more_than_luck_explains_is_named(planted, league, tmp_path, monkeypatch):
    """If no alarm speaks against it."""
    monkeypatch.setattr("foretrade.backtests.alarms.SHARPE_LIMIT", 100.0)
    monkeypatch.setattr("foretrade.backtests.alarms.LOST_SHARE", 100.0)
    folder = tmp_path / "believed" / "run"
    shutil.copytree(planted.run.path.parent, folder.parent, ignore=shutil.ignore_patterns("league.*"))
    text = (league(job_at(folder, planted.config)) / "league.md").read_text()
    assert text.startswith("**After costs, ")
    assert "Knows, mean variance" in text.split("earned more than buy and hold")[0]


def test_worth_is_positive_for_who_knows_and_unproven_for_who_guesses(planted):
    worth = pd.read_csv(planted.run.path / "league" / "worth.csv").set_index(["value", "member"])
    for value in ("mean return, a year", "Sharpe ratio"):
        assert worth.loc[(value, "Knows"), "shapley_low"] > 0
        guess = worth.loc[(value, "Guesses")]
        assert guess["shapley_low"] < 0 < guess["shapley_high"]
    whole = table(planted).loc["ensemble, mean variance"]
    total = worth["shapley"].groupby("value").sum()
    assert total["mean return, a year"] == pytest.approx(whole["mean_return"], rel=1e-9)
    assert total["Sharpe ratio"] == pytest.approx(whole["sharpe"], rel=1e-9)


def test_everybody_sees_flat_hold_chance_and_the_oracle(planted):
    rows = table(planted)
    close = planted.bars.close[:, 0]
    block = planted.config.blocks.rows(planted.bars)["test"]
    assert rows.loc["flat", "turnover"] == 0
    held = close[block.start + 2 : block.stop] / close[block.start + 1 : block.stop - 1] - 1
    free = np.concatenate([[0.0], held])
    assert rows.loc["buy and hold", "gross_sharpe"] == pytest.approx(
        free.mean() / free.std(ddof=1) * 252**0.5
    )
    oracle, chance = rows.iloc[-1], rows.iloc[-2]
    assert oracle.name.startswith("oracle (impossible")
    assert oracle["sharpe"] == rows["sharpe"].max()
    median = rows["turnover"].iloc[: len(rows) - 4].median()
    assert chance["turnover"] == pytest.approx(median, rel=0.15)
    assert chance["sharpe_min"] < chance["sharpe"] < chance["sharpe_max"]
    assert rows.loc["zero, sign", "turnover"] == 0
    assert math.isnan(rows.loc["zero, sign", "sharpe"])


def test_costs_never_help_and_the_break_even_lies_between(planted):
    rows = table(planted).drop(index="flat")
    levels = [name for name in rows.columns if name.startswith("sharpe_at_costs_")]
    assert levels == [f"sharpe_at_costs_{x}" for x in ("0", "0.5", "1", "2", "4")]
    traded = rows[rows["turnover"] > 10]
    assert (traded[levels].diff(axis=1).iloc[:, 1:] < 0).all(axis=None)
    best = traded.loc["Knows, mean variance"]
    configured = planted.config.costs.trade_rate * 1e4
    assert best["break_even_bps"] > configured
    assert best["break_even_level"] > 1


def test_every_cell_is_a_trial(planted):
    lines = (planted.run.path.parent / "trials.jsonl").read_text().splitlines()
    cells = [r["name"] for r in map(json.loads, lines) if r.get("kind") == "cell"]
    names = ("ensemble", "ensemble_inverse_mse", "Knows", "Guesses", "historical_mean", "zero")
    expected = {f"{name}, {rule}" for name in names for rule in ("mean_variance", "sign")}
    assert set(cells) == expected
    assert len(cells) == len(expected)


def test_the_page_stands_alone(planted):
    page = (planted.run.path / "league" / "league.html").read_text()
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    (script,) = re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    assert hash_source(script) in page.split("<style>")[0]
    assert page.count("<script") == 1
    assert "http://" not in page.replace("http-equiv", "")
    assert len(re.findall(r'<img src="data:image/svg', page)) == 4
    assert "Rank correlation of IC with the mean return" in page
    assert "Kendall&#39;s W" in page


@needs_browser
def test_the_page_is_readable_on_a_phone(planted, tmp_path):
    page = (planted.run.path / "league" / "league.html").read_text()
    assert_readable_on_a_phone(page, tmp_path)
    path = tmp_path / "league.html"
    path.write_text(page)
    assert "CONSOLE" not in browse(tmp_path, "--dump-dom", path.as_uri()).stderr


@needs_browser
def test_a_click_on_a_heading_sorts(planted, tmp_path):
    page = (planted.run.path / "league" / "league.html").read_text()
    shown = sorted_by_clicks(page, tmp_path, "Forecasters", HEADER.index("Turnover"))
    values = [float(text.rstrip("×")) for text in shown]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) > 1


def test_a_second_league_does_nothing_again(planted, league):
    before = {path: path.stat().st_mtime_ns for path in planted.run.path.rglob("*") if path.is_file()}
    league(planted)
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_a_killed_league_goes_on_to_the_same_bytes(planted, tmp_path):
    """In worker processes, to the bytes of a league that was played in one."""
    folder = only_forecasts(planted, tmp_path / "killed" / "run")
    first = subprocess.Popen(
        [FORETRADE, "league", str(folder), "--workers", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not list((folder / "league" / "played").glob("*.safetensors")):
        assert time.monotonic() < deadline
        assert first.poll() is None, first.communicate()
        time.sleep(0.01)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    assert not (folder / "league" / "league.csv").exists()
    kept = {path: path.stat().st_mtime_ns for path in (folder / "league").rglob("*.safetensors")}
    done = subprocess.run(
        [FORETRADE, "league", str(folder)], capture_output=True, text=True, check=True
    ).stdout
    assert hashes(folder) == hashes(planted.run.path)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert "Knows, mean" in done
    assert "league.html" in done


def test_damage_is_noticed_and_mended(planted, league, tmp_path):
    folder = tmp_path / "damaged" / "run"
    shutil.copytree(planted.run.path, folder)
    cell = next((folder / "league" / "played").glob("Knows*"))
    cell.write_bytes(cell.read_bytes()[:-100])
    league(job_at(folder, planted.config))
    assert read_played(cell) is not None
    assert hashes(folder) == hashes(planted.run.path)


def test_a_league_counts_what_was_tried_since(planted, league, tmp_path):
    folder = tmp_path / "counted" / "run"
    shutil.copytree(planted.run.path.parent, folder.parent, ignore=shutil.ignore_patterns("cache"))
    job, before = job_at(folder, planted.config), table(planted)["deflated"]
    ledger = ledger_of(job)
    place = {"data": planted.bars.history_hash, "symbol": planted.symbol}
    rng = np.random.default_rng(0)
    more = [
        Trial("rule", f"rule {k}", "x", "other", block=block, returns=rng.normal(size=90), **place)
        for k in range(25)
        for block in ("test", "validation")
    ]
    ledger.record(more)
    league(job)
    count = len(ledger.records(planted.bars.history_hash))
    assert f"{count} trials on these prices" in (folder / "league" / "league.md").read_text()
    assert (table(job)["deflated"] < before).any()
    ledger.path.write_text("".join(ledger.path.read_text().splitlines(keepends=True)[1:]))
    league(job)
    page = (folder / "league" / "league.html").read_text()
    assert '<p class="alarm">The record of trials is broken' in page
    assert "earned more than buy and hold at" not in page


def test_what_must_be_read_first_stands_first(planted, league, tmp_path, monkeypatch):
    """In red, on the page and in the terminal: idealised fills, and what is too good to be true."""
    seen = "foretrade.backtests.league_page.too_high"  # by chance nobody leads buy-and-hold here
    monkeypatch.setattr(seen, lambda label, *_: [f"{label}: it sees the future"])
    settings = replace(planted.config.market, fill="same_close")
    job = job_at(tmp_path / "ideal" / "run", replace(planted.config, market=settings))
    folder = league(job)
    text = (folder / "league.md").read_text()
    assert text.index("Probable leak. Knows, ") < text.index("Idealised fills")
    assert text.index("Idealised fills") < text.index("The best of ")
    verdict = "These results look like a leak, were made with idealised fills and are not to be believed"
    assert f"\n**{verdict}" in text
    assert f'<p class="verdict">{verdict}' in (folder / "league.html").read_text()
    assert "oracle" not in text[: text.index("Idealised fills")]
    assert (folder / "league.html").read_text().count('<p class="alarm">') >= 3
    shown = StringIO()
    print_league(Console(file=shown, width=100, force_terminal=True), folder)
    assert "\x1b[1;31mProbable leak" in shown.getvalue()
    assert "\x1b[1;31mIdealised fills" in shown.getvalue()
    plain = re.sub(r"\s+", " ", shown.getvalue())
    assert verdict in plain
    assert "earned more" not in plain + text


def test_ppo_sees_one_forecaster_and_its_seeds_make_one_row(planted, league, tmp_path):
    overrides = [
        'league.rules=["ppo"]',
        "league.seeds=2",
        "league.folds=2",
        "league.cost_scales=[0, 1]",
        'forecast.members=["test_league:Knows"]',
        "forecast.baselines=[]",
        "forecast.also_fused_by=[]",
    ]
    config = read_config(planted.run.path.parents[1] / "league.toml", overrides=overrides)
    job = job_at(tmp_path / "ppo" / "run", config)
    league(job)
    rows = table(job)
    assert list(rows.index[:2].sort_values()) == ["Knows", "ensemble"]
    assert (rows["seeds"].iloc[:2] == 2).all()
    assert (
        rows.loc["Knows", "sharpe_min"] <= rows.loc["Knows", "sharpe"] <= rows.loc["Knows", "sharpe_max"]
    )
    folder = job.run.path / "league" / "policy"
    expected = {f"{n}-seed-{s}-fold-{k}" for n in ("Knows", "ensemble") for s in (0, 1) for k in (1, 2)}
    assert {path.name for path in folder.iterdir()} == expected
    spec = json.loads((folder / "Knows-seed-0-fold-2" / "policy.json").read_text())
    seen = [name for name in spec["entries"] if not name.startswith("account.")]
    assert seen == ["Knows.mean", "Knows.std"]


WALKED = (
    'league.rules=["ppo"]',
    "league.seeds=1",
    "league.folds=3",
    "league.cost_scales=[0, 1]",
    'forecast.members=["test_league:Knows"]',
    "forecast.baselines=[]",
    "forecast.also_fused_by=[]",
)


@pytest.fixture(scope="module")
def walked(planted, league, tmp_path_factory):
    """A league of policies over three folds."""
    config = read_config(planted.run.path.parents[1] / "league.toml", overrides=WALKED)
    job = job_at(tmp_path_factory.mktemp("walked") / "run", config)
    league(job)
    return job


def learnt(job: Job, fold: int) -> list[str]:
    """Hashes of what the trainings of a fold have made."""
    return [
        file_hash(folder / name)
        for folder in sorted((job.run.path / "league" / "policy").glob(f"*-fold-{fold}"))
        for name in ("policy.safetensors", "policy.json", "validation.csv", "validation.npy")
    ]


def equity_of(job: Job, forecaster: str) -> np.ndarray:
    """Of its policies, at costs as configured ``[steps + 1]``."""
    (path,) = (job.run.path / "league" / "played").glob(f"{forecaster}-policy-0-*")
    return read_played(path)["ppo"].equity[:, 1]


def test_bars_of_a_fold_change_nothing_that_came_before_it(walked, planted, league, tmp_path):
    """Not what its policies learn, and not what was earned before it."""
    first = walked.config.blocks.rolled(walked.bars, 3)[1]["test"].start
    frame = pd.read_csv(walked.config.data.source)
    prices = ["open", "high", "low", "close"]
    poison = np.exp(np.random.default_rng(5).normal(0, 0.05, len(frame) - first - 1))
    frame.loc[first + 1 :, prices] = frame.loc[first + 1 :, prices].mul(poison, axis=0)
    frame.to_csv(tmp_path / "poisoned.csv", index=False)
    data = replace(walked.config.data, source=str(tmp_path / "poisoned.csv"))
    job = job_at(tmp_path / "poisoned" / "run", replace(walked.config, data=data))
    league(job)
    assert learnt(job, 1) == learnt(walked, 1)
    assert learnt(job, 2) == learnt(walked, 2)
    assert learnt(job, 3) != learnt(walked, 3)
    block = walked.config.blocks.rows(walked.bars)["test"]
    for name in ("Knows", "ensemble"):
        clean, poisoned = equity_of(walked, name), equity_of(job, name)
        assert (clean[: first - block.start + 1] == poisoned[: first - block.start + 1]).all()
        assert clean[first - block.start + 1] != poisoned[first - block.start + 1]


def test_policies_take_over_the_account_of_the_fold_before(walked):
    """As stepping the test block by hand does, one account from its first bar to its last."""
    folds = walked.config.blocks.rolled(walked.bars, 3)
    env = walked.env("test", observe=["Knows.mean", "Knows.std"])
    folder = walked.run.path / "league" / "policy"
    policies = [load_policy(folder / f"Knows-seed-0-fold-{k}") for k in (1, 2, 3)]
    observation, info = env.reset(seed=0)
    equity = [info["equity"]]
    for policy, fold in zip(policies, folds, strict=True):
        for _ in fold["test"][:-1]:
            observation, _, _, over, info = env.step(policy.decide(observation[None])[0])
            equity.append(info["equity"])
    assert over
    assert (np.array(equity) == equity_of(walked, "Knows")).all()


def test_checkpoints_of_a_fold_are_trials_on_the_bars_right_before_it(walked):
    records = ledger_of(walked).records(walked.bars.history_hash, "validation")
    begun = {r["name"].split("@")[0][-1]: r["first"] for r in records if r["kind"] == "checkpoint"}
    folds = walked.config.blocks.rolled(walked.bars, 3)
    days = [walked.bars.dates[fold["validation"].start + 1] for fold in folds]
    assert begun == {str(k): str(day.date()) for k, day in enumerate(days, start=1)}


def test_lost_policies_are_trained_again_in_processes_to_the_same_bytes(walked, tmp_path):
    beside = shutil.copytree(walked.run.path.parent, tmp_path / "lost")  # the ledger of trials too
    folder, ledger = beside / "run", (beside / "trials.jsonl").read_bytes()
    policies = folder / "league" / "policy"
    for lost in ("Knows-seed-0-fold-2", "ensemble-seed-0-fold-3"):
        shutil.rmtree(policies / lost)
    shutil.rmtree(folder / "league" / "played")
    kept = {path: path.stat().st_mtime_ns for path in policies.rglob("policy.safetensors")}
    command = [FORETRADE, "league", str(folder), "--workers", "2"]
    subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(kept) == 4
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert (beside / "trials.jsonl").read_bytes() == ledger  # nothing is tried that was not before
    for fold in (1, 2, 3):
        assert learnt(job_at(folder, walked.config), fold) == learnt(walked, fold)
    assert hashes(folder) == hashes(walked.run.path)


def test_several_seeds_of_the_forecasters_make_one_row(planted, league, tmp_path):
    overrides = [
        "league.forecast_seeds=3",
        'league.rules=["sign"]',
        'forecast.members=["test_league:Guesses", "random_forest"]',
        "forecast.settings={random_forest={n_estimators=3}}",
        "forecast.baselines=[]",
        "forecast.also_fused_by=[]",
    ]
    config = read_config(planted.run.path.parents[1] / "league.toml", overrides=overrides)
    job = job_at(tmp_path / "seeds" / "run", config)
    league(job)
    rows = table(job)
    assert (rows["seeds"].iloc[:3] == 3).all()
    forest, guesses = rows.loc["random_forest"], rows.loc["Guesses"]
    assert forest["sharpe_min"] < forest["sharpe"] < forest["sharpe_max"]
    assert guesses["sharpe_min"] == guesses["sharpe"] == guesses["sharpe_max"]


def test_a_league_in_which_nobody_trades_says_so(planted, league, tmp_path):
    overrides = [
        'forecast.members=["zero"]',
        "forecast.baselines=[]",
        "forecast.also_fused_by=[]",
        "league.folds=1",
        "league.cost_scales=[0, 1]",
        'market.actions="position"',
    ]
    config = read_config(planted.run.path.parents[1] / "league.toml", overrides=overrides)
    job = job_at(tmp_path / "idle" / "run", config)
    league(job)
    text = (job.run.path / "league" / "league.md").read_text()
    assert text.startswith("**No forecaster traded")
    assert "nan" not in text
    assert "Not in the tests, as their returns are constant: ensemble" in text


def test_forecasts_of_a_week_are_sized_by_the_risk_of_a_week(planted, league, tmp_path):
    """Long horizon, fills at the open, long only, leverage: the same market, other words."""
    overrides = [
        "forecast.horizon_bars=5",
        'market.fill="next_open"',
        "market.weight_bounds=[0.0, 2.0]",
        "market.rules={max_leverage=2.0}",
        'league.rules=["mean_variance"]',
        "forecast.also_fused_by=[]",
    ]
    config = read_config(planted.run.path.parents[1] / "league.toml", overrides=overrides)
    job = job_at(tmp_path / "week" / "run", config)
    league(job)
    tasks = Tasks(job)
    env, rule, limits = tasks.plain()["Knows"].entries["mean_variance"]
    rows = job.config.blocks.rows(job.bars)["test"][:-1]
    mean, std = (
        job.forecasts.column(f"Knows.{part}")[rows.start : rows.stop, 0] for part in ("mean", "std")
    )
    asked = asked_weights(rule, env)
    assert np.allclose(asked, np.clip(mean / (5 * std**2), 0, 2), rtol=1e-4, atol=1e-6)
    assert np.median(std) > 0.015  # of five bars, each of about one per cent
    assert limits.no_trade_band == 0.2
    assert limits.max_leverage == 2.0
    assert asked.max() > 1


def test_settings_that_make_no_league_are_named():
    for override, message in {
        "league.rules=[]": "at least one rule",
        'league.rules=["sign", "sign"]': "each once",
        "league.cost_scales=[1, 2]": "must rise from 0",
        "league.cost_scales=[0, 2]": "1 must be among them",
        "league.folds=0": "at least 1",
        "league.risk_aversion=0": "risk_aversion must be positive",
        'league.rules=["kelly"]': "rules",
    }.items():
        with pytest.raises(ConfigError, match=message):
            read_config(overrides=[override])


def test_a_test_block_that_is_too_short_is_named(planted, league, tmp_path):
    config = read_config(
        planted.run.path.parents[1] / "league.toml", overrides=["blocks.test=2006-11-14"]
    )
    with pytest.raises(DataError, match=r"a league of 4 folds needs 20; begin it earlier"):
        league(job_at(tmp_path / "short", config))
