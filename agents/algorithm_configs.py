"""Settings of the algorithms beside PPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from foretrade.agents.ppo_config import PPOConfig
from foretrade.agents.training_config import Activation, AlgorithmName, TrainingConfig, at_least, finite


@dataclass(frozen=True)
class A2CConfig(TrainingConfig):
    """Advantage actor-critic (Mnih et al. 2016, arXiv:1602.01783), one gradient step an update.

    Args:
        gae_lambda: Of the generalised advantage estimate.
        entropy_coefficient, value_coefficient: Of the loss.
        log_std_init: Initial log standard deviation of continuous actions.
    """

    rollout_bars: int = 8
    gae_lambda: float = 1.0
    entropy_coefficient: float = 0.0
    value_coefficient: float = 0.5
    log_std_init: float = -0.5

    algorithm: ClassVar[AlgorithmName] = "a2c"
    label: ClassVar[str] = "A2C"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.gae_lambda <= 1:
            raise ValueError("gae_lambda must be from 0 to 1")
        finite(self, "entropy_coefficient", "value_coefficient")
        finite(self, "log_std_init", least=-20.0)


@dataclass(frozen=True)
class RecurrentPPOConfig(PPOConfig):
    """PPO whose policy and value networks begin with an LSTM each (sb3-contrib).

    Args:
        lstm_units: Width of the LSTM.
    """

    steps: int = 98_304
    environments: int = 16
    rollout_bars: int = 128
    learning_rate: float = 1e-3
    batch_size: int = 512
    epochs: int = 5
    lstm_units: int = 64

    algorithm: ClassVar[AlgorithmName] = "recurrent_ppo"
    label: ClassVar[str] = "Recurrent PPO"

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, self, "lstm_units")


@dataclass(frozen=True)
class OffPolicyConfig(TrainingConfig):
    """What algorithms have that learn from a replay buffer.

    Args:
        learning_starts: Environment steps with random actions before the first gradient step.
        replay_steps: Environment steps that the buffer holds.
        gradient_steps, batch_size: Of an update.
        return_bars: Rewards that are added up before the critics' estimate takes over (n-step returns).
            An order fills a bar after its decision, so the profit of what the decision saw is in the
            reward after the next, when it is seen no more: with 1 it could not be learned.
        tau: Part by which the target networks follow in a gradient step.
    """

    steps: int = 49_152
    rollout_bars: int = 8
    activation: Activation = "relu"
    learning_starts: int = 2_048
    replay_steps: int = 50_000
    gradient_steps: int = 32
    batch_size: int = 256
    return_bars: int = 3
    tau: float = 0.005

    needs_continuous_actions: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, self, "gradient_steps", "batch_size", "return_bars")
        at_least(0, self, "learning_starts")
        if self.learning_starts >= self.steps:
            raise ValueError(
                f"learning_starts = {self.learning_starts} must be below steps = {self.steps}: nothing "
                "would be learned"
            )
        if self.replay_steps < self.environments * self.rollout_bars:
            raise ValueError("replay_steps must hold a rollout: environments × rollout_bars at least")
        if not 0 < self.tau <= 1:
            raise ValueError("tau must be above 0, at most 1")


@dataclass(frozen=True)
class SACConfig(OffPolicyConfig):
    """Soft actor-critic (Haarnoja et al. 2018, arXiv:1812.05905).

    Args:
        entropy_coefficient: Weight of the entropy; left out, it is learned.
    """

    entropy_coefficient: float | None = None

    algorithm: ClassVar[AlgorithmName] = "sac"
    label: ClassVar[str] = "SAC"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.entropy_coefficient is not None and not self.entropy_coefficient >= 0:
            raise ValueError("entropy_coefficient must not be negative")


@dataclass(frozen=True)
class TD3Config(OffPolicyConfig):
    """Twin delayed deep deterministic policy gradient (Fujimoto et al. 2018, arXiv:1802.09477).

    Args:
        action_noise: Standard deviation of exploration, in half ranges of the action.
        policy_delay: Gradient steps of the critics to one of the actor.
        target_policy_noise, target_noise_clip: Noise on the target's actions, and its bound.
    """

    action_noise: float = 0.2
    policy_delay: int = 2
    target_policy_noise: float = 0.2
    target_noise_clip: float = 0.5

    algorithm: ClassVar[AlgorithmName] = "td3"
    label: ClassVar[str] = "TD3"

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, self, "policy_delay")
        if min(self.action_noise, self.target_policy_noise, self.target_noise_clip) < 0:
            raise ValueError(
                "action_noise, target_policy_noise and target_noise_clip must not be negative"
            )
