"""Policies from elsewhere: wrapped alive, read safely from a zip, unpickled only on the user's word."""

from __future__ import annotations

import base64
import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from tiny_training import SMALL, markets

from foretrade.agents.algorithm_configs import A2CConfig, SACConfig, TD3Config
from foretrade.agents.imported import load_sb3, policy_from_sb3_zip, wrap
from foretrade.agents.ppo_config import PPOConfig
from foretrade.agents.store import PolicyFileError, load_policy, save_policy
from foretrade.agents.validation import play
from foretrade.envs.market import MarketEnv
from foretrade.markets.features import compute_features
from foretrade.markets.synthetic import random_walk
from foretrade.testing import check

NETWORKS = {
    PPO: PPOConfig(net_arch=(64, 64), activation="tanh"),  # the defaults of stable-baselines3
    A2C: A2CConfig(net_arch=(64, 64), activation="tanh"),
    SAC: SACConfig(net_arch=(256, 256), activation="relu"),
    TD3: TD3Config(net_arch=(400, 300), activation="relu"),
}
MARKET = markets(random_walk(600, seed=3))[1]


def saved(algorithm, folder, env=MARKET):
    model = algorithm("MlpPolicy", env, seed=0, device="cpu")
    model.save(folder / "model.zip")
    return model, folder / "model.zip"


@pytest.mark.parametrize("algorithm", NETWORKS)
def test_a_zip_is_read_safely_to_the_same_decisions(tmp_path, algorithm):
    model, path = saved(algorithm, tmp_path)
    agent = policy_from_sb3_zip(path, MARKET, NETWORKS[algorithm])
    expected = play(wrap(model, MARKET), MARKET).growth
    assert np.array_equal(play(agent, MARKET).growth, expected)
    save_policy(agent, tmp_path)
    assert np.array_equal(play(load_policy(tmp_path), MARKET).growth, expected)
    assert set(check(agent, MARKET).values()) == {"passed"}


@pytest.mark.parametrize("given", [{}, {"policy_kwargs": {"activation_fn": torch.nn.ELU}}])
def test_an_activation_that_no_shape_tells_is_compared(tmp_path, given):
    PPO("MlpPolicy", MARKET, seed=0, device="cpu", **given).save(tmp_path / "model.zip")
    with pytest.raises(PolicyFileError, match="the model's activation is .*, that of the config ReLU"):
        policy_from_sb3_zip(tmp_path / "model.zip", MARKET, PPOConfig(activation="relu"))
    changed = {"policy_kwargs": {"activation_fn": torch.nn.ReLU}}
    PPO("MlpPolicy", MARKET, seed=0, device="cpu", **changed).save(tmp_path / "relu.zip")
    policy_from_sb3_zip(tmp_path / "relu.zip", MARKET, PPOConfig(activation="relu"))


def test_a_whole_model_is_unpickled_only_on_the_users_word(tmp_path):
    env = markets(random_walk(600, seed=3), actions="position")[1]
    model, path = saved(DQN, tmp_path, env)
    with pytest.raises(PolicyFileError, match=r"runs whatever code they name; .*i_trust_this_file=True"):
        load_sb3(path, DQN, env)
    agent = load_sb3(path, DQN, env, i_trust_this_file=True)
    assert np.array_equal(play(agent, env).growth, play(wrap(model, env), env).growth)
    assert set(check(agent, env).values()) == {"passed"}


class Bomb:
    """To unpickle it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def planted(path, target, **members):
    """A copy of a zip with other members."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            copy.writestr(name, members.get(name, source.read(name)))
    return target


def test_a_bomb_goes_off_on_trust_alone(tmp_path):
    _, path = saved(PPO, tmp_path)
    crater = tmp_path / "crater"
    with zipfile.ZipFile(path) as archive:
        data = json.loads(archive.read("data"))
    data["_last_obs"] = {
        ":type:": "<class 'numpy.ndarray'>",
        ":serialized:": base64.b64encode(pickle.dumps(Bomb(crater))).decode(),
    }
    bomb = planted(path, tmp_path / "bomb.zip", data=json.dumps(data).encode())
    policy_from_sb3_zip(bomb, MARKET, NETWORKS[PPO])
    with pytest.raises(PolicyFileError, match="holds pickled objects"):
        load_sb3(bomb, PPO, MARKET)
    assert not crater.exists()
    load_sb3(bomb, PPO, MARKET, i_trust_this_file=True)  # it is a real one
    assert crater.exists()


def test_a_bomb_among_the_tensors_does_not_go_off(tmp_path):
    _, path = saved(PPO, tmp_path)
    crater = tmp_path / "crater"
    torch.save({"log_std": Bomb(crater)}, tmp_path / "policy.pth")
    bomb = planted(path, tmp_path / "bomb.zip", **{"policy.pth": (tmp_path / "policy.pth").read_bytes()})
    with pytest.raises(PolicyFileError, match="holds more than tensors; nothing was run"):
        policy_from_sb3_zip(bomb, MARKET, NETWORKS[PPO])
    assert not crater.exists()


def test_what_does_not_fit_is_refused(tmp_path):
    model, path = saved(PPO, tmp_path)
    with pytest.raises(PolicyFileError, match=r"do not fit a PPO policy with net_arch \(8,\)"):
        policy_from_sb3_zip(path, MARKET, PPOConfig(net_arch=(8,)))
    walk = random_walk(600, seed=3)
    table = compute_features(walk, SMALL)
    for other in ({"lookback_bars": 2}, {"actions": "position"}):
        with pytest.raises(PolicyFileError, match="the model was made for observations"):
            wrap(model, MarketEnv(walk, table, rows=range(400, 600), **other))
    with torch.no_grad():
        model.policy.log_std.fill_(float("nan"))
    model.save(tmp_path / "nan.zip")
    with pytest.raises(PolicyFileError, match="parameter log_std is not finite"):
        policy_from_sb3_zip(tmp_path / "nan.zip", MARKET, NETWORKS[PPO])
    (tmp_path / "text.zip").write_text("no zip")
    for name in ("text.zip", "none.zip"):
        with pytest.raises(PolicyFileError, match="no zip of a stable-baselines3 model"):
            policy_from_sb3_zip(tmp_path / name, MARKET, NETWORKS[PPO])
