"""Worth of members: the axioms that define the Shapley value, known games, and planted members."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from foretrade.backtests.worth import coalitions, member_worth

GAIN = st.floats(-1e3, 1e3, allow_subnormal=False)
GAMES = st.integers(1, 5).flatmap(lambda n: arrays(np.float64, 2**n, elements=GAIN))


def members_of(game):
    return len(game).bit_length() - 1


def by_orders(game):
    """The definition: the mean over all orders of what a member adds when it joins."""
    n = members_of(game)
    totals, orders = np.zeros(n), list(permutations(range(n)))
    for order in orders:
        code = 0
        for member in order:
            totals[member] += game[code | 1 << member] - game[code]
            code |= 1 << member
    return totals / len(orders)


@given(GAMES)
def test_it_is_the_mean_over_all_orders(game):
    plan = coalitions(members_of(game))
    assert np.allclose(plan.shapley(game), by_orders(game), rtol=1e-9, atol=1e-9)


@given(GAMES)
def test_it_shares_out_what_the_whole_earns(game):
    shares = coalitions(members_of(game)).shapley(game)
    assert shares.sum() == pytest.approx(game[-1] - game[0], abs=1e-9)


@given(GAMES, st.randoms(use_true_random=False))
def test_members_that_can_be_exchanged_get_the_same(game, random):
    n = members_of(game)
    if n < 2:
        return
    first, second = random.sample(range(n), 2)
    symmetric = game.copy()
    for code in range(2**n):
        one, two = code >> first & 1, code >> second & 1
        other = code & ~(1 << first | 1 << second) | one << second | two << first
        symmetric[code] = (game[code] + game[other]) / 2
    shares = coalitions(n).shapley(symmetric)
    assert shares[first] == pytest.approx(shares[second], abs=1e-9)


@given(GAMES, st.integers(0, 4))
def test_who_never_changes_anything_gets_nothing(game, member):
    n = members_of(game)
    member %= n
    without = np.array([game[code & ~(1 << member)] for code in range(2**n)])
    plan = coalitions(n)
    assert plan.shapley(without)[member] == 0.0
    assert plan.left_out(without)[member] == 0.0


@given(GAMES, GAMES)
def test_the_worth_in_two_games_adds_up(game, other):
    size = min(len(game), len(other))
    plan = coalitions(members_of(game[:size]))
    both = plan.shapley(game[:size] + other[:size])
    assert np.allclose(both, plan.shapley(game[:size]) + plan.shapley(other[:size]), atol=1e-9)


def test_the_glove_game():
    """One left glove, two right ones; a pair is worth 1: 2/3, 1/6, 1/6 (Shapley and Shubik 1969)."""
    game = np.array([0.0, 0, 0, 1, 0, 1, 0, 1])
    assert np.allclose(coalitions(3).shapley(game), [2 / 3, 1 / 6, 1 / 6])
    assert np.allclose(coalitions(3).left_out(game), [1, 0, 0])


def test_sampled_orders_come_as_close_as_they_say():
    """Weighted voting among twelve, of which the exact value is counted over all 4096 coalitions."""
    votes = np.array([12, 9, 8, 7, 6, 5, 4, 3, 2, 2, 1, 1])
    codes = np.arange(2**12)
    won = (((codes[:, None] >> np.arange(12)) & 1) @ votes > votes.sum() / 2).astype(float)
    from foretrade.backtests.worth import _all

    exact = _all(12).shapley(won)
    plan = coalitions(12, orders=400, seed=1)
    assert plan.sampled
    assert not plan.subsets[0].any()
    assert plan.subsets[-1].all()
    sampled = won[plan.subsets @ (1 << np.arange(12))]
    error = plan.sampling_error(sampled)
    assert plan.shapley(sampled).sum() == pytest.approx(1.0)
    assert (np.abs(plan.shapley(sampled) - exact) < 4 * error + 1e-12).all()
    assert error.max() < 0.03
    assert np.array_equal(coalitions(12, orders=400, seed=1).subsets, plan.subsets)
    assert np.allclose(plan.left_out(sampled), [won[-1] - won[4095 ^ 1 << i] for i in range(12)])


def sign_returns(members, future, plan):
    """Each coalition trades the sign of its mean forecast, without costs."""
    size = np.maximum(plan.subsets.sum(axis=1), 1)
    return np.sign(members @ plan.subsets.T / size) * future[:, None]


@pytest.mark.parametrize("value", ["mean", "sharpe"])
def test_who_knows_the_future_is_worth_something_and_noise_is_not(value):
    rng = np.random.default_rng(5)
    future = rng.normal(0, 0.01, 1500)
    knows = future + rng.normal(0, 0.04, 1500)
    plan = coalitions(3)
    members = np.column_stack([knows, rng.normal(0, 0.003, (1500, 2))])
    returns = sign_returns(members, future, plan)
    good, *noise = member_worth(
        returns, plan, ("knows", "noise", "more"), value=value, periods_per_year=252
    )
    assert good.shapley_low > 0
    assert good.left_out_low > 0
    assert all(m.shapley_low < 0 < m.shapley_high for m in noise)
    assert good.sampling_error == 0.0
    total = good.shapley + sum(m.shapley for m in noise)
    whole = returns[:, -1]
    expected = whole.mean() * 252 if value == "mean" else whole.mean() / whole.std(ddof=1) * 252**0.5
    assert total == pytest.approx(expected, rel=1e-9)


def test_who_shouts_nonsense_harms():
    rng = np.random.default_rng(5)
    future = rng.normal(0, 0.01, 1500)
    members = np.column_stack([future + rng.normal(0, 0.02, 1500), rng.normal(0, 0.2, 1500)])
    plan = coalitions(2)
    returns = sign_returns(members, future, plan)
    good, noise = member_worth(returns, plan, ("knows", "noise"), value="mean", periods_per_year=252)
    assert noise.shapley_high < 0 < good.shapley_low


def test_intervals_cover_as_often_as_they_say():
    """Of members that are worth nothing, about one interval in twenty excludes zero."""
    rng = np.random.default_rng(2)
    plan, outside = coalitions(2), 0
    for _ in range(100):
        future, members = rng.normal(0, 0.01, 300), rng.normal(0, 0.01, (300, 2))
        returns = sign_returns(members, future, plan)
        found = member_worth(returns, plan, "ab", value="mean", periods_per_year=252, resamples=200)
        outside += sum(m.shapley_low > 0 or m.shapley_high < 0 for m in found)
    assert 2 <= outside <= 25


def test_bad_input_is_named():
    plan = coalitions(2)
    with pytest.raises(ValueError, match=r"\[bars, 4\] of 2 members"):
        member_worth(np.zeros((50, 3)), plan, "ab", value="mean", periods_per_year=252)
    with pytest.raises(ValueError, match="20 bars or more"):
        member_worth(np.full((50, 4), np.nan), plan, "ab", value="mean", periods_per_year=252)
    with pytest.raises(ValueError, match="a member"):
        coalitions(0)
