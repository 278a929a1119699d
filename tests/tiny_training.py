"""A training that takes a second."""

from __future__ import annotations

from foretrade.agents.ppo_config import PPOConfig
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.markets.features import FeatureConfig, compute_features

TINY = PPOConfig(
    steps=512, environments=4, rollout_bars=32, episode_bars=40, batch_size=64, checkpoints=3, epochs=2
)
SMALL = FeatureConfig(momentum_bars=(5,), trend_bars=20, volatility_bars=(5, 20), zscore_bars=20)


def markets(bars, **options):
    table = compute_features(bars, SMALL)
    episodes = Episodes(40, random_start=True)
    training = MarketEnv(bars, table, rows=range(50, 400), episodes=episodes, **options)
    return training, MarketEnv(bars, table, rows=range(400, 600), **options)
