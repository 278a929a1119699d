"""How long training takes until the greedy policy holds 0.95 of an optimum that is known.

``optimum.py BUDGET_S SCALE`` lets stable-baselines3's PPO by its defaults search market B, with one
environment in a ``DummyVecEnv`` and rewards times ``SCALE``, and prints what it found as JSON.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from predictable import FEE, POSITIONS, THRESHOLD, Draw, share
from search import EASY, EASY_1024, REWARD_SCALE, greedy, search
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

from foretrade.agents.fast_ppo import FastPPO
from foretrade.agents.vector import MarketVecEnv
from foretrade.envs.actions import PositionActions, UnitPositionActions
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.markets.arrays import Floats
from foretrade.markets.costs import Costs
from foretrade.markets.fills import StaleOpenWarning
from foretrade.markets.known.bounded import BoundedMarket
from foretrade.markets.known.market import KnownMarket, bars_of, table_of

MARKET = BoundedMarket()
STEPS = 2_000_000
BOUNDED: dict[str, Any] = {
    "n_steps": 32,
    "batch_size": 8192,
    "n_epochs": 4,
    "gamma": 0.9,
    "gae_lambda": 0.8,
    "learning_rate": lambda left: 1e-3 * left,
    "policy_kwargs": {"activation_fn": nn.ReLU},
}
ACCOUNTS = 1024
BLOCK = Episodes(252, random_start=True)
WHOLE = Episodes()


def bounded(market: KnownMarket, episodes: Episodes) -> MarketEnv:
    """Market B with positions of −1, 0 and 1 unit."""
    return MarketEnv(
        market.bars,
        market.signals,
        fill="next_open",
        costs=market.costs,
        rules=market.rules,
        actions=UnitPositionActions(POSITIONS),
        reward="simple_return",
        initial_equity=market.notional,
        variance=market.variance,
        episodes=episodes,
    )


def predictable(drawn: Draw, episodes: Episodes) -> MarketEnv:
    """The market of :mod:`predictable`."""
    close = 100.0 * np.exp(np.cumsum(drawn.returns))
    bars = bars_of(np.diff(close, prepend=100.0), price=100.0, source="predictable")
    return MarketEnv(
        bars,
        table_of(bars, drawn.signals[:, None]),
        fill="next_open",
        costs=Costs(FEE * 1e4, 0.0, 0.0, 0.0),
        actions=PositionActions(POSITIONS),
        episodes=episodes,
    )


def judged(env: MarketEnv, signals: Floats, fee: float, threshold: float) -> Callable[[Any], float]:
    """How a policy is judged: by what its positions can expect, beside the best ones."""

    def play(policy: Any) -> float:
        held = np.array(POSITIONS)[greedy(policy, env)]
        return share(held, signals[: len(held)], fee, threshold)

    return play


def judged_on_bounded() -> Callable[[Any], float]:
    fresh = MARKET.draw(3001, seed=10_001, noisy=False)
    signals = fresh.signals.values[:, 0, 0]
    return judged(bounded(fresh, WHOLE), signals, MARKET.cost, MARKET.threshold)


def search_bounded(seed: int, budget_s: float) -> dict[str, float]:
    """Ours on market B."""
    env = MarketVecEnv(
        bounded(MARKET.draw(200_001, seed=seed), BLOCK), ACCOUNTS, reward_scale=REWARD_SCALE
    )
    model = FastPPO("MlpPolicy", env, seed=seed, device="cpu", **BOUNDED)
    return search(model, judged_on_bounded(), steps=STEPS, every=4, budget_s=budget_s)


def search_predictable(train: Draw, judge: Draw, seed: int, budget_s: float) -> dict[str, float]:
    """Ours on the market of :mod:`predictable`."""
    env = MarketVecEnv(predictable(train, BLOCK), ACCOUNTS, reward_scale=REWARD_SCALE)
    model = FastPPO("MlpPolicy", env, seed=seed, device="cpu", **EASY, **EASY_1024)
    play = judged(predictable(judge, WHOLE), judge.signals, FEE, THRESHOLD)
    return search(model, play, steps=STEPS, every=1, budget_s=budget_s)


def search_by_defaults(budget_s: float, scale: float) -> dict[str, float]:
    """stable-baselines3's defaults on market B, with rewards times so much."""
    market = bounded(MARKET.draw(200_001, seed=0), BLOCK)
    scaled = gymnasium.wrappers.TransformReward(market, lambda reward: scale * reward)
    model = PPO("MlpPolicy", DummyVecEnv([lambda: scaled]), seed=0, device="cpu")
    return search(model, judged_on_bounded(), steps=10**9, every=10, budget_s=budget_s)


def main() -> None:
    torch.set_num_threads(1)
    budget_s, scale = map(float, sys.argv[1:])
    sys.stdout.write(json.dumps(search_by_defaults(budget_s, scale)) + "\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore", StaleOpenWarning)
    main()
