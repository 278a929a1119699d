"""What every agent must do when it is tried on a market."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from foretrade.agents.base import Agent
from foretrade.envs.market import MarketEnv
from foretrade.markets.arrays import AnyArray, Float32s


def yield_checks(agent: Agent, env: MarketEnv) -> Iterator[Callable[[Agent, MarketEnv], None]]:
    """The checks that apply to an agent on a market that it can read."""
    yield check_decides_within_the_action_space
    yield check_decides_the_same_again
    yield check_decides_many_as_one_by_one
    yield check_remembers_each_account_apart


def check_decides_within_the_action_space(agent: Agent, env: MarketEnv) -> None:
    """One valid action for each observation."""
    observations = _observations(env)
    actions = _decide(agent, observations)
    assert len(actions) == len(observations), f"{len(actions)} actions for {len(observations)} accounts"
    for action in actions:
        assert env.action_space.contains(action), f"action {action!r} is not in {env.action_space}"


def check_decides_the_same_again(agent: Agent, env: MarketEnv) -> None:
    """After ``reset`` the same observations get the same actions, to the bit."""
    observations = _observations(env)
    assert np.array_equal(_decide(agent, observations), _decide(agent, observations)), (
        "the same observations got other actions after reset()"
    )


def check_decides_many_as_one_by_one(agent: Agent, env: MarketEnv) -> None:
    """An account's action depends on its own observation alone (to float32 rounding)."""
    observations = _observations(env)
    together = _decide(agent, observations)
    alone = np.concatenate([_decide(agent, row[None]) for row in observations])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def check_remembers_each_account_apart(agent: Agent, env: MarketEnv) -> None:
    """Of what it has seen since ``reset``, an account's own past alone matters (to float32 rounding)."""
    observations = _observations(env)
    length = len(observations) // 3
    accounts = observations[: 3 * length].reshape(3, length, -1)
    together = _follow(agent, accounts)
    alone = np.concatenate([_follow(agent, account[None]) for account in accounts])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def _follow(agent: Agent, accounts: Float32s) -> AnyArray:
    """Actions ``[accounts, steps, …]`` for observations ``[accounts, steps, entries]`` in time order."""
    agent.reset()
    return np.stack([agent.decide(accounts[:, k]) for k in range(accounts.shape[1])], axis=1)


def _decide(agent: Agent, observations: Float32s) -> AnyArray:
    agent.reset()
    return np.asarray(agent.decide(observations))


def _observations(env: MarketEnv) -> Float32s:
    env.action_space.seed(0)
    observation, _ = env.reset(seed=0)
    seen = [observation]
    for _ in range(30):
        observation, _, terminated, truncated, _ = env.step(env.action_space.sample())
        seen.append(observation)
        if terminated or truncated:
            break
    return np.array(seen)
