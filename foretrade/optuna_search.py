"""A search by Optuna's TPE, kept in a journal: killed at any moment, it goes on to the same end."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from foretrade.errors import ForetradeError
from foretrade.search_space import Range


class OptunaMissingError(ForetradeError, ModuleNotFoundError):
    """Optuna is not installed."""


class OptunaSearch:
    """Settings suggested one after the other, each in the light of all scores before.

    The suggestion for a trial depends on ``seed``, on the number of trials told so far and on their
    scores (tree-structured Parzen estimator, Bergstra et al. 2011, NeurIPS 24), on nothing else: the
    sampler is made anew with a seed of its own for each trial. A trial that a killed process left
    running is marked failed, and the next one gets the same suggestion. The journal is JSON, one
    operation a line, which Optuna's own tools can read.

    Args:
        space: Setting to where it is looked for.
        path: Of the journal; it need not exist. No other process may write it.
        seed: Of the suggestions.

    Raises:
        OptunaMissingError: Optuna is not installed.
    """

    def __init__(self, space: Mapping[str, Range], path: Path, seed: int) -> None:
        self._optuna = optuna = require_optuna()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = {name: self._distribution(values) for name, values in space.items()}
        self._seed = seed
        path.parent.mkdir(parents=True, exist_ok=True)
        _mend(path)
        journal = optuna.storages.journal
        self.study = optuna.create_study(
            storage=journal.JournalStorage(journal.JournalFileBackend(str(path))),
            study_name="foretrade",
            direction="maximize",
            load_if_exists=True,
        )
        for stopped in self._in_state("RUNNING"):
            self.study.tell(stopped.number, state=optuna.trial.TrialState.FAIL)

    def told(self) -> list[dict[str, Any]]:
        """Settings of the trials that are over, in order."""
        return [self._settings(trial.params) for trial in self._in_state("COMPLETE", "PRUNED")]

    def ask(self) -> dict[str, Any]:
        """Settings to try next."""
        number = len(self._in_state("COMPLETE", "PRUNED"))
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        self.study.sampler = self._optuna.samplers.TPESampler(seed=seed)
        return self._settings(self.study.ask(self._space).params)

    def tell(self, score: float | None) -> None:
        """What became of the settings asked for last; None if they could not be tried."""
        (trial,) = self._in_state("RUNNING")
        if score is None:
            self.study.tell(trial.number, state=self._optuna.trial.TrialState.PRUNED)
        else:
            self.study.tell(trial.number, score)

    def importances(self) -> dict[str, float]:
        """Share of each setting in what parts the better scores from the others, largest first.

        PED-ANOVA (Watanabe, Bansal and Hutter 2023, IJCAI); empty if all scores are the same.
        """
        if len({trial.value for trial in self._in_state("COMPLETE")}) < 2:
            return {}
        found: dict[str, float] = self._optuna.importance.get_param_importances(self.study)
        return found

    def _in_state(self, *names: str) -> list[Any]:
        states = tuple(self._optuna.trial.TrialState[name] for name in names)
        return list(self.study.get_trials(deepcopy=False, states=states))

    def _distribution(self, values: Range) -> Any:
        made = self._optuna.distributions
        if values.choices:
            return made.CategoricalDistribution([json.dumps(value) for value in values.choices])
        kind = made.IntDistribution if values.is_whole else made.FloatDistribution
        return kind(values.low, values.high, log=values.log)

    def _settings(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Choices are kept as JSON, because Optuna stores scalars only."""
        return {
            name: json.loads(found[name]) if isinstance(found[name], str) else found[name]
            for name in self._space
        }


def require_optuna() -> Any:
    """The module.

    Raises:
        OptunaMissingError: It is not installed.
    """
    try:
        return importlib.import_module("optuna")
    except ModuleNotFoundError as error:
        raise OptunaMissingError(
            "tune.search needs optuna: pip install 'foretrade[tune]'; tune.grid does without"
        ) from error


def _mend(path: Path) -> None:
    """Take away what a killed process leaves: its lock, and part of a line that would spoil the next."""
    Path(f"{path}.lock").unlink(missing_ok=True)
    if path.is_file():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with path.open("r+b") as file:
                file.truncate(whole)
