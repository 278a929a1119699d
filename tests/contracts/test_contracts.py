"""Every shipped part keeps its contract."""

from __future__ import annotations

import pytest
from sklearn.linear_model import LinearRegression

from foretrade.agents.baselines import Constant, FollowForecast, MovingAverageTrend, VolatilityTarget
from foretrade.envs.actions import WeightActions
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.forecasters.ensemble import EnsembleForecaster
from foretrade.forecasters.hybrid import HybridForecaster
from foretrade.forecasters.keras_nets import LSTMForecaster
from foretrade.forecasters.members import MEMBERS, build_member
from foretrade.markets.costs import Costs
from foretrade.markets.rules import Rules
from foretrade.markets.synthetic import random_walk
from foretrade.testing import parametrize_with_checks

SLOW = ("hybrid", "lstm")  # tried at a small size
FORECASTERS = [
    *(build_member(name, {}, seed=0) for name in MEMBERS if name not in SLOW),
    LSTMForecaster(units=(4, 4), epochs=1, refit_epochs=1),
    HybridForecaster(forests=2, trees=3, epochs=1, refit_epochs=1),
    EnsembleForecaster({"ols": LinearRegression(), "ridge": build_member("ridge", {}, seed=0)}),
    LinearRegression(),
]
WALK = random_walk(500, seed=5)
MARKET = MarketEnv(WALK)
DEAR = Costs(20, 10, 500, 500, 100)
MARKETS = [
    MARKET,
    MarketEnv(WALK, render_mode="rgb_array"),
    MarketEnv(WALK, actions="position", episodes=Episodes(60, random_start=True)),
    MarketEnv(WALK, fill="next_open", costs=DEAR, reward="simple_return"),
    MarketEnv(WALK, actions=WeightActions(-3.0, 3.0), rules=Rules(3.0, no_trade_band=0.1), costs=DEAR),
]
PLACE = (MARKET.layout, MARKET.actions)
AGENTS = [
    Constant(*PLACE, weight=1.0),
    MovingAverageTrend(*PLACE),
    FollowForecast(*PLACE, column="return_lag_0"),
    VolatilityTarget(*PLACE, column="return_lag_0"),
]


@parametrize_with_checks(FORECASTERS)
def test_forecasters(check):
    check()


@parametrize_with_checks(MARKETS)
@pytest.mark.filterwarnings("ignore:.*Box observation space.*:UserWarning")
@pytest.mark.filterwarnings("ignore:.*action space.*:UserWarning")
def test_environments(check):
    check()


@parametrize_with_checks(AGENTS, env=MARKET)
def test_agents(check):
    check()
