"""The command line's manners: help, exit codes, one clear error, nothing written on bad input."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from foretrade.agents.ppo_config import PPOConfig
from foretrade.config import ConfigError, Experiment
from foretrade.job import Job
from foretrade.markets.sources import load
from foretrade.rundir import RunDirectory

FORETRADE = Path(sys.executable).parent / "foretrade"


def foretrade(*arguments: object, cwd: Path, expect: int) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [FORETRADE, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, check=False
    )
    assert done.returncode == expect, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_help_is_quick_and_has_examples(tmp_path):
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        printed = foretrade("--help", cwd=tmp_path, expect=0).stdout
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.0
    for command in ("run", "forecast", "train", "backtest", "report", "data", "check"):
        assert command in printed
        assert "Example: foretrade" in foretrade(command, "--help", cwd=tmp_path, expect=0).stdout


def test_data_lists_and_describes(tmp_path):
    assert "sp500" in foretrade("data", "--list", cwd=tmp_path, expect=0).stdout
    shown = foretrade("data", "sp500", cwd=tmp_path, expect=0).stdout
    assert "5031 of 1D" in shown
    assert "39.8% of the opens equal the previous close" in shown
    foretrade("data", cwd=tmp_path, expect=2)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "--set", "costs.fee=1"], 2, "unknown key 'costs.fee'; did you mean 'fee_bps'"),
        (["run", "nowhere.toml"], 2, "not readable as TOML"),
        (["run", "--seed", "x"], 2, "Invalid value"),
        (["jump"], 2, "No such command"),
        (["run", "--set", "data.source=nowhere.csv"], 1, "no such file, and no packaged data set"),
        (
            ["run", "--set", "data.source=stocks", "--set", "market.symbol=TSLA"],
            1,
            "unknown symbol 'TSLA'",
        ),
        (["run", "--set", "blocks.test=2030-01-01"], 1, "block 'test' holds 0 bars"),
        (["run", "--set", "blocks.train=2001-01-01"], 1, "the first forecast is of 2002"),
        (
            ["run", "--set", "blocks.test=2018-12-26", "--set", "blocks.end=2018-12-28"],
            1,
            "bars 1 can be scored, 3 are needed; begin it earlier",
        ),
        (["run", "--set", 'forecast.members=["rigde"]'], 1, "did you mean 'ridge'"),
        (["run", "--set", "ppo.episode_bars=100000"], 2, "episodes.bars = 100000 must be from 0 to"),
        (
            ["run", "--set", "ppo.rollout_bars=4096"],
            1,
            "fewer than rollout_bars = 4096: begin",
        ),
        (["run", "--set", "seeds=[1, 1]"], 2, "error: seeds must be at least 1, or a list of different"),
        (["run", "--set", "blocks.test=2006-01-01T00:00:00Z"], 1, "is not a date such as"),
        (["trials"], 1, "no trials there; name the folder that holds the runs"),
        (["check", "nowhere:Nothing"], 1, "cannot be imported"),
        (["check", "foretrade.forecasters.base:SklearnForecaster"], 1, "cannot be made"),
    ],
)
def test_mistakes_give_one_line_and_write_nothing(tmp_path, arguments, code, message):
    failed = foretrade(*arguments, cwd=tmp_path, expect=code)
    assert message in failed.stderr.replace("\n", " ")
    assert not list(tmp_path.iterdir())


def test_only_what_trains_policies_needs_settings_for_their_training(tmp_path):
    settings = Experiment(ppo=PPOConfig(episode_bars=100_000))
    job = Job(RunDirectory.create(tmp_path / "run", settings), Console(quiet=True))
    job.check(trains=False)
    with pytest.raises(ConfigError, match=r"episodes\.bars = 100000"):
        job.check()


def write_csv(path: Path, rows: int) -> None:
    bars = load("sp500")
    lines = ["Date,Open,High,Low,Close,Volume"]
    for row in range(rows):
        values = (getattr(bars, name)[row, 0] for name in ("open", "high", "low", "close", "volume"))
        lines.append(",".join([str(bars.dates[row].date()), *map(str, values)]))
    path.write_text("\n".join(lines))


def test_bad_files_give_one_line_and_write_nothing(tmp_path):
    cases = {
        "short.csv": (["--set", "data.timezone=America/New_York"], 1, "block 'train' holds 0 bars"),
        "naive.csv": ([], 1, "timestamps are naive"),
    }
    blocks = [
        "--set", "blocks.train=1999-06-01", "--set", "blocks.validation=1999-08-01",
        "--set", "blocks.test=1999-09-01",
    ]  # fmt: skip
    for name, (options, code, message) in cases.items():
        write_csv(tmp_path / name, 200)
        failed = foretrade("run", "--set", f"data.source={name}", *options, cwd=tmp_path, expect=code)
        assert message in failed.stderr.replace("\n", " ")
        assert name in failed.stderr.replace("\n", "")
    timezone = ["--set", "data.timezone=America/New_York"]
    failed = foretrade(
        "run", "--set", "data.source=short.csv", *timezone, *blocks, cwd=tmp_path, expect=1
    )
    assert "200 bars are too few" in failed.stderr.replace("\n", " ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["naive.csv", "short.csv"]


def test_check_tries_a_part_of_ones_own(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "from sklearn.base import BaseEstimator\n"
        "from sklearn.linear_model import LinearRegression\n"
        "from foretrade.forecasters.base import Forecast\n"
        "good = LinearRegression()\n"
        "class Peeks(BaseEstimator):\n"
        "    def fit(self, X, y, sample_weight=None):\n"
        "        return self\n"
        "    def predict(self, X):\n"
        "        return Forecast(X[:, -1, 0] - X[:, -1, 0].mean())\n"
    )
    passed = foretrade("check", "mine:good", cwd=tmp_path, expect=0).stdout
    assert "check_future_is_invisible: passed" in passed
    agent = foretrade("check", "foretrade.agents.baselines:Constant", cwd=tmp_path, expect=0).stdout
    assert "check_decides_the_same_again: passed" in agent
    failed = foretrade("check", "mine:Peeks", cwd=tmp_path, expect=1).stdout
    assert "check_future_is_invisible: PeekError" in failed
