"""Rewards against their formulas, computed from the infos alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from foretrade.envs.actions import WeightActions
from foretrade.envs.market import MarketEnv
from foretrade.envs.rewards import RUIN_LEVEL, Reward
from foretrade.markets.costs import FREE, Costs
from foretrade.markets.exchange import last_closes
from foretrade.markets.rules import Rules
from foretrade.markets.synthetic import random_walk

BARS = random_walk(420, symbols=2, volatility=0.03, seed=5)


def play(reward: Reward | str, steps: int = 60, seed: int = 0, **options):
    """Rewards, equity (one more) and the other infos of random actions."""
    options = {"symbols": BARS.symbols, "rules": Rules(2.0)} | options
    env = MarketEnv(BARS, reward=reward, **options)
    env.action_space.seed(seed)
    _, info = env.reset(seed=seed)
    rewards, equity, infos = [], [info["equity"]], []
    for _ in range(steps):
        _, paid, terminated, truncated, info = env.step(env.action_space.sample())
        rewards.append(paid)
        equity.append(info["equity"])
        infos.append(info)
        if terminated or truncated:
            break
    return np.array(rewards), np.array(equity), infos


@settings(max_examples=30)
@given(st.integers(0, 999), st.sampled_from([FREE, Costs(), Costs(40, 40, 900, 900)]))
def test_log_growth_sums_to_the_log_of_final_over_initial_equity(seed, costs):
    rewards, equity, _ = play("log_growth", 150, seed, costs=costs)
    assert_allclose(rewards, np.log(equity[1:] / equity[:-1]), rtol=1e-13, atol=3e-16)
    assert abs(rewards.sum() - np.log(equity[-1] / equity[0])) <= 1e-12


@pytest.mark.filterwarnings("ignore::foretrade.envs.observation.ClippedColumnWarning")
def test_large_moves_have_the_logarithm_of_the_library():
    wild = random_walk(400, volatility=0.6, seed=3)
    env = MarketEnv(wild, actions=WeightActions(0.0, 1.0), costs=FREE)
    _, info = env.reset()
    for _ in range(100):
        before = info["equity"]
        _, reward, *_, info = env.step(np.ones(1, np.float32))
        assert_allclose(reward, np.log(info["equity"] / before), rtol=1e-13, atol=3e-16)


def test_simple_return_and_turnover_penalty():
    rewards, equity, infos = play(Reward("simple_return", turnover_penalty=0.5))
    traded = np.array([info["traded"] for info in infos])
    assert_allclose(rewards, equity[1:] / equity[:-1] - 1 - 0.5 * traded / equity[:-1], atol=1e-15)


def test_differential_sharpe_is_moody_and_saffells():
    rewards, equity, _ = play(Reward("differential_sharpe", adaptation=0.04))
    mean, square = 0.0, 0.0
    returns = equity[1:] / equity[:-1] - 1
    for step, (reward, r) in enumerate(zip(rewards, returns, strict=True)):
        up, wide, variance = r - mean, r**2 - square, square - mean**2
        expected = (square * up - mean * wide / 2) / variance**1.5 if step >= 25 else 0.0
        assert_allclose(reward, expected, rtol=1e-9, atol=1e-12)
        mean, square = mean + 0.04 * up, square + 0.04 * wide


def test_mean_variance_charges_half_the_variance_of_what_is_carried():
    variance = np.array([4e-4, 9e-4])
    rewards, equity, infos = play(Reward("mean_variance", risk_aversion=5.0), variance=variance)
    weights = np.array([i["units"] * i["close"] for i in infos]) / equity[:-1, None]
    expected = equity[1:] / equity[:-1] - 1 - 2.5 * (weights**2 * variance).sum(axis=1)
    assert_allclose(rewards, expected, atol=1e-14)


def test_mean_variance_is_the_garleanu_pedersen_objective_in_units():
    """Fixed notional 1, units, fills at the close decided on: x r − ½ λσ² Δx² − ½ γσ² x²."""
    gamma, cost, sigma = 5.0, 20.0, 0.01
    bars = random_walk(320, seed=8)
    env = MarketEnv(
        bars,
        fill="same_close",
        costs=Costs(0, 0, 0, 0, quadratic=cost * sigma**2),
        rules=Rules(max_leverage=1e12, accounting="fixed_notional"),
        actions="units",
        reward=Reward("mean_variance", risk_aversion=gamma),
        initial_equity=1.0,
        variance=(sigma / bars.close) ** 2,
    )
    env.action_space.seed(0)
    _, info = env.reset()
    held = 0.0
    for _ in range(40):
        before, action = info["close"], env.action_space.sample()
        _, reward, *_, info = env.step(action)
        x = float(action[0])
        gain, trade = x * (info["close"] - before), 0.5 * cost * sigma**2 * (x - held) ** 2
        assert_allclose(reward, gain - trade - 0.5 * gamma * sigma**2 * x**2, rtol=1e-9, atol=1e-9)
        held = x


def test_drawdown_reward_charges_each_deepening():
    rewards, equity, _ = play(Reward("drawdown", risk_aversion=2.0))
    drawdown = 1 - equity / np.maximum.accumulate(equity)
    deeper = np.maximum(np.diff(drawdown), 0)
    assert_allclose(rewards, np.log(equity[1:] / equity[:-1]) - 2 * deeper, atol=1e-14)


def test_cvar_reward_is_return_less_the_shortfall_of_its_running_quantile():
    reward = Reward("cvar", risk_aversion=0.5, tail=0.9, adaptation=0.05)
    rewards, equity, _ = play(reward)
    quantile, size = 0.0, 0.0
    for paid, r in zip(rewards, equity[1:] / equity[:-1] - 1, strict=True):
        beyond = -r - quantile
        assert_allclose(paid, r - 0.5 * (quantile + max(beyond, 0) / 0.1), atol=1e-14)
        size += 0.05 * (abs(r) - size)
        quantile += 0.05 * size * ((beyond > 0) - 0.1)


def test_the_running_quantile_finds_the_tail():
    """On a constant position the mean of the shortfalls approaches the conditional value at risk."""
    bars = random_walk(6000, volatility=0.01, seed=1)
    env = MarketEnv(bars, reward=Reward("cvar", tail=0.9, adaptation=0.02), costs=FREE)
    _, info = env.reset()
    shortfalls, returns = [], []
    for _ in range(5000):
        before = info["equity"]
        _, reward, *_, info = env.step(np.ones(1, np.float32))
        returns.append(info["equity"] / before - 1)
        shortfalls.append(returns[-1] - reward)
    losses = -np.array(returns[1000:])
    tail = losses[losses >= np.quantile(losses, 0.9)].mean()
    assert_allclose(np.mean(shortfalls[1000:]), tail, rtol=0.05)


def test_excess_is_over_holding_all_symbols_in_equal_parts():
    rewards, equity, infos = play("excess")
    close, rows = last_closes(BARS), [info["row"] for info in infos]
    benchmark = np.array([np.log((close[row] / close[row - 1]).mean()) for row in rows])
    assert_allclose(rewards, np.log(equity[1:] / equity[:-1]) - benchmark, atol=1e-14)


@pytest.mark.filterwarnings("ignore::foretrade.envs.observation.ClippedColumnWarning")
def test_ruin_shows_the_true_loss():
    wild = random_walk(400, volatility=0.5, seed=3)
    for reward in ("simple_return", "log_growth"):
        env = MarketEnv(wild, reward=reward, actions=WeightActions(-3.0, 3.0), rules=Rules(3.0))
        _, info = env.reset()
        over = False
        while not over:
            before = info["equity"]
            _, paid, over, _, info = env.step(np.array([-3.0], np.float32))
        assert info["equity"] <= 0
        expected = info["equity"] / before - 1 if reward == "simple_return" else np.log(RUIN_LEVEL)
        assert_allclose(paid, expected)


def test_impossible_rewards_are_refused():
    with pytest.raises(ValueError, match="'profit' must be one of 'log_growth'"):
        Reward("profit")
    with pytest.raises(ValueError, match="risk_aversion must not be negative"):
        Reward(risk_aversion=-1)
    with pytest.raises(ValueError, match="tail must be between 0 and 1"):
        Reward(tail=1.0)
    with pytest.raises(ValueError, match="needs equity that compounds; use 'simple_return'"):
        MarketEnv(BARS, rules=Rules(accounting="fixed_notional"))
