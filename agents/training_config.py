"""Settings that every algorithm has; apart from the algorithms: reading them imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

from foretrade.errors import ForetradeError

Activation: TypeAlias = Literal["tanh", "relu"]
Auto: TypeAlias = Literal["auto"]
AlgorithmName: TypeAlias = Literal["ppo", "a2c", "recurrent_ppo", "sac", "td3"]

NEEDS_CONTRIB = 'a recurrent policy needs sb3-contrib: pip install "foretrade[ecosystem]"'


class TrainingError(ForetradeError, ValueError):
    """A training that must not begin, or not go on."""


@dataclass(frozen=True)
class TrainingConfig:
    """How an agent learns; each algorithm adds its own (names as in stable-baselines3).

    Args:
        steps: Environment steps of one training run.
        environments: Copies of the market that collect together, each with its own random starts.
        episode_bars: Decisions in a training episode.
        rollout_bars: Steps of each environment between two updates.
        learning_rate: At the start; it falls linearly to zero.
        gamma: Discount a bar. A position's reward comes within a few bars, so a short horizon
            removes more noise than it adds bias.
        reward_scale: The value network learns rewards times this; ``"auto"`` brings them to the order
            of one, see :func:`foretrade.agents.probing.settled`.
        net_arch, activation: Of the networks.
        averaged_share: Part of the run's last updates whose parameters' mean is the policy, see
            :class:`foretrade.agents.averaging.PolicyAverage`; 0 takes the newest.
        checkpoints: How often, evenly spread over the run, the policy is tried on validation.
        patience: Checkpoints without a better validation score after which training stops; 0 never
            stops early.
    """

    steps: int = 98_304
    environments: int = 16
    episode_bars: int = 252
    rollout_bars: int = 128
    learning_rate: float = 1e-3
    gamma: float = 0.9
    reward_scale: float | Auto = "auto"
    net_arch: tuple[int, ...] = (64, 64)
    activation: Activation = "tanh"
    averaged_share: float = 0.0
    checkpoints: int = 12
    patience: int = 0

    algorithm: ClassVar[AlgorithmName]
    label: ClassVar[str]
    needs_continuous_actions: ClassVar[bool] = False

    def __post_init__(self) -> None:
        at_least(1, self, "steps", "environments", "episode_bars", "rollout_bars", "checkpoints")
        at_least(0, self, "patience")
        if not 0 < self.gamma <= 1:
            raise ValueError("gamma must be above 0, at most 1")
        if not (0 < self.learning_rate < 1 and 0 <= self.averaged_share <= 1):
            raise ValueError("learning_rate must be between 0 and 1, averaged_share from 0 to 1")
        finite(self, "reward_scale", auto=True)
        if self.reward_scale == 0:
            raise ValueError('reward_scale must be positive, or "auto"')
        if min(self.net_arch, default=1) < 1:
            raise ValueError("net_arch holds widths of at least 1")

    @property
    def updates(self) -> int:
        """Rollouts in a run; the last one is completed."""
        return -(-self.steps // (self.environments * self.rollout_bars))

    def check_actions(self, *, continuous: bool) -> None:
        """Find out whether the algorithm can act in such a space.

        Raises:
            TrainingError: It needs continuous actions.
        """
        if self.needs_continuous_actions and not continuous:
            raise TrainingError(
                f'{self.label} needs continuous actions: choose market.actions = "weight", or an '
                "algorithm for choices, such as ppo or a2c"
            )


def finite(config: Any, *names: str, least: float = 0.0, auto: bool = False) -> None:
    """Refuse settings that are no finite numbers from ``least`` on, nor ``"auto"`` where that can be."""
    for name in names:
        value = getattr(config, name)
        if auto and value == "auto":
            continue
        if not (isinstance(value, int | float) and least <= value < math.inf):
            other = ', or "auto"' if auto else ""
            raise ValueError(f"{name} must be a finite number of at least {least:g}{other}")


def at_least(least: int, config: Any, *names: str) -> None:
    """Refuse settings below ``least``, by name."""
    for name in names:
        if getattr(config, name) < least:
            raise ValueError(f"{name} must be at least {least}")
