"""A training that is killed by SIGKILL, again and again, ends with the bytes of one that never was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_training import INSTALLED, KILLED, each_algorithm, markets

from foretrade.agents.training import train
from foretrade.storage import file_hash

TESTS = Path(__file__).parents[1]
KILLS = {name: 20 if name == "ppo" else 5 for name in INSTALLED}


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [sys.executable, TESTS / "agents" / "killed_training.py", folder, "0", json.dumps(KILLS)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
    )
    assert done.returncode == 0, done.stderr
    return folder


@each_algorithm
def test_kills_change_nothing(walk, tmp_path, killed, algorithm):
    train(*markets(walk), KILLED[algorithm], seed=1, folder=tmp_path, tensorboard=False)
    assert len(json.loads((killed / "killed.json").read_text())[algorithm]) == KILLS[algorithm]
    for name in ("policy.safetensors", "policy.json", "validation.csv", "validation.npy"):
        assert file_hash(killed / algorithm / name) == file_hash(tmp_path / name)
    left = {path.name for path in (killed / algorithm).iterdir()}
    assert left == {path.name for path in tmp_path.iterdir()}
