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
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from threadpoolctl import threadpool_limits
from typer.testing import CliRunner

from foretrade import league, league_season, policies
from foretrade.agents.checkpoint import Checkpoints
from foretrade.backtests.engine import read_runs, write_runs
from foretrade.backtests.report import Report
from foretrade.backtests.trials import Ledger
from foretrade.cli import app
from foretrade.config import read_config
from foretrade.counting import (
    Recorder,
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


@pytest.fixture(scope="module")
def alone(runs) -> tuple[Report, object]:
    """What the report of the first run says, and the key of its step, before there is another run."""
    job = job_of(runs / "first")
    return build_report(job), state(job)


@pytest.fixture(scope="module")
def second(runs, alone) -> Job:
    """A run with other settings beside the first."""
    job = job_of(runs / "second", "ppo.checkpoints=8", "ppo.learning_rate=0.002")
    run_steps(job, ("forecast", "train"))
    return job


def trials(job: Job, block: str) -> list[str]:
    place = (job.bars.history_hash, block)
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
    place = (first.bars.history_hash, "validation")
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
    records = ledger_of(job).records(job.bars.history_hash, "test")
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


def test_other_settings_add_up_and_deflate_the_first_run(first, alone, second):
    before, known = alone
    assert len(trials(second, "validation")) == 4 + 16
    after = build_report(first)
    assert after.trials.count == before.trials.count + 16
    assert compared(second) == after.trials
    assert state(first) != known  # so that the report step is done again
    assert deflated(after) < deflated(before), (before.trials, after.trials)
    assert f"the best of {after.trials.count} trials" in after.verdict()


def test_luck_is_measured_on_all_that_was_tried_on_the_same_bars(first, second):
    """The checkpoints of the second run stand beside those of the first."""
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


MORE = ("ppo.checkpoints=8", "ppo.learning_rate=0.003", "seeds=2")


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> Job:
    """A training of two agents and two seeds that was not stopped, in two worker processes."""
    job = job_of(tmp_path_factory.mktemp("runs") / "straight", *MORE)
    run_steps(job, ("forecast", "train"))
    return job


def checkpoints(job: Job) -> list[dict[str, object]]:
    """All that the ledger tells of the checkpoints of a run but the number of the line."""
    chained = ("number", "previous")
    records = ledger_of(job).records(job.bars.history_hash, "validation")
    own = [record for record in records if record["run"] == job.run.path.name]
    return [{k: v for k, v in record.items() if k not in chained} for record in own]


def shown(job: Job) -> set[str]:
    """Checkpoints whose score TensorBoard has."""
    found = set()
    for folder in job.run.path.glob("policy/*/tensorboard"):
        board = EventAccumulator(str(folder), purge_orphaned_data=False).Reload()
        if "validation/log_growth" in board.Tags()["scalars"]:
            scores = board.Scalars("validation/log_growth")
            found |= {f"{folder.parent.name}@{score.step}" for score in scores}
    return found


def test_worker_processes_enter_each_checkpoint_once_and_break_no_chain(straight):
    assert len(checkpoints(straight)) == 2 * 2 * 8
    assert {record["name"] for record in checkpoints(straight)} == shown(straight)
    assert not faults(straight)
    noted = json.loads((straight.run.path / "manifest.json").read_text())["trials"]
    assert noted["length"] == len(ledger_of(straight).chain.records())


@pytest.mark.parametrize("after_keeping", [False, True], ids=["before its state is kept", "after"])
def test_a_stopped_training_has_counted_what_it_showed_and_goes_on_to_the_same_trials(
    straight, tmp_path, monkeypatch, after_keeping
):
    """Stopped at every third state that it keeps, which is after every update."""
    monkeypatch.setattr(
        policies, "run_parallel", lambda work, items, **_: [work(item) for item in reversed(items)]
    )
    job = job_of(tmp_path / "straight", *MORE)
    run_steps(job, ("forecast",))
    write, left = Checkpoints.write, [3]

    def stopping(checkpoints, *state):
        left[0] -= 1
        if left[0] or after_keeping:
            write(checkpoints, *state)
        if not left[0]:
            left[0] = 3
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "write", stopping)
    stops = 0
    while True:
        try:
            with threadpool_limits(1):
                run_steps(job, ("train",))
            break
        except KeyboardInterrupt:
            stops += 1
            assert {record["name"] for record in checkpoints(job)} == shown(job)
            assert not faults(job)
    assert stops > 8
    assert checkpoints(job) == checkpoints(straight)
    assert compared(job) == compared(straight)
    for record in ledger_of(job).records(job.bars.history_hash, "validation"):
        ledger_of(job).returns(record)
    record_run(job)
    assert checkpoints(job) == checkpoints(straight)


def test_a_checkpoint_that_ruined_its_account_is_the_same_trial_at_once_and_in_the_end(first, tmp_path):
    """At once it has returns up to ruin, the file of the finished policy has more for the others."""
    place = (first.config.config_hash, first.bars.history_hash, first.symbol, "validation")
    run = RunDirectory(tmp_path / "runs" / "run", first.config)
    recorder = Recorder(run, *place, first="2005-01-04", bars=9)
    rising, ruined = np.full(7, 0.01), np.array([0.1, -0.5, -1.0])
    recorder.checkpoint("ppo", 10, ruined)
    recorder.checkpoint("ppo", 20, rising)
    (tmp_path / "ppo").mkdir()
    pd.DataFrame({"steps": [10, 20]}).to_csv(tmp_path / "ppo" / "validation.csv")
    np.save(tmp_path / "ppo" / "validation.npy", [np.pad(ruined, (0, 4)), rising])
    recorder.policy(tmp_path / "ppo")
    records = Ledger.beside(run.path).records(first.bars.history_hash)
    assert [(record["name"], record["bars"]) for record in records] == [("ppo@10", 9), ("ppo@20", 9)]


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
    (cell, *_) = [r for r in ledger.records(leagued.bars.history_hash) if r["kind"] == "cell"]
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


def test_the_command_lists_trials_and_finds_what_was_done_to_them(first, runs, second):
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
