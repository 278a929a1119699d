"""What is set by trying the market at random: the scale of rewards, and how far to explore at first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import gymnasium
import numpy as np

from foretrade.agents.training_config import TrainingConfig
from foretrade.agents.vector import MarketVecEnv
from foretrade.envs.market import MarketEnv

ACCOUNTS, BARS = 64, 256
LOG_STDS = (0.5, 0.0, -0.5, -1.0, -1.5, -2.0, -2.5)
DEAREST = 0.4
BOX_ENTROPY, CHOICE_ENTROPY = 0.05, 0.015

Config = TypeVar("Config", bound=TrainingConfig)


def settled(config: Config, market: MarketEnv) -> Config:
    """``config`` with numbers where it says ``"auto"``; draws from no generator of the training.

    ``log_std_init`` becomes the widest of :data:`LOG_STDS` (of half a range of the action) at which
    acting at random loses a bar, on average, no more than :data:`DEAREST` standard deviations of the
    reward. Wide noise tells more of what an action is worth, as long as what the noise itself costs
    (turnover, risk) does not drown it. ``reward_scale`` becomes one over that standard deviation, so
    that the value network meets numbers of the order of one on every market. ``entropy_coefficient``
    becomes :data:`BOX_ENTROPY`, which keeps a normal distribution from narrowing before its mean is
    found, or :data:`CHOICE_ENTROPY`: among choices more of it makes entering at random the rule, and
    then there is nothing to be saved by staying out.
    """
    box = isinstance(market.action_space, gymnasium.spaces.Box)
    known: dict[str, Any] = {"entropy_coefficient": BOX_ENTROPY if box else CHOICE_ENTROPY}
    spread = getattr(config, "log_std_init", None)
    if "auto" in (spread, config.reward_scale):
        spreads = LOG_STDS if spread == "auto" else (spread,)
        known |= _probed(market, spreads if box else spreads[:1])  # choices are drawn all alike
    return replace(config, **{k: v for k, v in known.items() if getattr(config, k, None) == "auto"})


def _probed(market: MarketEnv, spreads: Sequence[float | None]) -> dict[str, Any]:
    """The first spread that is not too dear, or the last, and the scale of the rewards it gives."""
    for spread in spreads:
        mean, std = _rewards(market, spread)
        if -mean <= DEAREST * std:
            break
    return {"log_std_init": spread, "reward_scale": 1 / std if 0 < std < np.inf else 1.0}


def _rewards(market: MarketEnv, log_std: float | None) -> tuple[float, float]:
    """Mean and standard deviation of the rewards of random actions: normal ones, or all alike."""
    environments = MarketVecEnv(market, ACCOUNTS, unit_actions=True)
    environments.seed(0)
    environments.reset()
    space = environments.action_space
    space.seed(0)
    rng, rewards = np.random.default_rng(0), []
    for _ in range(BARS):
        if isinstance(space, gymnasium.spaces.Box) and log_std is not None:
            noise = rng.standard_normal((ACCOUNTS, *space.shape)) * np.exp(log_std)
            actions = np.clip(noise, -1.0, 1.0).astype(np.float32)
        else:
            actions = np.stack([space.sample() for _ in range(ACCOUNTS)])
        environments.step_async(actions)
        rewards.append(environments.step_wait()[1])
    drawn = np.concatenate(rewards, dtype=np.float64)
    return float(drawn.mean()), float(drawn.std())
