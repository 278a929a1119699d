"""The environment against vectorbt, bt and backtrader, independent engines, in matched conventions.

Every bar trades to random targets at its close. Without fees all size weights alike. With fees
each has its own rule of what a weight is a fraction of, and none of them is wrong:

- foretrade: of the equity that is left after the costs of the whole trade;
- vectorbt and backtrader: of the equity before the trade; the costs come on top;
- bt: the distance from the weight held, times the equity before the trade, is an amount of money from
  which the order's commission is paid too; a weight of zero sells exactly what is held.

With 10 bp of fee and weights drawn anew each bar, foretrade's weights lead within 150 bars to an equity
up to 4.1e-4 away from vectorbt's and 2.7e-4 from bt's: the orders differ, not the books. So fees are
compared in two exactly matched conventions: the engine sizes and foretrade holds the units of its rule,
or foretrade sizes and the engine holds foretrade's units. All agree to 4e-15.

backtrader as most people use it, without cheating, fills at the next open what was sized at the close.
So do foretrade's targets in units with ``fill="next_open"``; its weights are those at the open, after
costs, which no engine that sizes before the open can hold. Both matched conventions are compared there.
"""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose

from foretrade.envs.actions import UnitActions, WeightActions
from foretrade.envs.market import MarketEnv
from foretrade.markets.costs import Costs
from foretrade.markets.rules import Rules
from foretrade.markets.synthetic import random_walk

HERE = Path(__file__).parent
PYTHON = Path(
    os.environ.get("FORETRADE_ENGINES_PYTHON", HERE.parents[1] / ".venv-engines" / "bin" / "python")
)
pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(
        not PYTHON.exists(),
        reason=f"{PYTHON} does not exist: install tests/parity/engines.txt into a virtual environment "
        "and name its interpreter in FORETRADE_ENGINES_PYTHON",
    ),
]
each_engine = pytest.mark.parametrize("engine", ["vectorbt", "bt", "backtrader"])
each_number_of_symbols = pytest.mark.parametrize("symbols", [1, 3])

MOST = {"vectorbt": 1.0, "bt": 1.0, "backtrader": 0.98}
"""The largest gross weight; backtrader drops an order that would take the last of the cash."""
CASH, FEE_BPS, DECISIONS = 1e6, 10.0, 150
RTOL = 1e-9
"""Of equity, at every bar."""


class Run(NamedTuple):
    """What the environment did, laid out as the engines see it: one row a bar, traded at its close."""

    prices: np.ndarray
    opens: np.ndarray
    weights: np.ndarray
    units: np.ndarray
    equity: np.ndarray


@cache
def market(symbols, space, fill, fee_bps):
    return MarketEnv(
        random_walk(300 + DECISIONS, symbols=symbols, volatility=0.03, seed=symbols),
        symbols=tuple(f"WALK{k}" for k in range(symbols)),
        fill=fill,
        costs=Costs(fee_bps, 0.0, 0.0, 0.0, 0.0),
        rules=Rules(max_leverage=2.0),
        actions=space,
        initial_equity=CASH,
    )


def draw_weights(symbols, most=1.0):
    """Long, short and flat, of at most ``most`` gross; some are exactly zero, some exactly ``most``."""
    rng = np.random.default_rng(symbols)
    sides = rng.choice([-1.0, 1.0], (DECISIONS, symbols))
    if symbols == 1:
        sizes = rng.choice([0.0, 1.0, np.nan], (DECISIONS, 1), p=[0.2, 0.2, 0.6])
        return most * sides * np.where(np.isnan(sizes), rng.uniform(size=(DECISIONS, 1)), sizes)
    sizes = rng.dirichlet(np.ones(symbols + 1), DECISIONS)[:, :symbols]  # the last share is cash
    return most * sides * sizes * (rng.uniform(size=sides.shape) > 0.2)


def play(env, weights, to_action=None):
    """Play the weights, or the actions that ``to_action(weight, price, info)`` makes of them.

    A fill at the next close trades one bar after the decision, so that the first bar holds nothing. At
    the same close the equity of a bar is that after its fill, which the next step's info tells.
    """
    _, info = env.reset(seed=0, options={"start": env.rows.start})
    same = env.fill == "same_close"
    units, equity = ([], []) if same else ([np.zeros(weights.shape[1])], [CASH])
    for weight, row in zip(weights, env.rows, strict=False):
        action = to_action(weight, env.bars.close[row], info) if to_action else weight
        _, _, terminated, _, info = env.step(action)
        assert not terminated
        units.append(np.atleast_1d(info["units"]))
        equity.append(info["fill_equity"] if same else info["equity"])
    asked = weights if same else np.vstack([units[0], weights])
    prices, opens = (p[env.rows.start :][: len(equity)] for p in (env.bars.close, env.bars.open))
    return Run(prices, opens, asked, np.array(units), np.array(equity))


def engine_equity(engine, folder, prices, targets, sizing, fee_bps, opens=None):
    opens = prices if opens is None else opens
    source, out = folder / "data.npz", folder / "out.npy"
    arrays = {"prices": prices, "opens": opens, "targets": targets}
    np.savez(source, **arrays, sizing=sizing, fee=fee_bps * 1e-4, cash=CASH)
    done = subprocess.run(
        [PYTHON, HERE / "engines.py", engine, source, out], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return np.load(out)


def vectorbt_units(weight, price, info):
    return weight * info["equity"] / price


def bt_units(weight, price, info):
    held = np.atleast_1d(info["units"])
    amount = weight * info["equity"] - held * price
    order = amount / (price * (1 + np.sign(amount) * FEE_BPS * 1e-4))
    return np.where(weight == 0, 0.0, held + order)


UNITS = {"vectorbt": vectorbt_units, "bt": bt_units, "backtrader": vectorbt_units}


@each_engine
@each_number_of_symbols
@pytest.mark.parametrize("fill", ["next_close", "same_close"])
def test_weights_without_fees(engine, symbols, fill, tmp_path):
    ours = play(market(symbols, WeightActions(), fill, 0.0), draw_weights(symbols, MOST[engine]))
    theirs = engine_equity(engine, tmp_path, ours.prices, ours.weights, "weights", 0.0)
    assert_allclose(ours.equity, theirs, rtol=RTOL)


@each_engine
@each_number_of_symbols
def test_fees_where_the_engine_sizes(engine, symbols, tmp_path):
    """Weights stay below 1, for vectorbt buys for no more than the cash it has."""
    weights, space = draw_weights(symbols, 0.98), UnitActions(-1e5, 1e5)
    ours = play(market(symbols, space, "same_close", FEE_BPS), weights, UNITS[engine])
    theirs = engine_equity(engine, tmp_path, ours.prices, weights, "weights", FEE_BPS)
    assert_allclose(ours.equity, theirs, rtol=RTOL)
    other = play(market(symbols, space, "same_close", FEE_BPS * (1 + 1e-6)), weights, UNITS[engine])
    assert np.abs(other.equity / theirs - 1).max() > 10 * RTOL  # 10.00001 bp would be seen


@each_engine
@each_number_of_symbols
def test_fees_where_foretrade_sizes(engine, symbols, tmp_path):
    """The engine's own books say that the weights asked for are held after costs."""
    weights = draw_weights(symbols, MOST[engine])
    ours = play(market(symbols, WeightActions(), "next_close", FEE_BPS), weights)
    theirs = engine_equity(engine, tmp_path, ours.prices, ours.units, "units", FEE_BPS)
    assert_allclose(ours.equity, theirs, rtol=RTOL)
    assert_allclose(ours.units * ours.prices / theirs[:, None], ours.weights, atol=RTOL)


@pytest.mark.parametrize("symbols", [1, 2])
@pytest.mark.parametrize("fee_bps", [0.0, FEE_BPS])
def test_fills_at_the_next_open_where_the_engine_sizes(symbols, fee_bps, tmp_path):
    """By what the account is worth at the close; the open is elsewhere, so weights stay below 0.8."""
    weights, space = draw_weights(symbols, 0.8), UnitActions(-1e5, 1e5)
    ours = play(market(symbols, space, "next_open", fee_bps), weights, UNITS["backtrader"])
    assert np.abs(ours.opens[1:] / ours.prices[:-1] - 1).max() > 0.01
    targets = np.vstack([weights, weights[-1:]])  # what is decided at the last close fills no more
    theirs = engine_equity(
        "backtrader-next-open", tmp_path, ours.prices, targets, "weights", fee_bps, ours.opens
    )
    assert_allclose(ours.equity, theirs, rtol=RTOL)
    late = play(
        market(symbols, UnitActions(-1e5, 1e5), "next_close", fee_bps), weights, UNITS["vectorbt"]
    )
    assert np.abs(late.equity / theirs - 1).max() > 1e-3  # another fill would be seen


@pytest.mark.parametrize("symbols", [1, 2])
@pytest.mark.parametrize("fee_bps", [0.0, FEE_BPS])
def test_fills_at_the_next_open_where_foretrade_sizes(symbols, fee_bps, tmp_path):
    ours = play(
        market(symbols, WeightActions(), "next_open", fee_bps), draw_weights(symbols, MOST["backtrader"])
    )
    targets = np.vstack([ours.units[1:], ours.units[-1:]])  # held at a close, decided at the one before
    theirs = engine_equity(
        "backtrader-next-open", tmp_path, ours.prices, targets, "units", fee_bps, ours.opens
    )
    assert_allclose(ours.equity, theirs, rtol=RTOL)
