"""A forecast of chosen skill: what it says of the signal, and the most that can be made of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from foretrade.envs.known import known_env
from foretrade.markets.known.bounded import BoundedMarket
from foretrade.markets.known.forecast import ForecastMarket


def test_no_filter_can_tell_more_of_the_signal_than_the_forecast_does():
    """Kalman's filter for (f, g), which observes ``s f + √(1 − s²) g``, says ``s`` times that."""
    s, phi = 0.6, 0.9
    seen = np.array([s, math.sqrt(1 - s**2)])
    rng = np.random.default_rng(0)
    state, mean, cov = rng.normal(size=2), np.zeros(2), np.eye(2)
    for _ in range(50):
        observed = seen @ state
        gain = cov @ seen / (seen @ cov @ seen)
        mean = mean + gain * (observed - seen @ mean)
        cov = cov - np.outer(gain, seen @ cov)
        assert_allclose(mean[0], s * observed, atol=1e-12)
        state = phi * state + math.sqrt(1 - phi**2) * rng.normal(size=2)
        mean, cov = phi * mean, phi**2 * cov + (1 - phi**2) * np.eye(2)


@pytest.mark.parametrize("skill", [0.3, 0.8])
def test_a_forecast_has_its_skill_and_is_not_biased(skill):
    model = ForecastMarket(skill)
    bars = 100_000
    drawn, truth = model.draw(bars, seed=1), model.market.draw(bars, seed=1)
    assert drawn.bars.content_hash == truth.bars.content_hash
    forecast, signal = (x.signals.values[:, 0, 0] for x in (drawn, truth))
    error = 4 * math.sqrt(2 * 19 / bars)  # so much does persistence take of the sample
    assert abs(np.corrcoef(forecast, signal)[0, 1] - skill) < error
    assert abs(np.polyfit(forecast, signal, 1)[0] - 1) < error / skill
    assert abs(np.corrcoef(forecast[1:], forecast[:-1])[0, 1] - 0.9) < 0.01
    assert_allclose(forecast.std(), model.perceived.signal_std, rtol=error)
    with_returns = np.corrcoef(forecast[:-1], np.diff(drawn.bars.close[:, 0]))[0, 1]
    assert abs(with_returns - model.return_correlation) < 4 / math.sqrt(bars)


def test_full_skill_is_the_signal_itself():
    full, plain = ForecastMarket(1.0), BoundedMarket()
    assert_allclose(full.draw(100).signals.values, plain.draw(100).signals.values, rtol=1e-12)
    assert full.optimum().average_reward == plain.optimum().average_reward


def test_the_environment_pays_the_optimum_at_that_skill_and_nothing_else_does_better():
    model = ForecastMarket(0.6, BoundedMarket(cost=0.001))
    market = model.draw(20_001, seed=2)
    env = known_env(market)
    env.reset(seed=0)
    forecast, held, rewards, units = market.signals.values[:, 0], np.zeros(1), [], []
    for row in range(20_000):
        held = market.optimum.policy(held, forecast[row : row + 1])
        rewards.append(env.step(held.astype(np.float32))[1] * market.notional)
        units.append(held[0])
    blocks = np.mean(np.reshape(rewards, (40, 500)), axis=1)
    best = market.optimum.average_reward
    assert abs(blocks.mean() - best) < 4 * blocks.std(ddof=1) / math.sqrt(40)
    traded = np.abs(np.diff(units, prepend=0.0))
    expected = np.array(units) * np.diff(market.bars.close[:, 0]) - 0.001 * traded
    assert_allclose(rewards, expected, atol=1e-9)

    def net(threshold):
        gross, turnover = model.perceived.average_of(threshold)
        return gross - 0.001 * turnover

    for threshold in (0.0, model.market.threshold, 0.8 * model.perceived.threshold):
        assert net(threshold) < best  # to believe a forecast of skill .6 as if it were the truth costs


@pytest.mark.parametrize("skill", [0.0, -0.5, 1.01, math.nan])
def test_impossible_skills_are_refused(skill):
    with pytest.raises(ValueError, match="skill must be"):
        ForecastMarket(skill)
