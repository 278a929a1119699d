"""Training stops when validation has brought nothing better for long enough, and says so."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tiny_training import ALGORITHMS, TINY, each_algorithm, markets

from foretrade.agents import training
from foretrade.agents.training import ChooseOnValidation, train
from foretrade.agents.validation import play
from foretrade.storage import file_hash

SCORES = (1.0, 3.0, 2.0, 2.5, 2.9, 4.0)  # the best is followed by three that are worse


def scored(monkeypatch):
    """Validation plays whose sum is dictated, by how many there were."""
    left = list(SCORES)

    def dictated(agent, env):
        played = play(agent, env)
        steps = played.growth
        return replace(played, growth=steps - steps.mean() + left.pop(0) / len(steps))

    monkeypatch.setattr(training, "play", dictated)


def run(walk, folder, config):
    train(*markets(walk), config, seed=1, folder=folder, tensorboard=False)
    return pd.read_csv(folder / "validation.csv"), json.loads((folder / "progress.json").read_text())


@each_algorithm
@pytest.mark.parametrize(("patience", "played"), [(0, 6), (1, 3), (2, 4), (3, 5), (4, 6)])
def test_it_waits_as_long_as_it_is_told(walk, tmp_path, monkeypatch, algorithm, patience, played):
    scored(monkeypatch)
    config = replace(ALGORITHMS[algorithm], steps=768, checkpoints=6, patience=patience)
    trials, progress = run(walk, tmp_path, config)
    assert trials["log_growth"].round(9).tolist() == list(SCORES[:played])
    assert trials["steps"].tolist() == [128 * (k + 1) for k in range(played)]
    assert progress["update"] == played * config.updates // 6
    stopped = f"no better validation score in {patience} checkpoints"
    assert progress.get("stopped") == (stopped if played < 6 else None)


def test_a_training_stopped_early_keeps_the_policy_of_its_best_checkpoint(walk, tmp_path, monkeypatch):
    scored(monkeypatch)
    run(walk, tmp_path / "early", replace(TINY, steps=768, checkpoints=6, patience=3))
    monkeypatch.undo()
    alike = lambda agent, env: replace(play(agent, env), growth=np.ones(9))  # noqa: E731
    monkeypatch.setattr(training, "play", alike)
    run(walk, tmp_path / "first", replace(TINY, steps=768, checkpoints=3))  # all alike: the first stays
    assert file_hash(tmp_path / "early" / "policy.safetensors") == file_hash(
        tmp_path / "first" / "policy.safetensors"
    )


class Stopped(Exception):
    """As if the process had been killed."""


def test_one_that_is_killed_between_its_last_checkpoint_and_its_end_stops_all_the_same(
    walk, tmp_path, monkeypatch
):
    config = replace(TINY, steps=768, checkpoints=6, patience=1)
    with monkeypatch.context() as patch:
        scored(patch)
        trials, progress = run(walk, tmp_path / "whole", config)

    def stop(self):
        raise Stopped

    with monkeypatch.context() as patch:
        scored(patch)
        patch.setattr(ChooseOnValidation, "finish", stop)
        with pytest.raises(Stopped):
            run(walk, tmp_path / "stopped", config)
    again, told = run(walk, tmp_path / "stopped", config)
    assert again.equals(trials)
    assert told == progress
    assert file_hash(tmp_path / "stopped" / "policy.safetensors") == file_hash(
        tmp_path / "whole" / "policy.safetensors"
    )
