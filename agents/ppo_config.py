"""Settings of PPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from foretrade.agents.training_config import (
    Activation,
    AlgorithmName,
    Auto,
    TrainingConfig,
    at_least,
    finite,
)


@dataclass(frozen=True)
class PPOConfig(TrainingConfig):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347).

    Args:
        batch_size, epochs: Of an update.
        gae_lambda: Of the generalised advantage estimate.
        clip_range, value_coefficient: Of the loss.
        entropy_coefficient: Of the loss; ``"auto"`` depends on the kind of actions.
        log_std_init: Initial log standard deviation of continuous actions, in half ranges; ``"auto"``
            explores as widely as is not too dear. For both see :func:`foretrade.agents.probing.settled`.

    Returns are mostly noise: many short rollouts see more of it at once, few epochs learn less of it by
    heart, and a short trace (``gae_lambda``) with a longer ``gamma`` leaves the rest to the value
    network, which averages it. The entropy keeps choices that seem alike open until enough has been
    seen to tell them apart. docs/proof.md tells what each setting gave.
    """

    steps: int = 1_048_576
    environments: int = 1_024
    rollout_bars: int = 32
    learning_rate: float = 3e-3
    gamma: float = 0.95
    activation: Activation = "relu"
    averaged_share: float = 0.3
    batch_size: int = 8_192
    epochs: int = 2
    gae_lambda: float = 0.8
    clip_range: float = 0.2
    entropy_coefficient: float | Auto = "auto"
    value_coefficient: float = 0.5
    log_std_init: float | Auto = "auto"

    algorithm: ClassVar[AlgorithmName] = "ppo"
    label: ClassVar[str] = "PPO"

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, self, "epochs")
        rollout = self.environments * self.rollout_bars
        if self.batch_size < 2 or rollout % self.batch_size:
            raise ValueError(
                f"batch_size = {self.batch_size} must divide environments × rollout_bars = {rollout}"
            )
        finite(self, "value_coefficient")
        finite(self, "entropy_coefficient", auto=True)
        finite(self, "log_std_init", least=-20.0, auto=True)
        if not (0 <= self.gae_lambda <= 1 and 0 < self.clip_range < 1):
            raise ValueError("gae_lambda must be from 0 to 1, clip_range between 0 and 1")
