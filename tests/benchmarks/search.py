"""How fast a model of stable-baselines3's kind learns, and how long until its greedy policy is good."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from torch import nn

Play = Callable[[Any], float]  # a policy's share of the optimum on data of its own

GOAL = 0.95
EQUAL: dict[str, Any] = {"n_steps": 256, "batch_size": 4096, "n_epochs": 4}
EASY: dict[str, Any] = {
    "gamma": 0.9,
    "gae_lambda": 0.8,
    "learning_rate": 2e-3,
    "policy_kwargs": {"activation_fn": nn.ReLU},
}  # for the market of predictable.py, with rewards times REWARD_SCALE
EASY_64: dict[str, Any] = {"n_steps": 64, "batch_size": 1024, "n_epochs": 4}
EASY_1024: dict[str, Any] = {"n_steps": 16, "batch_size": 2048, "n_epochs": 1}
REWARD_SCALE = 1e3


@dataclass
class Found:
    """Seconds of training until the goal, or until it was given up; judging is not counted."""

    cpu: float
    wall: float
    steps: int
    share: float
    best: float


class Search(BaseCallback):
    """Judge the greedy policy every so many rollouts, and stop at the goal or at the end of the budget.

    Args:
        play: Judges a policy.
        every: Rollouts between two looks.
        budget_s: Seconds of training's CPU after which the search is given up.
    """

    def __init__(self, play: Play, *, every: int, budget_s: float) -> None:
        super().__init__()
        self.play, self.every, self.budget_s = play, every, budget_s
        self.found = Found(0.0, 0.0, 0, 0.0, 0.0)
        self.rollouts = 0
        self._start()

    def _start(self) -> None:
        self.clocks = time.process_time(), time.perf_counter()

    def _stop(self) -> None:
        self.found.cpu += time.process_time() - self.clocks[0]
        self.found.wall += time.perf_counter() - self.clocks[1]

    def _on_training_start(self) -> None:
        self._start()

    def _on_rollout_start(self) -> None:
        self._stop()
        if self.rollouts and self.rollouts % self.every == 0:
            self.found.share = self.play(self.model.policy)
            self.found.best = max(self.found.best, self.found.share)
            self.found.steps = self.num_timesteps
        self.rollouts += 1
        self._start()

    def _on_step(self) -> bool:
        return self.found.share < GOAL and self.found.cpu < self.budget_s


def learn(model: Any, steps: int) -> dict[str, float]:
    """Seconds that so many more steps of training take."""
    model.set_logger(configure(None, []))
    cpu, wall = time.process_time(), time.perf_counter()
    model.learn(steps)
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def search(model: Any, play: Play, *, steps: int, every: int, budget_s: float) -> dict[str, float]:
    """Let a model learn; returns a :class:`Found`."""
    model.set_logger(configure(None, []))
    watch = Search(play, every=every, budget_s=budget_s)
    model.learn(steps, callback=watch)
    return asdict(watch.found)


def greedy(policy: Any, env: Any) -> NDArray[np.int64]:
    """Actions of the policy through one episode of a Gymnasium environment."""
    seen, _ = env.reset(seed=0)
    actions, over = [], False
    while not over:
        action, _ = policy.predict(seen, deterministic=True)
        actions.append(int(action))
        seen, _, terminated, truncated, _ = env.step(int(action))
        over = terminated or truncated
    return np.array(actions)
