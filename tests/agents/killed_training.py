"""Trainings, each killed by SIGKILL at seeded moments and started again, until it may end.

Runs as a program, whose one thread imports everything once: each attempt is a fork of it. An attempt
tells what it does in shared memory; the parent waits until it has begun a phase for the drawn number of
times, then for a drawn time, and kills it.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import KILLED, markets

from foretrade.agents.algorithms import build, policy_spec
from foretrade.agents.checkpoint import Checkpoints
from foretrade.agents.training import train
from foretrade.agents.vector import MarketVecEnv
from foretrade.markets.synthetic import random_walk

PHASES = ("start", "rollout", "update", "write")
BETWEEN = len(PHASES)  # they are over: what comes next has not begun
LONGEST_SECONDS = {"start": 0.2, "rollout": 0.002, "update": 0.01, "write": 0.005}
MARKETS = markets(random_walk(600, seed=3))


class Board:
    """What a training does now, and how often it has done each thing, in memory that is shared."""

    def __init__(self) -> None:
        self.now = mmap.mmap(-1, 1)
        self.counts = mmap.mmap(-1, len(PHASES))

    def clear(self) -> None:
        self.now[0] = 0
        self.counts[:] = bytes(len(PHASES))

    def telling(self, phase: str, function):
        """``function``, which tells while it runs."""
        number = PHASES.index(phase)

        def run(*arguments, **named):
            self.counts[number] = min(self.counts[number] + 1, 255)
            self.now[0] = number
            try:
                return function(*arguments, **named)
            finally:
                self.now[0] = BETWEEN

        return run

    def wait_for(self, phase: str, count: int, child: int) -> None:
        while self.counts[PHASES.index(phase)] < count and alive(child):
            time.sleep(0.0002)


def alive(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def attempt(config, folder: Path) -> int:
    """Train in a child of this process; its id."""
    child = os.fork()
    if child == 0:
        try:
            train(*MARKETS, config, seed=1, folder=folder, tensorboard=False)
            os._exit(0)
        finally:  # only if it failed
            traceback.print_exc()
            os._exit(1)
    return child


def kill_often(config, folder: Path, kills: int, draw: random.Random) -> list[str]:
    """Kill so many attempts, let the next one end; what each was doing."""
    board, killed = Board(), []
    environment = MarketVecEnv(MARKETS[0], config.environments)
    learner = type(build(config, policy_spec(MARKETS[0], config), environment, seed=0))
    with pytest.MonkeyPatch.context() as patch:
        for phase, place, name in (
            ("rollout", MarketVecEnv, "step_wait"),
            ("update", learner, "train"),
            ("write", Checkpoints, "write"),
        ):
            patch.setattr(place, name, board.telling(phase, getattr(place, name)))
        while len(killed) < kills:
            board.clear()
            phase = PHASES[len(killed) % len(PHASES)]
            child = attempt(config, folder)
            if phase != "start":
                board.wait_for(phase, draw.randint(1, 3), child)
            time.sleep(draw.uniform(0, LONGEST_SECONDS[phase]))
            assert alive(child), "the training came to its end before it was killed often enough"
            killed.append((*PHASES, "between")[board.now[0]])
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        _, status = os.waitpid(attempt(config, folder), 0)
    assert status == 0, "the last attempt failed; its traceback is above"
    return killed


def main(folder: Path, seed: int, kills: dict[str, int]) -> None:
    """Train each algorithm in its own folder, and write what was killed as JSON."""
    torch.set_num_threads(1)  # before any work: a process whose torch has threads must not fork
    environment = MarketVecEnv(MARKETS[0], 1)
    environment.reset()
    environment.step(np.zeros((1, 1), dtype=np.float32))  # loads what is compiled, once
    draw = random.Random(seed)
    killed = {
        name: kill_often(KILLED[name], folder / name, count, draw) for name, count in kills.items()
    }
    (folder / "killed.json").write_text(json.dumps(killed))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
