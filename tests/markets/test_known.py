"""Each optimum by another route: iteration, Monte Carlo in the environment, worse neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from foretrade.envs.known import known_env
from foretrade.markets.known.bounded import BoundedMarket
from foretrade.markets.known.growth import KellyBet, MertonMarket
from foretrade.markets.known.liquidation import Liquidation
from foretrade.markets.known.null import NullMarket
from foretrade.markets.known.quadratic import QuadraticMarket
from foretrade.markets.known.regimes import RegimeMarket

MARKETS = [
    QuadraticMarket(),
    QuadraticMarket((0.5, 0.02), (1.0, 1.0), (0.001, 0.001)),
    BoundedMarket(),
    BoundedMarket(persistence=0.0, noise_std=0.0, cost=0.0005),
    RegimeMarket(),
]


@pytest.mark.parametrize("model", MARKETS, ids=lambda m: type(m).__name__)
def test_the_environment_pays_the_optimum_what_the_formula_says(model):
    market = model.draw(20_001, seed=1)
    env = known_env(market)
    env.reset(seed=0)
    signals, held, rewards = market.signals.values[:, 0], np.zeros(1), []
    for row in range(len(market.bars) - 1):
        held = np.clip(market.optimum.policy(held, signals[row : row + 1]), *market.bounds)
        _, reward, terminated, _, info = env.step(held.astype(np.float32))
        assert not terminated
        assert_allclose(info["units"], held[0], rtol=1e-6, atol=1e-9)
        rewards.append(reward * market.notional)
    blocks = np.mean(np.reshape(rewards, (40, 500)), axis=1)
    error = blocks.std(ddof=1) / np.sqrt(len(blocks))
    assert abs(blocks.mean() - market.optimum.average_reward) < 4 * error
    assert error < 0.5 * market.optimum.average_reward  # the comparison says something


@pytest.mark.parametrize(
    ("persistence", "cost", "threshold", "net", "turnover"),
    [
        (0.5, 0.001, 7.13063e-4, 3.74522e-4, 0.27354),
        (0.9, 0.0005, 2.89363e-4, 7.02262e-4, 0.14236),
        (0.9, 0.002, 6.32923e-4, 5.47017e-4, 0.08047),
        (0.9, 0.005, 1.01215e-3, 3.61699e-4, 0.04852),
        (0.98, 0.002, 3.86712e-4, 7.06734e-4, 0.03096),
    ],
)
def test_thresholds_agree_with_value_iteration_on_a_grid(persistence, cost, threshold, net, turnover):
    """The figures are those of an independent Gauss-Hermite value iteration on a grid."""
    market = BoundedMarket(persistence, 0.001, 0.01, cost)
    gross, traded = market.average_of(market.threshold)
    assert_allclose(market.threshold, threshold, rtol=3e-3)
    assert_allclose(traded, turnover, rtol=1e-2)
    assert_allclose([gross - cost * traded, market.optimum().average_reward], net, rtol=3e-4)


@pytest.mark.parametrize("persistence", [0.0, 0.5, 0.9, 0.98])
@pytest.mark.parametrize("cost", [0.0005, 0.002])
def test_no_other_threshold_earns_more(persistence, cost):
    market = BoundedMarket(persistence, 0.001, 0.01, cost)

    def net(threshold: float) -> float:
        gross, turnover = market.average_of(threshold)
        return gross - cost * turnover

    best = net(market.threshold)
    others = [net(market.threshold * factor) for factor in (0.0, 0.6, 0.9, 0.99, 1.01, 1.1, 1.5)]
    assert max(others) < best
    assert net(market.threshold * (1 + 1e-4)) > best * (1 - 1e-6)  # flat at the top


def test_thresholds_in_limits_that_are_known():
    assert_allclose(BoundedMarket(0.0, 0.001, 0.01, 0.0007).threshold, 0.0007, rtol=1e-9)
    small = BoundedMarket(0.99, 0.001, 0.01, 1e-6)
    shock = 0.001 * np.sqrt(1 - 0.99**2)
    assert 0 < small.threshold < shock  # within a step's reach
    free = BoundedMarket(0.9, 0.001, 0.01, 0.0)
    assert_allclose(free.optimum().average_reward, 0.001 * np.sqrt(2 / np.pi), rtol=1e-12)


def test_quadratic_costs_as_in_the_worked_example():
    market = QuadraticMarket()
    assert_allclose(market.trade_rate, 0.39038820, rtol=1e-8)
    assert_allclose(market.aim, [1729.8714], rtol=1e-7)
    best = market.optimum().average_reward
    assert_allclose(best, 7.481138e-4, rtol=1e-6)
    rate, aim = market.trade_rate, market.aim
    for factors, share in {(0.5, 1): 0.900, (2, 1): 0.796, (1, 0.5): 0.75, (1, 1.25): 0.9375}.items():
        assert_allclose(
            market.average_reward(rate * factors[0], aim * factors[1]) / best, share, atol=6e-4
        )
    two = QuadraticMarket((0.5, 0.02), (1.0, 1.0), (0.001, 0.001), discount=0.02)
    assert_allclose(two.trade_rate, 0.38275358, rtol=1e-7)
    assert_allclose(two.aim, [1132.81896, 1940.57892], rtol=1e-7)


@pytest.mark.parametrize("discount", [0.0, 0.02])
def test_the_best_policy_solves_the_riccati_equation(discount):
    """Value iteration on ``V(x, f) = −½ (x, f)' P (x, f)`` comes to the same trades."""
    market = QuadraticMarket((0.5, 0.02), (1.0, 1.0), (0.001, 0.001), discount=discount)
    beta, variance = 1 - discount, market.noise_std**2
    keep = np.diag(1 - np.array(market.fading))
    cost, risk = market.cost * variance, beta * market.risk_aversion * variance
    gain = beta * np.array(market.loading)
    P = np.zeros((3, 3))
    for _ in range(3000):
        future = beta * P
        curvature = cost + risk + future[0, 0]
        pull = gain - future[0, 1:] @ keep  # of the signals on the position
        u = np.concatenate([[cost], pull]) / curvature
        old = P
        P = -curvature * np.outer(u, u)
        P[0, 0] += cost
        P[1:, 1:] += keep @ future[1:, 1:] @ keep
        if np.abs(P - old).max() < 1e-18:
            break
    assert_allclose(u[0], 1 - market.trade_rate, rtol=1e-9)
    assert_allclose(u[1:], market.trade_rate * market.aim, rtol=1e-6)


def test_regimes_are_followed_where_that_pays():
    market = RegimeMarket(drift=0.001, switch_probability=0.05, cost=0.004)
    assert market.follows
    assert_allclose(market.optimum().average_reward, 0.0006)
    dear = RegimeMarket(drift=0.001, switch_probability=0.05, cost=0.01001)
    assert not dear.follows
    assert dear.optimum().average_reward == 0
    assert np.all(dear.optimum().policy(np.ones(2), np.array([[0.001], [-0.001]])) == 0)


def test_growth_is_fastest_at_the_kelly_fraction():
    bet = KellyBet()
    assert_allclose(bet.fraction, 0.4)
    assert_allclose(bet.growth(bet.fraction), 8.002135e-4, rtol=1e-6)
    assert all(bet.growth(0.4 + step) < bet.growth(0.4) for step in (-0.2, -0.01, 0.01, 0.2))
    wealth = np.log1p(bet.fraction * bet.returns(200_000, seed=3))
    error = wealth.std() / np.sqrt(len(wealth))
    assert abs(wealth.mean() - bet.growth(bet.fraction)) < 4 * error


def test_extremes_have_the_answers_of_their_limits():
    assert KellyBet().growth(11.0) == -np.inf  # twice as much would be lost as there is
    bold = MertonMarket(risk_aversion=0.15)
    assert np.isfinite(bold.certainty_equivalent(bold.best_rebalanced()))
    even = np.linspace(1e6, 0, 11)  # who does not mind risk sells evenly
    assert_allclose(Liquidation(risk_aversion=1e-22).path(), even, rtol=1e-9, atol=1e-3)
    assert_allclose(Liquidation(risk_aversion=1.0, steps=100).path()[1:], 0.0, atol=10.0)


@pytest.mark.parametrize(("drift", "risk_aversion"), [(0.05, 1.0), (0.10, 3.0)])
def test_merton_is_the_limit_of_rebalancing_ever_more_often(drift, risk_aversion):
    market = MertonMarket(drift=drift, risk_aversion=risk_aversion)
    assert_allclose(MertonMarket().fraction, 0.5)
    yearly, daily = (abs(market.best_rebalanced(n) - market.fraction) for n in (1.0, 252.0))
    assert daily < 3e-4
    assert daily < yearly
    best = market.certainty_equivalent(market.fraction)
    excess = market.drift - market.interest
    assert_allclose(best, market.interest + excess * market.fraction / 2, rtol=1e-4)


def test_the_best_liquidation_is_that_of_a_quadratic_programme():
    order = Liquidation()
    assert_allclose(order.urgency, 0.59214368, rtol=1e-7)
    path = order.path()
    assert_allclose(order.cost(path), 1_117_171.916, rtol=1e-9)
    assert_allclose(order.cost(np.linspace(order.units, 0, order.steps + 1)), 2_822_125)
    assert_allclose(order.cost(np.append(order.units, np.zeros(order.steps))), 2_500_000)

    def scaled(inner: np.ndarray) -> float:
        return order.cost(1e6 * np.concatenate([[1.0], inner, [0.0]])) / 1e6

    found = minimize(scaled, np.linspace(0.9, 0.1, order.steps - 1), method="BFGS", tol=1e-10)
    assert_allclose(1e6 * found.x, path[1:-1], rtol=1e-4, atol=5.0)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: QuadraticMarket(fading=(0.1, 0.2)), "one value a signal"),
        (lambda: QuadraticMarket(fading=(0.0,)), "fading"),
        (lambda: QuadraticMarket(cost=0.0), "cost"),
        (lambda: BoundedMarket(persistence=1.0), "persistence"),
        (lambda: BoundedMarket(signal_std=0.0), "signal_std"),
        (lambda: RegimeMarket(switch_probability=0.0), "switch_probability"),
        (lambda: NullMarket(cost=0.0), "cost"),
        (lambda: NullMarket(persistence=1.0), "persistence"),
        (lambda: BoundedMarket(cost=float("inf")), "cost must be finite"),
        (lambda: QuadraticMarket(risk_aversion=float("nan")), "risk_aversion must be finite"),
        (lambda: QuadraticMarket(fading=(float("nan"),)), "fading must be finite"),
        (lambda: BoundedMarket().draw(0), "one bar at least"),
        (lambda: RegimeMarket().draw(0), "one bar at least"),
        (lambda: KellyBet(probability=1.0), "probability"),
        (lambda: MertonMarket(volatility=0.0), "volatility"),
        (lambda: Liquidation(steps=0), "steps"),
        (lambda: BoundedMarket().draw(1000, price=1e-3), "begin higher"),
    ],
)
def test_impossible_parameters_are_named(make, word):
    with pytest.raises(ValueError, match=word):
        make()


def test_where_nothing_is_foretold_every_trade_only_costs():
    market = NullMarket().draw(40_000, seed=2)
    changes = np.diff(market.bars.close[:, 0])
    signal = market.signals.values[:-1, 0, 0]
    assert abs(np.corrcoef(signal, changes)[0, 1]) < 4 / np.sqrt(len(changes))
    assert abs(changes.mean()) < 4 * changes.std() / np.sqrt(len(changes))
    env = known_env(NullMarket().draw(500, seed=2, noisy=False))
    assert market.optimum.average_reward == 0
    for policy in (market.optimum.policy, lambda held, signals: np.sign(signals[:, 0])):
        env.reset(seed=0)
        held, earned, traded = np.zeros(1), 0.0, 0.0
        for row in range(499):
            before, held = held, policy(held, market.signals.values[row : row + 1, 0])
            earned += env.step(held.astype(np.float32))[1] * market.notional
            traded += float(np.abs(held - before)[0])
        assert_allclose(earned, -0.002 * traded, rtol=1e-9, atol=1e-15)
