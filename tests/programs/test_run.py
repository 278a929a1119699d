"""The main job from the command line: whole, repeated, interrupted, resumed, step by step."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from foretrade.storage import file_hash

CONFIG = Path(__file__).parent / "small.toml"
FORETRADE = [str(Path(sys.executable).parent / "foretrade")]


def foretrade(
    *arguments: object, cache: Path, expect: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*FORETRADE, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"FORETRADE_CACHE": str(cache), "COLUMNS": "120"} | environment,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done


def results(folder: Path) -> dict[str, str]:
    """Hashes of everything that must not differ between two runs."""
    names = ("policy.safetensors", "training.csv", "warnings.json")
    tensors = [path for name in names for path in sorted(folder.glob(f"policy/*/{name}"))]
    tables = [folder / name for name in ("forecasts.parquet", "ledger.parquet", "league.csv")]
    return {str(path.relative_to(folder)): file_hash(path) for path in (*tables, *tensors)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("first")
    printed = foretrade("run", CONFIG, "--out", folder / "run", cache=folder / "cache").stdout
    return folder / "run", folder / "cache", printed


def test_a_run_leaves_everything_it_promises(finished):
    folder, _, printed = finished
    manifest = json.loads((folder / "manifest.json").read_text())
    assert list(manifest["steps"]) == ["forecast", "train", "backtest", "report"]
    assert manifest["data"]["source"] == "arch.data.sp500"
    assert manifest["seeds"] == [0, 1]
    for record in manifest["steps"].values():
        assert any(version.startswith("torch==") for version in record["versions"])
    for name in ("forecasts.parquet", "ledger.parquet", "scores.json", "league.csv", "report.html"):
        assert (folder / name).is_file()
    assert len(list(folder.glob("policy/*/policy.safetensors"))) == 4
    assert len(list(folder.glob("policy/*/tensorboard/events*"))) == 4
    assert "Buy and hold" in printed
    assert "edge after costs" in printed
    assert "report.html" in printed
    league = pd.read_csv(folder / "league.csv").set_index("strategy")
    assert league.loc["PPO", "runs"] == 2
    assert league.loc["Buy and hold", "turnover"] < 2
    scores = json.loads((folder / "scores.json").read_text())
    assert set(scores["forecasts"]) == {"ensemble", "ridge", "lightgbm", "lstm", "historical_mean"}
    trials = [json.loads(line) for line in (folder.parent / "trials.jsonl").read_text().splitlines()]
    assert [trial["block"] for trial in trials].count("validation") == 8  # checkpoints
    assert manifest["trials"]["length"] == len(trials) == 8 + 4 + 11 + 5  # policies, rules, forecasters
    cutoffs = pq.read_table(folder / "forecasts.parquet").to_pandas()
    known = cutoffs.dropna(subset=["cutoff"])
    assert (known["cutoff"] < known["closes_at"]).all()


def test_the_report_stands_alone(finished):
    folder, _, printed = finished
    page = (folder / "report.html").read_text()
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert "script-src &#39;sha256-" in page or "script-src 'sha256-" in page
    assert not re.search(r"<(link|script|img|iframe)[^>]+https?:", page)
    assert page.count("data:image/svg+xml;base64,") == page.count("<figure") == 15
    for sheet in folder.glob("tearsheets/*.html"):
        text = sheet.read_text()
        assert 'src="http' not in text
        assert "<link" not in text or 'href="http' not in text.split("<link")[1].split(">")[0]
    assert "findfont" not in (folder / "logs" / "report.log").read_text()
    table = (folder / "report.md").read_text()
    assert "| PPO without forecasts |" in table
    told = {
        path: json.loads(path.read_text())["warnings"] for path in folder.glob("policy/*/warnings.json")
    }
    assert len(told) == 4
    for path, texts in told.items():
        for text in texts:
            assert f"{path.parent.name}: {text}" in printed
            assert text in table
            assert text in page


def test_a_second_run_does_nothing_again(finished):
    folder, cache, _ = finished
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    again = foretrade("run", CONFIG, "--out", folder, cache=cache).stdout
    for step in ("forecast", "train", "backtest", "report"):
        assert f"{step}: already done" in again
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()} == before


def test_another_process_with_another_cache_gives_the_same_bytes(finished, tmp_path):
    folder, _, _ = finished
    arguments = ("--out", tmp_path / "twin", "--workers", 1)
    foretrade("run", CONFIG, *arguments, cache=tmp_path / "cache")
    assert results(tmp_path / "twin") == results(folder)


def test_an_interrupted_run_goes_on_to_the_same_bytes(finished, tmp_path):
    """Ctrl-C while the forecasters walk, kill -9 while the policies train, then to the end."""
    folder, _, _ = finished
    out, cache = tmp_path / "run", tmp_path / "cache"
    command = [*FORETRADE, "run", str(CONFIG), "--out", str(out)]
    environment = os.environ | {"FORETRADE_CACHE": str(cache)}

    def start() -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True,
            preexec_fn=hear_interrupts,
        )  # fmt: skip

    first = start()
    wait_for(lambda: list(cache.rglob("fold-*.safetensors")), first)
    os.killpg(first.pid, signal.SIGINT)
    _, errors = first.communicate(timeout=60)
    assert first.returncode == 130, errors
    assert f"go on with: foretrade run {out}" in errors.replace("\n", " ")

    second = start()
    wait_for(lambda: list(out.glob("policy/*/checkpoints/update-*")), second)
    os.killpg(second.pid, signal.SIGKILL)
    second.communicate()
    foretrade("run", out, cache=cache)
    assert results(out) == results(folder)


def test_workers_end_with_a_parent_that_is_killed(finished, tmp_path):
    """Only the parent: whoever goes on must not share the folder with those it left behind."""
    out = tmp_path / "run"
    foretrade("forecast", CONFIG, "--out", out, cache=finished[1])
    first = subprocess.Popen(
        [*FORETRADE, "train", str(CONFIG), "--out", str(out), "--workers", "1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        env=os.environ | {"FORETRADE_CACHE": str(finished[1])},
    )  # fmt: skip
    wait_for(lambda: list(out.glob("policy/*/checkpoints/update-*")), first)
    assert len(statuses(first.pid)) > 1
    first.kill()
    first.wait()

    def left() -> list[str]:
        return [state for state in statuses(first.pid) if state not in "ZX"]

    deadline = time.monotonic() + 10
    while left():
        assert time.monotonic() < deadline, "a worker goes on"
        time.sleep(0.05)


def statuses(session: int) -> list[str]:
    """A letter for each process of a session: running, sleeping, … (proc(5))."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                found.append(fields[0])
    return found


def hear_interrupts() -> None:
    """Also when the tests run in the background of a shell, which lets its jobs ignore them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def wait_for(condition, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "nothing happened for two minutes"
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def test_steps_can_be_run_alone_and_say_what_they_need(finished, tmp_path):
    folder, cache, _ = finished
    out = tmp_path / "steps"
    failed = foretrade("backtest", CONFIG, "--out", out, cache=cache, expect=1)
    assert "step 'train' is not done; run 'foretrade train" in failed.stderr
    foretrade("forecast", CONFIG, "--out", out, cache=cache)
    assert file_hash(out / "forecasts.parquet") == file_hash(folder / "forecasts.parquet")
    assert not (out / "policy").exists()
    failed = foretrade("report", out, cache=cache, expect=1)
    assert "step 'backtest' is not done" in failed.stderr
    assert "already done" in foretrade("report", folder, cache=cache).stdout


def test_a_changed_output_is_noticed_and_made_again(finished, tmp_path):
    folder, cache, _ = finished
    expected = results(folder)
    ledger = folder / "ledger.parquet"
    ledger.write_bytes(ledger.read_bytes()[:-50])
    printed = foretrade("run", folder, cache=cache).stdout
    assert "train: already done" in printed
    assert "backtest: already done" not in printed
    assert results(folder) == expected


def test_a_forecaster_of_ones_own_takes_part(finished, tmp_path, monkeypatch):
    _, cache, _ = finished
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "from sklearn.linear_model import Lasso\ndef Own(alpha=1e-5):\n    return Lasso(alpha=alpha)\n"
    )
    settings = ("forecast.members=['ridge', 'mine:Own']", "forecast.settings={Own = {alpha = 1e-6}}")
    options = [part for setting in settings for part in ("--set", setting)]
    foretrade("forecast", CONFIG, *options, "--out", tmp_path / "run", cache=cache)
    table = pd.read_parquet(tmp_path / "run" / "forecasts.parquet")
    expected = (table["ridge.mean"] + table["Own.mean"]) / 2
    pd.testing.assert_series_equal(table["ensemble.mean"], expected, check_names=False, rtol=1e-12)

    again = foretrade("forecast", tmp_path / "run", cache=cache).stdout
    assert "forecast: already done" in again
    (tmp_path / "helper.py").write_text("# beside the forecaster, which may import it\n")
    again = foretrade("forecast", tmp_path / "run", cache=cache).stdout
    assert "forecast: already done" not in again


def test_another_configuration_does_not_mix_in(finished):
    folder, cache, _ = finished
    failed = foretrade("run", CONFIG, "--out", folder, "--seed", 5, cache=cache, expect=1)
    assert "another configuration (it differs in seed: 0 there, 5 here)" in failed.stderr
    failed = foretrade("run", folder, "--set", "seeds=1", cache=cache, expect=2)
    assert "a run with its own settings" in failed.stderr


def test_the_report_opens_in_a_browser_or_says_where_it_is(finished, tmp_path, monkeypatch):
    folder, cache, _ = finished
    browser, shown = tmp_path / "browser", tmp_path / "shown"
    browser.write_text(f'#!/bin/sh\nprintf "%s" "$1" > {shown}\n')
    browser.chmod(0o755)
    desk = {"BROWSER": f"{browser} %s", "DISPLAY": ":0"}
    done = foretrade("report", folder, "--open", cache=cache, **desk)
    assert shown.read_text() == (folder / "report.html").resolve().as_uri()
    assert "no browser" not in done.stderr
    shown.unlink()
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    done = foretrade("report", folder, "--open", cache=cache, **desk | {"DISPLAY": ""})
    assert done.stderr.strip() == f"no browser to open here; the page is {folder / 'report.html'}"
    assert not shown.exists()


def test_the_table_goes_into_a_page(finished, tmp_path):
    folder, cache, _ = finished
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- foretrade table -->\nstale table\n<!-- /foretrade table -->\nafter\n")
    foretrade("report", folder, "--into", page, cache=cache)
    text = page.read_text()
    assert text.startswith("before\n<!-- foretrade table -->\n**")
    assert text.endswith("<!-- /foretrade table -->\nafter\n")
    assert "stale table" not in text
    page.write_text("no markers")
    failed = foretrade("report", folder, "--into", page, cache=cache, expect=1)
    assert "needs the lines" in failed.stderr
