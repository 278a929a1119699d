"""The documents say what is true: code blocks run, names exist, the examples work."""

from __future__ import annotations

import dataclasses
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from foretrade.backtests.league import Row, Strategy, markdown_table
from foretrade.backtests.metrics import Scores
from foretrade.markets.synthetic import random_walk

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))
DOCUMENTS = ("README.md", "ARCHITECTURE.md", *PAGES)
BLOCKS = [
    (document, block)
    for document in DOCUMENTS
    if document != "docs/own_models.md"  # tests/forecasters/test_adapters.py runs its blocks
    for block in re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
]
CONSOLE = re.findall(r"```console\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def own_csv(tmp_path, monkeypatch):
    """``prices.csv`` in the working directory."""
    monkeypatch.chdir(tmp_path)
    bars = random_walk(1500, seed=11)
    frame = {name: getattr(bars, name)[:, 0] for name in ("open", "high", "low", "close", "volume")}
    pd.DataFrame({"Date": bars.dates.strftime("%Y-%m-%d"), **frame}).to_csv("prices.csv", index=False)
    return tmp_path / "prices.csv"


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_python_blocks_run(number, own_csv):
    document, block = BLOCKS[number]
    exec(compile(block, f"{document} block {number}", "exec"), {"__name__": "__main__"})


def test_shown_commands_exist():
    commands = [
        line.split()[2] for block in CONSOLE for line in block.splitlines() if "$ foretrade" in line
    ]
    assert set(commands) >= {"run", "data", "check"}
    for command in set(commands):
        arguments = [Path(sys.executable).parent / "foretrade", command, "--help"]
        assert subprocess.run(arguments, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_files_exist(document):
    text = (ROOT / document).read_text()
    for name in re.findall(r"`((?:\w+/)+\w+\.(?:py|toml|png))`|\]\(((?!http)[^)#]+)\)", text):
        path = name[0] or name[1]
        places = (ROOT / path, (ROOT / document).parent / path)
        assert any(place.exists() for place in places), f"{document} names {path}"


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("own_forecaster.py", ["1000"], "ensemble: net Sharpe"),
        ("own_data.py", ["prices.csv"], "net Sharpe"),
        ("train_ppo.py", ["2048", "policy"], "PPO: net Sharpe"),
        ("own_loop.py", ["2"], "update 2: mean reward"),
    ],
)
def test_examples_run_and_are_short(name, arguments, expected, own_csv, monkeypatch, capsys):
    path = ROOT / "examples" / name
    assert len(path.read_text().splitlines()) < (80 if name == "own_loop.py" else 40)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(path), run_name="__main__")
    assert expected in capsys.readouterr().out


def test_the_table_in_the_readme_came_from_a_run():
    """``examples/sp500-league.csv`` is the run's own ``league.csv``; each cell is made from it again."""
    league = pd.read_csv(ROOT / "examples" / "sp500-league.csv")
    names = [field.name for field in dataclasses.fields(Scores)]
    rows = [
        Row(
            Strategy(line["strategy"], ("",) * line["runs"]),
            line["median_run"],
            Scores(**{name: line[name] for name in names}),
            line["sharpe_min"],
            line["sharpe_max"],
            line["ruined_runs"],
        )
        for line in league.to_dict("records")
    ]
    assert markdown_table(rows) in README
    block = README.split("<!-- foretrade table -->")[1].split("<!-- /foretrade table -->")[0]
    assert block.startswith("\n**")
    assert "| PPO without forecasts |" in block
    assert "Test: 2014-01-02 to 2018-12-31 (1258 bars)" in block
