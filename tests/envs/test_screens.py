"""Windows that slide show what windows written whole show, and nobody can spoil them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from hypothesis import given
from hypothesis import strategies as st

from foretrade.envs import screens
from foretrade.envs.actions import InvalidAction
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.envs.vector import MarketVectorEnv
from foretrade.markets.accounts import LANES
from foretrade.markets.synthetic import random_walk

BARS = random_walk(400, seed=2)
PANEL = random_walk(360, symbols=3, seed=3)
WINDOW = ("return_lag_0", "volume", "rsi_14")
MODES = (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED)


def make_market(symbols: int = 1, lookback_bars: int = 6, **more: object) -> MarketEnv:
    more = {"episodes": Episodes(11, random_start=True)} | more
    if symbols == 1:
        return MarketEnv(BARS, window=WINDOW, lookback_bars=lookback_bars, **more)
    return MarketEnv(PANEL, symbols=PANEL.symbols, window=WINDOW, lookback_bars=lookback_bars, **more)


def buffers_of(market: MarketEnv, n: int) -> tuple[np.ndarray, np.ndarray]:
    shape = (n, len(market.layout.entries))
    return np.zeros(shape, np.float32), np.zeros(shape, np.float32)


def step_both(sliding: MarketVectorEnv, whole: MarketVectorEnv, steps: int, rng) -> None:
    """Observations of both, those of the step before included, which last until the next."""
    before = None
    for _ in range(steps):
        if sliding.autoreset_mode is AutoresetMode.DISABLED and sliding._ended.any():
            over = {"reset_mask": sliding._ended.copy()}
            before = sliding.reset(options=over)[0]
            assert np.array_equal(before, whole.reset(options=over)[0])
        kept = None if before is None else before.copy()
        actions = rng.uniform(-1, 1, sliding.action_space.shape).astype(np.float32)
        seen, *_, infos = sliding.step(actions)
        also_seen, *_, also_infos = whole.step(actions)
        assert np.array_equal(seen, also_seen)
        assert seen.flags.c_contiguous
        if before is not None:
            assert np.array_equal(before, kept)
        if "final_obs" in infos:
            for one, other in zip(infos["final_obs"], also_infos["final_obs"], strict=True):
                assert np.array_equal(one, other)
        before = seen


@given(
    st.sampled_from(MODES),
    st.sampled_from([1, 3]),
    st.integers(3, 9),
    st.sampled_from([0.0, 4.0]),
    st.integers(1, 4),
    st.integers(2, 5),
    st.integers(0, 99),
)
def test_windows_that_slide_are_windows_written_whole(mode, symbols, lookback, jumps, n, places, seed):
    """Over turns of the memory, ends of episodes, seams of bootstrapped paths, resets, refusals."""
    market = make_market(
        symbols, lookback, episodes=Episodes(11, random_start=True, bootstrap_bars=jumps)
    )
    lean = {"market": market, "autoreset_mode": mode, "copy": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screens, "PLACES", places)
        sliding = MarketVectorEnv(n, **lean)
    whole = MarketVectorEnv(n, buffers=buffers_of(market, n), **lean)
    rng = np.random.default_rng(seed)
    assert np.array_equal(sliding.reset(seed=seed)[0], whole.reset(seed=seed)[0])
    for _ in range(4):
        step_both(sliding, whole, int(rng.integers(1, 16)), rng)
        if mode is AutoresetMode.DISABLED:
            continue
        if mode is AutoresetMode.SAME_STEP:
            with pytest.raises(InvalidAction):
                sliding.step(np.full(sliding.action_space.shape, 2.0, np.float32))
        step_both(sliding, whole, int(rng.integers(1, 4)), rng)
        some = {"reset_mask": np.arange(n) % 2 == 0}
        assert np.array_equal(sliding.reset(options=some)[0], whole.reset(options=some)[0])


@pytest.mark.parametrize("threads", [1, 2])
def test_neighbours_share_the_memory_between_them(threads):
    """Over more places than there are, and more accounts than a block holds."""
    n, market = LANES + 3, make_market(lookback_bars=4)
    lean = {"market": market, "autoreset_mode": AutoresetMode.SAME_STEP, "infos": False}
    sliding = MarketVectorEnv(n, threads=threads, copy=False, **lean)
    whole = MarketVectorEnv(n, buffers=buffers_of(market, n), **lean)
    sliding.reset(seed=1)
    whole.reset(seed=1)
    step_both(sliding, whole, 3 * screens.PLACES, np.random.default_rng(0))
    first, second = sliding._screens._memory
    entries = n * len(market.layout.entries)
    assert entries < first.size == second.size < 1.2 * entries
    sliding.close()


def test_a_state_and_a_pickle_go_on():
    market, rng = make_market(lookback_bars=8), np.random.default_rng(0)
    lean = {"market": market, "autoreset_mode": AutoresetMode.SAME_STEP, "infos": False, "copy": False}
    batch, whole = MarketVectorEnv(5, **lean), MarketVectorEnv(5, buffers=buffers_of(market, 5), **lean)
    batch.reset(seed=4)
    whole.reset(seed=4)
    step_both(batch, whole, 7, rng)
    state, seen = batch.state(), batch._screens.seen.copy()
    step_both(batch, whole, 4, rng)
    for one in (batch, whole):
        assert np.array_equal(one.set_state(state), seen)
    step_both(batch, whole, 9, rng)
    state = batch.state()
    for one in (batch, whole):
        one.set_state(state | {"seen": np.zeros_like(state["seen"])})  # of which nothing is kept
    step_both(batch, whole, 9, rng)
    twin = pickle.loads(pickle.dumps(batch))
    step_both(twin, whole, 9, rng)
    assert len(pickle.dumps(batch)) < len(pickle.dumps(make_market())) + 200_000


def test_nobody_writes_to_what_the_next_windows_begin_with():
    batch = MarketVectorEnv(2, market=make_market(), copy=False)
    seen, _ = batch.reset(seed=0)
    with pytest.raises(ValueError, match="read-only"):
        seen *= 2.0
    own = MarketVectorEnv(2, market=make_market())
    free, _ = own.reset(seed=0)
    free *= 2.0  # a copy
    assert np.array_equal(
        own.step(np.zeros((2, 1), np.float32))[0], batch.step(np.zeros((2, 1), np.float32))[0]
    )


def test_only_the_newest_bars_are_written():
    """What stands there already is left alone, or the tests above would compare nothing."""
    batch = MarketVectorEnv(1, market=make_market(lookback_bars=6, episodes=Episodes(50)), copy=False)
    batch.reset(seed=0)
    hold = np.zeros((1, 1), np.float32)
    for _ in range(4):
        batch.step(hold)
    batch._screens._memory[1 - batch._screens.side][...] = 77.0
    seen = batch.step(hold)[0]
    bars, each = 6, len(WINDOW)
    old, new = (bars - 2) * each, 2 * each
    assert (seen[0, :old] == 77.0).all()
    assert (np.abs(seen[0, old : old + new]) <= 10.0).all()


def test_who_was_waiting_begins_once_though_another_ends_in_that_step():
    """A state of a batch of ``NEXT_STEP``, taken over by one of ``SAME_STEP``."""
    market, hold = make_market(episodes=Episodes(5)), np.zeros((3, 1), np.float32)
    waits = MarketVectorEnv(3, market=market, autoreset_mode=AutoresetMode.NEXT_STEP)
    waits.reset(seed=0)
    waits.step(hold)
    waits.reset(options={"reset_mask": np.array([False, False, True])})
    for _ in range(4):
        waits.step(hold)
    assert waits.state()["ended"].tolist() == [True, True, False]
    lean = {"market": market, "autoreset_mode": AutoresetMode.SAME_STEP, "infos": False}
    batch = MarketVectorEnv(3, **lean)
    batch.set_state(waits.state())
    ends = [(step[2] | step[3]).tolist() for step in (batch.step(hold) for _ in range(10))]
    first, last = [False] * 5 + [True] + [False] * 4, [True] + [False] * 4 + [True] + [False] * 4
    assert [list(account) for account in zip(*ends, strict=True)] == [first, first, last]
