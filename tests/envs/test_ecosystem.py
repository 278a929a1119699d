"""What people put around an environment: checkers, makers, wrappers, agents of other libraries."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import (
    FrameStackObservation,
    NormalizeObservation,
    PassiveEnvChecker,
    RecordEpisodeStatistics,
    RecordVideo,
)
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.env_checker import check_env as check_env_sb3

from foretrade.agents.vector import MarketVecEnv
from foretrade.envs.actions import (
    DeltaActions,
    PositionActions,
    SimplexActions,
    UnitActions,
    WeightActions,
)
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.envs.registration import ENVIRONMENTS
from foretrade.envs.rewards import CODES, Reward
from foretrade.markets.rules import Rules
from foretrade.markets.synthetic import random_walk

WALK, PANEL = random_walk(420, seed=9), random_walk(420, symbols=3, seed=9)
SHORT = Episodes(30, random_start=True)
OPTIONS = {
    "plain": {},
    "panel": {"bars": PANEL, "symbols": PANEL.symbols},
    "each": {"bars": PANEL, "symbols": "each"},
    "window": {"lookback_bars": 5},
    "dict": {"lookback_bars": 5, "window": ["volume"], "as_dict": True},
    "position": {"actions": "position"},
    "positions of a panel": {"bars": PANEL, "symbols": PANEL.symbols, "actions": PositionActions()},
    "simplex": {"bars": PANEL, "symbols": PANEL.symbols, "actions": SimplexActions()},
    "units": {"actions": UnitActions(-100, 100)},
    "deltas": {
        "actions": DeltaActions(-10, 10),
        "rules": Rules(unfilled="carry", max_participation=0.1),
    },
    "exits": {"actions": WeightActions(stop_loss=(0.02, 0.1), take_profit=(0.05, 0.2))},
    "exits by number": {"actions": PositionActions(stop_loss=(0.02, np.inf))},
    "bootstrap": {"episodes": Episodes(50, bootstrap_bars=5)},
    "fixed notional": {"rules": Rules(accounting="fixed_notional"), "reward": "simple_return"},
    "same close": {"fill": "same_close"},
} | {f"reward {name}": {"reward": Reward(name)} for name in CODES}


# Advice, not complaints: some spaces are what they are.
@pytest.mark.filterwarnings("ignore:.*symmetric and normalized:UserWarning")
@pytest.mark.filterwarnings("ignore:Your observation window has an unconventional shape:UserWarning")
@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("identifier", ENVIRONMENTS)
def test_gymnasium_and_stable_baselines_find_nothing_to_complain_of(identifier, name):
    env = gymnasium.make(identifier, **({"bars": WALK, "episodes": SHORT} | OPTIONS[name]))
    assert isinstance(env.env, PassiveEnvChecker)
    check_env(env.unwrapped, skip_render_check=True)
    check_env_sb3(env.unwrapped)
    env.action_space.seed(0)
    env.reset(seed=0)
    over = False
    while not over:
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        over = terminated or truncated


@pytest.mark.parametrize("wrapper", [RecordEpisodeStatistics, NormalizeObservation])
def test_wrappers_fit(wrapper):
    env = wrapper(gymnasium.make("foretrade/Market-v0", bars=WALK, episodes=SHORT))
    env.reset(seed=0)
    for _ in range(30):
        info = env.step(env.action_space.sample())[-1]
    assert wrapper is not RecordEpisodeStatistics or info["episode"]["l"] == 30
    stacked = FrameStackObservation(MarketEnv(WALK), 4)
    assert stacked.reset(seed=0)[0].shape == stacked.observation_space.shape


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("how", ["sync", "vector_entry_point"])
def test_many_are_made_in_every_way(how, mode):
    arguments = {"bars": WALK, "episodes": SHORT}
    if how == "sync":
        arguments |= {"vector_kwargs": {"autoreset_mode": mode}}
    else:
        arguments |= {"autoreset_mode": mode}
    env = gymnasium.make_vec("foretrade/Market-v0", num_envs=2, vectorization_mode=how, **arguments)
    observations, _ = env.reset(seed=0)
    assert env.observation_space.contains(observations)
    env.step(env.action_space.sample())
    env.close()


def test_processes_of_their_own_give_the_same_numbers():
    arguments = {"bars": WALK, "episodes": SHORT}
    seen = []
    for how in ("async", "vector_entry_point"):
        spawned = {"vector_kwargs": {"context": "spawn"}} if how == "async" else {}
        env = gymnasium.make_vec(
            "foretrade:foretrade/Market-v0", num_envs=2, vectorization_mode=how, **arguments, **spawned
        )
        env.reset(seed=0)
        seen.append(env.step(np.array([[0.5], [-0.5]], np.float32))[0])
        env.close()
    assert np.array_equal(*seen)


def test_episodes_become_videos(tmp_path):
    pytest.importorskip("moviepy", reason="make check-ecosystem")
    env = MarketEnv(WALK, render_mode="rgb_array", episodes=Episodes(8))
    recorded = RecordVideo(env, str(tmp_path / "videos"), disable_logger=True)
    recorded.reset(seed=0)
    for step in range(8):
        recorded.step(np.array([step % 2], np.float32))
    recorded.close()
    assert next(tmp_path.glob("videos/*.mp4")).stat().st_size > 1000


def test_the_panel_shows_the_account_at_each_step(capsys):
    env = MarketEnv(WALK, render_mode="human", episodes=Episodes(3))
    _, info = env.reset(seed=0)
    for _ in range(3):
        info = env.step(np.ones(1, np.float32))[-1]
    env.close()
    shown = capsys.readouterr().out
    assert f"{info['equity']:,.2f}" in shown
    assert f"{info['close']:,.2f}" in shown


@pytest.mark.parametrize("algorithm", [PPO, A2C])
def test_stable_baselines_learns_on_panels_and_dicts(algorithm):
    env = MarketEnv(PANEL, symbols=PANEL.symbols, actions=SimplexActions(), episodes=SHORT)
    settings = {"n_steps": 8, "device": "cpu", "seed": 0}
    settings |= {"batch_size": 16} if algorithm is PPO else {}
    algorithm("MlpPolicy", MarketVecEnv(env, 4), **settings).learn(64)
    parts = MarketEnv(WALK, as_dict=True, lookback_bars=3, episodes=SHORT)
    algorithm("MultiInputPolicy", MarketVecEnv(parts, 4), **settings).learn(64)


@pytest.mark.parametrize("name", ["RecurrentPPO", "TRPO", "QRDQN"])
def test_sb3_contrib_learns(name):
    contrib = pytest.importorskip("sb3_contrib", reason="pip install 'foretrade[ecosystem]'")
    actions = "position" if name == "QRDQN" else "weight"
    env = MarketVecEnv(MarketEnv(WALK, actions=actions, episodes=SHORT), 2)
    policy = "MlpLstmPolicy" if name == "RecurrentPPO" else "MlpPolicy"
    settings = {"learning_starts": 16} if name == "QRDQN" else {"n_steps": 8, "batch_size": 16}
    getattr(contrib, name)(policy, env, device="cpu", seed=0, **settings).learn(64)


def test_tianshou_collects_what_the_environment_gives():
    data = pytest.importorskip("tianshou.data", reason="make check-ecosystem")
    from tianshou.algorithm.modelfree.reinforce import DiscreteActorPolicy
    from tianshou.env import DummyVectorEnv
    from tianshou.utils.net.common import Net
    from tianshou.utils.net.discrete import DiscreteActor

    market = MarketEnv(WALK, actions="position", episodes=SHORT)
    net = Net(state_shape=market.observation_space.shape, hidden_sizes=[8])
    policy = DiscreteActorPolicy(
        actor=DiscreteActor(preprocess_net=net, action_shape=3),
        action_space=market.action_space,
        observation_space=market.observation_space,
        dist_fn=lambda logits: torch.distributions.Categorical(logits=logits),
    )
    steps = data.VectorReplayBuffer(total_size=60, buffer_num=2)
    batch = DummyVectorEnv([market.copy, market.copy])
    batch.seed([0, 1])
    collector = data.Collector(policy, batch, steps)
    collector.reset()
    assert collector.collect(n_episode=2).n_collected_episodes == 2
    for seed, found in enumerate(steps.buffers):
        env = market.copy()
        env.reset(seed=seed)
        seen, _ = env.reset()
        for step in found[np.arange(SHORT.bars)]:
            assert np.array_equal(step.obs, seen)
            seen, reward, _, truncated, _ = env.step(step.act)
            assert (step.rew, step.truncated) == (reward, truncated)
        assert truncated
