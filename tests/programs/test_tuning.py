"""A tuning from its configuration to its winner: scores, trials counted, interrupted, resumed."""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from threadpoolctl import threadpool_limits

from foretrade import experiment, forecasting, policies
from foretrade.backtests.deflation import expected_best_sharpe
from foretrade.config import ConfigError, read_config
from foretrade.counting import faults, ledger_of
from foretrade.errors import ForetradeError
from foretrade.job import Job
from foretrade.markets.synthetic import random_walk
from foretrade.optuna_search import OptunaMissingError
from foretrade.rundir import RunDirectory, RunError
from foretrade.storage import file_hash
from foretrade.terminal import print_tuning
from foretrade.tuning import tune
from foretrade.tuning_trials import with_settings
from foretrade.workers import WorkerError

SETTINGS = """
name = "tuned"
seeds = 2
data.source = "{source}"
data.timezone = "America/New_York"
[blocks]
train = "2001-06-01"
validation = "2002-03-01"
test = "2002-09-02"
[features]
momentum_bars = [5]
trend_bars = 20
volatility_bars = [5, 20]
zscore_bars = 20
[forecast]
members = ["ridge"]
baselines = []
schedule.warm_up_bars = 252
schedule.refit_every_bars = 504
[ppo]
steps = 128
environments = 2
rollout_bars = 32
batch_size = 32
episode_bars = 30
epochs = 1
checkpoints = 2
"""
GRID = ("tune.grid.ppo.learning_rate=[0.001, 0.1]", "tune.grid.ppo.gamma=[0.5, 0.9]")
SEARCH = (
    "tune.trials=4",
    "tune.search.ppo.learning_rate={low=1e-4, high=0.1, log=true}",
    "tune.search.ppo.epochs={low=1, high=3}",
    "tune.search.ppo.net_arch={choices=[[8], [8, 8]]}",
)
FILES = ("trials.csv", "best.toml", "tune.md")


def write_prices(path: Path, *, poisoned_from: str = "2100-01-01") -> Path:
    walk = random_walk(800, seed=5)
    days = pd.DatetimeIndex(walk.dates).tz_localize(None).normalize()
    prices = {name: getattr(walk, name)[:, 0] for name in ("open", "high", "low", "close", "volume")}
    frame = pd.DataFrame(prices, index=days)
    after = days >= poisoned_from
    trend = np.cumprod(np.where(after, 1.05, 1.0))
    frame.loc[:, ["open", "high", "low", "close"]] *= trend[:, None]
    frame.to_csv(path, index_label="date")
    return path


def config_of(source: Path, *overrides: str):
    path = source.with_suffix(".toml")
    path.write_text(SETTINGS.format(source=source))
    return read_config(path, overrides=overrides)


def job_at(folder: Path, config, **options) -> Job:
    return Job(RunDirectory.create(folder, config), Console(quiet=True), **options)


def hashes(job: Job) -> dict[str, str]:
    return {name: file_hash(job.run.path / "tune" / name) for name in FILES}


def table(job: Job) -> pd.DataFrame:
    return pd.read_csv(job.run.path / "tune" / "trials.csv")


def trained(job: Job) -> list[Path]:
    return sorted(job.run.path.glob("tune/policies/*/*/policy.safetensors"))


@pytest.fixture(scope="module", autouse=True)
def in_this_process():
    """On one thread as in a worker: no process has to start."""

    def one_by_one(function, items, **_):
        return [function(item) for item in items]

    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1):
        for module in (experiment, forecasting, policies):
            patch.setattr(module, "run_parallel", one_by_one)
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return write_prices(tmp_path_factory.mktemp("prices") / "prices.csv")


@pytest.fixture(scope="module")
def gridded(tmp_path_factory, source) -> Job:
    job = job_at(tmp_path_factory.mktemp("grid") / "run", config_of(source, *GRID))
    tune(job)
    return job


def test_every_point_is_scored_by_the_median_seed_of_the_chosen_checkpoints(gridded):
    rows = table(gridded)
    points = list(zip(rows["ppo.learning_rate"], rows["ppo.gamma"], strict=True))
    assert points == [(0.001, 0.5), (0.001, 0.9), (0.1, 0.5), (0.1, 0.9)]
    for number, point in enumerate(gridded.config.tune.points()):
        config = with_settings(gridded.config, point)
        folder = gridded.run.path / "tune" / "policies" / config.config_hash[:16]
        scores = []
        for seed in (0, 1):
            growth = np.log1p(np.load(folder / f"ppo-seed-{seed}" / "validation.npy"))
            chosen = growth[growth.sum(axis=1).argmax()]
            scores.append(chosen.mean() / chosen.std() if chosen.any() else 0.0)
        row = rows.loc[number]
        np.testing.assert_allclose(row[["seed 0", "seed 1"]].astype(float), scores, rtol=1e-6)
        assert row["score"] == pytest.approx(np.median(scores), rel=1e-6)
        assert (row["lowest"], row["highest"]) == pytest.approx((min(scores), max(scores)))


def test_the_winner_is_a_configuration_whose_run_trains_the_same_policies(gridded, tmp_path):
    rows = table(gridded)
    best = rows.loc[rows["score"].idxmax()]
    winner = read_config(gridded.run.path / "tune" / "best.toml")
    point = {key: best[key] for key in ("ppo.learning_rate", "ppo.gamma")}
    assert winner == with_settings(gridded.config, point)
    shutil.copytree(gridded.run.path.parent, tmp_path / "runs")
    tuned = job_at(tmp_path / "runs" / "run", gridded.config)
    before = len(checkpoints(tuned))
    job = job_at(tmp_path / "runs" / "winner", winner)
    experiment.run_steps(job, ("forecast", "train"))
    folder = gridded.run.path / "tune" / "policies" / winner.config_hash[:16]
    for name in ("ppo-seed-0", "ppo-seed-1"):
        parts = [path / name / "policy.safetensors" for path in (folder, job.run.path / "policy")]
        assert file_hash(parts[0]) == file_hash(parts[1])
    assert len(checkpoints(tuned)) == before + 4  # those without forecasts alone are new
    assert not faults(tuned)


def checkpoints(job: Job) -> list[dict[str, object]]:
    return ledger_of(job).records(job.bars.history_hash, "validation")


def tried(job: Job) -> list[list[object]]:
    return [[record[key] for key in ("config", "name", "series")] for record in checkpoints(job)]


def test_every_checkpoint_is_a_trial(gridded):
    assert len(checkpoints(gridded)) == 4 * 2 * 2 == table(gridded)["checkpoints"].sum()
    assert not faults(gridded)
    assert not ledger_of(gridded).records(gridded.bars.history_hash, "test")


def test_a_second_time_nothing_is_done_again(gridded):
    before = {p: p.stat().st_mtime_ns for p in gridded.run.path.rglob("*") if p.is_file()}
    tune(job_at(gridded.run.path, gridded.config))
    after = {p: p.stat().st_mtime_ns for p in gridded.run.path.rglob("*") if p.is_file()}
    lock = gridded.run.path / "tune" / "lock"
    assert before | {lock: 0} == after | {lock: 0}


def test_the_test_block_is_never_touched(gridded, tmp_path):
    """Prices that rise by 5 % a day in the test block change no score."""
    assert gridded.config.blocks.test == "2002-09-02"
    poisoned = write_prices(tmp_path / "prices.csv", poisoned_from="2002-09-02")
    job = job_at(tmp_path / "run", config_of(poisoned, *GRID))
    tune(job)
    test = job.config.blocks.rows(job.bars)["test"]
    assert job.bars.close[test[-1], 0] > 50 * gridded.bars.close[test[-1], 0]
    assert file_hash(job.run.path / "tune" / "trials.csv") == hashes(gridded)["trials.csv"]


def test_a_killed_grid_goes_on_to_the_same_bytes_in_two_processes(gridded, source, tmp_path):
    folder = tmp_path / "run"
    program = [sys.executable, "-c", "from foretrade.cli import main; main()", "tune"]
    sets = [part for override in GRID for part in ("--set", override)]
    command = [*program, str(source.with_suffix(".toml")), "--out", str(folder), *sets]
    first = subprocess.Popen(
        [*command, "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 240
    while not list(folder.glob("tune/policies/*/*/done.json")):
        assert time.monotonic() < deadline
        assert first.poll() is None, first.communicate()
        time.sleep(0.01)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("tune/policies/*/*/done.json")}
    assert len(kept) < 8
    told = subprocess.run([*program, str(folder)], capture_output=True, text=True, check=True).stdout
    job = job_at(folder, gridded.config)
    assert hashes(job) == hashes(gridded)
    assert [file_hash(path) for path in trained(job)] == [file_hash(path) for path in trained(gridded)]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert tried(job) == tried(gridded)
    assert not faults(job)
    assert "trial 4 of 4: ppo.learning_rate = 0.1, ppo.gamma = 0.9" in told
    assert "next: foretrade run" in told


def test_the_page_says_what_of_it_may_be_luck(gridded):
    text = (gridded.run.path / "tune" / "tune.md").read_text()
    rows = table(gridded).sort_values("score", ascending=False)
    number, best = rows["trial"].iloc[0], rows["score"].iloc[0]
    assert f"Best of 4 trials: number {number}" in text
    assert f"is {best:.4f}, {best - rows['score'].median():.4f} above the median trial" in text
    bars = len(gridded.config.blocks.rows(gridded.bars)["validation"]) - 1
    luck = expected_best_sharpe(16, 1 / bars)
    assert "16 checkpoints were looked at. The best of as many without any skill" in text
    assert f"would show {luck:.4f} on {bars} bars" in text
    assert text.count("\n| ") == 2 + 4
    printed = StringIO()
    print_tuning(Console(file=printed, width=120), gridded.run.path / "tune", tune(gridded))
    assert f"Best of 4 trials: number {number}" in printed.getvalue()


def test_settings_of_forecasts_get_forecasts_of_their_own(source, tmp_path):
    overrides = ("tune.seeds=1", "tune.grid.forecast.settings.ridge.alpha=[1.0, 1e6]")
    job = job_at(tmp_path / "runs" / "run", config_of(source, *overrides))
    tune(job)
    tables = [file_hash(path) for path in job.run.path.glob("tune/forecasts/*/forecasts.parquet")]
    assert len(set(tables)) == 2
    assert len(trained(job)) == 2
    assert [path.name for path in (tmp_path / "runs").rglob("trials.jsonl")] == ["trials.jsonl"]
    assert len(checkpoints(job)) == 4
    assert "takes two trials and two seeds" in (job.run.path / "tune" / "tune.md").read_text()


def test_a_training_that_must_not_go_on_is_told_and_the_others_do(gridded, monkeypatch, tmp_path):
    real = policies.run_policy_task

    def fails(task):
        if task.config.learning_rate == 0.1 and task.config.gamma == 0.5:
            raise ForetradeError("the loss is not finite")
        real(task)

    monkeypatch.setattr(policies, "run_policy_task", fails)
    job = job_at(tmp_path / "run", gridded.config)
    page = tune(job)
    rows, whole = table(job), table(gridded)
    assert rows["reason"].fillna("").tolist() == ["", "", "the loss is not finite", ""]
    kept = [0, 1, 3]
    pd.testing.assert_series_equal(rows["score"].iloc[kept], whole["score"].iloc[kept])
    assert np.isnan(rows["score"].iloc[2])
    assert "1 that could not be tried" in page.markdown()

    def dies(task):
        raise WorkerError("out of memory")

    monkeypatch.setattr(policies, "run_policy_task", dies)
    with pytest.raises(WorkerError, match="out of memory"):
        tune(job_at(tmp_path / "other", gridded.config))

    def never(task):
        raise ForetradeError("nothing works")

    monkeypatch.setattr(policies, "run_policy_task", never)
    with pytest.raises(RunError, match="no trial could be tried; the first one: nothing works"):
        tune(job_at(tmp_path / "none", gridded.config))


def test_two_processes_do_not_tune_the_same_run(gridded):
    with (gridded.run.path / "tune" / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="another process is at work there"):
            tune(gridded)


def test_bad_spaces_leave_nothing_behind(source, tmp_path):
    for override, message in {
        "tune.grid.ppo.gama=[0.5]": "did you mean 'gamma'",
        "tune.grid.sac.gamma=[0.5, 0.9]": "changes nothing: the algorithm is 'ppo'",
        "tune.grid.ppo.episode_bars=[30, 5000]": "episode",
        "tune.grid.features.zscore_bars=[20, 5000]": "5000|too short|warm",
        "tune.grid.forecast.settings.ridge.alphas=[1.0]": "did you mean 'alpha'",
    }.items():
        with pytest.raises(ForetradeError, match=message):
            tune(job_at(tmp_path / "run", config_of(source, override)))
    with pytest.raises(ConfigError, match="nothing to tune"):
        tune(job_at(tmp_path / "run", config_of(source)))
    assert not (tmp_path / "run").exists()


def test_without_optuna_a_search_says_how_to_get_it(source, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(OptunaMissingError, match=r"pip install 'foretrade\[tune\]'"):
        tune(job_at(tmp_path / "run", config_of(source, *SEARCH)))
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def searched(tmp_path_factory, source) -> Job:
    pytest.importorskip("optuna")
    job = job_at(tmp_path_factory.mktemp("search") / "run", config_of(source, *SEARCH))
    tune(job)
    return job


def test_a_search_stays_in_its_ranges_and_keeps_a_journal_without_pickles(searched):
    rows = table(searched)
    assert len(rows) == 4
    assert rows["ppo.learning_rate"].between(1e-4, 0.1).all()
    assert set(rows["ppo.epochs"]) <= {1, 2, 3}
    assert set(rows["ppo.net_arch"]) <= {"[8]", "[8, 8]"}
    (journal,) = (searched.run.path / "tune").glob("*.journal")
    assert all(isinstance(json.loads(line), dict) for line in journal.read_text().splitlines())
    assert len(trained(searched)) == len(rows.drop_duplicates(list(SPACE_KEYS))) * 2
    assert "(PED-ANOVA): ppo." in (searched.run.path / "tune" / "tune.md").read_text()


SPACE_KEYS = ("ppo.learning_rate", "ppo.epochs", "ppo.net_arch")


def test_a_search_that_was_stopped_goes_on_to_the_same_bytes(searched, tmp_path, monkeypatch):
    """Before, in and after the training of each policy."""
    job = job_at(tmp_path / "run", searched.config)
    real, stops = policies.run_policy_task, iter(range(100))

    def stopped(task):
        when = next(stops) % 3
        if when == 0:
            raise KeyboardInterrupt
        real(task)
        if when == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(policies, "run_policy_task", stopped)
    interruptions = 0
    while True:
        try:
            tune(job)
            break
        except KeyboardInterrupt:
            interruptions += 1
            assert interruptions < 50
    assert interruptions > 4
    assert hashes(job) == hashes(searched)
    assert len(checkpoints(job)) == len(checkpoints(searched))


def test_impossible_combinations_count_as_trials_without_a_score(source, tmp_path):
    pytest.importorskip("optuna")
    config = config_of(
        source,
        "tune.trials=10",
        "tune.seeds=1",
        "tune.search.ppo.batch_size={choices=[32, 64]}",
        "tune.search.ppo.rollout_bars={choices=[16, 32]}",
    )
    job = job_at(tmp_path / "run", config)
    tune(job)
    rows = table(job)
    impossible = rows["reason"].fillna("").str.contains("must divide")
    assert len(rows) == 10
    assert impossible.any()
    assert (impossible == ((rows["ppo.batch_size"] == 64) & (rows["ppo.rollout_bars"] == 16))).all()
    assert rows.loc[~impossible, "score"].notna().all()
    page = (job.run.path / "tune" / "tune.md").read_text()  # suggested again and again: counted once
    assert f"Best of {len(rows[~impossible].drop_duplicates(list(config.tune.keys)))} trials" in page
    assert f"{2 * len(trained(job))} checkpoints were looked at" in page


def play(search, number: int) -> list[dict[str, object]]:
    """Ask and tell until ``number`` trials are over; the peak is at 0.01 and 3, and 5 is impossible."""
    while len(search.told()) < number:
        settings = search.ask()
        rate, epochs = settings["rate"], settings["epochs"]
        score = -abs(np.log(rate / 0.01)) - (epochs - 3) ** 2 + (settings["arch"] == [8, 8])
        search.tell(None if epochs == 5 else float(score))
    return search.told()


def test_a_journal_cut_at_any_byte_leads_to_the_same_suggestions(tmp_path):
    """What a kill can leave: whole lines, a part of a line, a lock."""
    pytest.importorskip("optuna")
    module = importlib.import_module("foretrade.optuna_search")
    values = importlib.import_module("foretrade.search_space").Range
    space = {
        "rate": values(1e-4, 1.0, log=True),
        "epochs": values(1, 5),
        "arch": values(choices=([8], [8, 8])),
    }
    path = tmp_path / "whole.journal"
    whole = play(module.OptunaSearch(space, path, seed=3), 13)
    assert len({str(settings) for settings in whole}) > 8
    other = play(module.OptunaSearch(space, tmp_path / "other.journal", seed=4), 13)
    assert whole != other
    content = path.read_bytes()
    for cut in np.random.default_rng(0).integers(len(content), size=12):
        again = tmp_path / "cut.journal"
        again.write_bytes(content[:cut])
        lock = tmp_path / "cut.journal.lock"
        lock.symlink_to(again)
        began = time.monotonic()
        search = module.OptunaSearch(space, again, seed=3)
        assert play(search, 13) == whole, cut
        assert time.monotonic() - began < 20  # the lock of the dead is not waited for
        again.unlink()
    assert play(module.OptunaSearch(space, path, seed=3), 13) == whole
