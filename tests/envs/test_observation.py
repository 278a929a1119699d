"""What is shown, where it stands, and that none of it comes from the future."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from foretrade.envs.actions import SimplexActions, WeightActions
from foretrade.envs.market import MarketEnv
from foretrade.envs.observation import BOUND, RMS_WINDOW_BARS, ClippedColumnWarning, market_rows
from foretrade.markets.bars import Bars, DataError
from foretrade.markets.features import FeatureConfig, compute_features
from foretrade.markets.nopeek import assert_future_invisible
from foretrade.markets.rules import Rules
from foretrade.markets.synthetic import random_walk
from foretrade.markets.table import NEVER, Column, Table

WALK = random_walk(500, seed=1)
PANEL = random_walk(500, symbols=3, seed=1)
SMALL = FeatureConfig(momentum_bars=(5,), trend_bars=10, volatility_bars=(5, 20), zscore_bars=20)


def with_forecasts(bars: Bars, config: FeatureConfig = SMALL) -> Table:
    forecast = {Column("f.mean", "log return"): bars.close / 1e4}
    return compute_features(bars, config).join(Table.from_columns(bars, forecast))


def gappy(symbol: int = 1, rows: slice = slice(120, 260)) -> Bars:
    fields = {name: getattr(PANEL, name).copy() for name in ("open", "high", "low", "close", "volume")}
    for values in fields.values():
        values[rows, symbol] = np.nan
    return replace(PANEL, **fields)


def test_a_window_holds_the_last_rows_oldest_first():
    table = with_forecasts(WALK)
    window = ("return_lag_0", "volume")
    env = MarketEnv(WALK, table, window=window, observe=["f.mean"], lookback_bars=4)
    single = MarketEnv(WALK, table, observe=[*window, "f.mean"])
    rows = {}
    single.reset(options={"start": 200})
    for row in range(201, 220):
        rows[row] = single.step(np.zeros(1, np.float32))[0]
    env.reset(options={"start": 200})
    for row in range(201, 220):
        seen = env.step(np.zeros(1, np.float32))[0]
        if row < 204:
            continue
        assert_array_equal(seen[:8].reshape(4, 2), [rows[row - lag][:2] for lag in (3, 2, 1, 0)])
        assert_array_equal(seen[8:], rows[row][2:])
    names = env.layout.names
    assert names[0] == "return_lag_0[t-3]"
    assert names[6:9] == ("return_lag_0", "volume", "f.mean")
    assert env.layout.index("volume[t-1]") == 5


def test_the_first_rows_wait_for_the_whole_window():
    first = MarketEnv(WALK, with_forecasts(WALK)).rows.start
    later = MarketEnv(WALK, with_forecasts(WALK), lookback_bars=10).rows.start
    assert later == first + 9
    with pytest.raises(DataError, match="10 complete rows up to it, which the lookback needs"):
        MarketEnv(WALK, with_forecasts(WALK), lookback_bars=10, rows=range(first + 2, 400))


def test_a_dict_is_the_same_numbers_in_parts():
    options = {"symbols": PANEL.symbols, "lookback_bars": 3, "window": ["volume"], "observe": ["f.mean"]}
    table = with_forecasts(PANEL)
    flat = MarketEnv(PANEL, table, **options)
    parts = MarketEnv(PANEL, table, as_dict=True, **options)
    one, two = flat.reset(seed=0)[0], parts.reset(seed=0)[0]
    assert {name: part.shape for name, part in two.items()} == {
        "window": (3, 3, 1),
        "current": (6,),
        "account": (11,),
    }
    assert_array_equal(np.concatenate([part.ravel() for part in two.values()]), one)
    assert parts.observation_space.contains(two)
    assert flat.layout.names[0] == "WALK0:volume[t-2]"
    assert flat.layout.names[-2:] == ("account.drawdown", "account.cash")
    assert "WALK2:account.weight" in flat.layout.names


def test_every_entry_has_a_name_a_unit_a_bound_and_a_normalisation():
    rules = Rules(unfilled="carry", max_participation=0.1)
    bars = gappy()
    env = MarketEnv(bars, with_forecasts(bars), symbols=bars.symbols, rules=rules, lookback_bars=2)
    described = env.describe()
    assert len(described) == env.observation_space.shape[0] == described["name"].nunique()
    assert described.notna().all(axis=None)
    assert (described[["name", "unit", "normalisation"]] != "").all(axis=None)
    assert_array_equal(described["low"], env.observation_space.low)
    assert described["high"].max() <= BOUND
    for name in ("WALK1:has_bar", "WALK1:account.pending"):
        assert name in set(described["name"])


def test_a_symbol_that_is_missing_for_years_shows_zeros_and_cannot_be_bought():
    bars = gappy(rows=slice(0, 300))
    env = MarketEnv(bars, with_forecasts(bars), symbols=bars.symbols, actions=SimplexActions())
    observation, info = env.reset(options={"start": 250})
    names = env.layout.names
    own = [i for i, name in enumerate(names) if name.startswith("WALK1:") and "account" not in name]
    assert (observation[own] == 0).all()
    for row in range(251, 340):
        observation, *_, info = env.step(np.full(3, 1 / 3, np.float32))
        present = row >= 300
        assert observation[names.index("WALK1:has_bar")] == float(env.parts[0].known[row, 1])
        if present:
            assert_allclose(info["achieved"], 1 / 3, rtol=1e-3)
        else:
            assert info["units"][1] == 0
            assert info["achieved"][1] == 0


def test_a_position_in_a_symbol_that_goes_missing_is_kept_and_sold_when_it_counts_as_delisted():
    bars = gappy(rows=slice(300, 500))
    rules = Rules(delist_after_bars=5)
    env = MarketEnv(bars, with_forecasts(bars), symbols=bars.symbols, rules=rules)
    env.reset(options={"start": 290})
    for row in range(291, 320):
        *_, info = env.step(np.full(3, 0.3, np.float32))
        assert (info["units"][1] != 0) == (row < 304)
    assert_allclose(info["close"][1], PANEL.close[299, 1])


def test_a_halted_symbol_keeps_its_price_and_is_not_traded():
    halted = np.zeros(PANEL.close.shape, dtype=bool)
    halted[301:304, 0] = True
    env = MarketEnv(PANEL, symbols=PANEL.symbols, halted=halted, rules=Rules(2.0))
    env.reset(options={"start": 300})
    for row in range(301, 306):
        *_, info = env.step(np.full(3, 0.3, np.float32))
        assert (info["units"][0] == 0) == (row < 304)
        assert info["close"][0] == PANEL.close[row, 0]


def test_one_symbol_can_have_all_and_so_can_cash():
    env = MarketEnv(PANEL, symbols=PANEL.symbols, actions=SimplexActions())
    env.reset()
    for action in np.array([[1, 0, 0], [0, 0, 0], [0, 1, 1], [0.2, 0.3, 0.1]], np.float32):
        info = env.step(action)[-1]
        assert_allclose(info["achieved"], action / max(1, action.sum()), atol=1e-7)


def test_account_entries_are_what_the_info_says():
    env = MarketEnv(PANEL, symbols=PANEL.symbols, actions=WeightActions(-1, 1), rules=Rules(2.0))
    env.action_space.seed(3)
    env.reset(seed=0)
    peak = 1e6
    for _ in range(50):
        seen, *_, info = env.step(env.action_space.sample())
        peak = max(peak, info["equity"])
        shown = dict(zip(env.layout.names, seen, strict=True))
        assert_allclose(shown["account.cash"], info["cash"] / info["equity"], rtol=1e-6)
        assert_allclose(shown["account.drawdown"], info["equity"] / peak - 1, atol=1e-7)
        for i, symbol in enumerate(PANEL.symbols):
            weight = info["units"][i] * info["close"][i] / info["equity"]
            assert_allclose(shown[f"{symbol}:account.weight"], weight, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("accounting", ["equity", "fixed_notional"])
def test_the_account_is_divided_by_what_its_normalisation_says(accounting):
    rules = Rules(2.0, accounting=accounting, unfilled="carry", max_participation=1e-4)
    env = MarketEnv(WALK, rules=rules, reward="simple_return", fill="next_close")
    env.reset(options={"start": 300})
    for _ in range(60):
        seen, *_, info = env.step(np.ones(1, np.float32))
    bases = {"equity": info["equity"], "initial equity (the notional)": env.initial_equity}
    assert abs(info["equity"] / env.initial_equity - 1) > 1e-3
    value = {"account.weight": info["units"] * info["close"], "account.cash": info["cash"]}
    said = env.describe().set_index("name")["normalisation"]
    for name in (*value, "account.pending"):
        what, _, base = said[name].partition(" / ")
        assert base == list(bases)[accounting == "fixed_notional"], what
        if name in value:
            assert_allclose(seen[env.layout.index(name)], value[name] / bases[base], rtol=1e-6)


@pytest.mark.parametrize("many", [False, True])
def test_windows_and_panels_do_not_see_the_future(many):
    def observations(bars: Bars) -> np.ndarray:
        env = MarketEnv(
            bars,
            with_forecasts(bars),
            symbols=bars.symbols,
            lookback_bars=4,
            rows=range(100, len(bars)),
            rules=Rules(2.0, delist_after_bars=3),
        )
        seen = np.full((len(bars), len(env.layout.entries)), np.nan)
        observation, info = env.reset()
        rng, over = np.random.default_rng(0), False
        weights = rng.uniform(-1, 1, (len(bars), len(bars.symbols))).astype(np.float32)
        while not over:
            seen[info["row"]] = observation
            observation, _, terminated, truncated, info = env.step(weights[info["row"]])
            over = terminated or truncated
        seen[info["row"]] = observation
        return seen

    assert_future_invisible(observations, PANEL if many else WALK, (150, 333, 480))


def in_units(unit: str, values: np.ndarray | None = None, bars: Bars = WALK) -> Table:
    values = bars.close if values is None else values
    return Table.from_columns(bars, {Column("x", unit): values})


def shown(table: Table) -> np.ndarray:
    every = np.ones((len(table), len(table.symbols)), dtype=bool)
    return market_rows(table, ["x"], range(len(table.symbols)), every)


@pytest.mark.parametrize("unit", ["USD", "index points", "price", "anything"])
def test_a_column_with_a_dimension_is_shown_as_a_z_score_of_its_last_year(unit):
    table = in_units(unit, bars=PANEL)
    expected = np.zeros((500, 3))
    for row in range(1, 500):
        past = PANEL.close[max(0, row + 1 - RMS_WINDOW_BARS) : row + 1]
        expected[row] = (past[-1] - past.mean(axis=0)) / past.std(axis=0, ddof=1)
    assert_allclose(shown(table), np.clip(expected, -BOUND, BOUND), rtol=1e-5, atol=1e-6)
    (entry,) = MarketEnv(WALK, in_units(unit)).describe().query("name == 'x'").itertuples()
    assert entry.unit == "z"
    assert entry.normalisation.startswith(f"{unit} less their mean over the last 252 bars")


def test_a_column_without_a_spread_and_the_first_of_all_are_zero():
    assert (shown(in_units("USD", np.full((500, 1), 0.1))) == 0).all()
    steps = np.where(np.arange(500)[:, None] < 100, 0.1, 0.3)
    seen = shown(in_units("USD", steps))[:, 0]
    assert (seen[:100] == 0).all()
    assert (seen[100 : 99 + RMS_WINDOW_BARS] > 0).all()
    assert (seen[99 + RMS_WINDOW_BARS :] == 0).all()  # no rest of a running sum


@pytest.mark.parametrize("unit", ["USD", "log return", "ratio"])
@pytest.mark.parametrize("later", [1e9, -3.0, 0.0, np.nan])
def test_later_values_change_no_bit_of_a_normalised_column(unit, later):
    values = WALK.close / 20
    for row in (1, 2, 100, 252, 400):
        changed = values.copy()
        changed[row + 1 :] *= later
        seen, then = (shown(in_units(unit, x))[: row + 1] for x in (values, changed))
        assert seen.tobytes() == then.tobytes()


@pytest.mark.parametrize("unit", ["1/sqrt(year)", "flag", "log ratio", "ratio", "return", "vol", "z"])
def test_a_column_without_a_dimension_is_shown_as_it_is(unit):
    values = np.random.default_rng(0).normal(0, 1.5, (500, 1))
    table = in_units(unit, values)
    assert_array_equal(shown(table), values.astype(np.float32))
    (entry,) = MarketEnv(WALK, table).describe().query("name == 'x'").itertuples()
    assert (entry.unit, entry.normalisation) == (unit, "none: the column has no dimension")


def test_what_the_house_computes_needs_no_normalisation(sp500):
    MarketEnv(sp500)  # no warning
    features = compute_features(sp500)
    rows = market_rows(features, features.names, [0], features.complete(features.names, 0)[:, None])
    expected = np.nan_to_num(features.values[:, 0]).astype(np.float32)
    whole = features.complete(features.names, 0)
    assert_array_equal(rows[whole], np.clip(expected[whole], -BOUND, BOUND))


def test_a_column_that_is_cut_in_silence_no_more():
    values = np.zeros((500, 1))
    values[[3, 99, 150, 200, 260], 0] = 10.5, -30.0, 11.0, -10.5, 1e9
    table, rows = in_units("ratio", values), range(100, 200)
    said = r"1\.00% of the values of column 'x' lie beyond ±10 .* give the real unit, such as \"USD\""
    with pytest.warns(ClippedColumnWarning, match=said) as caught:
        env = MarketEnv(WALK, table, rows=rows)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    env.copy()  # says it no more
    with pytest.warns(ClippedColumnWarning, match=r"1\.98% of the values"):
        MarketEnv(WALK, table, rows=rows, window=["x"], lookback_bars=2)
    MarketEnv(WALK, table, rows=range(100, 150))
    MarketEnv(WALK, in_units("USD", values), rows=rows)
    MarketEnv(WALK, in_units("log return", values), rows=rows)


def test_a_window_cannot_be_empty_and_symbols_must_differ():
    with pytest.raises(ValueError, match="lookback_bars must be a whole number of at least 1"):
        MarketEnv(WALK, lookback_bars=0)
    with pytest.raises(DataError, match="symbols must be one or more different ones"):
        MarketEnv(PANEL, symbols=["WALK0", "WALK0"])


def test_a_window_may_not_show_forecasts_that_saw_the_future():
    table = with_forecasts(WALK)
    cutoff = np.full(len(WALK), NEVER)
    cutoff[:200] = WALK.stamps[250]  # fitted in sample up to bar 250
    peeking = replace(table, cutoff=cutoff)
    MarketEnv(WALK, peeking, rows=range(200, 400))
    with pytest.raises(DataError, match="row 191: its forecast comes from a model fitted up to"):
        MarketEnv(WALK, peeking, rows=range(200, 400), lookback_bars=10)


def test_the_shape_of_an_observation_does_not_tell_of_later_gaps():
    whole = MarketEnv(PANEL, with_forecasts(PANEL), symbols=PANEL.symbols)
    bars = gappy(rows=slice(400, 500))
    assert MarketEnv(bars, with_forecasts(bars), symbols=bars.symbols).layout.names == whole.layout.names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bars": [WALK, WALK], "table": with_forecasts(WALK)}, "2 bars and 1 tables: give one table"),
        ({"bars": []}, "0 bars and 0 tables"),
        ({"rows": (0, 10)}, r"rows must be a range such as range\(100, 500\), got \(0, 10\)"),
        ({"variance": np.ones(7)}, r"variance has shape \(7,\); give a number"),
        ({"lookback_bars": 600}, r"WALK0: no row has all of: .* \(over 600 bars\)"),
        ({"halted": np.zeros((500, 3), bool)}, "one column for each traded symbol"),
    ],
)
def test_bad_arguments_name_the_remedy(arguments, message):
    with pytest.raises(ValueError, match=message):
        MarketEnv(**({"bars": WALK} | arguments))
