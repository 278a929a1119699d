"""Order sizes, refusals, margin and exits: each rule with its own example."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_account import Account, histories
from numpy.testing import assert_allclose

from foretrade.markets.accounts import ALIVE, CALLED, RUINED
from foretrade.markets.costs import FREE, Costs
from foretrade.markets.reasons import reasons
from foretrade.markets.rules import Rules

FLAT = (100.0, 100.0, 100.0)  # last close, fill, close


def why(account: Account) -> tuple[str, ...]:
    return reasons(account.get("reason"))


def test_the_leverage_limit_is_kept_inside_the_no_trade_band():
    account = Account(rules=Rules(1.0, no_trade_band=0.5))
    account.step(-1.0, 100.0, 100.0, 110.0)
    account.step(-0.9, 110.0, 110.0, 110.0)
    assert_allclose(account.get("achieved"), -0.9, rtol=1e-9)


def test_targets_beyond_the_limits_are_scaled_down_and_say_so():
    account = Account(2, rules=Rules(1.5, max_net=0.5))
    account.step([2.0, -1.0], *FLAT)
    assert account.all("requested").tolist() == [2.0, -1.0]
    assert_allclose(account.all("achieved"), [1.0, -0.5], rtol=1e-12)  # both limits bind: half of it
    assert reasons(account.all("reason")[0]) == ("leverage",)


def test_what_cannot_be_traded_takes_its_share_of_the_limit():
    account = Account(2, rules=Rules(1.0))
    account.step([0.6, 0.4], *FLAT)
    account.step([0.0, 1.0], 100.0, [np.nan, 100.0], 100.0)
    assert_allclose(account.all("achieved"), [0.6, 0.4], rtol=1e-9)
    assert [reasons(code) for code in account.all("reason")] == [("no_bar",), ("leverage",)]


def test_a_neutral_pair_is_traded_beside_what_a_limit_holds():
    """Targets that add up to nothing but noise take no side of the net limit."""
    account, held = Account(4, rules=Rules(2.0, max_net=0.332)), np.array([101.0, 100.0, 100.0, 100.0])
    account.step([0.332, 0.0, 0.0, 0.0], 100.0, 100.0, held)
    assert 0.1 + 0.2 - 0.3 > 0
    account.step([0.332, 0.1, 0.2, -0.3], held, [np.nan, 100.0, 100.0, 100.0], held)
    weights = account.all("units")[1:] * 100.0 / account.equity
    assert_allclose(weights, [0.1, 0.2, -0.3], rtol=1e-9)


def test_one_symbol_beyond_its_limit_says_that_it_had_no_bar():
    account = Account(rules=Rules(1.0))
    account.step(1.2, *FLAT)
    assert why(account) == ("leverage",)
    account.step(1.2, 100.0, np.nan, 100.0)
    assert (account.get("requested"), why(account)) == (1.2, ("no_bar",))


def test_an_asset_without_a_price_is_not_traded():
    account = Account(2)
    account.step([0.4, 0.4], *FLAT)
    held = account.all("units")[1]
    account.step([0.0, 0.0], 100.0, [100.0, np.nan], 100.0)
    assert account.all("units").tolist() == [0.0, held]


def test_the_no_trade_band_holds_small_differences():
    account = Account(costs=Costs(), rules=Rules(no_trade_band=0.1))
    account.step(0.5, *FLAT)
    account.step(0.58, *FLAT)
    assert account.get("traded") == 0
    assert (account.get("requested"), why(account)) == (0.58, ("band",))
    assert_allclose(account.get("achieved"), 0.5, rtol=1e-9)
    account.step(0.62, *FLAT)
    assert account.get("traded") > 0


@given(st.floats(-1, 1), st.sampled_from([1.0, 7.0, 100.0]))
def test_positions_are_whole_lots_rounded_towards_zero(weight, lot):
    account = Account(costs=Costs(), rules=Rules(lot_size=lot))
    account.step(weight, *FLAT)
    lots = account.get("units") / lot
    assert lots == round(lots)
    assert abs(account.get("achieved")) <= abs(weight) + 1e-9
    assert abs(weight) * 1e6 / 100 - abs(account.get("units")) < lot + 1e6 / 100 * 3.1e-4
    account.step(0.0, *FLAT)
    assert account.get("units") == 0


def test_lots_trade_nothing_for_a_rounding_of_their_own():
    account = Account(costs=Costs(0, 0, minimum_fee=10.0), rules=Rules(lot_size=1.7))
    for k in range(200):
        account.step(0.3 * np.sin(k // 2), *FLAT)
        assert account.get("traded") == 0 or account.get("traded") > 169


weights_and_moves = st.lists(st.tuples(st.floats(-2, 2), st.floats(-0.1, 0.1)), min_size=1, max_size=12)


@given(
    st.builds(
        Costs,
        st.floats(0, 50),
        st.floats(0, 300),
        minimum_fee=st.floats(0, 1e5) | st.floats(0, 1e3),
        fee_per_unit=st.floats(0, 0.1),
        impact_bps=st.floats(0, 500),
        quadratic=st.floats(0, 1e-5),
    ),
    weights_and_moves,
)
def test_what_nothing_cuts_is_held_after_costs_of_every_kind(costs, steps):
    """From one target to another."""
    account, last = Account(costs=costs, rules=Rules(3.0, max_participation=1.0)), 100.0
    for weight, move in steps:
        price = last * (1 + move)
        account.step(weight, last, price, price)
        if account.get("status") != ALIVE:
            return
        if not why(account):
            assert_allclose(account.get("achieved"), weight, rtol=1e-9, atol=2e-9)
        last = price


@given(st.floats(-2, 2), st.floats(0, 300), st.floats(0, 0.05), st.integers(0, 99))
def test_a_weight_that_is_kept_is_held_after_a_minimum_fee(weight, half_spread_bps, fee, seed):
    """A fee that takes more than the weight has drifted turns the purchase into a sale."""
    costs = Costs(0, half_spread_bps, minimum_fee=1e6 * fee)
    account, last = Account(costs=costs, rules=Rules(3.0)), 100.0
    for move in np.random.default_rng(seed).normal(0, 0.01, 30):
        price = last * (1 + move)
        account.step(weight, last, price, price)
        if account.get("status") != ALIVE or account.get("equity") < 1e5:
            return
        if not why(account):
            assert_allclose(account.get("achieved"), weight, rtol=1e-9, atol=2e-9)
        last = price


def test_small_orders_are_not_sent():
    account = Account(rules=Rules(minimum_order=10_000.0))
    account.step(0.009, *FLAT)
    assert (account.get("units"), why(account)) == (0.0, ("minimum_order",))
    account.step(0.011, *FLAT)
    assert_allclose(account.get("units"), 110.0)


def test_what_was_set_aside_for_an_order_that_is_refused_stays_cash():
    """It is refused once costs are known; the other symbol's order was sized as if they were paid.

    So the other one is short of its weight by the same share as the equity is short of those costs, and
    has no reason of its own: the one refused says why.
    """
    account = Account(2, costs=Costs(10, 0, 0, 0, 0), rules=Rules(minimum_order=100_000))
    account.step([0.5, 0.1], *FLAT)
    assert [reasons(code) for code in account.all("reason")] == [(), ("minimum_order",)]
    solved = 1e6 / (1 + 0.6 * 1e-3)
    refused, paid = 0.1 * solved * 1e-3, 0.5 * solved * 1e-3
    assert account.equity == pytest.approx(1e6 - paid, rel=1e-12)
    assert solved == pytest.approx(1e6 - paid - refused, rel=1e-12)
    got = account.all("achieved")[0]
    assert got == pytest.approx(0.5 * (1 - refused / account.equity), rel=1e-12)
    assert account.get("cash") == pytest.approx(0.5 * solved + refused, rel=1e-12)


def test_an_order_takes_no_more_than_its_share_of_the_volume():
    account = Account(rules=Rules(max_participation=0.1))
    account.step(1.0, *FLAT, volume=20_000.0)
    assert (account.get("units"), why(account)) == (2000.0, ("volume",))
    account.step(1.0, *FLAT, volume=20_000.0)
    assert account.get("units") == 4000.0
    account.step(1.0, 100.0, np.nan, 100.0, volume=0.0)
    assert account.get("units") == 4000.0


def test_the_rest_of_a_delta_is_dropped_or_carried_as_configured():
    for unfilled, held in (("cancel", [2000.0, 2000.0]), ("carry", [2000.0, 4000.0])):
        rules = Rules(max_participation=0.1, unfilled=unfilled)
        account = Account(sizing="deltas", rules=rules)
        account.step(5000.0, *FLAT, volume=20_000.0)
        after = [account.get("units")]
        account.step(0.0, *FLAT, volume=20_000.0)
        assert [*after, account.get("units")] == held
    assert account.get("pending") == 1000.0
    account.step(0.0, *FLAT, volume=20_000.0)
    assert (account.get("units"), account.get("pending")) == (5000.0, 0.0)


def test_a_carried_target_is_pursued_inside_the_band():
    for unfilled, weight in (("cancel", 0.5), ("carry", 0.55)):
        rules = Rules(no_trade_band=0.1, max_participation=0.1, unfilled=unfilled)
        account = Account(rules=rules)
        account.step(0.55, *FLAT, volume=50_000.0)
        account.step(0.55, *FLAT, volume=50_000.0)
        assert_allclose(account.get("achieved"), weight, rtol=1e-9)


def test_an_order_that_missed_its_bar_is_carried_too():
    account = Account(sizing="deltas", rules=Rules(unfilled="carry"))
    account.step(10.0, 100.0, np.nan, 100.0)
    assert (account.get("units"), account.get("pending"), why(account)) == (0.0, 10.0, ("no_bar",))
    account.step(0.0, *FLAT)
    assert account.get("units") == 10.0


def test_commissions_have_a_minimum_and_a_part_per_unit():
    account = Account(costs=Costs(1, 0, 0, 0, fee_per_unit=0.005, minimum_fee=1.0), sizing="units")
    account.step(10.0, *FLAT)
    assert account.get("fee") == 1.0
    account.step(2010.0, *FLAT)
    assert_allclose(account.get("fee"), 2000 * 100 * 1e-4 + 2000 * 0.005, rtol=1e-12)
    account.step(2010.0, *FLAT)
    assert account.get("fee") == 0.0


@given(st.floats(0.01, 1.0), st.floats(1e4, 1e7))
def test_impact_grows_with_the_square_root_of_participation(weight, volume):
    account = Account(costs=Costs(0, 0, 0, 0, impact_bps=100), rules=Rules(max_participation=1.0))
    account.step(weight, *FLAT, volume=volume)
    units = account.get("units")
    assert_allclose(account.get("impact"), units * 100 * 0.01 * np.sqrt(units / volume), rtol=1e-9)


def test_quadratic_costs_are_half_the_square_of_the_order():
    account = Account(costs=Costs(0, 0, 0, 0, quadratic=2e-3), sizing="units")
    account.step(300.0, *FLAT)
    account.step(100.0, *FLAT)
    assert_allclose(account.get("impact"), 0.5 * 2e-3 * 200**2, rtol=1e-12)


def test_an_order_that_costs_more_than_there_is_is_refused():
    account = Account(cash=50.0, costs=Costs(0, 0, 0, 0, minimum_fee=60.0))
    account.step(0.5, *FLAT)
    assert (account.equity, account.get("units"), why(account)) == (50.0, 0.0, ("costs",))


def test_splits_keep_the_value_and_dividends_are_paid_by_shorts():
    for side in (1, -1):
        account = Account(rules=Rules(1.0))
        account.step(side * 0.5, *FLAT, years=0.0)
        account.step(side * 0.5, 100.0, 50.0, 50.0, split=2.0, years=0.0)
        assert_allclose(account.get("units"), side * 10_000)
        assert_allclose([account.equity, account.get("entry")], [1e6, 50.0])
        account.step(side * 0.5, 50.0, 49.0, 49.0, dividend=1.0, years=0.0)
        assert_allclose(account.get("dividend"), side * 10_000)
        assert_allclose(account.equity, 1e6)


def test_a_delisted_symbol_is_sold_at_its_last_close_at_cost():
    account = Account(2, costs=Costs(10, 0, 0, 0))
    account.step([0.5, 0.4], *FLAT)
    units, cash = account.all("units")[0], account.get("cash")
    account.step([0.5, 0.4], 100.0, [np.nan, 100.0], 100.0, delisted=np.array([1.0, 0.0]), years=0.0)
    assert account.all("units")[0] == 0
    assert reasons(account.all("reason")[0]) == ("delisted",)
    sold = account.get("cash") - cash - units * 100 * (1 - 1e-3)
    assert abs(sold) < 300  # the other symbol is brought back to 0.4 of a little less


@pytest.mark.parametrize("fill", ["same_close", "next_open", "next_close"])
@pytest.mark.parametrize(("at_fill", "at_close"), [(93.0, 93.0), (93.0, 100.0), (100.0, 93.0)])
@pytest.mark.parametrize("symbols", [1, 2])
def test_equity_below_the_maintenance_margin_is_called(fill, at_fill, at_close, symbols):
    """At every fill, before it, and at every mark: whoever fills at the close is not sold down first."""
    terms = {"costs": Costs(10, 0, 0, 0), "rules": Rules(4.0, maintenance_margin=0.2), "fill": fill}
    account = Account(symbols, **terms)
    target = [4.0, 0.0][:symbols]
    assert account.step(target, *FLAT) == ALIVE
    before = account.equity
    if fill == "same_close":
        at_fill = 100.0  # where the last step has marked it
    elif fill == "next_close":
        at_fill = at_close
    fell = min(at_fill, at_close) < 100.0  # equity 25 % of the position; 7 % less leaves 18 / 93 of it
    assert account.step(target, 100.0, at_fill, at_close) == (CALLED if fell else ALIVE)
    if not fell:
        return
    assert why(account) == ("margin",)
    assert not account.all("units").any()
    assert 0 < account.equity < before
    lost = account.equity
    assert account.step(4.0, *FLAT) == CALLED
    assert account.equity == lost


def test_the_margin_is_checked_inside_the_bar_if_asked_for():
    for check, status in (("close", ALIVE), ("high_low", CALLED)):
        account = Account(rules=Rules(2.0, maintenance_margin=0.3, margin_check=check))
        assert account.step(2.0, *FLAT, low=70.0) == status
    assert_allclose(account.equity, 1e6 - 20_000 * 30.0)
    short = Account(rules=Rules(2.0, margin_check="high_low"))
    assert short.step(-2.0, *FLAT, high=160.0) == RUINED
    assert_allclose(short.equity, 1e6 - 20_000 * 60.0)


def test_fixed_notional_adds_profit_up_and_calls_nobody():
    rules = Rules(accounting="fixed_notional")
    account = Account(costs=Costs(0, 0, 0, 1000, 1000), rules=rules, fill="same_close")
    for last, close in ((100.0, 150.0), (150.0, 75.0), (75.0, 75.0)):
        account.step(1.0, last, last, close)
    # one notional held each step: +50 %, −50 %, 0
    assert_allclose(account.equity, 1e6)
    assert account.get("interest") == account.get("financing") == 0
    broke = Account(rules=rules, fill="same_close")
    assert broke.step(-1.0, 100.0, 100.0, 350.0) == ALIVE
    assert_allclose(broke.equity, -1.5e6)
    assert broke.step(1.0, 350.0, 350.0, 700.0) == ALIVE
    assert_allclose(broke.equity, -0.5e6)


def test_the_cost_level_scales_costs_and_not_interest():
    for scale in (0.0, 1.0, 3.0):
        costs = Costs(10, 5, 100, 100, interest_bps_per_year=365)
        account = Account(costs=costs, cost_scale=scale)
        account.step(-0.5, *FLAT)
        assert_allclose(account.get("interest"), 1e6 * 1e-4, rtol=1e-9)
        assert_allclose(
            account.get("fee") + account.get("spread"), 1.5e-3 * scale * account.get("traded")
        )


BAR = {"open": 100.0, "high": 108.0, "low": 92.0}


@pytest.mark.parametrize(
    ("side", "bar", "exit_price", "reason"),
    [
        (1, BAR, 95.0, "stop_loss"),  # both inside the bar: the stop first
        (-1, BAR, 105.0, "stop_loss"),
        (1, BAR | {"low": 96.0}, 110.0, None),  # nothing touched
        (1, BAR | {"low": 96.0, "high": 112.0}, 110.0, "take_profit"),
        (-1, BAR | {"high": 104.0, "low": 88.0}, 90.0, "take_profit"),
        (1, {"open": 90.0, "high": 99.0, "low": 85.0}, 90.0, "stop_loss"),  # gap: the open
        (-1, {"open": 110.0, "high": 111.0, "low": 99.0}, 110.0, "stop_loss"),
        (
            1,
            {"open": 115.0, "high": 116.0, "low": 80.0},
            115.0,
            "take_profit",
        ),  # gap first, then the fall
    ],
)
def test_stops_and_targets_fill_by_the_pessimistic_rule(side, bar, exit_price, reason):
    account = Account(fill="next_close")
    exits = {"stop": 0.05, "take": 0.10}
    account.step(side * 0.5, *FLAT, **exits)
    close = float(np.clip(101.0, bar["low"], bar["high"]))
    account.step(side * 0.5, 100.0, close, close, **exits, **bar)
    if reason is None:
        assert why(account) in ((), ("band",))
        assert_allclose(account.equity, 1e6 + side * 5000 * (close - 100))
        return
    assert why(account) == (reason,)
    assert account.get("units") == 0  # and the target of the same step is not traded any more
    assert_allclose(account.equity, 1e6 + side * 5000 * (exit_price - 100))


def test_a_gap_through_the_stop_is_sold_once_at_the_open():
    account = Account(costs=Costs(10, 0, 0, 0), fill="next_open")
    account.step(0.5, *FLAT, stop=0.05)
    units = account.get("units")
    account.step(0.5, 100.0, 90.0, 95.0, stop=0.05)
    assert why(account) == ("stop_loss",)
    assert_allclose(account.get("traded"), units * 90.0)
    account.step(0.5, 95.0, 95.0, 95.0, stop=0.05)
    assert account.get("units") > 0  # the next decision may enter again


def test_forced_exits_pay_the_impact_of_at_most_the_whole_volume():
    rules = Rules(max_participation=0.5)
    account = Account(costs=Costs(0, 0, 0, 0, impact_bps=100), rules=rules, fill="next_close")
    account.step(0.5, *FLAT, volume=1e9)
    units = account.get("units")
    account.step(0.5, *FLAT, stop=0.05, low=90.0, volume=10.0)
    assert_allclose(account.get("impact"), units * 95.0 * 0.01, rtol=1e-9)


def test_free_costs_are_free():
    account = Account(costs=FREE)
    account.step(1.0, *FLAT)
    assert account.paid == 0


@given(
    histories(symbols=3, max_weight=1.5), st.floats(0, 0.3), st.sampled_from([0.5, 1.0, 2.0]), st.data()
)
def test_no_fill_adds_exposure_beyond_the_limits(steps, band, leverage, data):
    """Whatever band, volume and minimum order hold up: what is added fits beside what is held."""
    net = data.draw(st.sampled_from([None, 0.4]))
    rules = Rules(leverage, max_net=net, no_trade_band=band, max_participation=0.5, minimum_order=2e4)
    account = Account(3, rules=rules)
    for weights, last, fill, close in steps:
        volume = np.array(data.draw(st.lists(st.sampled_from([10.0, 1e4, 1e9]), min_size=3, max_size=3)))
        before = account.all("units").copy()
        if account.step(weights, last, fill, close, volume=volume) != ALIVE:
            return
        after, achieved = account.all("units"), account.all("achieved")
        grew = (np.abs(after) > np.abs(before) * (1 + 1e-9)) | (after * before < 0)
        unsent = 3 * 2e4 / account.get("fill_equity")  # small sales that were counted on and not sent
        if grew.any():
            assert np.abs(achieved).sum() <= leverage + unsent
        kept = np.sign(after) * np.minimum(np.abs(after), np.abs(before)) * (after * before > 0)
        added = ((after - kept) * fill)[grew].sum()
        if net and added * achieved.sum() > 0:  # one that goes inwards may cover one that goes outwards
            assert abs(achieved.sum()) <= net + unsent


def test_what_one_symbol_cannot_sell_another_cannot_buy_on():
    account = Account(2, rules=Rules(1.0, max_participation=1.0))
    account.step([1.0, 0.0], *FLAT)
    account.step([0.0, 1.0], *FLAT, volume=np.array([100.0, 1e9]))
    assert_allclose(account.all("achieved"), [0.99, 0.01], atol=1e-6)
    assert [reasons(code) for code in account.all("reason")] == [("volume",), ("leverage",)]


def test_a_position_that_cannot_be_traded_may_be_hedged_within_the_net_limit():
    account = Account(2, rules=Rules(1.0, max_net=0.5))
    account.step([0.5, 0.0], *FLAT)
    account.step([0.5, -0.5], 100.0, [np.nan, 100.0], 100.0)
    assert_allclose(account.all("achieved"), [0.5, -0.5], rtol=1e-9)


def test_orders_that_no_equity_can_pay_for_are_refused():
    account = Account(2, costs=Costs(0, 0, 0, 0, quadratic=0.01))
    for last, fill in ((100.0, 100.0), (100.0, 100.0), (100.0, 3.0)):
        account.step([0.5, 0.5], last, fill, fill)
    units = account.all("units").copy()
    account.step([0.4, 0.4], 3.0, 3.0, 3.0)
    assert [reasons(code) for code in account.all("reason")] == [("costs",), ("costs",)]
    assert (account.all("units") == units).all()
    dear = Account(costs=Costs(5000, 0, 0, 0), cost_scale=6.0)
    dear.step(1.0, *FLAT)
    dear.step(0.5, *FLAT)
    assert (dear.get("status"), why(dear)) == (ALIVE, ("costs",))


def test_nobody_trades_where_there_is_no_bar():
    account = Account(fill="next_close")
    account.step(0.5, *FLAT)
    account.step(0.5, 100.0, np.nan, 90.0, open=np.nan, low=80.0, high=100.0, stop=0.05)
    assert account.get("units") > 0


def test_a_target_in_units_follows_the_split():
    account = Account(sizing="units")
    account.step(100.0, *FLAT)
    account.step(100.0, 100.0, 50.0, 50.0, split=2.0)
    assert account.get("units") == 200.0
    assert account.get("traded") == 0.0


def test_small_rests_of_cut_orders_are_not_sent_either():
    account = Account(rules=Rules(max_participation=1.0, minimum_order=50_000.0))
    account.step(0.9, *FLAT, volume=10.0)
    assert (account.get("units"), why(account)) == (0.0, ("volume", "minimum_order"))


def test_margin_and_ruin_are_the_reason_of_every_symbol():
    account = Account(2, rules=Rules(2.0))
    account.step([-2.0, 0.0], *FLAT)
    assert account.step([-1.0, 0.5], 100.0, [100.0, 100.0], [300.0, 100.0]) == RUINED
    assert all("ruin" in reasons(code) for code in account.all("reason"))
