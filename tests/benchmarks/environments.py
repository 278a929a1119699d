"""Environment steps per second beside numpy's rate of copying the same observations; ``make bench``.

The batch is first checked against single environments, bit for bit. Machines are shared: read the
ratios, which are medians over interleaved rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np
from gymnasium.vector import AutoresetMode
from rich.console import Console
from rich.table import Table

from foretrade.envs import kernel
from foretrade.envs.market import MarketEnv
from foretrade.envs.vector import MarketVectorEnv

ROUNDS = 5
SECONDS = 0.3


def rate(work: Callable[[], object], steps: int) -> float:
    """Steps a second of repeated work."""
    work()
    start, done = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < SECONDS:
        work()
        done += steps
    return done / elapsed


def check_parity(market: MarketEnv) -> None:
    batch = MarketVectorEnv(3, market=market, autoreset_mode=AutoresetMode.SAME_STEP)
    singles = [market.copy() for _ in range(3)]
    batch.reset(seed=0)
    for i, single in enumerate(singles):
        single.reset(seed=i)
    rng = np.random.default_rng(0)
    for _ in range(100):
        actions = rng.uniform(-1, 1, (3, 1)).astype(np.float32)
        seen, rewards, *_ = batch.step(actions)
        for i, single in enumerate(singles):
            observation, reward, *_ = single.step(actions[i])
            assert np.array_equal(seen[i], observation)
            assert rewards[i] == reward


def batch_rates(market: MarketEnv, n: int) -> tuple[float, float, float]:
    """Rates of ``MarketVectorEnv.step``, of its kernel alone, and of copying the observations."""
    batch = MarketVectorEnv(n, market=market, autoreset_mode=AutoresetMode.SAME_STEP)
    batch.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-1, 1, (n, 1)).astype(np.float32)
    accounts, seen = kernel.new_accounts(n), np.zeros_like(batch._seen)
    playing, target = np.ones(n, dtype=np.bool_), np.empty_like(seen)
    rows = np.linspace(market.rows.start, market.rows.stop - 300, n).astype(int).tolist()

    def kernel_steps() -> None:
        for i, row in enumerate(rows):
            kernel.begin(market.market, accounts, i, row, 252, seen)
        accounts.book.targets[:] = actions
        for _ in range(250):
            kernel.advance(market.market, accounts, playing, seen)

    return (
        rate(lambda: batch.step(actions), n),
        rate(kernel_steps, 250 * n),
        rate(lambda: np.copyto(target, seen), n),
    )


def scalar_rate(market: MarketEnv) -> float:
    single, action = market.copy(), np.array([0.5], dtype=np.float32)

    def episode() -> None:
        single.reset(seed=0)
        for _ in range(252):
            single.step(action)

    return rate(episode, 252)


def main() -> None:
    market = MarketEnv("sp500", random_start=True, episode_bars=252)
    check_parity(market)
    entries = market.observation_space.shape[0]
    table = Table("accounts", "step", "kernel", "copy", "kernel / copy", title="million steps a second")
    for n in (1, 256, 1024, 4096):
        rounds = [batch_rates(market, n) for _ in range(ROUNDS)]
        step, alone, copy = (median(values) for values in zip(*rounds, strict=True))
        ratio = median(r[1] / r[2] for r in rounds)
        table.add_row(str(n), *(f"{x / 1e6:.2f}" for x in (step, alone, copy)), f"{ratio:.1%}")
    console = Console()
    console.print("batch and single environments agree bit for bit over 100 steps")
    console.print(table)
    single = median(scalar_rate(market) for _ in range(ROUNDS)) / 1e6
    console.print(f"MarketEnv.step: {single:.3f} million a second; {entries} observation entries")


if __name__ == "__main__":
    main()
