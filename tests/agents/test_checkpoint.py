"""A training that is stopped goes on to the same bits, whatever stopped it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback
from tiny_training import ALGORITHMS, TINY, each_algorithm, markets

from foretrade.agents.checkpoint import FORMAT, CheckpointError, Checkpoints
from foretrade.agents.training import ChooseOnValidation
from foretrade.agents.training import train as train_policy
from foretrade.agents.training_config import TrainingError
from foretrade.agents.vector import MarketVecEnv
from foretrade.storage import atomic_path, file_hash

FILES = (
    "policy.safetensors", "policy.json", "validation.csv", "validation.npy", "training.csv",
    "warnings.json", "settings.json",
)  # fmt: skip


class Stopped(Exception):
    """As if the process had been killed."""


def hashes(folder):
    return {name: file_hash(folder / name) for name in FILES}


def train(walk, folder, config=TINY, seed=1, **options):
    return train_policy(*markets(walk, **options), config, seed=seed, folder=folder, tensorboard=False)


@pytest.fixture(scope="module")
def whole(walk, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(walk, folder)
    return hashes(folder)


def stop_after(monkeypatch, steps):
    """Kill the training after so many steps of its environments, wherever that is."""
    left = [steps]
    before = ChooseOnValidation._on_step

    def step(self):
        left[0] -= 1
        if left[0] < 0:
            raise Stopped
        return before(self)

    monkeypatch.setattr(ChooseOnValidation, "_on_step", step)


@pytest.mark.parametrize("steps", [0, 1, 31, 32, 33, 64, 90, 127])
def test_a_training_goes_on_to_the_same_bits(walk, tmp_path, whole, monkeypatch, steps):
    with monkeypatch.context() as patch:
        stop_after(patch, steps)
        with pytest.raises(Stopped):
            train(walk, tmp_path)
    assert list((tmp_path / "checkpoints").glob("update-*"))
    np.random.default_rng(steps)
    torch.manual_seed(steps)  # nothing that happens in between matters
    taken, before = [], ChooseOnValidation._on_step
    monkeypatch.setattr(ChooseOnValidation, "_on_step", lambda self: taken.append(1) or before(self))
    train(walk, tmp_path)
    assert len(taken) == 128 - steps // 32 * 32  # a stop costs no more than the rollout it was in
    assert hashes(tmp_path) == whole
    assert not (tmp_path / "checkpoints").exists()


def test_it_may_be_stopped_again_and_again(walk, tmp_path, whole):
    for steps in (40, 5, 33, 20):
        with pytest.MonkeyPatch.context() as patch:
            stop_after(patch, steps)
            with pytest.raises(Stopped):
                train(walk, tmp_path)
    train(walk, tmp_path)
    assert hashes(tmp_path) == whole


@each_algorithm
def test_every_algorithm_goes_on_to_the_same_bits(walk, tmp_path, algorithm):
    """Stopped before and after learning has begun, and when the replay buffer has gone round."""
    config = ALGORITHMS[algorithm]
    train(walk, tmp_path / "whole", config)
    for steps in (5, 12, 40, 43):
        with pytest.MonkeyPatch.context() as patch:
            stop_after(patch, steps)
            with pytest.raises(Stopped):
                train(walk, tmp_path / "stopped", config)
    train(walk, tmp_path / "stopped", config)
    assert hashes(tmp_path / "stopped") == hashes(tmp_path / "whole")


@pytest.mark.parametrize("fault", ["truncated", "flipped", "half", "facts"])
def test_a_damaged_checkpoint_is_passed_over(walk, tmp_path, whole, monkeypatch, fault):
    with monkeypatch.context() as patch:
        stop_after(patch, 100)
        with pytest.raises(Stopped):
            train(walk, tmp_path)
    folders = sorted((tmp_path / "checkpoints").glob("update-*"))
    assert len(folders) == 2
    state, facts = folders[-1] / "state.safetensors", folders[-1] / "state.json"
    content = state.read_bytes()
    if fault == "truncated":
        state.write_bytes(content[:-100])
    elif fault == "flipped":
        state.write_bytes(content[:-5] + bytes([content[-5] ^ 4]) + content[-4:])
    elif fault == "half":
        facts.unlink()
    else:
        facts.write_text(facts.read_text().replace('"update": ', '"update": 1', 1))
    train(walk, tmp_path)
    assert hashes(tmp_path) == whole


def test_a_full_disk_leaves_what_was_kept(walk, tmp_path, whole, monkeypatch):
    def full(tensors, path):
        path.write_bytes(b"a part")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        stop_after(patch, 70)
        with pytest.raises(Stopped):
            train(walk, tmp_path)
    kept = sorted((tmp_path / "checkpoints").glob("update-*"))
    with monkeypatch.context() as patch:
        patch.setattr("foretrade.agents.checkpoint.save_file", full)
        with pytest.raises(OSError, match="No space left"):
            train(walk, tmp_path)
    assert sorted((tmp_path / "checkpoints").iterdir()) == kept
    train(walk, tmp_path)
    assert hashes(tmp_path) == whole


def test_checkpoints_of_another_training_are_refused(walk, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 40)
        with pytest.raises(Stopped):
            train(walk, tmp_path)
    for other, named in (
        ({"actions": "position"}, "settings, training market, validation market"),
        ({"seed": 2}, "seed"),
        ({"config": replace(TINY, epochs=3)}, "settings"),
        ({"config": ALGORITHMS["a2c"]}, "algorithm, settings"),
    ):
        with pytest.raises(CheckpointError, match=rf"a state of another run \(other {named}\)"):
            train(walk, tmp_path, **other)
    with monkeypatch.context() as patch:
        patch.setattr("foretrade.agents.training.code_hash", lambda *folders: "other")
        with pytest.raises(CheckpointError, match=r"\(other code of foretrade\)"):
            train(walk, tmp_path)
    monkeypatch.setattr("foretrade.agents.checkpoint.FORMAT", 99)
    with pytest.raises(CheckpointError, match="expected 99; train anew"):
        train(walk, tmp_path)


def test_what_killed_writers_have_left_is_removed(walk, tmp_path, monkeypatch, whole):
    with monkeypatch.context() as patch:
        stop_after(patch, 70)
        with pytest.raises(Stopped):
            train(walk, tmp_path)
    for left in (".policy.json.abcdefgh", "checkpoints/.update-00000002.12345678"):
        (tmp_path / left).mkdir()
        (tmp_path / left / "part").write_bytes(b"a part")
    monkeypatch.setattr(Checkpoints, "clear", lambda self: None)
    train(walk, tmp_path)
    assert hashes(tmp_path) == whole
    assert not list(tmp_path.rglob(".*"))


class Counter(BaseCallback):
    """A callback with a state of its own: rewards so far, as every update has seen them."""

    def __init__(self):
        super().__init__()
        self.total, self.seen = 0.0, []

    def _on_step(self):
        self.total += float(self.locals["rewards"].sum())
        return True

    def _on_rollout_end(self):
        self.seen.append(self.total)

    def state(self):
        return torch.tensor([self.total, *self.seen], dtype=torch.float64)

    def restore(self, state):
        self.total, *self.seen = state.tolist()


def test_the_state_of_callbacks_goes_on_too(walk, tmp_path, monkeypatch, whole):
    def with_counter(folder):
        counter = Counter()
        train_policy(*markets(walk), TINY, seed=1, folder=folder, tensorboard=False, callbacks=[counter])
        return counter.seen

    expected = with_counter(tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 70)
        with pytest.raises(Stopped):
            with_counter(tmp_path / "stopped")
    assert with_counter(tmp_path / "stopped") == expected
    assert len(expected) == 4
    assert hashes(tmp_path / "stopped") == whole


def test_a_long_training_keeps_its_state_at_most_a_hundred_times(walk, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(Checkpoints, "write", lambda self, update, *rest: written.append(update))
    train(walk, tmp_path, replace(ALGORITHMS["a2c"], rollout_bars=1, steps=1024))
    assert written == list(range(0, 256, 3))


def test_nothing_that_is_not_finite_is_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, {"seed": "1"})
    checkpoints.write(1, {"policy.w": torch.ones(2)}, {"update": 1})
    with pytest.raises(CheckpointError, match="policy.w is not finite after update 2"):
        checkpoints.write(2, {"policy.w": torch.tensor([1.0, torch.nan])}, {"update": 2})
    tensors, facts = checkpoints.newest()
    assert facts == {"update": 1}
    assert torch.equal(tensors["policy.w"], torch.ones(2))


@pytest.mark.parametrize("name", ["rewards", "observations"])
def test_what_is_not_finite_stops_the_training(walk, tmp_path, monkeypatch, name):
    before, count = MarketVecEnv.step_wait, [0]

    def step(self):
        seen, rewards, done, infos = before(self)
        count[0] += 1
        if count[0] == 50:
            (rewards if name == "rewards" else seen)[0] = np.nan
        return seen, rewards, done, infos

    monkeypatch.setattr(MarketVecEnv, "step_wait", step)
    with pytest.raises(
        TrainingError, match=r"step 200: (rewards|observations \(.*\)) of the training env"
    ):
        train(walk, tmp_path)


def test_the_facts_are_json_and_the_two_newest_stay(tmp_path):
    checkpoints = Checkpoints(tmp_path, {"seed": "1"})
    for update in range(5):
        checkpoints.write(update, {"w": torch.zeros(1)}, {"update": update})
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["update-00000003", "update-00000004"]
    assert json.loads((tmp_path / "update-00000004" / "state.json").read_text())["format"] == FORMAT
    with atomic_path(tmp_path / "update-00000005") as path:
        path.mkdir()  # an interrupted writer leaves no such folder; one by hand is passed over
    assert checkpoints.newest()[1] == {"update": 4}
    for update in (7, 8):
        checkpoints.write(update, {"w": torch.zeros(1)}, {"update": update})
    (tmp_path / "update-00000008" / "state.json").write_text("{}")
    assert checkpoints.newest()[1] == {"update": 7}
    checkpoints.write(8, {"w": torch.zeros(1)}, {"update": 8})
    (tmp_path / "update-00000008" / "state.json").write_text("{}")
    (tmp_path / "update-00000007" / "state.json").write_text("{}")
    assert checkpoints.newest() is None  # begun anew, and what is damaged makes room
    checkpoints.write(1, {"w": torch.zeros(1)}, {"update": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["update-00000001"]
    shutil.rmtree(tmp_path)
    assert checkpoints.newest() is None
