"""Every algorithm is an agent like any other: trained, stored, loaded, and tried by the same checks."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from tiny_training import ALGORITHMS, INSTALLED, each_algorithm, markets

from foretrade.agents.attribution import attribute
from foretrade.agents.checks import check_remembers_each_account_apart
from foretrade.agents.store import PolicySpec, load_policy
from foretrade.agents.training import train
from foretrade.agents.training_config import TrainingError
from foretrade.agents.validation import play
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.markets.synthetic import random_walk
from foretrade.markets.table import Column, Table
from foretrade.testing import check

CONTINUOUS = ("sac", "td3")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Agents by algorithm and kind of actions, as they were trained, and as they are loaded again."""
    walk, made = random_walk(600, seed=3), {}
    for name in INSTALLED:
        for actions in ("weight",) if name in CONTINUOUS else ("weight", "position"):
            folder = tmp_path_factory.mktemp(name)
            training, validation = markets(walk, actions=actions)
            config = replace(ALGORITHMS[name], steps=256)
            agent = train(training, validation, config, seed=0, folder=folder, tensorboard=False)
            made[name, actions] = agent, load_policy(folder), validation
    return made


@each_algorithm
@pytest.mark.parametrize("actions", ["weight", "position"])
def test_each_keeps_the_contract_and_is_stored_whole(trained, algorithm, actions):
    if algorithm in CONTINUOUS and actions == "position":
        training, validation = markets(random_walk(600, seed=3), actions=actions)
        with pytest.raises(TrainingError, match=rf"{algorithm.upper()} needs continuous actions"):
            train(training, validation, ALGORITHMS[algorithm], seed=0, folder=None)
        return
    agent, loaded, validation = trained[algorithm, actions]
    assert set(check(loaded, validation).values()) == {"passed"}
    assert loaded.spec == agent.spec
    assert np.array_equal(play(loaded, validation).growth, play(agent, validation).growth)


@each_algorithm
def test_decisions_of_each_can_be_explained_but_for_those_with_a_memory(trained, algorithm):
    agent, _, validation = trained[algorithm, "weight"]
    observation, _ = validation.reset(seed=0)
    seen = observation + np.random.default_rng(0).normal(size=(40, len(observation))).astype(np.float32)
    if algorithm == "recurrent_ppo":
        with pytest.raises(ValueError, match="recurrent policy acts on more than one observation"):
            attribute(agent, seen)
        return
    found = attribute(agent, seen)
    decided = agent.decide(seen)[:, 0]
    np.testing.assert_allclose(np.clip(found.targets, -1, 1), decided, atol=1e-5)


@pytest.mark.skipif("recurrent_ppo" not in INSTALLED, reason="needs sb3-contrib, an extra")
def test_a_recurrent_policy_remembers_until_it_is_reset(trained):
    agent, _, validation = trained["recurrent_ppo", "weight"]
    observation, _ = validation.reset(seed=0)
    row = observation[None]
    agent.reset()
    first, second = agent.decide(row), agent.decide(row)
    assert not np.array_equal(first, second)
    agent.reset()
    assert np.array_equal(agent.decide(row), first)
    with pytest.raises(ValueError, match=r"remembers 1 accounts and is shown 2; call reset\(\) first"):
        agent.decide(np.repeat(row, 2, axis=0))


class Gossip:
    """Remembers, but mixes up what its accounts have seen."""

    def __init__(self):
        self.mean = 0.0

    def reset(self):
        self.mean = 0.0

    def decide(self, observation):
        self.mean = 0.5 * self.mean + 0.5 * float(observation.mean())
        return np.full((len(observation), 1), np.tanh(self.mean), dtype=np.float32)


def test_an_agent_that_mixes_up_its_accounts_is_caught(walk):
    with pytest.raises(AssertionError):
        check_remembers_each_account_apart(Gossip(), markets(walk)[1])


def test_without_sb3_contrib_the_remedy_is_named(walk, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    message = r'needs sb3-contrib: pip install "foretrade\[ecosystem\]"'
    with pytest.raises(TrainingError, match=message):
        train(*markets(walk), ALGORITHMS["recurrent_ppo"], seed=0, folder=tmp_path, tensorboard=False)
    with pytest.raises(TrainingError, match=message):
        PolicySpec(("x",), (0.0,), (1.0,), {"n": 2}, network="recurrent", lstm_units=4).build()


LEAK = [("ppo", "weight"), ("ppo", "position"), ("a2c", "weight"), ("recurrent_ppo", "weight")]
LEAK += [("td3", "weight"), ("sac", "weight")]


@pytest.mark.learning
@pytest.mark.parametrize(("algorithm", "actions"), LEAK)
def test_each_learns_to_trade_on_a_leaked_future(walk, tmp_path, algorithm, actions):
    """Tomorrow's traded return in the observation: the agent must earn most of what there is.

    SAC is paid for entropy too, and so stays away from the bounds.
    """
    if algorithm not in INSTALLED:
        pytest.skip("needs sb3-contrib, an extra")
    returns = np.zeros_like(walk.close)
    returns[:-2] = np.sign(np.log(walk.close[2:] / walk.close[1:-1]))
    table = Table.from_columns(walk, {Column("leak", "ratio"): returns})
    training = MarketEnv(
        walk, table, rows=range(400), actions=actions, episodes=Episodes(100, random_start=True)
    )
    test = MarketEnv(walk, table, rows=range(400, 600), actions=actions)
    config = type(ALGORITHMS[algorithm])(episode_bars=100)
    agent = train(training, test, config, seed=0, folder=tmp_path)
    oracle = np.abs(np.diff(np.log(walk.close[401:600, 0]))).sum()
    assert play(agent, test).growth.sum() > (0.8 if algorithm == "sac" else 0.9) * oracle
