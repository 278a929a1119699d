"""A user cannot forget to count: every look is in the ledger, once, and its loss is seen."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from threadpoolctl import threadpool_limits
from typer.testing import CliRunner

from foretrade import league, league_season
from foretrade.backtests.engine import read_runs, write_runs
from foretrade.cli import app
from foretrade.config import read_config
from foretrade.counting import (
    compared,
    faults,
    ledger_of,
    record_run,
    record_strategies,
    state,
    summarise,
)
from foretrade.experiment import run_steps
from foretrade.job import Job
from foretrade.luck import luck
from foretrade.results import build_report
from foretrade.rundir import RunDirectory

SMALL = Path(__file__).parent / "small.toml"
CHEAP = ('forecast.members=["ridge"]', "forecast.settings={}", "forecast.baselines=[]", "seeds=1")


def job_of(folder: Path, *overrides: str) -> Job:
    config = read_config(SMALL, overrides=[*CHEAP, *overrides])
    return Job(RunDirectory.create(folder, config), Console(quiet=True), workers=2)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A folder with one run, backtested."""
    folder = tmp_path_factory.mktemp("runs")
    run_steps(job_of(folder / "first"), ("forecast", "train", "backtest"))
    return folder


@pytest.fixture
def first(runs) -> Job:
    return job_of(runs / "first")


def trials(job: Job, block: str) -> list[str]:
    place = (job.bars.content_hash, job.symbol, block)
    return [f"{r['kind']} {r['name']}" for r in ledger_of(job).records(*place)]


def test_every_look_of_a_run_is_a_trial(first):
    steps = pd.read_csv(first.run.path / "policy" / "ppo-seed-0" / "validation.csv")["steps"]
    agents = ("ppo-seed-0", "ppo-without-forecasts-seed-0")
    assert trials(first, "validation")[:4] == [f"checkpoint {a}@{n}" for a in agents for n in steps]
    rules = ("moving-average", "sign-ensemble", "voltarget-ensemble", "sign-ridge", "voltarget-ridge")
    expected = [f"policy {name}" for name in agents] + [f"rule {name}" for name in rules]
    assert trials(first, "test") == [*expected, "forecaster ensemble", "forecaster ridge"]
    found = compared(first)
    assert (found.count, found.whole) == (4 + 9, True)


def test_the_returns_of_a_checkpoint_are_those_that_it_was_chosen_by(first):
    ledger = ledger_of(first)
    place = (first.bars.content_hash, first.symbol, "validation")
    growth = [float(np.log1p(ledger.returns(r)).sum()) for r in ledger.records(*place)[:2]]
    told = pd.read_csv(first.run.path / "policy" / "ppo-seed-0" / "validation.csv")["log_growth"]
    np.testing.assert_allclose(growth, told, rtol=1e-9)


def test_a_ruined_account_earns_nothing_any_more(first, tmp_path):
    folder = shutil.copytree(first.run.path, tmp_path / "ruined")
    runs = read_runs(folder / "ledger.parquet")
    lost = runs["sign-ridge"].ledger.iloc[:50].copy()
    lost.iloc[-1, lost.columns.get_loc("equity")] = -5.0
    changed = runs | {"sign-ridge": replace(runs["sign-ridge"], ledger=lost)}
    write_runs(list(changed.values()), folder / "ledger.parquet")
    job = job_of(folder)
    record_strategies(job)
    records = ledger_of(job).records(job.bars.content_hash, job.symbol, "test")
    returns = {record["name"]: ledger_of(job).returns(record) for record in records}["sign-ridge"]
    assert len(returns) == len(runs["flat"].ledger)
    assert returns[49] == -1.0
    assert (returns[50:] == 0).all()


def test_nothing_is_counted_twice(first):
    ledger, before = ledger_of(first).path, state(first)
    content, manifest = ledger.read_bytes(), (first.run.path / "manifest.json").stat().st_mtime_ns
    record_run(first)
    assert ledger.read_bytes() == content
    assert (first.run.path / "manifest.json").stat().st_mtime_ns == manifest
    assert state(first) == before


def test_other_settings_add_up_and_deflate_the_first_run(first, runs):
    before, known = build_report(first), state(first)
    second = job_of(runs / "second", "ppo.checkpoints=8", "ppo.learning_rate=0.002")
    run_steps(second, ("forecast", "train"))
    assert len(trials(second, "validation")) == 4 + 16
    after = build_report(first)
    assert after.trials.count == before.trials.count + 16
    assert compared(second) == after.trials
    assert state(first) != known  # so that the report step is done again
    assert deflated(after) < deflated(before), (before.trials, after.trials)
    assert f"the best of {after.trials.count} trials" in after.verdict()


def test_luck_is_measured_on_all_that_was_tried_on_the_same_bars(first):
    """After the second run, whose checkpoints stand beside those of the first."""
    found = luck(first)
    assert found["trials"]["count"] == compared(first).count
    assert found["trials"]["checkpoints"] == len(trials(first, "validation")) == 20
    assert 1 <= found["trials"]["effective_checkpoints"] <= 20
    assert 0 <= found["overfitting"]["probability"] <= 1
    assert (
        found["superior_ability"]["strategies"] == 5
    )  # two policies, three rules: the ensemble is ridge
    p_values = found["superior_ability"]["p_values"]
    assert p_values["lower"] <= p_values["consistent"] <= p_values["upper"]
    assert "29 on these prices, 20 checkpoints are as many as" in build_report(first).setting["Trials"]


def deflated(report) -> float:
    from foretrade.backtests.deflation import deflated_sharpe

    returns = report.runs[report.rows[0].median_run].returns.to_numpy()
    return deflated_sharpe(returns, report.trials.count, report.trials.variance)


@pytest.fixture
def leagued(first, runs, tmp_path, monkeypatch) -> Job:
    """The first run in a folder of its own, its league played in this process."""
    for module in (league_season, league):
        monkeypatch.setattr(module, "run_parallel", lambda work, items, **_: [work(x) for x in items])
    folder = shutil.copytree(runs, tmp_path / "runs") / "first"
    with threadpool_limits(1):
        league.league(job_of(folder))
    return job_of(folder)


def test_report_league_and_command_count_alike(leagued):
    """Checkpoints, policies, rules and forecasters of two runs, and the cells of a league."""
    count = compared(leagued).count
    ledger = leagued.run.path.parent / "trials.jsonl"
    kinds = {json.loads(line)["kind"] for line in ledger.read_text().splitlines()}
    assert kinds == {"checkpoint", "policy", "rule", "forecaster", "cell"}
    page = build_report(leagued)
    assert f"the best of {count} trials would show" in page.verdict()
    assert page.setting["Trials"].startswith(f"{count} on these prices,")
    assert luck(leagued)["trials"]["count"] == count
    told = (leagued.run.path / "league" / "league.md").read_text()
    assert f"Trials: {count} trials on these prices;" in told
    (line,) = summarise(ledger_of(leagued))
    assert line[2] == str(count) == str(int(line[3]) + int(line[4]))
    shown = CliRunner().invoke(app, ["trials", str(ledger.parent)]).output
    assert re.search(rf"GSPC +{count} +{line[3]} +{line[4]} ", shown)


def test_the_lost_returns_of_a_league_cell_leave_luck_undefined(leagued):
    """The numbers of the trials are still told, and the report is still made; the remedy is named."""
    ledger = ledger_of(leagued)
    (cell, *_) = [r for r in ledger.records(leagued.bars.content_hash, "GSPC") if r["kind"] == "cell"]
    (ledger.path.parent / "trials" / f"{cell['series']}.npy").unlink()
    found = luck(leagued)
    assert found["trials"]["count"] == compared(leagued).count
    for test in ("overfitting", "superior_ability"):
        assert set(found[test]) == {"undefined"}
        assert (
            f"no returns of {cell['name']} there; 'foretrade league' of run" in found[test]["undefined"]
        )
    assert build_report(leagued).setting["Trials"] == f"{compared(leagued).count} on these prices"
    told = CliRunner().invoke(app, ["trials", str(ledger.path.parent)])
    assert told.exit_code == 1
    assert f"broken: {ledger.path.parent}" in told.output.replace("\n", "")


def test_the_command_lists_trials_and_finds_what_was_done_to_them(first, runs):
    told = CliRunner().invoke(app, ["trials", str(runs)])
    assert told.exit_code == 0, told.output
    assert "trials.jsonl: whole" in told.output.replace("\n", "")
    path = ledger_of(first).path
    content = path.read_text()
    lines = content.splitlines(keepends=True)
    try:
        path.write_text(content.replace('"sharpe": ', '"sharpe": 1', 1))
        told = CliRunner().invoke(app, ["trials", str(runs)])
        assert told.exit_code == 1
        assert "trials.jsonl: line 2 does not follow line 1" in told.output.replace("\n", "")
        assert any("line 2 does not follow line 1" in text for text in build_report(first).faults)
        assert "(their record is broken)" in build_report(first).verdict()

        path.write_text("".join(lines[:-1]))
        assert "is missing: there were" in faults(first)[0]
        record_run(first)  # what the first run did is entered again, what the others did is not
        assert faults(first)
    finally:
        path.write_text(content)


def test_a_lost_ledger_is_begun_anew_and_told(first, runs):
    path = ledger_of(first).path
    content = path.read_bytes()
    path.unlink()
    try:
        noted = json.loads((first.run.path / "manifest.json").read_text())["trials"]
        record_run(first)
        assert compared(first).count == 13
        assert not compared(first).whole
        assert json.loads((first.run.path / "manifest.json").read_text())["trials"] == noted
    finally:
        path.write_bytes(content)
