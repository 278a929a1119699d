"""PPO on rivals' environments: ``training_peers.py NAME DATA``, in the peers' virtual environment.

``DATA`` holds bars as :mod:`peers` reads them, or an ``.npz`` of the market of :mod:`predictable`. The
first line printed counts the entries of an observation. Each line read from stdin is answered in JSON:
``learn STEPS`` with the seconds of CPU and wall time that learning took, ``search SEED`` with what
:func:`search.search` found.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from peers import finrl_maker, load_bars, trading_env_maker
from predictable import FEE, POSITIONS, THRESHOLD, share
from search import EASY, EASY_64, EQUAL, REWARD_SCALE, greedy, learn, search
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

ACCOUNTS = 64


class Learner:
    """PPO on many copies of an environment at equal settings, or on one by its defaults."""

    def __init__(self, bars: Path, *, finrl: bool, accounts: int) -> None:
        data = load_bars(bars)
        make = finrl_maker(data, 1) if finrl else trading_env_maker(data)
        env = DummyVecEnv([make] * accounts) if accounts > 1 else make()
        self.model = PPO("MlpPolicy", env, device="cpu", seed=0, **(EQUAL if accounts > 1 else {}))
        self.entries = int(np.prod(self.model.observation_space.shape))

    def answer(self, word: str, number: int) -> dict[str, float]:
        assert word == "learn"
        return learn(self.model, number)


class Seeker:
    """PPO on the predictable market in Gym-Trading-Env."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as stored:
            self.data = dict(stored)
        self.judge = self._env("judge")
        self.entries = int(np.prod(self.judge.observation_space.shape))

    def _env(self, part: str, **options: Any) -> Any:
        from gym_trading_env.environments import TradingEnv

        close = 100.0 * np.exp(np.cumsum(self.data[f"{part}_returns"]))
        hours = pd.date_range("2000-01-01", periods=len(close), freq="h")
        columns = {"close": close, "feature_signal": 1e3 * self.data[f"{part}_signals"]}
        fixed = {"trading_fees": FEE, "initial_position": 0, "verbose": 0}
        return TradingEnv(pd.DataFrame(columns, index=hours), list(POSITIONS), **fixed, **options)

    def share(self, policy: Any) -> float:
        held = np.array(POSITIONS)[greedy(policy, self.judge)]
        return share(held, self.data["judge_signals"][: len(held)], FEE, THRESHOLD)

    def answer(self, word: str, number: int) -> dict[str, float]:
        assert word == "search"
        np.random.seed(number)  # noqa: NPY002  the environment draws from it
        make = partial(self._env, "train", max_episode_duration=253, reward_function=scaled_log_return)
        env = DummyVecEnv([make] * ACCOUNTS)
        model = PPO("MlpPolicy", env, seed=number, device="cpu", **EASY, **EASY_64)
        return search(model, self.share, steps=3_000_000, every=2, budget_s=60.0)


def scaled_log_return(history: Any) -> float:
    now, before = history["portfolio_valuation", -1], history["portfolio_valuation", -2]
    return REWARD_SCALE * float(np.log(now / before))


LEARNERS = {
    "gym-trading-env": partial(Learner, finrl=False, accounts=ACCOUNTS),
    "gym-trading-env, defaults": partial(Learner, finrl=False, accounts=1),
    "finrl": partial(Learner, finrl=True, accounts=ACCOUNTS),
    "finrl, defaults": partial(Learner, finrl=True, accounts=1),
    "gym-trading-env, predictable": Seeker,
}


def main() -> None:
    torch.set_num_threads(1)
    with os.fdopen(os.dup(1), "w", buffering=1) as out:
        os.dup2(2, 1)  # whatever the peer prints
        learner = LEARNERS[sys.argv[1]](Path(sys.argv[2]))
        out.write(f"{learner.entries}\n")
        for line in sys.stdin:
            word, number = line.split()
            out.write(json.dumps(learner.answer(word, int(number))) + "\n")


if __name__ == "__main__":
    main()
