"""What the kernel finds at an address is what was put there, and nothing of another type gets there."""

import gc
import pickle
import weakref

import numpy as np
import pytest

from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.envs.stage import STAGE, Stage, new_outcome, stage_at
from foretrade.markets.accounts import new_accounts
from foretrade.markets.arrays import read_only
from foretrade.markets.compiled import Packed, compiled
from foretrade.markets.synthetic import random_walk
from foretrade.markets.trading import new_workspace


@pytest.fixture(scope="module")
def stage(walk):
    market = MarketEnv(walk).market
    return Stage(market, new_accounts(3), new_workspace(1), new_outcome(3, 1, tells=True))


@compiled
def found(address):
    stage = stage_at(address)
    stage.accounts.account[0, 1] = stage.market.prices[2, 0, 0]
    return stage.accounts.total, stage.market.lookback_bars, stage.outcome.told.shape[1]


def test_compiled_code_reads_and_writes_the_arrays_themselves(stage):
    packed = Packed(STAGE, stage)
    told = stage.outcome.told.shape[1]
    assert found(np.uint64(packed.address)) == (3, stage.market.lookback_bars, told)
    assert stage.accounts.account[0, 1] == stage.market.prices[2, 0, 0]


@pytest.mark.parametrize(
    "wrong",
    [lambda prices: prices.astype(np.float32), np.asfortranarray, lambda prices: prices[0]],
    ids=["of another type", "in another order", "of another dimension"],
)
def test_arrays_that_compiled_code_would_misread_are_refused(stage, wrong):
    market = stage.market._replace(reference=wrong(stage.market.reference))
    with pytest.raises(TypeError, match="cannot serve as"):
        Packed(STAGE, stage._replace(market=market))


def test_memory_that_nobody_may_write_to_serves_the_market_but_no_account(stage):
    fixed = stage.market._replace(prices=read_only(stage.market.prices))
    assert Packed(STAGE, stage._replace(market=fixed)).address
    accounts = stage.accounts._replace(account=read_only(stage.accounts.account))
    with pytest.raises(TypeError, match="readonly array.* cannot serve as array"):
        Packed(STAGE, stage._replace(accounts=accounts))
    with pytest.raises(TypeError, match="float64 cannot serve as int64"):
        Packed(STAGE, stage._replace(accounts=stage.accounts._replace(total=3.0)))


def test_whoever_holds_the_step_holds_what_it_works_on(walk):
    env = MarketEnv(walk)
    env.reset(seed=0)
    advance, memory = env.seat.advance, weakref.ref(env.seat._stage)
    del env
    gc.collect()
    assert memory() is not None
    assert advance() == 0


@pytest.mark.parametrize("symbols", [1, 2])
def test_an_account_travels_between_processes_in_mid_episode(symbols):
    panels = [random_walk(n, symbols=2, seed=n) for n in (300, 340)]
    chosen = panels[0].symbols[:symbols]
    env = MarketEnv(panels, symbols=chosen, episodes=Episodes(9, random_start=True))
    markets = set()
    for seed in range(6):
        env.reset(seed=seed)
        env.action_space.seed(seed)
        for _ in range(4):
            *_, info = env.step(env.action_space.sample())
        markets.add(info["market"])
        assert env.rows.start < info["row"] < env.rows.stop
        assert np.array_equal(info["close"], env.bars.close[info["row"], : len(chosen)].squeeze())
        twin, action = pickle.loads(pickle.dumps(env)), env.action_space.sample()
        for mine, theirs in zip(env.step(action)[:4], twin.step(action)[:4], strict=True):
            assert np.array_equal(mine, theirs)
        mine, theirs = env.seat.info(0), twin.seat.info(0)
        assert all(np.array_equal(mine[key], theirs[key]) for key in mine)
    assert markets == {0, 1}
