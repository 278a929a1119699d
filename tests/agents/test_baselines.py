from __future__ import annotations

import numpy as np
import pytest

from foretrade.agents.baselines import Constant, FollowForecast, MovingAverageTrend, VolatilityTarget
from foretrade.backtests.engine import run
from foretrade.envs.actions import PositionActions
from foretrade.envs.market import MarketEnv


def test_the_trend_rule_is_long_above_the_moving_average(walk):
    env = MarketEnv(walk)
    result = run(MovingAverageTrend(env.layout, env.actions), env)
    close = walk.close[:, 0]
    for step, row in enumerate(range(env.rows.start, len(walk) - 1)):
        above = close[row] > close[row - 199 : row + 1].mean()
        assert result.ledger["requested"][step] == (1.0 if above else -1.0)


def test_the_volatility_target_sizes_by_trailing_volatility(walk):
    env = MarketEnv(walk)
    rule = VolatilityTarget(env.layout, env.actions, column="return_lag_0", target_volatility=0.05)
    result = run(rule, env)
    row = env.rows.start + 100
    volatility = env.table.column("volatility_21")[row, 0]
    sign = np.sign(env.table.column("return_lag_0")[row, 0])
    assert result.ledger["requested"][100] == pytest.approx(sign * min(0.05 / volatility, 1.0), rel=1e-5)


def test_rules_choose_the_nearest_position(walk):
    env = MarketEnv(walk, actions=PositionActions((-1.0, 0.0, 0.5, 1.0)))
    for weight, index in ((1.0, 3), (0.6, 2), (0.0, 1), (-0.8, 0)):
        observation, _ = env.reset()
        assert Constant(env.layout, env.actions, weight=weight).decide(observation[None])[0] == index


def test_an_entry_that_is_not_shown_is_named(walk):
    env = MarketEnv(walk)
    with pytest.raises(KeyError, match=r"no 'ensemble.mean' in the observation; it has return_lag_0"):
        run(FollowForecast(env.layout, env.actions), env)
