"""What a market environment must do, beyond Gymnasium's own checker."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from gymnasium.utils.env_checker import check_env

from foretrade.envs.market import MarketEnv
from foretrade.markets.arrays import AnyArray

STEPS = 50


def yield_checks(env: MarketEnv) -> Iterator[Callable[[MarketEnv], None]]:
    """The checks that apply to a market."""
    yield check_keeps_gymnasiums_contract
    yield check_same_seed_same_bits
    yield check_equity_is_accounted_for
    yield check_observations_stay_in_bounds
    yield check_doing_nothing_costs_nothing


def check_keeps_gymnasiums_contract(env: MarketEnv) -> None:
    """``gymnasium.utils.env_checker.check_env``."""
    check_env(env, skip_render_check=True)


def check_same_seed_same_bits(env: MarketEnv) -> None:
    """The same seed and actions give the same observations and rewards, to the bit."""
    first, second = _play(env, seed=3), _play(env, seed=3)
    for name, one, two in zip(("observations", "rewards"), first, second, strict=True):
        assert np.array_equal(one, two), f"{name} differ between two episodes with the same seed"


def check_equity_is_accounted_for(env: MarketEnv) -> None:
    """Δequity = price P&L + dividend + interest − fee − spread − impact − borrow − financing, always."""
    _, info = env.reset(seed=1)
    env.action_space.seed(1)
    for _ in range(STEPS):
        before = info["equity"]
        _, _, terminated, truncated, info = env.step(env.action_space.sample())
        paid = sum(info[name] for name in ("fee", "spread", "impact", "borrow", "financing"))
        explained = before + info["price_pnl"] + info["dividend"] + info["interest"] - paid
        assert abs(info["equity"] - explained) <= 1e-9 * before, (
            f"row {info['row']}: equity {info['equity']} is not {explained}"
        )
        if terminated or truncated:
            return


def check_observations_stay_in_bounds(env: MarketEnv) -> None:
    """Every observation lies in the observation space."""
    observations, _ = _play(env, seed=2)
    for step, observation in enumerate(observations):
        assert env.observation_space.contains(observation), f"observation {step} is out of bounds"


def check_doing_nothing_costs_nothing(env: MarketEnv) -> None:
    """Staying in cash keeps equity, but for interest."""
    _, info = env.reset(seed=1)
    start = info["equity"]
    flat = env.actions.encode(np.zeros((1, len(env.symbols))))[0]
    for _ in range(STEPS):
        _, _, terminated, truncated, info = env.step(flat)
        assert info["traded"] == 0, f"row {info['row']}: traded {info['traded']} to stay flat"
        start += info["interest"]
        assert info["equity"] == start, f"row {info['row']}: equity moved while flat"
        if terminated or truncated:
            return


def _play(env: MarketEnv, *, seed: int) -> tuple[AnyArray, AnyArray]:
    env.action_space.seed(seed)
    observation, _ = env.reset(seed=seed)
    observations, rewards = [observation], []
    for _ in range(STEPS):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        observations.append(observation)
        rewards.append(reward)
        if terminated or truncated:
            break
    return np.array(observations), np.array(rewards)
