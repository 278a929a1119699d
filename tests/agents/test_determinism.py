"""The same configuration gives the same tensors: with one thread or two, in this process or others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_training import ALGORITHMS, TINY, each_algorithm, markets

from foretrade.agents.training import train
from foretrade.config import Experiment
from foretrade.counting import Recorder
from foretrade.policies import POLICY_FILES, PolicyTask, run_policy_task
from foretrade.rundir import RunDirectory
from foretrade.storage import file_hash
from foretrade.workers import run_parallel

TESTS = Path(__file__).parents[1]
SEEDS = (0, 3, 8)
PROGRAM = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(int(sys.argv[2]))
from tiny_training import TINY, markets
from foretrade.agents.training import train
from foretrade.markets.synthetic import random_walk
train(*markets(random_walk(600, seed=3)), TINY, seed=0, folder=Path(sys.argv[1]), tensorboard=False)
"""


@each_algorithm
def test_the_number_of_threads_changes_nothing(walk, tmp_path, algorithm):
    before, hashes = torch.get_num_threads(), set()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            folder = tmp_path / str(threads)
            train(*markets(walk), ALGORITHMS[algorithm], seed=0, folder=folder, tensorboard=False)
            hashes.add(file_hash(folder / "policy.safetensors"))
    finally:
        torch.set_num_threads(before)
    assert len(hashes) == 1


@pytest.fixture(scope="module")
def in_sequence(walk, tmp_path_factory):
    """Hash of the policy of each seed, trained one after the other in this process."""
    folder = tmp_path_factory.mktemp("sequence")
    for seed in SEEDS:
        train(*markets(walk), TINY, seed=seed, folder=folder / str(seed))
    return {
        (seed, name): file_hash(folder / str(seed) / name) for seed in SEEDS for name in POLICY_FILES
    }


def test_seeds_in_sequence_are_all_different(in_sequence):
    assert len({in_sequence[seed, "policy.safetensors"] for seed in SEEDS}) == len(SEEDS)


def test_two_workers_give_what_a_sequence_gives(walk, tmp_path, in_sequence):
    training, validation = markets(walk)
    run, place = RunDirectory(tmp_path / "run", Experiment()), ("config", "data", "walk", "validation")
    recorder = Recorder(run, *place, first="2000-01-03", bars=len(validation.rows) - 1)
    tasks = [
        PolicyTask(training, validation, TINY, seed, tmp_path / str(seed), "", recorder)
        for seed in SEEDS
    ]
    run_parallel(run_policy_task, tasks, workers=2, log=tmp_path / "log")
    assert all(task.is_done() for task in tasks)
    for (seed, name), expected in in_sequence.items():
        assert file_hash(tmp_path / str(seed) / name) == expected


def test_another_process_with_two_threads_gives_the_same(tmp_path, in_sequence):
    path = os.pathsep.join([str(TESTS), *sys.path])
    own = {"PYTHONPATH": path, "OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", PROGRAM, tmp_path, "2"], env=os.environ | own, check=True)
    assert file_hash(tmp_path / "policy.safetensors") == in_sequence[0, "policy.safetensors"]
