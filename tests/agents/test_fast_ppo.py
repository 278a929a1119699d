"""FastPPO against stable-baselines3's own PPO: the same draws, rollouts, updates and logs."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from numpy.testing import assert_allclose
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv
from tiny_training import markets
from torch import nn

from foretrade.agents.fast_ppo import DeviceError, FastPPO
from foretrade.agents.perceptron import Perceptron
from foretrade.agents.rollouts import Rollouts
from foretrade.agents.vector import MarketVecEnv

SPACES = {
    "box": Box(-1.0, 1.0, (2,)),
    "table": Box(-0.3, 0.5, (2, 2)),
    "choice": Discrete(3),
    "choices": MultiDiscrete([2, 3]),
}


class Toy(gymnasium.Env):
    """Noise to look at; actions near its mean pay; episodes end in both ways."""

    def __init__(self, actions, shape=(5,)):
        self.action_space = actions
        self.observation_space = Box(-5.0, 5.0, shape)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.step_number = 0
        return self._look(), {}

    def step(self, action):
        reward = -float(np.abs(np.mean(action) - self.seen.mean()))
        self.step_number += 1
        ends = self.np_random.random() < 0.05
        return self._look(), reward, ends, not ends and self.step_number == 11, {}

    def _look(self):
        self.seen = self.np_random.normal(size=self.observation_space.shape).astype(np.float32)
        return self.seen


def model_of(kind, env, **settings):
    torch.set_num_threads(1)
    settings = {"n_steps": 32, "batch_size": 32, "n_epochs": 3, "seed": 5, "device": "cpu"} | settings
    model = kind("MlpPolicy", env, **settings)
    model.set_logger(configure(None, []))
    return model


def both(space, *, shape=(5,), **settings):
    return [
        model_of(kind, DummyVecEnv([lambda: Toy(SPACES[space], shape)] * 4), **settings)
        for kind in (PPO, FastPPO)
    ]


def assert_alike(theirs, ours, *, atol=1e-6):
    """In parameters and logs."""
    own = ours.policy.state_dict()
    for name, tensor in theirs.policy.state_dict().items():
        assert_allclose(own[name], tensor, rtol=0, atol=atol, err_msg=name)
    expected, logged = theirs.logger.name_to_value, ours.logger.name_to_value
    assert set(logged) == set(expected)
    for name in (name for name in expected if not name.startswith("time/")):
        assert_allclose(logged[name], expected[name], rtol=1e-4, atol=2e-6, err_msg=name)
    assert ours._n_updates == theirs._n_updates


def learn(model, steps):
    """Learn, and tell where the generators stand afterwards."""
    model.set_random_seed(5)
    model.learn(steps)
    return np.random.random(), float(torch.rand(()))  # noqa: NPY002


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
def test_it_learns_what_stable_baselines3_learns(space, activation):
    theirs, ours = both(space, ent_coef=0.01, policy_kwargs={"activation_fn": activation})
    assert ours.networks is not None
    assert learn(theirs, 384) == learn(ours, 384)
    assert_alike(theirs, ours)
    steps = theirs.rollout_buffer.actions.reshape(4, 32, -1).swapaxes(0, 1)  # it puts environments first
    assert_allclose(ours.rollout_buffer.actions, steps, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 48},  # the last minibatch is shorter
        {"batch_size": 127},  # or holds one advantage, which cannot be normalised
        {"normalize_advantage": False, "max_grad_norm": 1e-3},
        {"clip_range_vf": 0.05, "clip_range": 0.01, "learning_rate": 3e-3},
        {"clip_range": lambda left: 0.1 * left, "clip_range_vf": lambda left: left},
        {"learning_rate": lambda left: 1e-3 * left, "vf_coef": 2.0, "ent_coef": 0.1},
        {"target_kl": 1e-3, "learning_rate": 3e-3, "n_epochs": 9},
        {"gamma": 0.5, "gae_lambda": 0.0},
        {"policy_kwargs": {"net_arch": {"pi": [8], "vf": [16, 4, 8]}, "log_std_init": -1.0}},
        {"policy_kwargs": {"net_arch": []}},
        {"policy_kwargs": {"optimizer_class": torch.optim.SGD}},
        {"shape": (2, 3)},
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("space", ["box", "choices"])
@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
def test_every_setting_means_the_same(space, settings):
    theirs, ours = both(space, **settings)
    assert ours.networks is not None
    assert learn(theirs, 256) == learn(ours, 256)
    assert_alike(theirs, ours)
    if "target_kl" in settings:
        assert ours._n_updates < 18


@pytest.mark.parametrize("space", SPACES)
def test_an_update_from_the_same_rollout_is_the_same(space):
    """The rollout is stable-baselines3's, and so is the order of its minibatches."""
    theirs, ours = both(space, n_epochs=8, ent_coef=0.02, clip_range_vf=0.2)
    theirs._setup_learn(128)
    ours._setup_learn(128)
    theirs.collect_rollouts(theirs.env, Quiet(theirs), theirs.rollout_buffer, 32)
    for name in ("observations", "actions", "values", "log_probs", "advantages", "returns"):
        getattr(ours.rollout_buffer, name)[...] = getattr(theirs.rollout_buffer, name)
    for model in (theirs, ours):
        np.random.seed(1)  # noqa: NPY002  minibatches are drawn from it
        model.train()
    assert_alike(theirs, ours)


class Quiet(BaseCallback):
    def __init__(self, model):
        super().__init__()
        self.init_callback(model)

    def _on_step(self):
        return True


@pytest.mark.parametrize("options", [{}, {"actions": "position"}])
def test_markets_are_learnt_alike(walk, options):
    training, _ = markets(walk, **options)
    models = [
        model_of(kind, MarketVecEnv(training.copy(), 4, reward_scale=100.0)) for kind in (PPO, FastPPO)
    ]
    assert learn(models[0], 512) == learn(models[1], 512)
    assert_alike(*models)


def test_advantages_are_those_of_stable_baselines3():
    rng = np.random.default_rng(0)
    buffers = [
        kind(50, Box(-1, 1, (3,)), SPACES["box"], "cpu", gae_lambda=0.93, gamma=0.97, n_envs=7)
        for kind in (RolloutBuffer, Rollouts)
    ]
    drawn = {name: rng.normal(size=(50, 7)) for name in ("rewards", "values")}
    drawn["episode_starts"] = rng.random((50, 7)) < 0.1
    last, dones = torch.from_numpy(rng.normal(size=(7, 1)).astype(np.float32)), rng.random(7) < 0.3
    for buffer in buffers:
        for name, values in drawn.items():
            getattr(buffer, name)[...] = values
        buffer.compute_returns_and_advantage(last, dones)
    for name in ("advantages", "returns"):
        assert np.array_equal(getattr(buffers[0], name), getattr(buffers[1], name))
        assert getattr(buffers[1], name).dtype == np.float32


@pytest.mark.parametrize(
    "settings",
    [
        {"use_sde": True},
        {"policy_kwargs": {"activation_fn": nn.ELU}},
        {"rollout_buffer_class": RolloutBuffer},
    ],
    ids=str,
)
def test_what_is_not_understood_goes_through_stable_baselines3(settings):
    theirs, ours = both("box", **settings)
    assert ours.networks is None
    assert learn(theirs, 256) == learn(ours, 256)
    assert_alike(theirs, ours)


def test_the_comparison_sees_a_wrong_gradient(monkeypatch):
    monkeypatch.setattr(Perceptron, "_derive", lambda self, slope, values: None)
    theirs, ours = both("box")
    learn(theirs, 256)
    learn(ours, 256)
    with pytest.raises(AssertionError, match="Not equal"):
        assert_alike(theirs, ours)


def test_a_callback_can_stop_it_and_finds_what_it_needs():
    class Stop(BaseCallback):
        def _on_step(self):
            found = {name: np.shape(self.locals[name]) for name in ("actions", "rewards", "new_obs")}
            assert found == {"actions": (4, 2), "rewards": (4,), "new_obs": (4, 5)}
            assert len(self.locals["infos"]) == len(self.locals["dones"]) == 4
            return self.n_calls < 40

    _, ours = both("box")
    ours.learn(512, callback=Stop())
    assert ours.num_timesteps == 160


def test_it_is_saved_and_loaded_as_any_model(tmp_path):
    _, ours = both("choices")
    ours.learn(128)
    ours.save(tmp_path / "model")
    again = FastPPO.load(tmp_path / "model", env=ours.env)
    again.set_logger(ours.logger)
    assert learn_on(again) == learn_on(ours)


def learn_on(model):
    model.set_random_seed(9)
    model.learn(128)
    return [tensor.tolist() for tensor in model.policy.state_dict().values()]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(DeviceError, match="no GPU here"):
        FastPPO("MlpPolicy", DummyVecEnv([lambda: Toy(SPACES["box"])]), device="cuda")
