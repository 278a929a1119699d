"""What is found out before a training begins, lest it fail, or learn nothing, hours later."""

from __future__ import annotations

from importlib.util import find_spec

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from foretrade.agents.training_config import NEEDS_CONTRIB, TrainingConfig, TrainingError
from foretrade.envs.market import MarketEnv
from foretrade.envs.vector import MarketVectorEnv

PROBE_ACCOUNTS, PROBE_BARS = 16, 512
ROUNDING = 1e-12  # rewards are returns: ratios of sums of money


def check_before_training(training: MarketEnv, config: TrainingConfig) -> None:
    """Find out whether ``config`` can learn something on this market.

    Raises:
        TrainingError: The algorithm needs other actions, or sb3-contrib, which is not installed; the
            block is shorter than a rollout, or every action earns the same.
    """
    if config.algorithm == "recurrent_ppo" and find_spec("sb3_contrib") is None:
        raise TrainingError(NEEDS_CONTRIB)
    config.check_actions(continuous=isinstance(training.action_space, gymnasium.spaces.Box))
    decisions = min(len(part.rows) for part in training.parts) - 1
    if decisions < config.rollout_bars:
        raise TrainingError(
            f"the training block has {decisions} decisions, fewer than rollout_bars = "
            f"{config.rollout_bars}: begin it earlier, or lower rollout_bars"
        )
    if _earns_always_the_same(training):
        raise TrainingError(
            f"reward {training.reward.name!r} was the same at every step of {PROBE_ACCOUNTS} accounts "
            f"that acted at random for {PROBE_BARS} bars: nothing can be learned from it; look at the "
            "prices of the training block, and at what the actions can do"
        )


def _earns_always_the_same(market: MarketEnv) -> bool:
    """Whether random actions leave the reward constant; draws from no generator of the training."""
    batch = MarketVectorEnv(
        PROBE_ACCOUNTS, market=market, autoreset_mode=AutoresetMode.SAME_STEP, copy=False, infos=False
    )
    batch.action_space.seed(0)
    batch.reset(seed=0)
    low, high = np.inf, -np.inf
    for _ in range(PROBE_BARS):
        rewards = batch.step(batch.action_space.sample())[1]
        low, high = min(low, rewards.min()), max(high, rewards.max())
        if not high - low <= ROUNDING:  # NaN too, which the training itself names
            return False
    return True
