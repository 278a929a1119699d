"""A sweep is as many runs of the environment, bit for bit; its numbers are those of plain formulas."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ledger_account import fixed_notional
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from foretrade.backtests.sweep import Sweep, sweep, sweep_moments
from foretrade.envs.actions import WeightActions
from foretrade.envs.market import MarketEnv
from foretrade.markets.arrays import read_only
from foretrade.markets.costs import FREE, Costs
from foretrade.markets.features import compute_features
from foretrade.markets.reasons import REASONS, reasons
from foretrade.markets.rules import Rules
from foretrade.markets.synthetic import random_walk

WALK = random_walk(420, volatility=0.2, seed=9)  # wild enough for leveraged accounts to be ruined
PANEL = random_walk(360, symbols=3, volatility=0.06, seed=4)
START = 275
FILLS = ["next_close", "next_open", "same_close"]


def with_actions_and_gaps(bars):
    split, dividend = np.ones_like(bars.close), np.zeros_like(bars.close)
    split[300, 0], dividend[290::9, 0] = 2.0, 0.7
    fields = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close", "volume")}
    for values in fields.values():
        values[310:314, 1] = np.nan
        values[330:, 2] = np.nan
    return replace(bars, split=split, dividend=dividend, **fields)


MARKETS = {"walk": WALK, "panel": PANEL, "with actions and gaps": with_actions_and_gaps(PANEL)}
bps = st.sampled_from([0.0, 3.0, 40.0])
linear = st.builds(Costs, bps, bps, bps, bps, bps)
every_cost = st.builds(
    Costs,
    bps,
    bps,
    bps,
    bps,
    bps,
    fee_per_unit=st.sampled_from([0.0, 0.01]),
    minimum_fee=st.sampled_from([0.0, 5.0]),
    impact_bps=bps,
    quadratic=st.sampled_from([0.0, 1e-3]),
)
simple_rules = st.builds(
    Rules,
    max_leverage=st.sampled_from([0.7, 1.0, 3.0]),
    max_net=st.sampled_from([None, 0.5]),
    no_trade_band=st.sampled_from([0.0, 0.2]),
)
every_rule = (
    st.builds(
        Rules,
        max_leverage=st.sampled_from([1.0, 3.0]),
        max_net=st.sampled_from([None, 0.5]),
        no_trade_band=st.sampled_from([0.0, 0.2]),
        lot_size=st.sampled_from([0.0, 10.0]),
        minimum_order=st.sampled_from([0.0, 1e5]),
        max_participation=st.sampled_from([0.01, 1.0]),
        unfilled=st.sampled_from(["cancel", "carry"]),
        maintenance_margin=st.sampled_from([0.0, 0.3]),
        margin_check=st.sampled_from(["close", "high_low"]),
        delist_after_bars=st.sampled_from([0, 3]),
    )
    | fixed_notional
)
scales = st.sampled_from([1.0, 0.0, 2.5])


features = cache(compute_features)


def draw(seed, steps, *shape, most=3.0):
    """Targets a float32 can hold, as the environment's actions are."""
    rng = np.random.default_rng(seed)
    kept = rng.uniform(size=(steps, *shape)) < 0.2
    values = rng.uniform(-most, most, (steps, *shape)) * rng.choice([0.0, 0.3, 1.0], (1, *shape))
    values = np.where(rng.uniform(size=values.shape) < 0.1, np.round(values), values)
    for k in range(1, steps):
        values[k] = np.where(kept[k], values[k - 1], values[k])
    return values.astype(np.float32).astype(np.float64)


def assert_equals_the_environment(bars, weights, played: Sweep, which, cost_scale, **terms):
    """One strategy of a sweep against the environment, step by step."""
    env = MarketEnv(
        bars,
        features(bars),
        symbols=bars.symbols,
        reward="simple_return",
        actions=WeightActions(-3.0, 3.0),
        initial_equity=played.initial_equity,
        **terms,
    )
    options = {"start": played.rows.start, "cost_scale": cost_scale, "episode_bars": len(played.rows)}
    _, info = env.reset(seed=0, options=options)
    equity = [info["equity"]]
    told: dict[str, int] = dict.fromkeys(REASONS, 0)
    turnover = 0.0
    for target in weights[..., which]:
        _, _, terminated, truncated, info = env.step(np.atleast_1d(target).astype(np.float32))
        turnover += info["traded"] / equity[-1]
        equity.append(info["equity"])
        for code in np.atleast_1d(info["reason"]):
            for name in reasons(code):
                told[name] += 1
        if terminated or truncated:
            break
    steps = len(equity) - 1
    assert_array_equal(played.equity[: steps + 1, which], equity)
    assert played.ruined[which] == terminated
    assert played.steps[which] == steps
    assert (played.equity[steps:, which] == equity[-1]).all()
    assert {name: played.reasons[name][which] for name in REASONS} == told
    assert_allclose(played.turnover[which], turnover / steps * bars.periods_per_year, rtol=1e-12)


@settings(max_examples=30)
@given(
    st.sampled_from(sorted(MARKETS)), every_cost, every_rule, st.sampled_from(FILLS), scales,
    st.integers(0, 9),
)  # fmt: skip
def test_a_sweep_has_the_bits_of_the_environment(name, costs, rules, fill, scale, seed):
    bars = MARKETS[name]
    weights = draw(seed, 80, len(bars.symbols), 3)
    terms = {"costs": costs, "rules": rules, "fill": fill}
    rows = range(START, START + 80)
    played = sweep(bars, weights, rows=rows, cost_scale=np.array([1.0, scale, 1.0]), **terms)
    assert played.idealised == (fill == "same_close")
    for which, level in ((0, 1.0), (1, scale)):
        assert_equals_the_environment(bars, weights, played, which, level, **terms)


@settings(max_examples=30)
@given(linear, simple_rules, st.sampled_from(FILLS), scales, st.integers(0, 99))
def test_so_has_one_of_proportional_costs(costs, rules, fill, scale, seed):
    weights = draw(seed, 120, 5)
    terms = {"costs": costs, "rules": rules, "fill": fill}
    played = sweep(WALK, weights, rows=range(START, START + 120), cost_scale=scale, **terms)
    for which in range(2):
        assert_equals_the_environment(WALK, weights, played, which, scale, **terms)


def test_moments_are_those_of_the_equity():
    weights = draw(1, len(WALK) - 1, 200)
    kept, summed = (play(WALK, weights, rules=Rules(3.0)) for play in (sweep, sweep_moments))
    assert kept.ruined.any()
    assert not kept.ruined.all()
    for name in ("final_equity", "steps", "turnover", "cost", "ruined"):
        assert_array_equal(getattr(kept, name), getattr(summed, name))
    for n, steps in enumerate(kept.steps):
        equity = kept.equity[: steps + 1, n]
        returns = equity[1:] / equity[:-1] - 1
        fall = equity / np.maximum.accumulate(equity) - 1
        assert_allclose(summed.mean[n], returns.mean(), rtol=1e-9, atol=1e-15)
        assert_allclose(summed.variance[n], returns.var(ddof=1), rtol=1e-9)
        assert_allclose(summed.skew[n], stats.skew(returns), rtol=1e-9, atol=1e-9)
        assert_allclose(summed.kurtosis[n], stats.kurtosis(returns, fisher=False), rtol=1e-9)
        assert_allclose(summed.max_drawdown[n], fall.min(), rtol=1e-12)


def test_what_is_never_invested_has_no_shape():
    idle = sweep_moments(WALK, np.zeros((len(WALK) - 1, 1)))
    assert idle.mean[0] == idle.variance[0] == idle.turnover[0] == idle.max_drawdown[0] == 0
    assert np.isnan([idle.skew[0], idle.kurtosis[0]]).all()


def test_one_step_has_no_variance():
    moments = sweep_moments(WALK, np.ones((1, 1)), rows=range(1))
    assert moments.steps[0] == 1
    assert np.isnan(moments.variance[0])


def test_threads_and_company_change_no_bit():
    weights = draw(2, 100, 300)
    rows = range(START, START + 100)
    alone = sweep(WALK, weights, rows=rows)
    assert_array_equal(sweep(WALK, weights, rows=rows, threads=3).equity, alone.equity)
    for which in (0, 150, 299):
        assert_array_equal(
            sweep(WALK, weights[:, [which]], rows=rows).equity[:, 0], alone.equity[:, which]
        )


def test_equity_is_written_where_it_is_asked_for():
    weights, out = draw(2, 100, 3), np.empty((101, 3))
    played = sweep(WALK, weights, rows=range(100), out=out)
    assert played.equity is out
    assert_array_equal(out, sweep(WALK, weights, rows=range(100)).equity)
    with pytest.raises(ValueError, match=r"shape \(101, 3\), got \(3, 101\)"):
        sweep(WALK, weights, rows=range(100), out=out.T)
    with pytest.raises(ValueError, match="writable"):
        sweep(WALK, weights, rows=range(100), out=read_only(out))
    memory = np.zeros((101, 3))
    with pytest.raises(ValueError, match="must not share its memory with the targets"):
        sweep(WALK, memory[1:], rows=range(100), out=memory)


@settings(max_examples=40)
@given(st.integers(1, 300) | st.sampled_from([4096, 4101, 4230]), st.integers(0, 7), st.integers(1, 3))
def test_equity_lands_in_its_place_and_nowhere_else(strategies, shift, threads):
    """Whole lines of the cache are written apart from what stands in a part of one."""
    weights, terms = draw(5, 6, strategies), {"rows": range(6), "threads": threads}
    memory = np.full(7 * strategies + 24, -1.0)
    start, stop = 8 + shift, 8 + shift + 7 * strategies
    out = memory[start:stop].reshape(7, strategies)
    sweep(WALK, weights, out=out, **terms)
    assert_array_equal(out, sweep(WALK, weights, rules=Rules(minimum_order=1e-300), **terms).equity)
    assert (memory[:start] == -1).all()
    assert (memory[stop:] == -1).all()


@settings(max_examples=20)
@given(linear, simple_rules | every_rule, st.sampled_from(FILLS), st.integers(0, 99))
def test_without_flows_all_else_is_as_it_was(costs, rules, fill, seed):
    weights = draw(seed, 120, 140)
    terms = {"rows": range(120), "costs": costs, "rules": rules, "fill": fill}
    for play in (sweep, sweep_moments):
        asked, unasked = (play(WALK, weights, flows=flows, **terms) for flows in (True, False))
        assert np.isfinite([asked.turnover, asked.cost]).all()
        assert np.isnan([unasked.turnover, unasked.cost]).all()
        for name, value in vars(asked).items():
            if isinstance(value, np.ndarray) and name not in ("turnover", "cost"):
                assert_array_equal(value, getattr(unasked, name), err_msg=name)
        for name, counts in asked.reasons.items():
            assert_array_equal(counts, unasked.reasons[name], err_msg=name)


@settings(max_examples=60)
@given(linear, simple_rules, st.sampled_from(FILLS), scales, st.integers(0, 99))
def test_the_fused_loop_is_the_ledger(costs, rules, fill, scale, seed):
    """A minimum order of nothing worth naming lets the ledger itself play, and refuses nothing."""
    weights = draw(seed, 120, 140)
    terms = {"rows": range(120), "costs": costs, "fill": fill, "cost_scale": scale}
    fused = [play(WALK, weights, rules=rules, **terms) for play in (sweep, sweep_moments)]
    ledger = replace(rules, minimum_order=1e-300)
    stepped = [play(WALK, weights, rules=ledger, **terms) for play in (sweep, sweep_moments)]
    for one, other in zip(fused, stepped, strict=True):
        for name, value in vars(one).items():
            if name in ("cost", "turnover"):  # the sale of a lost account is added on its own
                assert_allclose(value, getattr(other, name), rtol=1e-12)
            elif isinstance(value, np.ndarray):
                assert_array_equal(value, getattr(other, name), err_msg=name)
        for name, counts in one.reasons.items():
            assert_array_equal(counts, other.reasons[name], err_msg=name)


@settings(max_examples=15)
@given(st.sampled_from(FILLS), st.sampled_from([1.0, 2.5, None]), st.integers(0, 99))
def test_blocks_that_meet_ruin_take_the_bar_with_care(fill, scale, seed):
    """Costs that eat up equities: each block of lanes has bars in which all goes well, and others."""
    weights = draw(seed, 120, 300)
    weights[40:] *= 0.2  # later bars are quiet, though some accounts are lost by then
    levels = np.random.default_rng(seed).uniform(0.5, 2.5, 300) if scale is None else scale
    terms = {"rows": range(120), "costs": Costs(700, 300, 40, 40, 3), "fill": fill, "cost_scale": levels}
    played, stepped = (
        sweep(WALK, weights, rules=Rules(3.0, no_trade_band=0.05, minimum_order=least), **terms)
        for least in (0.0, 1e-300)
    )
    assert_array_equal(played.equity, stepped.equity)
    for name in ("leverage", "band", "costs", "ruin"):
        assert_array_equal(played.reasons[name], stepped.reasons[name], err_msg=name)
    assert {name for name, counts in played.reasons.items() if counts.any()} >= {"band", "costs", "ruin"}
    assert not played.ruined.all()


def assert_fused_is_stepped(market, weights, rules, **terms):
    fused, stepped = (
        sweep(market, weights, rules=replace(rules, minimum_order=least), flows=False, **terms)
        for least in (0.0, 1e-300)
    )
    assert_array_equal(fused.equity, stepped.equity)
    for name, counts in fused.reasons.items():
        assert_array_equal(counts, stepped.reasons[name], err_msg=name)
    return fused


def market_of(opens, closes):
    prices = {"open": opens, "close": closes}
    prices |= {"high": np.maximum(opens, closes), "low": np.minimum(opens, closes)}
    return replace(random_walk(len(closes)), **{name: value[:, None] for name, value in prices.items()})


@settings(max_examples=40)
@given(
    st.sampled_from([0.01, 0.05, 0.2, 0.6]),
    st.sampled_from([0.0, 5.0, 400.0, 1500.0]),
    st.sampled_from([0.0, 0.02, 0.5]),
    st.sampled_from([0.5, 1.0, 3.0, 6.0]),
    st.sampled_from(FILLS),
    st.booleans(),
    st.integers(0, 99),
)
def test_however_prices_move_the_fused_loop_is_the_ledger(
    move, cost_bps, band, leverage, fill, carries, seed
):
    """Whether a bar is an ordinary one is known by prices and rates alone, before accounts are seen."""
    assume(1.5e-4 * cost_bps * leverage < 1)
    rng = np.random.default_rng(seed)
    steps = np.exp(rng.normal(0.0, move, (121, 2)) * (rng.uniform(size=(121, 1)) < 0.5))
    closes = 100.0 * np.cumprod(steps[:, 0])
    market = market_of(np.concatenate([closes[:1], closes[:-1]]) * steps[:, 1], closes)
    weights = draw(seed, 120, 140) * (leverage / 2)
    weights[60:] *= 0.3
    costs = Costs(cost_bps, cost_bps / 2, *((40.0, 3000.0, 4000.0) if carries else (0.0, 0.0, 0.0)))
    rules = Rules(leverage, no_trade_band=band)
    assert_fused_is_stepped(market, weights, rules, costs=costs, fill=fill)


@pytest.mark.parametrize(
    ("closes", "weight", "leverage", "costs", "level"),
    [
        ([100, 100, 290, 305, 305], -0.5, 0.5, Costs(400, 100, 0, 0, 0), 1),  # nobody could pay at 290
        ([100, 100, 100, 100, 100], -2.0, 2.0, Costs(0, 0, 4000, 0, 0), 500),  # borrowed at 55 % a day
        ([100, 100, 100, 100, 100], 2.0, 2.0, Costs(0, 0, 0, 4000, 0), 1000),
        ([100, 100, 55, 54, 53], 2.5, 2.5, Costs(1, 0, 0, 0, 0), 1),
        ([100, 100, 81, 80, 80], 5.0, 5.0, Costs(1000, 500, 0, 0, 0), 1),
    ],
)
def test_what_ruins_accounts_makes_a_bar_no_ordinary_one(closes, weight, leverage, costs, level):
    prices, weights = np.array(closes, dtype=float), np.full((4, 3), weight)
    weights[2:, 1], weights[:, 2] = -weight, 0.1 * weight
    terms = {"costs": costs, "cost_scale": float(level)}
    played = assert_fused_is_stepped(market_of(prices, prices), weights, Rules(leverage), **terms)
    assert played.ruined[0] or played.reasons["costs"][0]
    assert not played.ruined[2]


@pytest.mark.parametrize("strategies", [5, 200, 300])
def test_what_was_cut_in_a_bar_that_is_no_ordinary_one_stays_counted(strategies):
    """At 30 an account at the limit has lost more than half; all other targets are within it."""
    prices = np.array([100.0, 100, 30, 31, 32, 31])
    weights = np.tile([[0.9], [0.9], [0.9], [0.8], [0.7]], (1, strategies))
    weights[1, ::3] = 1.5
    played = assert_fused_is_stepped(
        market_of(prices, prices), weights, Rules(), costs=Costs(3, 1, 0, 0)
    )
    assert (played.reasons["leverage"] == (np.arange(strategies) % 3 == 0)).all()


@pytest.mark.parametrize("price", [1e-303, 1e-120, 1e120, 1e303])
def test_prices_of_any_size_are_the_ledgers(price):
    prices, weights = price * np.array([1.0, 1.1, 1.0, 1.2, 1.1]), draw(1, 4, 3)
    assert_fused_is_stepped(market_of(prices, prices), weights, Rules(), costs=Costs(3, 1))


def test_money_out_of_a_numbers_range_is_the_ledgers():
    """Equity over price is, and the ledger refuses the orders."""
    prices = np.array([1e-20, 1.1e-20, 1e-20, 1.1e-20])
    terms = {"costs": Costs(2, 1), "initial_equity": 1e289}
    for strategies in (1, 300):
        weights = np.full((3, strategies), 0.5)
        played = assert_fused_is_stepped(market_of(prices, prices), weights, Rules(), **terms)
        assert (played.reasons["costs"] == 3).all()


def test_each_strategy_has_its_own_cost_level():
    weights = np.repeat(draw(3, 100, 1), 3, axis=1)
    rows = range(START, START + 100)
    swept = sweep(WALK, weights, rows=rows, cost_scale=np.array([0.0, 1.0, 4.0]))
    for n, scale in enumerate((0.0, 1.0, 4.0)):
        alone = sweep(WALK, weights[:, [n]], rows=rows, cost_scale=scale)
        assert_array_equal(swept.equity[:, [n]], alone.equity)
    assert_array_equal(swept.equity[:, 0], sweep(WALK, weights, rows=rows, costs=FREE).equity[:, 0])


def test_orders_that_were_reduced_are_counted():
    weights = np.array([[2.0, 0.5], [2.0, 0.5001], [2.0, 0.0]])
    rules = Rules(max_leverage=1.0, no_trade_band=0.05)
    swept = sweep(random_walk(4), weights, rows=range(3), rules=rules)
    assert swept.reasons["leverage"].tolist() == [3, 0]
    assert swept.reasons["band"][1] == 1


@pytest.mark.parametrize(
    ("weights", "terms", "message"),
    [
        (np.full((3, 2), np.nan), {"rows": range(3)}, "step 0, symbol 0, strategy 0 is nan"),
        (np.full((3, 2), np.inf), {"rows": range(3)}, "is inf"),
        (np.zeros((3, 2)), {}, "3 rows of targets for 419 decisions"),
        (np.zeros((3, 2)), {"rows": range(417, 420)}, "end before the last"),
        (np.zeros((3, 2)), {"rows": range(-1, 2)}, "consecutive"),
        (np.zeros((3, 2)), {"rows": range(0, 6, 2)}, "consecutive"),
        (np.ma.masked_equal(np.eye(3), 0), {"rows": range(3)}, "targets are masked; fill them"),
        (1j * np.eye(3), {"rows": range(3)}, "real numbers, got complex128"),
        (np.full((3, 2), "1"), {"rows": range(3)}, "real numbers, got <U1"),
        (np.zeros(3), {"rows": range(3)}, "expected"),
        (np.zeros((3, 0)), {"rows": range(3)}, "expected"),
        (np.zeros((3, 2, 2)), {"rows": range(3)}, "1 symbols"),
        (np.zeros((3, 2)), {"rows": range(3), "cost_scale": [1.0, 2.0, 3.0]}, "cost_scale"),
        (np.zeros((3, 2)), {"rows": range(3), "cost_scale": -1.0}, "cost_scale"),
        (np.zeros((3, 2)), {"rows": range(3), "initial_equity": 0.0}, "initial_equity"),
        (np.zeros((3, 2)), {"rows": range(3), "threads": 0}, "threads"),
        (np.zeros((3, 2)), {"rows": range(3), "fill": "last_close"}, "fill"),
    ],
)
def test_what_cannot_be_played_is_refused(weights, terms, message):
    for play in (sweep, sweep_moments):
        with pytest.raises(ValueError, match=message):
            play(WALK, weights, **terms)
