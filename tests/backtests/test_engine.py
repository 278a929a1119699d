"""Runs of one symbol and of many: whole books, no silent refusal, and bad actions by name."""

from __future__ import annotations

from dataclasses import dataclass, replace

import gymnasium
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from foretrade.agents.baselines import Constant
from foretrade.backtests.engine import COSTS, IN_WORDS, read_runs, run, write_runs
from foretrade.backtests.metrics import score_run
from foretrade.backtests.ratios import ratios_of
from foretrade.envs.actions import InvalidAction, PositionActions
from foretrade.envs.market import MarketEnv
from foretrade.markets.bars import DataError
from foretrade.markets.costs import Costs
from foretrade.markets.reasons import REASONS
from foretrade.markets.rules import Rules
from foretrade.markets.synthetic import random_walk

SYMBOLS = ("WALK0", "WALK1", "WALK2")
RESERVED = 3e-5
"""Of equity: what was set aside for the costs of an order that is then refused or rounded stays cash.

Whatever else was ordered in the step holds its weight of the equity without it, to the same share.
"""


@dataclass
class Drawn:
    """Random weights of at most ``most`` a symbol."""

    symbols: int = 3
    most: float = 0.6
    seed: int = 0

    def reset(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def decide(self, observation):
        return self.rng.uniform(-self.most, self.most, (1, self.symbols)).astype(np.float32)


@dataclass
class Scripted:
    """The same action, but for one decision."""

    usual: np.ndarray
    at: int
    then: np.ndarray

    def reset(self) -> None:
        self.decisions = 0

    def decide(self, observation):
        self.decisions += 1
        return np.array([self.then if self.decisions - 1 == self.at else self.usual])


@pytest.fixture(scope="module")
def bars():
    return random_walk(340, symbols=3, seed=5)


@pytest.fixture(scope="module")
def panel(bars):
    return run(Drawn(), MarketEnv(bars, symbols=SYMBOLS), name="panel")


def test_the_books_of_a_panel_are_whole(panel, bars):
    steps = len(panel.ledger)
    assert panel.holdings.shape == (3 * steps, 11)
    assert list(panel.holdings["symbol"][:4]) == [*SYMBOLS, "WALK0"]
    value = (panel.holdings["units"] * panel.holdings["close"]).to_numpy().reshape(-1, 3).sum(axis=1)
    ledger = panel.ledger
    assert_allclose(ledger["cash"] + value, ledger["equity"], rtol=1e-12)
    before = np.concatenate([[panel.initial_equity], ledger["equity"].to_numpy()[:-1]])
    costs = ledger[list(COSTS)].sum(axis=1) - 2 * ledger["interest"]
    assert_allclose(ledger["equity"], before + ledger["price_pnl"] - costs, rtol=1e-12)
    row = bars.closes_at.get_loc(panel.holdings["closes_at"][7])
    assert panel.holdings["close"][7] == bars.close[row, 1]
    assert_allclose(panel.weights, panel.symbol_weights.sum(axis=1), rtol=0)
    assert_allclose(panel.symbol_weights.to_numpy().ravel() * np.repeat(ledger["equity"], 3),
                    panel.holdings["units"] * panel.holdings["close"], rtol=1e-9)  # fmt: skip
    assert panel.invested.all()


def test_a_panel_is_scored_like_any_other_run(panel, bars):
    scores, ratios = score_run(panel, 252), ratios_of(panel, panel, 252)
    returns = panel.equity.to_numpy() / np.concatenate([[1e6], panel.equity.to_numpy()[:-1]]) - 1
    assert_allclose(scores.sharpe, returns.mean() / returns.std(ddof=1) * 252**0.5, rtol=1e-9)
    assert scores.time_in_market == ratios.exposure.time_in_market == 1.0
    assert ratios.exposure.long + ratios.exposure.short == pytest.approx(1.0)
    gross = panel.symbol_weights.abs().sum(axis=1).mean()
    assert ratios.exposure.mean_gross == pytest.approx(gross)
    assert set(panel.decisions["symbol"]) == set(SYMBOLS)
    assert list(panel.fills) == ["closes_at", "traded", "fee", "spread", "impact"]
    assert list(panel.positions) == ["closes_at", "cash", "weight"]


def test_a_symbol_that_is_never_traded_changes_nothing(bars):
    alone = run(Constant_of(bars, ("WALK0",)), MarketEnv(bars, symbols=("WALK0",)))
    beside = run(Scripted(np.array([0.5, 0.0], np.float32), -1, np.zeros(2)),
                 MarketEnv(bars, symbols=("WALK0", "WALK1")))  # fmt: skip
    both = beside.equity.align(alone.equity, join="inner")
    assert len(both[0]) == len(beside.ledger) == len(alone.ledger)
    assert_allclose(*both, rtol=1e-12)
    mine = beside.holdings.query("symbol == 'WALK0'").reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, alone.holdings, rtol=1e-12)
    assert beside.holdings.query("symbol == 'WALK1'")["units"].eq(0).all()


def Constant_of(bars, symbols, weight=0.5):
    env = MarketEnv(bars, symbols=symbols)
    return Constant(env.layout, env.actions, weight)


def test_runs_of_one_and_of_many_survive_parquet(panel, bars, tmp_path):
    one = run(
        Constant_of(bars, ("WALK1",)), MarketEnv(bars, symbols="WALK1", fill="same_close"), name="1"
    )
    path = tmp_path / "ledger.parquet"
    assert write_runs([one, panel], path) == [path, tmp_path / "ledger.holdings.parquet"]
    again = read_runs(path)
    assert list(again) == ["1", "panel"]
    for item in (one, panel):
        read = again[item.name]
        pd.testing.assert_frame_equal(read.ledger, item.ledger)
        pd.testing.assert_frame_equal(read.holdings, item.holdings)
        assert (read.fill, read.symbols, read.initial_equity) == (item.fill, item.symbols, 1e6)
    assert write_runs([one], path) == [path]
    assert not (tmp_path / "ledger.holdings.parquet").exists()  # of the runs that were there before
    write_runs([panel], path)
    (tmp_path / "ledger.holdings.parquet").unlink()
    with pytest.raises(DataError, match="run the backtest again"):
        read_runs(path)


@pytest.mark.parametrize(("fill", "idealised"), [("same_close", True), ("next_close", False)])
def test_a_run_knows_that_its_fills_are_ideal(bars, fill, idealised):
    env = MarketEnv(bars, symbols="WALK0", fill=fill)
    assert run(Constant(env.layout, env.actions, 1.0), env).idealised is idealised


def test_every_reason_has_words():
    assert tuple(IN_WORDS) == REASONS


@settings(max_examples=25)
@given(
    lot=st.sampled_from([0.0, 1.0, 700.0]),
    minimum=st.sampled_from([0.0, 20_000.0]),
    band=st.sampled_from([0.0, 0.1]),
    part=st.sampled_from([1e-3, None]),
    leverage=st.sampled_from([0.7, 2.0]),
    seed=st.integers(0, 1000),
)
def test_nothing_is_cut_or_rounded_without_a_word(bars, lot, minimum, band, part, leverage, seed):
    rules = Rules(
        lot_size=lot, minimum_order=minimum, no_trade_band=band, max_participation=part,
        max_leverage=leverage,
    )  # fmt: skip
    env = MarketEnv(bars, symbols=SYMBOLS, rules=rules, rows=range(280, 340))
    made = run(Drawn(seed=seed), env)
    rows = made.holdings
    off = (rows["requested"] - rows["achieved"]).abs() > RESERVED
    assert (rows.loc[off, "reason"] != 0).all()
    as_asked = rows["reason"] == 0
    held = (rows["achieved"] / rows["requested"]).where(as_asked & (rows["requested"].abs() > 0.01))
    shares = held.to_numpy().reshape(-1, 3)
    shares = shares[np.isfinite(shares).any(axis=1)]
    assert (np.nanmax(shares, axis=1) - np.nanmin(shares, axis=1)).max(initial=0.0) < 1e-7
    assert np.nanmax(shares, initial=0.0) < 1 + 1e-7  # what is set aside is never spent
    alone = (rows["reason"] == 0).to_numpy().reshape(-1, 3).all(axis=1).repeat(3)
    assert_allclose(rows["requested"][alone], rows["achieved"][alone], rtol=0, atol=1e-9)
    told = made.refusals
    assert len(told) == (rows["reason"] != 0).sum()
    assert told["why"].str.len().gt(0).all()
    assert not (off.any() and told.empty)


def test_a_refusal_says_when_what_and_why(bars):
    rules = Rules(lot_size=1000.0, max_leverage=1.0)
    env = MarketEnv(bars, symbols=SYMBOLS, rules=rules)
    told = run(Scripted(np.array([0.9, 0.9, 0.0], np.float32), -1, np.zeros(3)), env).refusals
    assert list(told) == ["decided_at", "symbol", "requested", "achieved", "why"]
    first = told.iloc[0]
    assert (first["symbol"], round(first["requested"], 3)) == ("WALK0", 0.9)
    assert first["achieved"] <= 0.5
    assert first["why"] == "cut to the limit on leverage or net weight; rounded to whole lots"
    free = MarketEnv(bars, symbols=SYMBOLS, costs=Costs(0, 0, 0, 0, 0))
    assert run(Drawn(most=0.3), free).refusals.empty


def test_a_symbol_without_a_bar_is_told(bars):
    gaps = {}
    for name in ("open", "high", "low", "close", "volume"):
        values = getattr(bars, name).copy()
        values[300:303, 1] = np.nan
        gaps[name] = values
    table = MarketEnv(bars, symbols=SYMBOLS).table
    env = MarketEnv(replace(bars, **gaps), table, symbols=SYMBOLS, rows=range(280, 330))
    made = run(Drawn(most=0.3), env)
    told = made.refusals
    assert list(told["symbol"]) == ["WALK1"] * 3
    assert set(told["why"]) == {IN_WORDS["no_bar"]}
    assert np.isfinite(made.symbol_weights.to_numpy()).all()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1.5])
def test_a_weight_that_is_no_weight_is_named_with_bar_and_symbol(bars, wrong):
    agent = Scripted(np.zeros(3, np.float32), 4, np.array([0.1, wrong, 0.0], np.float32))
    env = MarketEnv(bars, symbols=SYMBOLS)
    bar = bars.closes_at[env.rows.start + 4]
    with pytest.raises(InvalidAction) as error:
        run(agent, env, name="mine")
    assert str(error.value).startswith(f"mine, decision of {bar}: action[1] = ")
    assert str(error.value).endswith(", for WALK1")


def test_an_action_of_the_wrong_shape_names_its_bar(bars):
    env = MarketEnv(bars, symbols=SYMBOLS)
    with pytest.raises(InvalidAction, match=r"^agent, decision of 20.*: action of shape \(2,\)"):
        run(Scripted(np.zeros(2), -1, np.zeros(2)), env)


def test_numbered_positions_dicts_and_wrappers_run_too(bars):
    env = MarketEnv(bars, symbols="WALK0", actions=PositionActions((0.0, 1.0)))
    plain = run(Constant(env.layout, env.actions, 1.0), env)
    wrapped = gymnasium.wrappers.RecordEpisodeStatistics(env)
    assert run(Constant(env.layout, env.actions, 1.0), wrapped).equity.equals(plain.equity)

    class Holder:
        def reset(self):
            self.keys = None

        def decide(self, observation):
            self.keys = {key: value.shape[0] for key, value in observation.items()}
            return np.array([1])

    holder = Holder()
    parts = MarketEnv(bars, symbols="WALK0", actions=PositionActions((0.0, 1.0)), as_dict=True)
    assert run(holder, parts).equity.equals(plain.equity)
    assert set(holder.keys.values()) == {1}
    with pytest.raises(TypeError, match="needs a MarketEnv, got CartPole"):
        run(holder, gymnasium.make("CartPole-v1"))


def test_a_strategy_that_never_trades_has_empty_books(bars):
    made = run(Constant_of(bars, ("WALK0",), weight=0.0), MarketEnv(bars, symbols="WALK0"))
    assert made.fills.empty
    assert made.refusals.empty
    assert not made.invested.any()
    assert (made.equity == 1e6).all()


@pytest.mark.filterwarnings("ignore::foretrade.envs.observation.ClippedColumnWarning")
def test_a_ruined_panel_ends_and_holds_nothing(bars):
    fallen = np.where(np.arange(340) < 300, 1.0, 0.2)[:, None]
    prices = {name: getattr(bars, name) * fallen for name in ("open", "high", "low", "close")}
    env = MarketEnv(replace(bars, **prices), symbols=SYMBOLS, rules=Rules(max_leverage=3.0))
    made = run(Scripted(np.full(3, 0.9, np.float32), -1, np.zeros(3)), env)
    assert made.ledger["ruined"].to_numpy().nonzero()[0].tolist() == [len(made.ledger) - 1]
    assert made.ledger["equity"].iloc[-1] <= 0
    assert (made.symbol_weights.iloc[-1] == 0).all()
    assert not made.invested.iloc[-1]
    assert made.refusals["why"].iloc[-1] == IN_WORDS["ruin"]
