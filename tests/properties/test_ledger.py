"""Laws of the accounting kernel, over random markets, costs and orders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from foretrade.markets import ledger
from foretrade.markets.costs import FREE, Costs

bps = st.floats(0, 100)
costs = st.builds(Costs, bps, bps, st.floats(0, 2000), st.floats(0, 2000), st.floats(0, 2000))
moves = st.floats(-0.2, 0.2)
SUBNORMAL = 1e-300  # a rate that small has lost bits; no relative precision can be asked of it


@dataclass
class Account:
    """A plain-Python holder of the kernel's arrays."""

    symbols: int = 1
    cash: float = 1e6

    def __post_init__(self) -> None:
        self.book = ledger.new_book(1, self.symbols)
        ledger.deposit(self.book, 0, self.cash)
        self.account, self.units = self.book.account[0], self.book.units[0]

    @property
    def equity(self) -> float:
        return float(self.account[ledger.EQUITY])

    def step(self, weights, last, fill, close, terms, years=1 / 365, fills_first=False) -> int:
        weights, last, fill, close = (
            np.atleast_1d(np.asarray(x, dtype=float)) for x in (weights, last, fill, close)
        )
        self.book.targets[0] = weights
        prices = ledger.Prices(
            np.stack([last, close]), np.stack([last, fill]), np.array([0.0, years]), fills_first
        )
        return ledger.step(self.book, 0, prices, 1, terms)

    def flow(self, index: int) -> float:
        return float(self.book.flows[0, index])


@st.composite
def histories(draw: st.DrawFn, symbols: int = 1, max_weight: float = 2.0):
    """Steps of (weights, fill price, close price), prices from log moves."""
    length = draw(st.integers(1, 8))
    price = np.array(draw(st.lists(st.floats(1, 1000), min_size=symbols, max_size=symbols)))
    steps, last = [], price
    for _ in range(length):
        shape = {"min_size": symbols, "max_size": symbols}
        weights = np.array(draw(st.lists(st.floats(-max_weight, max_weight), **shape)))
        fill = last * np.exp(draw(st.lists(moves, **shape)))
        close = fill * np.exp(draw(st.lists(moves, **shape)))
        steps.append((weights, last, fill, close))
        last = close
    return steps


@given(histories(symbols=3), costs, st.floats(0.5, 3), st.floats(0, 0.2))
def test_equity_is_cash_plus_positions_and_every_change_is_explained(steps, cost, leverage, band):
    terms = ledger.terms(cost, max_leverage=leverage, no_trade_band=band)
    account = Account(symbols=3)
    for weights, last, fill, close in steps:
        before = account.equity
        status = account.step(weights, last, fill, close, terms, years=3 / 365)
        held = account.account[ledger.CASH] + account.units @ close
        flow = account.flow
        paid = flow(ledger.FEE) + flow(ledger.SPREAD) + flow(ledger.BORROW) + flow(ledger.FINANCING)
        explained = before + flow(ledger.PRICE_PNL) - paid + flow(ledger.INTEREST)
        assert_allclose(account.equity, held, rtol=1e-9, atol=1e-6)
        assert_allclose(account.equity, explained, rtol=1e-9, atol=1e-6)
        if status == ledger.RUINED:
            assert (account.units == 0).all()
            return
        assert account.equity > 0
        assert account.account[ledger.PEAK] >= max(before, account.equity)


@given(histories(symbols=3), costs, st.floats(0.5, 3))
def test_the_weight_after_costs_is_the_weight_asked_for_within_the_limit(steps, cost, leverage):
    terms = ledger.terms(cost, max_leverage=leverage)
    account = Account(symbols=3)
    for weights, last, fill, close in steps:
        if account.step(weights, last, fill, close, terms) == ledger.RUINED:
            return
        gross = np.abs(weights).sum()
        wanted = weights * min(1, leverage / gross) if gross else weights
        equity_at_fill = account.account[ledger.CASH] + account.units @ fill
        assert_allclose(account.units * fill / equity_at_fill, wanted, atol=2e-9)
        assert_allclose(account.flow(ledger.FILL_EQUITY), equity_at_fill, rtol=1e-12)
        assert_allclose(account.flow(ledger.REQUESTED), gross, rtol=1e-12)


@given(st.floats(0.05, 1.0), st.floats(-0.5, 0.5))
def test_long_and_short_mirror_each_other_without_costs(weight, move):
    terms = ledger.terms(FREE)
    long, short = Account(), Account()
    prices = (100.0, 100.0, 100.0 * (1 + move))
    long.step(weight, *prices, terms)
    short.step(-weight, *prices, terms)
    assert_allclose(long.equity - 1e6, 1e6 - short.equity, atol=1e-6)
    assert_allclose(long.equity, 1e6 * (1 + weight * move), rtol=1e-12)


@given(st.floats(0.05, 1.0), costs)
def test_long_and_short_pay_the_same_to_enter(weight, cost):
    terms = ledger.terms(cost)
    paid = []
    for side in (1, -1):
        account = Account()
        account.step(side * weight, 100.0, 100.0, 100.0, terms, years=0.0)
        paid.append(account.flow(ledger.FEE) + account.flow(ledger.SPREAD))
        rate = terms.fee + terms.half_spread
        # w = side·weight: traded notional is weight × equity after costs
        expected = rate * weight * 1e6 / (1 + rate * weight)
        assert_allclose(paid[-1], expected, rtol=1e-12, atol=SUBNORMAL)
    assert_allclose(paid[0], paid[1], rtol=1e-12, atol=SUBNORMAL)


@given(histories(max_weight=1.0), costs)
def test_doing_nothing_costs_nothing(steps, cost):
    terms = ledger.terms(cost)
    account = Account()
    for _, last, fill, close in steps:
        account.step(0.0, last, fill, close, terms, years=0.0)
    assert account.equity == 1e6


@given(histories(max_weight=1.0), costs, st.sampled_from(range(5)), st.floats(0, 100))
def test_higher_costs_never_pay_more(steps, cost, which, extra):
    values = list(vars(cost).values())
    values[which] += extra if which < 4 else 0.0
    dear = Costs(*values)
    results = []
    for model in (cost, dear):
        account = Account()
        for weights, last, fill, close in steps:
            if account.step(weights, last, fill, close, ledger.terms(model)) == ledger.RUINED:
                break
        results.append(account)
    cheap, expensive = results
    assume(cheap.equity > 0)
    # Sizing by weights keeps exposure proportional to equity, so less equity stays less equity.
    assert expensive.equity <= cheap.equity * (1 + 1e-9)


@given(st.floats(0.1, 1.0), costs)
def test_splitting_a_trade_changes_nothing_under_proportional_costs(weight, cost):
    terms = ledger.terms(cost)
    whole, split = Account(), Account()
    whole.step(weight, 100.0, 100.0, 100.0, terms, years=0.0)
    for part in (0.3, 0.7, 1.0):
        split.step(part * weight, 100.0, 100.0, 100.0, terms, years=0.0)
    assert_allclose(split.equity, whole.equity, rtol=1e-12)


@given(histories(max_weight=1.5), costs, st.floats(1e-3, 1e3))
def test_the_currency_unit_does_not_matter(steps, cost, unit):
    terms = ledger.terms(cost, max_leverage=1.5)
    plain, scaled = Account(), Account(cash=1e6 * unit)
    for weights, last, fill, close in steps:
        done = plain.step(weights, last, fill, close, terms)
        assert done == scaled.step(weights, last * unit, fill * unit, close * unit, terms)
        assert_allclose(scaled.equity, plain.equity * unit, rtol=1e-9, atol=1e-6 * unit)
        if done == ledger.RUINED:
            return


def test_borrow_accrues_every_bar_on_the_market_value_of_a_short():
    terms = ledger.terms(Costs(0, 0, borrow_bps_per_year=365.0, financing_bps_per_year=0))
    account = Account()
    account.step(-1.0, 100.0, 100.0, 100.0, terms)
    for day in range(1, 11):
        account.step(-1.0, 100.0, 100.0, 100.0, terms, years=1 / 365)
        assert_allclose(account.flow(ledger.BORROW), 1e6 * 1e-4 * (1 - 1e-4) ** (day - 1), rtol=1e-9)
    assert_allclose(account.equity, 1e6 * (1 - 1e-4) ** 10, rtol=1e-9)


def test_financing_accrues_on_negative_cash_and_interest_on_positive():
    rates = Costs(0, 0, 0, financing_bps_per_year=365.0, interest_bps_per_year=730.0)
    terms = ledger.terms(rates, max_leverage=2.0)
    leveraged, idle = Account(), Account()
    leveraged.step(2.0, 100.0, 100.0, 100.0, terms, years=0.0)
    leveraged.step(2.0, 100.0, 100.0, 100.0, terms, years=1 / 365)
    assert_allclose(leveraged.flow(ledger.FINANCING), 100.0, rtol=1e-12)
    idle.step(0.0, 100.0, 100.0, 100.0, terms, years=1 / 365)
    assert_allclose(idle.flow(ledger.INTEREST), 200.0, rtol=1e-12)


def test_a_short_gains_when_the_price_falls():
    account = Account()
    account.step(-1.0, 100.0, 100.0, 90.0, ledger.terms(FREE))
    assert_allclose(account.equity, 1.1e6, rtol=1e-12)


def test_ruin_at_the_mark_sells_everything_at_cost_and_shows_the_true_loss():
    terms = ledger.terms(Costs(10, 0, 0, 0))
    account = Account()
    assert account.step(-1.0, 100.0, 100.0, 250.0, terms) == ledger.RUINED
    entry_fee = 1e6 * 1e-3 / (1 + 1e-3)
    units = (1e6 - entry_fee) / 100
    assert_allclose(account.equity, 1e6 - entry_fee - units * 150 - units * 250 * 1e-3, rtol=1e-9)
    assert account.units[0] == 0


def test_ruin_at_the_fill_trades_nothing_but_the_liquidation():
    terms = ledger.terms(FREE)
    account = Account()
    account.step(-1.0, 100.0, 100.0, 100.0, terms)
    assert account.step(-1.0, 100.0, 300.0, 200.0, terms) == ledger.RUINED
    assert_allclose(account.equity, 1e6 * (1 - 2.0), rtol=1e-12)


def test_a_fill_at_the_decisions_own_close_accrues_on_what_it_bought():
    terms = ledger.terms(Costs(0, 0, borrow_bps_per_year=3650.0, financing_bps_per_year=0))
    account = Account()
    for weight, borrow in ((-1.0, 1000.0), (0.0, 0.0)):
        account.step(weight, 100.0, 100.0, 100.0, terms, fills_first=True)
        assert_allclose(account.flow(ledger.BORROW), borrow, rtol=1e-12)


def test_the_leverage_limit_is_kept_inside_the_no_trade_band():
    terms = ledger.terms(FREE, max_leverage=1.0, no_trade_band=0.5)
    account = Account()
    account.step(-1.0, 100.0, 100.0, 110.0, terms)
    account.step(-0.9, 110.0, 110.0, 110.0, terms)
    assert_allclose(account.flow(ledger.ACHIEVED), -0.9, rtol=1e-9)


def test_an_asset_without_a_price_is_not_traded():
    account = Account(symbols=2)
    both = np.array([100.0, 50.0])
    account.step([0.4, 0.4], both, both, both, ledger.terms(FREE))
    held = account.units[1]
    account.step([0.0, 0.0], both, [100.0, np.nan], both, ledger.terms(FREE))
    assert account.units[0] == 0
    assert account.units[1] == held


def test_the_no_trade_band_holds_small_differences():
    terms = ledger.terms(Costs(), no_trade_band=0.1)
    account = Account()
    account.step(0.5, 100.0, 100.0, 100.0, terms)
    account.step(0.58, 100.0, 100.0, 100.0, terms)
    assert account.flow(ledger.TRADED) == 0
    assert account.flow(ledger.REQUESTED) == 0.58
    assert_allclose(account.flow(ledger.ACHIEVED), 0.5, rtol=1e-9)
    account.step(0.62, 100.0, 100.0, 100.0, terms)
    assert account.flow(ledger.TRADED) > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fee_bps": -1.0}, "fee_bps must be finite and not negative"),
        ({"borrow_bps_per_year": float("nan")}, "borrow_bps_per_year must be finite"),
        ({"fee_bps": 9999.0, "half_spread_bps": 1.0}, "below 10,000"),
    ],
)
def test_impossible_costs_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Costs(**arguments)


def test_impossible_limits_are_refused():
    with pytest.raises(ValueError, match="max_leverage must be positive"):
        ledger.terms(FREE, max_leverage=0.0)
    with pytest.raises(ValueError, match="no_trade_band must not be negative"):
        ledger.terms(FREE, no_trade_band=-0.1)
    with pytest.raises(ValueError, match="must stay below 1"):
        ledger.terms(Costs(fee_bps=5000.0), max_leverage=3.0)
