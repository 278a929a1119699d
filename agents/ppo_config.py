"""Settings of PPO; apart from the algorithm, so that reading a configuration imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Activation: TypeAlias = Literal["tanh", "relu"]


@dataclass(frozen=True)
class PPOConfig:
    """How the agent learns (Schulman et al. 2017; names as in stable-baselines3).

    Args:
        steps: Environment steps of one training run.
        environments: Copies of the market that collect together, each with its own random starts.
        episode_bars: Decisions in a training episode.
        rollout_bars: Steps of each environment between two updates.
        batch_size, epochs: Of an update.
        learning_rate: At the start; it falls linearly to zero.
        gamma: Discount a bar. A position's reward comes within a few bars, so a short horizon
            removes more noise than it adds bias.
        gae_lambda: Of the generalised advantage estimate.
        clip_range, entropy_coefficient, value_coefficient: Of the loss.
        reward_scale: Log growth is of the order of 0.01; the value network learns it times this.
        net_arch, activation, log_std_init: Of the networks.
        checkpoints: How often, evenly spread over the run, the policy is tried on validation.
    """

    steps: int = 98_304
    environments: int = 16
    episode_bars: int = 252
    rollout_bars: int = 128
    batch_size: int = 512
    epochs: int = 5
    learning_rate: float = 1e-3
    gamma: float = 0.9
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    entropy_coefficient: float = 0.0
    value_coefficient: float = 0.5
    reward_scale: float = 100.0
    net_arch: tuple[int, ...] = (64, 64)
    activation: Activation = "tanh"
    log_std_init: float = -0.5
    checkpoints: int = 12

    def __post_init__(self) -> None:
        for name in ("steps", "environments", "episode_bars", "rollout_bars", "epochs", "checkpoints"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        rollout = self.environments * self.rollout_bars
        if self.batch_size < 2 or rollout % self.batch_size:
            raise ValueError(
                f"batch_size = {self.batch_size} must divide environments × rollout_bars = {rollout}"
            )
        if not (0 < self.gamma <= 1 and 0 <= self.gae_lambda <= 1):
            raise ValueError("gamma must be above 0, gae_lambda at least 0, both at most 1")
        if not (0 < self.learning_rate < 1 and 0 < self.clip_range < 1 and self.reward_scale > 0):
            raise ValueError(
                "learning_rate and clip_range must be between 0 and 1, reward_scale positive"
            )
        if min(self.net_arch, default=1) < 1:
            raise ValueError("net_arch holds widths of at least 1")

    @property
    def updates(self) -> int:
        """Rollouts in a run; the last one is completed."""
        return -(-self.steps // (self.environments * self.rollout_bars))
