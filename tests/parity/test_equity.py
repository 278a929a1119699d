"""The environment, the backtester and a plain float64 recursion tell the same equity."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from foretrade.backtests.engine import run
from foretrade.config import Experiment
from foretrade.envs.market import MarketEnv
from foretrade.markets.bars import Bars


class Scripted:
    """Plays given weights, one a step."""

    def __init__(self, weights: np.ndarray) -> None:
        self.weights = weights

    def reset(self) -> None:
        self.step = 0

    def decide(self, observation: np.ndarray) -> np.ndarray:
        action = np.full((len(observation), 1), self.weights[self.step], dtype=np.float32)
        self.step += 1
        return action


def recursion(bars: Bars, weights: np.ndarray, rows: range, prices: np.ndarray) -> list[float]:
    """Equity at each close after the first, from the definition of the costs alone.

    Written from the design's sentences, with other algebra than the kernel: the traded notional
    is found by bisection instead of solved for.
    """
    close = bars.close[:, 0]
    cash, units, curve = 1e6, 0.0, []
    for weight, row in zip(weights, range(rows.start + 1, rows.stop), strict=True):
        years = (bars.stamps[row] - bars.stamps[row - 1]) / 1e9 / (365 * 86400)
        cash -= max(0.0, -units * close[row - 1]) * 50e-4 * years
        cash -= max(0.0, -cash) * 150e-4 * years if cash < 0 else 0.0
        price = prices[row]
        low, high = -3e6 / price * 10, 3e6 / price * 10
        for _ in range(200):
            order = (low + high) / 2
            after = cash + units * price - abs(order * price) * 3e-4
            low, high = (order, high) if (units + order) * price < weight * after else (low, order)
        cash -= order * price + abs(order * price) * 3e-4
        units += order
        curve.append(cash + units * close[row])
    return curve


@pytest.mark.parametrize("fill", ["next_close", "next_open"])
@pytest.mark.filterwarnings("ignore::foretrade.markets.fills.StaleOpenWarning")
def test_environment_backtest_and_recursion_agree_on_the_default_experiment(sp500, fill):
    config = Experiment()
    rows = config.blocks.rows(sp500)["test"]
    env = MarketEnv(sp500, rows=rows, fill=fill, costs=config.costs)
    weights = np.random.default_rng(0).uniform(-1, 1, len(rows) - 1).astype(np.float32)
    backtest = run(Scripted(weights), env)

    _, info = env.reset()
    equity, rewards = [], []
    for weight in weights:
        _, reward, _, _, info = env.step(np.array([weight]))
        equity.append(info["equity"])
        rewards.append(reward)

    prices = sp500.close[:, 0] if fill == "next_close" else sp500.open[:, 0]
    expected = recursion(sp500, weights.astype(float), rows, prices)
    assert np.array_equal(backtest.equity.to_numpy(), equity)
    assert_allclose(equity, expected, rtol=1e-12)
    assert_allclose(np.sum(rewards), np.log(equity[-1] / 1e6), atol=1e-12)
    assert_allclose(np.prod(1 + backtest.returns), equity[-1] / 1e6, rtol=1e-12)


def test_buy_and_hold_earns_the_index_less_one_entry(sp500):
    rows = Experiment().blocks.rows(sp500)["test"]
    env = MarketEnv(sp500, rows=rows)
    result = run(Scripted(np.ones(len(rows) - 1)), env)
    close = sp500.close[:, 0]
    growth = close[rows.stop - 1] / close[rows.start + 1] / (1 + 3e-4)
    assert_allclose(result.equity.iloc[-1] / 1e6, growth, rtol=1e-12)
    assert len(result.fills) == 1
