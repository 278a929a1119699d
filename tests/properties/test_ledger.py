"""Laws of the accounting kernel, over random markets, costs and orders."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from ledger_account import Account, fixed_notional, histories
from numpy.testing import assert_allclose

from foretrade.markets.accounts import ALIVE, RUINED
from foretrade.markets.costs import FREE, Costs, cost_rates
from foretrade.markets.exchange import make_exchange
from foretrade.markets.reasons import reasons
from foretrade.markets.rules import Rules
from foretrade.markets.synthetic import random_walk

bps = st.floats(0, 100)
linear_costs = st.builds(Costs, bps, bps, st.floats(0, 2000), st.floats(0, 2000), st.floats(0, 2000))
any_costs = st.builds(
    Costs,
    bps,
    bps,
    st.floats(0, 2000),
    st.floats(0, 2000),
    st.floats(0, 2000),
    fee_per_unit=st.floats(0, 0.1),
    minimum_fee=st.floats(0, 50),
    impact_bps=st.floats(0, 500),
    quadratic=st.floats(0, 1e-6),
)
SUBNORMAL = 1e-300  # a rate that small has lost bits; no relative precision can be asked of it


rules = (
    st.builds(
        Rules,
        max_leverage=st.floats(0.5, 3),
        max_net=st.sampled_from([0.5, 2.0, None]),
        no_trade_band=st.floats(0, 0.2),
        lot_size=st.sampled_from([0.0, 1.0, 100.0]),
        minimum_order=st.sampled_from([0.0, 1e5]),
        max_participation=st.sampled_from([0.001, 0.1, 1.0]),
        unfilled=st.sampled_from(["cancel", "carry"]),
        maintenance_margin=st.sampled_from([0.0, 0.2]),
        margin_check=st.sampled_from(["close", "high_low"]),
    )
    | fixed_notional
)
exits = st.sampled_from([np.inf, 0.02, 0.1])


@given(
    histories(symbols=3),
    any_costs,
    rules,
    st.sampled_from(["next_open", "next_close", "same_close"]),
    st.sampled_from(["weights", "units", "deltas"]),
    exits,
    exits,
    st.sampled_from([1.0, 0.0, 2.5]),
)
def test_equity_is_cash_plus_positions_and_every_change_is_explained(
    steps, cost, rule, fill, sizing, stop, take, scale
):
    account = Account(3, costs=cost, rules=rule, fill=fill, sizing=sizing, cost_scale=scale)
    for i, (weights, last, at, close) in enumerate(steps):
        before, targets = account.equity, weights * (1 if sizing == "weights" else 1000)
        price = {"next_open": at, "next_close": close, "same_close": last}[fill]
        bar = {"high": np.maximum(at, close) * 1.03, "low": np.minimum(at, close) / 1.03, "open": at}
        corporate = {"split": 1.0 + (i == 2), "dividend": 0.5 * (i == 1), "volume": 1e6}
        status = account.step(
            targets, last, price, close, years=3 / 365, stop=stop, take=take, **bar, **corporate
        )
        held = account.get("cash") + account.all("units") @ close
        earned = account.get("price_pnl") + account.get("dividend") + account.get("interest")
        scale_of_rounding = np.abs(account.all("units")) @ close + abs(before)
        assert_allclose(account.equity, held, rtol=1e-9, atol=1e-9 * scale_of_rounding)
        assert_allclose(
            account.equity, before + earned - account.paid, rtol=1e-9, atol=1e-9 * scale_of_rounding
        )
        if status != ALIVE:
            assert (account.all("units") == 0).all()
            return
        assert account.equity > 0 or rule.accounting == "fixed_notional"
        assert account.get("peak") >= max(before, account.equity)


@given(histories(symbols=3), any_costs, st.floats(0.5, 3), st.sampled_from([0.3, 5.0]))
def test_the_weight_after_costs_is_the_weight_asked_for_within_the_limits(steps, cost, leverage, net):
    rule = Rules(leverage, max_net=net, max_participation=1.0)
    account = Account(3, costs=cost, rules=rule)
    for weights, last, fill, close in steps:
        if account.step(weights, last, fill, close) != ALIVE:
            return
        if (account.all("reason") >= 4).any():  # volume, or costs above the equity
            return
        gross, netted = np.abs(weights).sum(), abs(weights.sum())
        wanted = weights * min(1, leverage / max(gross, 1e-9), net / max(netted, 1e-9))
        equity_at_fill = account.get("cash") + account.all("units") @ fill
        assert_allclose(account.all("units") * fill / equity_at_fill, wanted, atol=5e-9)
        assert_allclose(account.get("fill_equity"), equity_at_fill, rtol=1e-12)
        assert_allclose(account.all("requested"), weights, rtol=1e-12)
        assert_allclose(account.all("achieved"), wanted, atol=5e-9)


@given(st.floats(0.05, 1.0), st.floats(-0.5, 0.5))
def test_long_and_short_mirror_each_other_without_costs(weight, move):
    long, short = Account(), Account()
    prices = (100.0, 100.0, 100.0 * (1 + move))
    long.step(weight, *prices)
    short.step(-weight, *prices)
    assert_allclose(long.equity - 1e6, 1e6 - short.equity, atol=1e-6)
    assert_allclose(long.equity, 1e6 * (1 + weight * move), rtol=1e-12)


@given(st.floats(0.05, 1.0), linear_costs)
def test_long_and_short_pay_the_same_to_enter(weight, cost):
    paid = []
    for side in (1, -1):
        account = Account(costs=cost)
        account.step(side * weight, 100.0, 100.0, 100.0, years=0.0)
        paid.append(account.get("fee") + account.get("spread"))
        # w = side·weight: traded notional is weight × equity after costs
        expected = cost.trade_rate * weight * 1e6 / (1 + cost.trade_rate * weight)
        assert_allclose(paid[-1], expected, rtol=1e-12, atol=SUBNORMAL)
    assert_allclose(paid[0], paid[1], rtol=1e-12, atol=SUBNORMAL)


@given(histories(max_weight=1.0), any_costs)
def test_doing_nothing_costs_nothing(steps, cost):
    account = Account(costs=cost, rules=Rules(max_participation=1.0))
    for _, last, fill, close in steps:
        account.step(0.0, last, fill, close, years=0.0)
    assert account.equity == 1e6


COSTS = ("fee_bps", "half_spread_bps", "borrow_bps_per_year", "financing_bps_per_year", "fee_per_unit",
         "minimum_fee", "impact_bps", "quadratic")  # fmt: skip


@given(histories(max_weight=1.0), any_costs, st.sampled_from(COSTS), st.floats(0, 1))
def test_higher_costs_never_pay_more(steps, cost, which, more):
    extra = more * {"fee_per_unit": 0.1, "minimum_fee": 50, "quadratic": 1e-6}.get(which, 100)
    results = []
    for model in (cost, replace(cost, **{which: getattr(cost, which) + extra})):
        account = Account(costs=model, rules=Rules(max_participation=1.0))
        for weights, last, fill, close in steps:
            before = account.equity
            # The same holdings at the same prices: only what this step pays may differ.
            if account.step(weights, last, fill, close) != ALIVE:
                break
            assume("costs" not in reasons(account.get("reason")))  # what is refused costs nothing
        results.append(account)
        assume(before > 1e5)
    cheap, expensive = results
    assume(cheap.equity > 0)
    # Sizing by weights keeps exposure proportional to equity, so less equity stays less equity; costs
    # per order or per unit weigh more on it then, and only the more.
    assert expensive.equity <= cheap.equity * (1 + 1e-9)


@given(histories(max_weight=1.0), any_costs, st.floats(1, 3))
def test_a_higher_cost_level_never_pays_more(steps, cost, level):
    curves = []
    for scale in (1.0, level):
        account = Account(costs=cost, rules=Rules(max_participation=1.0), cost_scale=scale)
        for weights, last, fill, close in steps:
            if account.step(weights, last, fill, close) != ALIVE:
                break
            assume("costs" not in reasons(account.get("reason")))
        curves.append(account.equity)
    assume(curves[0] > 1e5)
    assert curves[1] <= curves[0] * (1 + 1e-9)


@given(st.floats(0.1, 1.0), linear_costs)
def test_splitting_a_trade_changes_nothing_under_proportional_costs(weight, cost):
    whole, split = Account(costs=cost), Account(costs=cost)
    whole.step(weight, 100.0, 100.0, 100.0, years=0.0)
    for part in (0.3, 0.7, 1.0):
        split.step(part * weight, 100.0, 100.0, 100.0, years=0.0)
    assert_allclose(split.equity, whole.equity, rtol=1e-12)


@given(histories(max_weight=1.5), linear_costs, st.floats(1e-3, 1e3))
def test_the_currency_unit_does_not_matter(steps, cost, unit):
    rule = Rules(1.5)
    plain, scaled = Account(costs=cost, rules=rule), Account(cash=1e6 * unit, costs=cost, rules=rule)
    for weights, last, fill, close in steps:
        done = plain.step(weights, last, fill, close)
        assert done == scaled.step(weights, last * unit, fill * unit, close * unit)
        assert_allclose(scaled.equity, plain.equity * unit, rtol=1e-9, atol=1e-6 * unit)
        if done != ALIVE:
            return


@given(histories(max_weight=1.0), linear_costs, st.floats(1.0, 3.0))
def test_leverage_scales_a_position_and_its_costs(steps, cost, factor):
    """At one fill, ``factor`` times the weight costs ``factor`` times as much of the equity after it."""
    weights, last, fill, _ = steps[0]
    assume(abs(weights[0]) > 1e-6)  # less is taken for rounding
    paid = []
    for scale in (1.0, factor):
        account = Account(costs=cost, rules=Rules(3.0))
        account.step(weights * scale, last, fill, fill, years=0.0)
        paid.append((account.get("fee") + account.get("spread")) / account.get("fill_equity"))
    assert_allclose(paid[1], paid[0] * factor, rtol=1e-9, atol=1e-15)


@given(histories(), st.integers(0, 3))
def test_ruin_is_absorbing(steps, after):
    account = Account(rules=Rules(2.0))
    assert account.step(-2.0, 100.0, 100.0, 300.0) == RUINED
    lost = account.equity
    for weights, last, fill, close in steps[: after + 1]:
        assert account.step(weights, last, fill, close) == RUINED
        assert account.equity == lost
        assert account.get("traded") == 0


def test_borrow_accrues_every_bar_on_the_market_value_of_a_short():
    account = Account(costs=Costs(0, 0, borrow_bps_per_year=365.0, financing_bps_per_year=0))
    account.step(-1.0, 100.0, 100.0, 100.0)
    for day in range(1, 11):
        account.step(-1.0, 100.0, 100.0, 100.0, years=1 / 365)
        assert_allclose(account.get("borrow"), 1e6 * 1e-4 * (1 - 1e-4) ** (day - 1), rtol=1e-9)
    assert_allclose(account.equity, 1e6 * (1 - 1e-4) ** 10, rtol=1e-9)


def test_financing_accrues_on_negative_cash_and_interest_on_positive():
    rates = Costs(0, 0, 0, financing_bps_per_year=365.0, interest_bps_per_year=730.0)
    leveraged, idle = (Account(costs=rates, rules=Rules(2.0)) for _ in range(2))
    leveraged.step(2.0, 100.0, 100.0, 100.0, years=0.0)
    leveraged.step(2.0, 100.0, 100.0, 100.0, years=1 / 365)
    assert_allclose(leveraged.get("financing"), 100.0, rtol=1e-12)
    idle.step(0.0, 100.0, 100.0, 100.0, years=1 / 365)
    assert_allclose(idle.get("interest"), 200.0, rtol=1e-12)


@given(histories(max_weight=1.0), any_costs)
def test_cash_is_never_negative_unless_it_is_financed(steps, cost):
    """Longs within the equity never overdraw, whatever the trade costs (a rival's do)."""
    account = Account(costs=cost, rules=Rules(max_participation=1.0))
    for weights, last, fill, close in steps:
        if account.step(np.abs(weights), last, fill, close, years=0.0) != ALIVE:
            return
        assert account.get("cash") >= -1e-9 * 1e6


def test_a_short_gains_when_the_price_falls():
    account = Account()
    account.step(-1.0, 100.0, 100.0, 90.0)
    assert_allclose(account.equity, 1.1e6, rtol=1e-12)


@given(st.floats(0.1, 1.0), st.floats(-0.1, 0.1))
def test_the_fee_is_charged_on_the_traded_notional_and_not_on_the_return(weight, move):
    account = Account(costs=Costs(100, 0, 0, 0))
    account.step(weight, 100.0, 100.0, 100.0 * (1 + move), years=0.0)
    assert_allclose(account.get("fee"), 0.01 * account.get("traded"), rtol=1e-12)
    assert_allclose(account.get("traded"), weight * 1e6 / (1 + 0.01 * weight), rtol=1e-12)


def test_ruin_at_the_mark_sells_everything_at_cost_and_shows_the_true_loss():
    account = Account(costs=Costs(10, 0, 0, 0))
    assert account.step(-1.0, 100.0, 100.0, 250.0) == RUINED
    entry_fee = 1e6 * 1e-3 / (1 + 1e-3)
    units = (1e6 - entry_fee) / 100
    assert_allclose(account.equity, 1e6 - entry_fee - units * 150 - units * 250 * 1e-3, rtol=1e-9)
    assert account.get("units") == 0


def test_ruin_at_the_fill_trades_nothing_but_the_liquidation():
    account = Account()
    account.step(-1.0, 100.0, 100.0, 100.0)
    assert account.step(-1.0, 100.0, 300.0, 200.0) == RUINED
    assert_allclose(account.equity, 1e6 * (1 - 2.0), rtol=1e-12)


def test_a_fill_at_the_decisions_own_close_accrues_on_what_it_bought():
    costs = Costs(0, 0, borrow_bps_per_year=3650.0, financing_bps_per_year=0)
    account = Account(costs=costs, fill="same_close")
    for weight, borrow in ((-1.0, 1000.0), (0.0, 0.0)):
        account.step(weight, 100.0, 100.0, 100.0)
        assert_allclose(account.get("borrow"), borrow, rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fee_bps": -1.0}, "fee_bps must be finite and not negative"),
        ({"fee_bps": np.array([1.0, np.nan])}, r"fee_bps\[1\] must be finite and not negative, got nan"),
        ({"borrow_bps_per_year": float("nan")}, "borrow_bps_per_year must be finite"),
        ({"fee_bps": 9999.0, "half_spread_bps": 1.0}, "below 10,000"),
    ],
)
def test_impossible_costs_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Costs(**arguments)


def test_cost_arrays_of_the_wrong_shape_are_refused():
    for name, value in {"fee_bps": np.ones(3), "interest_bps_per_year": np.ones(2)}.items():
        with pytest.raises(ValueError, match=rf"{name} has shape \(\d,\); give a number or an array of"):
            cost_rates(Costs(**{name: value}), bars=10, symbols=2)


def test_impossible_rules_are_refused():
    for arguments, message in (
        ({"max_leverage": 0.0}, "max_leverage must be positive"),
        ({"max_leverage": np.inf}, "max_leverage must be positive and finite"),
        ({"no_trade_band": -0.1}, "no_trade_band must be finite and not negative"),
        ({"maintenance_margin": 1.0}, "below the initial margin"),
        ({"unfilled": "keep"}, "unfilled = 'keep' must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            Rules(**arguments)
    bars = random_walk(10)
    with pytest.raises(ValueError, match="must stay below 1"):
        make_exchange(bars, costs=Costs(fee_bps=5000.0), rules=Rules(3.0))
    with pytest.raises(ValueError, match="impact_bps needs Rules.max_participation"):
        make_exchange(bars, costs=Costs(impact_bps=10.0))
    with pytest.raises(ValueError, match=r"halted has shape \(3,\)"):
        make_exchange(bars, halted=np.zeros(3, dtype=bool))
    silent = replace(bars, volume=np.zeros_like(bars.volume))
    with pytest.raises(ValueError, match="has no volume in any bar"):
        make_exchange(silent, rules=Rules(max_participation=0.1))
    assert FREE.is_proportional
