"""Training: any algorithm, its checkpoint chosen on the validation block, its state kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import configure

from foretrade.agents.algorithms import build, policy_spec
from foretrade.agents.averaging import PolicyAverage
from foretrade.agents.checkpoint import (
    Checkpoints,
    Facts,
    Tensors,
    part_of,
    restore,
    training_state,
)
from foretrade.agents.diagnostics import write_warnings
from foretrade.agents.preflight import check_before_training
from foretrade.agents.probing import settled
from foretrade.agents.store import PolicyAgent, save_policy
from foretrade.agents.training_config import TrainingConfig, TrainingError
from foretrade.agents.training_record import TrainingRecord
from foretrade.agents.validation import play
from foretrade.agents.vector import MarketVecEnv
from foretrade.envs.market import MarketEnv
from foretrade.markets.arrays import Floats
from foretrade.storage import (
    atomic_path,
    clear_partial,
    code_hash,
    content_hash,
    library_versions,
    write_json,
)

STATES = 100  # kept in a training; one that is stopped loses a hundredth of its work, or one rollout
LIBRARIES = ("numpy", "stable-baselines3", "torch")


@runtime_checkable
class Kept(Protocol):
    """A callback whose state goes into the checkpoints."""

    def state(self) -> torch.Tensor: ...

    def restore(self, state: torch.Tensor) -> None: ...


def train(
    training: MarketEnv,
    validation: MarketEnv,
    config: TrainingConfig,
    *,
    seed: int,
    folder: Path,
    tensorboard: bool = True,
    callbacks: Sequence[BaseCallback] = (),
    on_checkpoint: Callable[[int, Floats], None] | None = None,
) -> PolicyAgent:
    """Train one policy and return its best checkpoint, as judged on the validation block alone.

    The class of ``config`` chooses the algorithm. Writes into ``folder``: ``policy.safetensors`` and
    ``policy.json`` (the best checkpoint), ``validation.csv`` (steps, net log growth, Sharpe ratio a bar
    and :meth:`~foretrade.agents.validation.Play.figures` of every checkpoint: each is a trial),
    ``validation.npy`` (their simple returns ``[checkpoints, bars]``, zero after ruin), ``training.csv``
    (what every update did, see :class:`TrainingRecord`), ``settings.json`` (with numbers where the
    configuration said ``"auto"``), ``warnings.json`` (what a user should
    notice, see :mod:`foretrade.agents.diagnostics`), ``progress.json`` and TensorBoard event files;
    while it goes on, ``checkpoints/``, from which a training that was stopped at any moment goes on to
    the same tensors. The same environments, configuration and seed give the same tensors on the same
    machine; torch is set to one thread.

    Args:
        training: Market with random starts, on the training block.
        validation: Market on the validation block, played once from its start a checkpoint.
        callbacks: Who looks on. Their ``on_rollout_start`` follows each update, before the policy is
            judged and the state kept. The state of those that are :class:`Kept` is kept too.
        on_checkpoint: Is given steps and simple returns ``[bars]`` (up to ruin) of each checkpoint,
            before its score is shown anywhere; after an interruption the last ones once more.

    Raises:
        CheckpointError: The folder holds checkpoints of another training, or a parameter is not finite.
        TrainingError: The training cannot begin (see ``check_before_training``), or a reward,
            observation or action is not finite.
    """
    torch.set_num_threads(1)
    check_before_training(training, config)
    config = settled(config, training)
    identity = _identity(training, validation, config, seed)
    spec = policy_spec(training, config)
    assert config.reward_scale != "auto"
    environments = MarketVecEnv(
        training, config.environments, reward_scale=config.reward_scale, unit_actions=True
    )
    model = build(config, spec, environments, seed=seed)
    model.set_logger(configure(str(folder / "tensorboard"), ["tensorboard"] if tensorboard else []))
    clear_partial(folder)
    write_json(folder / "settings.json", {"algorithm": config.algorithm} | asdict(config))
    record = TrainingRecord(environments, folder)
    average = PolicyAverage(model.policy, config.averaged_share, config.updates)
    onlookers = [record, average, *callbacks]
    chooser = ChooseOnValidation(
        PolicyAgent(spec, average.policy),
        environments,
        validation,
        config,
        Checkpoints(folder / "checkpoints", identity),
        [callback for callback in onlookers if isinstance(callback, Kept)],
        on_checkpoint,
    )
    steps = config.updates * config.environments * config.rollout_bars
    found = chooser.checkpoints.newest()
    if found is not None:
        restore(model, environments, *found)
        chooser.restore(*found)
    model.learn(
        steps - model.num_timesteps,
        callback=CallbackList([*onlookers, chooser]),
        reset_num_timesteps=found is None,
    )
    agent = chooser.finish()
    write_warnings(folder, record.rows(), pd.DataFrame(chooser.trials))
    chooser.checkpoints.clear()
    return agent


class ChooseOnValidation(BaseCallback):
    """Play the validation block at every checkpoint, remember the best policy, keep the state."""

    def __init__(
        self,
        agent: PolicyAgent,
        environments: MarketVecEnv,
        validation: MarketEnv,
        config: TrainingConfig,
        checkpoints: Checkpoints,
        others: Sequence[Kept] = (),
        on_checkpoint: Callable[[int, Floats], None] | None = None,
    ) -> None:
        super().__init__()
        self.agent = agent
        self.environments = environments
        self.validation = validation
        self.checkpoints = checkpoints
        self.folder = checkpoints.folder.parent
        self.others = others
        self.on_checkpoint = on_checkpoint
        self.resumes = False
        self.updates, self.patience = config.updates, config.patience
        self.every = -(-config.updates // STATES)
        marks = np.linspace(0, config.updates, min(config.checkpoints, config.updates) + 1)
        self.due = set(np.ceil(marks[1:]).astype(int).tolist())
        self.update = 0  # updates made
        self.trials: list[dict[str, Any]] = []
        self.returns: list[Floats] = []
        self.best: dict[str, torch.Tensor] = {}

    @property
    def waits_in_vain(self) -> bool:
        """Whether as many checkpoints as ``patience`` have brought no better score."""
        scores = [trial["log_growth"] for trial in self.trials]
        return bool(scores) and 0 < self.patience <= len(scores) - 1 - int(np.argmax(scores))

    def restore(self, tensors: Tensors, facts: Facts) -> None:
        """Go on from what :meth:`_keep` has kept."""
        self.update, self.trials = facts["update"], facts["trials"]
        self.returns = [part_of(tensors, "returns")[str(k)].numpy() for k in range(len(self.trials))]
        self.best = part_of(tensors, "best")
        for index, callback in enumerate(self.others):
            callback.restore(tensors[f"callback.{index}"])
        self.resumes = True

    def _on_rollout_start(self) -> None:
        if not self.resumes:
            self._judge()
            if self.update % self.every == 0:
                self._tell()
                self._keep()
        self.resumes = False

    def _on_step(self) -> bool:
        for name in ("rewards", "new_obs", "actions"):
            if not np.isfinite(self.locals[name]).all():
                raise TrainingError(
                    f"step {self.num_timesteps}: {self._culprits(name)} of the training environments "
                    "are not finite; look for what is not in the prices, features or forecasts of the "
                    "training block"
                )
        return not self.waits_in_vain

    def _culprits(self, name: str) -> str:
        """In words: which part of a step is not finite."""
        if name != "new_obs":
            return name
        wrong = ~np.isfinite(self.locals[name]).all(axis=0)
        entries = [entry for entry, bad in zip(self.agent.spec.entries, wrong, strict=True) if bad]
        return f"observations ({', '.join(entries)})"

    def _on_rollout_end(self) -> None:
        self.update += 1

    def _on_training_end(self) -> None:
        if not self.waits_in_vain:
            self._judge()

    def _keep(self) -> None:
        """Write the state between two rollouts to disk."""
        tensors, facts = training_state(self.model, self.environments)
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        tensors |= {f"returns.{k}": torch.from_numpy(own) for k, own in enumerate(self.returns)}
        tensors |= {f"callback.{k}": each.state() for k, each in enumerate(self.others)}
        facts |= {"update": self.update, "trials": self.trials}
        self.checkpoints.write(self.update, tensors, facts)

    def _judge(self) -> None:
        """Play the validation block, if it is time to."""
        if self.update in self.due:
            played = play(self.agent, self.validation)
            steps = played.growth
            growth, spread = float(steps.sum()), float(steps.std())
            if growth > max((trial["log_growth"] for trial in self.trials), default=-np.inf):
                self.best = {k: v.clone() for k, v in self.agent.policy.state_dict().items()}
            sharpe = float(steps.mean()) / spread if spread > 0 else None
            trial = {"steps": self.num_timesteps, "log_growth": growth, "sharpe": sharpe}
            trial |= played.figures()
            self.trials.append(trial)
            self.returns.append(np.expm1(steps))
            if self.on_checkpoint is not None:  # first: a score that is seen has been counted
                self.on_checkpoint(self.num_timesteps, self.returns[-1])
            for name in (name for name in trial if name != "steps" and trial[name] is not None):
                self.logger.record(f"validation/{name}", trial[name])
            self.logger.dump(self.num_timesteps)

    def _tell(self) -> None:
        progress: dict[str, Any] = {"update": self.update, "of": self.updates}
        if self.waits_in_vain:
            progress["stopped"] = f"no better validation score in {self.patience} checkpoints"
        write_json(self.folder / "progress.json", progress)

    def finish(self) -> PolicyAgent:
        """The best checkpoint, written to disk after its record of trials."""
        self._tell()
        with atomic_path(self.folder / "validation.csv") as path:
            pd.DataFrame(self.trials).to_csv(path, index=False)
        bars = max(map(len, self.returns))
        with atomic_path(self.folder / "validation.npy") as path:
            np.save(path, [np.pad(returns, (0, bars - len(returns))) for returns in self.returns])
        self.agent.policy.load_state_dict(self.best)
        self.agent.policy.set_training_mode(False)
        save_policy(self.agent, self.folder)
        return self.agent


def _identity(
    training: MarketEnv, validation: MarketEnv, config: TrainingConfig, seed: int
) -> dict[str, str]:
    """What the tensors of a training depend on, by name."""
    return {
        "algorithm": config.algorithm,
        "settings": content_hash(asdict(config)),
        "seed": str(seed),
        "training market": content_hash(training.market),
        "validation market": content_hash(validation.market),
        "versions of libraries": ", ".join(library_versions(*LIBRARIES)),
        "code of foretrade": code_hash("markets", "envs", "agents"),
    }
