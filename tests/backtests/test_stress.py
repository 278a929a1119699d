"""Other costs, one bar later, and the alarm that a planted leak sets off."""

from __future__ import annotations

import math

import numpy as np
import pytest

from foretrade.agents.baselines import Constant
from foretrade.agents.delayed import Delayed
from foretrade.backtests.alarms import alarms, holding_bars, sharpe_limit, too_high
from foretrade.backtests.engine import run
from foretrade.backtests.league import Strategy, league_rows
from foretrade.backtests.metrics import score_run
from foretrade.backtests.returns import returns_of
from foretrade.backtests.significance import sharpe_difference, sharpe_interval, sharpe_ratio
from foretrade.backtests.stress import Stress, equity_at, stress
from foretrade.envs.market import MarketEnv
from foretrade.markets.synthetic import market_of


class Scripted:
    """Plays given target weights, one a bar, whatever it sees."""

    def __init__(self, env: MarketEnv, weights: np.ndarray) -> None:
        self.env, self.weights, self.step = env, weights, 0

    def reset(self) -> None:
        self.step = 0

    def decide(self, observation):
        self.step += 1
        return self.env.actions.encode(np.full(len(observation), self.weights[self.step - 1]))


@pytest.fixture(scope="module")
def env(walk):
    return MarketEnv(walk)


def tomorrow(env: MarketEnv) -> np.ndarray:
    """Return from the fill of each decision to the close after it: what nobody knows."""
    close = env.bars.close[:, 0]
    after = np.full(len(close), 0.0)
    after[:-2] = close[2:] / close[1:-1] - 1  # a fill at the next close earns the bar after
    return after[env.rows.start :]


def raised(env: MarketEnv, agent: object) -> list[str]:
    played = run(agent, env, name="it")
    rows = league_rows([Strategy("It", ("it",))], {"it": score_run(played, 252.0)})
    tested = {"it": stress(agent, env, periods_per_year=252.0)}
    held = run(Constant(env.layout, env.actions, 1.0), env).returns
    lead = sharpe_difference(played.returns.to_numpy(), held.to_numpy(), 252.0)
    return alarms(rows, {"it": played}, tested, {"it": lead.low}, 252.0)


def test_a_delayed_agent_does_what_it_decided_a_bar_before(env):
    weights = np.random.default_rng(1).uniform(-1, 1, len(env.rows))
    late = run(Delayed(Scripted(env, weights), env.actions), env).ledger["requested"].to_numpy()
    assert late[0] == 0.0
    np.testing.assert_allclose(late[1:], weights[: len(late) - 1], atol=1e-6)


def test_the_sweep_at_full_cost_is_the_backtest(env):
    weights = np.random.default_rng(2).uniform(-1, 1, len(env.rows))
    (swept,) = equity_at(Scripted(env, weights), env, (1.0,))
    played = run(Scripted(env, weights), env)
    assert swept[0] == played.initial_equity
    assert (swept[1:] == played.equity.to_numpy()).all()


def test_costs_only_take_away(env):
    weights = np.random.default_rng(3).uniform(-1, 1, len(env.rows))
    tested = stress(Scripted(env, weights), env, periods_per_year=252.0)
    assert (np.diff(tested.returns) < 0).all()
    assert Stress.from_dict(tested.as_dict()) == tested


def test_break_even_is_where_the_return_crosses_zero():
    scales = (0.0, 1.0, 2.0)

    def of(returns: tuple[float, ...]) -> float:
        return Stress(scales, returns, returns, 0.0, 0.0, 0.0).break_even

    assert of((0.3, 0.1, -0.1)) == pytest.approx(1.5)
    assert of((-0.1, -0.2, -0.3)) == 0.0
    assert of((0.3, 0.2, 0.1)) == math.inf
    assert math.isnan(of((math.nan,) * 3))


def test_a_leak_of_the_next_return_is_told(env):
    (text,) = raised(env, Scripted(env, np.sign(tomorrow(env))))
    assert "sees the future" in text


def test_a_slow_leak_dies_one_bar_later(env):
    """Long all the time but for the worst tenth of days: hardly any turnover, no absurd ratio."""
    later = tomorrow(env)
    weights = np.where(later < np.quantile(later, 0.08), 0.0, 0.8)
    agent = Scripted(env, weights)
    assert holding_bars(run(agent, env)) > 4
    (text,) = raised(env, agent)
    assert "sees" in text


def test_a_fast_leak_dies_one_bar_later(env):
    """Knows every third day, and guesses on the others: it turns over in less than three bars."""
    rng = np.random.default_rng(1)
    guess = rng.choice([-1.0, 1.0], len(env.rows))
    weights = np.where(rng.uniform(size=len(guess)) < 0.35, np.sign(tomorrow(env)), guess)
    agent = Scripted(env, weights)
    played = run(agent, env)
    assert holding_bars(played) < 3
    assert score_run(played, 252.0).sharpe < sharpe_limit(252)
    (text,) = raised(env, agent)
    assert "one bar later" in text


def test_clean_strategies_raise_no_alarm(env):
    rng = np.random.default_rng(4)
    slow = np.repeat(rng.choice([-1.0, 1.0], len(env.rows) // 20 + 1), 20)
    for weights in (np.full(len(env.rows), 1.0), rng.uniform(-1, 1, len(env.rows)), slow):
        assert raised(env, Scripted(env, weights)) == []
    assert raised(env, Constant(env.layout, env.actions, 0.0)) == []


def test_a_high_ratio_of_few_days_is_luck():
    """Of 300 blocks of 40 days of noise one in nine has a ratio above 3; hardly any is told to leak."""
    high = told = 0
    for seed in range(300):
        noise = np.random.default_rng(seed).normal(0, 0.01, 40)
        sharpe = sharpe_ratio(noise, 252.0)
        if sharpe > 3:
            high += 1
            told += len(too_high("it", sharpe, *sharpe_interval(noise, 252.0), math.nan, 252.0))
    assert high > 20
    assert told <= 6


@pytest.mark.parametrize("days", [250, 1250])
def test_a_ratio_of_seven_over_years_is_told_with_its_interval(days):
    leak = np.random.default_rng(0).normal(7 / 252**0.5, 1.0, days) * 0.01
    low, high = sharpe_interval(leak, 252.0)
    lead = sharpe_difference(leak, np.random.default_rng(1).normal(0, 0.01, days), 252.0).low
    (text,) = too_high("it", sharpe_ratio(leak, 252.0), low, high, lead, 252.0)
    assert f"(95 % interval {low:.2f} to {high:.2f}) is above 3.0; probably it sees the future" in text


def test_who_holds_what_hardly_moves_is_no_leak():
    """Its ratio is the market's own: not even close to that of who knows the next bar."""
    rng = np.random.default_rng(2)
    bars = market_of(rng.normal(0.0002, 0.0002, 500), rng, source="bills")
    env = MarketEnv(bars, observe=["volatility_21"], fill="next_close")
    held = run(Constant(env.layout, env.actions, 1.0), env, name="hold")
    score = score_run(held, 252.0)
    assert score.sharpe_low > sharpe_limit(252)
    rows = league_rows([Strategy("Hold", ("hold",)), Strategy("Half", ("hold",))], {"hold": score})
    assert alarms(rows, {"hold": held}, {}, {"hold": 0.0}, 252.0, benchmark="Hold") == []
    assert len(alarms(rows, {"hold": held}, {}, {"hold": 0.1}, 252.0, benchmark="Hold")) == 1


def test_ratios_of_few_bars_are_undefined(env):
    short = MarketEnv(env.bars, rows=range(300, 312))
    weights = np.random.default_rng(5).uniform(-1, 1, 12)
    tested = stress(Scripted(short, weights), short, periods_per_year=252.0)
    assert np.isnan([*tested.sharpes, tested.later_sharpe, tested.lost_low]).all()
    assert math.isnan(score_run(run(Scripted(short, weights), short), 252.0).gross_sharpe)


def test_a_loss_of_more_than_all_counts_as_all(env):
    np.testing.assert_array_equal(returns_of(np.array([1.0, 1.5, -3.0])), [0.5, -1.0])
    np.testing.assert_array_equal(returns_of(np.array([1.0, 0.0, 0.0])), [-1.0, 0.0])


def test_the_limit_is_the_same_a_bar_on_faster_data():
    assert sharpe_limit(252) == sharpe_limit(12) == 3.0
    assert sharpe_limit(252 * 7) == pytest.approx(3 * math.sqrt(7))
