from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_training import TINY, markets

from foretrade.agents.ppo_config import PPOConfig
from foretrade.agents.store import PolicyFileError, load_policy, save_policy
from foretrade.agents.training import train
from foretrade.agents.validation import play
from foretrade.storage import file_hash


@pytest.fixture(scope="module")
def trained(walk, tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy")
    training, validation = markets(walk)
    return train(training, validation, TINY, seed=1, folder=folder), validation, folder


def test_the_best_checkpoint_on_validation_is_kept(trained):
    agent, validation, folder = trained
    trials = pd.read_csv(folder / "validation.csv")
    assert trials["steps"].tolist() == [256, 384, 512]
    assert play(agent, validation).growth.sum() == pytest.approx(trials["log_growth"].max(), abs=1e-12)
    assert json.loads((folder / "progress.json").read_text()) == {"update": 4, "of": 4}
    assert list((folder / "tensorboard").glob("events.out.tfevents.*"))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(walk, trained, tmp_path):
    hashes = []
    for seed in (1, 2):
        train(*markets(walk), TINY, seed=seed, folder=tmp_path / str(seed), tensorboard=False)
        hashes.append(file_hash(tmp_path / str(seed) / "policy.safetensors"))
    assert hashes[0] == file_hash(trained[2] / "policy.safetensors")
    assert hashes[1] != hashes[0]


@pytest.mark.parametrize("options", [{}, {"actions": "position"}])
def test_a_stored_policy_decides_alike(walk, tmp_path, options):
    training, validation = markets(walk, **options)
    agent = train(training, validation, TINY, seed=0, folder=tmp_path, tensorboard=False)
    loaded = load_policy(tmp_path)
    assert loaded.spec == agent.spec
    assert np.array_equal(play(loaded, validation).growth, play(agent, validation).growth)


def damaged(folder, target, *, tensors=None, spec=None):
    target.mkdir()
    for name, change in (("policy.safetensors", tensors), ("policy.json", spec)):
        content = (folder / name).read_bytes()
        (target / name).write_bytes(change(content) if change else content)
    return target


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tensors": lambda b: b[:-10]}, "does not match the SHA-256"),
        ({"tensors": lambda b: b[:-1] + bytes([b[-1] ^ 1])}, "does not match the SHA-256"),
        ({"spec": lambda b: b[:-10]}, "not valid JSON"),
        ({"spec": lambda b: b.replace(b'"format": 3', b'"format": 2')}, "format 2, expected 3"),
        ({"spec": lambda b: b.replace(b"64", b"32", 1)}, "cannot be read"),
        ({"spec": lambda b: b.replace(b'"relu"', b'"eval"')}, "cannot be read"),
    ],
)
def test_a_damaged_policy_is_refused(trained, tmp_path, changes, message):
    with pytest.raises(PolicyFileError, match=message):
        load_policy(damaged(trained[2], tmp_path / "copy", **changes))


def test_a_missing_policy_and_one_that_is_not_finite_are_refused(trained, tmp_path):
    with pytest.raises(PolicyFileError, match="cannot be read"):
        load_policy(tmp_path)
    agent = load_policy(trained[2])
    with torch.no_grad():
        next(iter(agent.policy.parameters())).fill_(float("nan"))
    with pytest.raises(PolicyFileError, match="is not finite; it is not saved"):
        save_policy(agent, tmp_path)
    assert not list(tmp_path.iterdir())


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="must divide environments × rollout_bars = 32768"):
        PPOConfig(batch_size=100)
    with pytest.raises(ValueError, match="at least 1"):
        PPOConfig(steps=0)
