"""How fast sweeps are; ``make bench-backtests``. Machines are shared: read the ratios.

First vectorbt, bt and backtrader (if ``tests/parity/engines.txt`` is installed) must agree with our
books on 5,031 bars, to 1e-9 at every bar. Then rounds are interleaved over our sweeps, vectorbt and the
memory's bandwidth: a loop that reads and writes arrays as large. All times are of one thread's CPU,
which neighbours on a shared machine disturb less than the clock's. The tables go into
docs/speed_backtests.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numba
import numpy as np
from rich.console import Console
from rich.progress import track

from foretrade.backtests.sweep import Moments, sweep, sweep_moments
from foretrade.markets.bars import Bars
from foretrade.markets.costs import FREE, Costs
from foretrade.markets.rules import Rules
from foretrade.markets.sources import load
from foretrade.markets.synthetic import random_walk

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "speed_backtests.md"
FEE_BPS, CASH, RTOL = 10.0, 1e6, 1e-9
FEES = replace(FREE, fee_bps=FEE_BPS)
EVERYTHING: dict[str, Any] = {
    "costs": Costs(2, 1, 50, 150, 10),
    "rules": Rules(max_leverage=0.9, no_trade_band=0.01),
}
MANY = 1000
OWN = [
    "fee", "fee, flows", "fee, fresh", "everything", "everything, flows", "metrics", "general"
]  # fmt: skip


def draw_weights(steps: int, strategies: int, seed: int = 0) -> np.ndarray:
    """In [0, 0.95], drawn anew in two bars of five: a turnover of about 31 a year."""
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.0, 0.95, (steps, strategies))
    kept = rng.uniform(size=weights.shape) > 0.39
    for k in range(1, steps):
        np.copyto(weights[k], weights[k - 1], where=kept[k])
    return weights


class Peer:
    """An engine in a process of its own; see backtest_peers.py."""

    def __init__(self, python: Path, name: str, folder: Path, **data: Any) -> None:
        source = folder / f"{name}.npz"
        np.savez(source, fee=FEE_BPS * 1e-4, cash=CASH, **data)
        threads = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        self.out = folder / f"{name}.npy"
        self.process = subprocess.Popen(
            [python, HERE / "backtest_peers.py", name, source],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | threads,
        )

    def equity(self) -> np.ndarray:
        self._ask(f"equity {self.out}")
        return np.load(self.out)

    def seconds(self) -> float:
        return self._ask("time")

    def close(self) -> None:
        self.process.communicate()

    def _ask(self, what: str) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def as_traded(weights: np.ndarray) -> np.ndarray:
    """What is decided at a close trades at the next; nothing at the first."""
    return np.concatenate([np.zeros_like(weights[:1]), weights])


def units_of(bars: Bars, weights: np.ndarray, equity: np.ndarray) -> np.ndarray:
    """Units that hold the weights, which are fractions of the equity after the costs of the trade."""
    shape = (len(bars), -1) if weights.ndim == 2 else (len(bars), len(bars.symbols), 1)
    worth = equity if weights.ndim == 2 else equity[:, None, :]
    return as_traded(weights) * worth / bars.close.reshape(shape)


def check_parity(python: Path, folder: Path, bars: Bars, weights: np.ndarray) -> list[str]:
    """The largest relative difference of any equity, engine by engine."""
    lines = ["| engine | assets | strategies | largest difference |", "| --- | --- | --- | --- |"]
    pair = random_walk(len(bars), symbols=2)
    both = 0.5 * np.stack([weights[:, :1], weights[:, 1:2]], axis=1)
    cases = [("vectorbt sweep", bars, weights)]
    cases += [(name, bars, weights[:, :1]) for name in ("bt", "backtrader")]
    cases += [(name, pair, both) for name in ("vectorbt", "bt", "backtrader")]
    for name, market, targets in cases:
        ours = sweep(market, targets, costs=FEES, initial_equity=CASH).equity
        units = units_of(market, targets, ours).reshape(len(market), -1)
        prices = {"prices": market.close, "opens": market.open}
        peer = Peer(python, name, folder, **prices, targets=units, sizing="units")
        theirs = peer.equity().reshape(ours.shape)
        peer.close()
        off = float(np.abs(theirs / ours - 1).max())
        assert off < RTOL, f"{name} differs by {off}"
        assets = len(market.symbols)
        lines.append(f"| {name} | {assets} | {ours.shape[1]:,} | {off:.0e} |")
    return lines


@numba.njit  # type: ignore[untyped-decorator]
def pass_over(source: np.ndarray, target: np.ndarray) -> None:
    """24 bytes an element: one read, one fetched to be written, one written."""
    for i in range(source.size):
        target[i] = 0.5 * source[i] + 1.0


class Bandwidth:
    """Time to read an array and write another."""

    def __init__(self, source: np.ndarray) -> None:
        self.source, self.target = source.reshape(-1), np.zeros(source.size)

    def seconds(self) -> float:
        return timed(lambda: pass_over(self.source, self.target))


class Ours:
    """Something of ours to do again and again."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work

    def seconds(self) -> float:
        return timed(self.work)


def timed(work: Callable[[], Any]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


def headline(moments: Moments, periods_per_year: float) -> np.ndarray:
    """Total return, growth a year, volatility, Sharpe, drawdown and Calmar, ``[6, strategies]``."""
    total = moments.final_equity / moments.initial_equity
    growth = total ** (periods_per_year / moments.steps) - 1
    volatility = np.sqrt(moments.variance * periods_per_year)
    sharpe = moments.mean * periods_per_year / volatility
    fall = moments.max_drawdown
    return np.stack([total - 1, growth, volatility, sharpe, fall, growth / -fall])


def runners(bars: Bars, weights: np.ndarray) -> dict[str, Any]:
    """All that is timed in our own process."""
    everything = EVERYTHING | {"costs": Costs(2, 1, 50, 150, 10, minimum_fee=1.0)}
    few, out = np.ascontiguousarray(weights[:, :128]), np.zeros((len(bars), weights.shape[1]))
    bare: dict[str, Any] = {"out": out, "flows": False}
    return {
        "fee": Ours(lambda: sweep(bars, weights, costs=FEES, **bare)),
        "everything": Ours(lambda: sweep(bars, weights, **EVERYTHING, **bare)),
        "fee, flows": Ours(lambda: sweep(bars, weights, costs=FEES, out=out)),
        "everything, flows": Ours(lambda: sweep(bars, weights, **EVERYTHING, out=out)),
        "fee, fresh": Ours(lambda: sweep(bars, weights, costs=FEES, flows=False)),
        "metrics": Ours(lambda: headline(sweep_moments(bars, weights, costs=FEES), 252)),
        "one": Ours(lambda: sweep(bars, weights[:, :1], costs=FEES, flows=False)),
        "general": Ours(lambda: sweep(bars, few, **everything)),
        "memory": Bandwidth(weights),
    }


def measure(work: dict[str, Any], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, round by round, after one round to warm up; each round in an order of its own."""
    names, seconds = list(work), {name: list[float]() for name in work}
    for k in track(range(rounds + 1), description="rounds", console=Console(stderr=True)):
        for name in np.random.default_rng(k).permutation(names).tolist():
            taken = work[name].seconds()
            if k > 0:
                seconds[name].append(taken)
    return seconds


def ratio(seconds: dict[str, list[float]], one: str, other: str) -> float:
    return median(a / b for a, b in zip(seconds[one], seconds[other], strict=True))


def own_table(
    seconds: dict[str, list[float]], bars: int, strategies: int, names: list[str]
) -> list[str]:
    every = "fee, half-spread, borrow, financing, interest, leverage limit, band"
    titles = {
        "fee": "fee",
        "fee, flows": "fee; turnover and cost, too",
        "fee, fresh": "fee, into memory fresh from the system",
        "everything": every,
        "everything, flows": f"{every}; turnover and cost, too",
        "metrics": "fee; six metrics, turnover and cost, no equity kept",
        "general": "all that and a minimum fee, by the ledger itself",
    }
    lines = []
    for name in names:
        many = 128 if name == "general" else strategies
        each = median(seconds[name]) / (bars * many)
        share = strategies / many
        against = f"{ratio(seconds, name, 'memory') * share:.1f}×"
        took = f"{median(seconds[name]) * 1e3:.2f} ms"
        lines.append(f"| {titles[name]} | {many:,} | {took} | {each * 1e9:.2f} | {against} |")
    return lines


def peer_table(seconds: dict[str, list[float]], slow: dict[str, float]) -> list[str]:
    lines = [
        f"| engine | one strategy | {MANY:,} strategies | ours faster by |", "| --- | --- | --- | --- |"
    ]  # fmt: skip
    one, many = (f"{median(seconds[name]) * 1e3:.2f} ms" for name in ("one", "fee"))
    lines.append(f"| foretrade | {one} | {many} | |")
    if "vectorbt sweep" in seconds:
        many = f"{median(seconds['vectorbt sweep']):.2f} s"
        faster = f"{ratio(seconds, 'vectorbt sweep', 'fee'):.0f}×"
        lines.append(f"| vectorbt (numba) | | {many} | {faster} |")
    for name, each in slow.items():
        faster = each * MANY / median(seconds["fee"])
        lines.append(f"| {name} | {each:.2f} s | {each * MANY:.0f} s, extrapolated | {faster:,.0f}× |")
    return lines


def beside_peers(
    python: Path, folder: Path, bars: Bars, weights: np.ndarray, rounds: int
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Times of ours and of vectorbt, interleaved; and of the engines that loop, one strategy."""
    work, slow = runners(bars, weights), {}
    if python.exists():
        data = {"prices": bars.close, "opens": bars.open, "sizing": "weights"}
        data["targets"] = as_traded(weights)
        work["vectorbt sweep"] = Peer(python, "vectorbt sweep", folder, **data)
    seconds = measure(work, rounds)
    if python.exists():
        work["vectorbt sweep"].close()
        for name in ("bt", "backtrader"):
            peer = Peer(python, name, folder, **data | {"targets": as_traded(weights[:, :1])})
            slow[name] = median([peer.seconds() for _ in range(3)])
            peer.close()
    return seconds, slow


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--engines", type=Path, default=HERE.parents[1] / ".venv-engines/bin/python")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.name}")
    chosen = parser.parse_args()
    bars = load("sp500")
    weights = draw_weights(len(bars) - 1, MANY)
    parts = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if chosen.engines.exists():
            parity = check_parity(chosen.engines, folder, bars, weights)
            parts.append("### Equal equity\n\n" + "\n".join(parity))
        seconds, slow = beside_peers(chosen.engines, folder, bars, weights, chosen.rounds)
    turnover = float(sweep(bars, weights, costs=FEES).turnover.mean())
    large = draw_weights(len(bars) - 1, 10 * MANY)
    work = {k: v for k, v in runners(bars, large).items() if k in ("everything", "memory")}
    larger = measure(work, min(chosen.rounds, 5))
    lines = [
        "| charged | strategies | CPU | ns a bar and strategy | of the bandwidth's time |",
        "| --- | --- | --- | --- | --- |",
        *own_table(seconds, len(weights), MANY, OWN),
        *own_table(larger, len(weights), 10 * MANY, ["everything"]),
    ]
    parts.append("### Beside peers\n\n" + "\n".join(peer_table(seconds, slow)))
    parts.append("### Beside the memory\n\n" + "\n".join(lines))
    parts.append(
        f"Six metrics without equity take {ratio(seconds, 'metrics', 'fee'):.1f} times as long as the "
        f"sweep that keeps it. Mean turnover of the weights: {turnover:.0f} a year. Medians of "
        f"{chosen.rounds} interleaved rounds of one thread's CPU time, Python "
        f"{platform.python_version()}, numpy {np.__version__}, numba {numba.__version__}."
    )
    text = "\n\n".join(parts)
    Console().print(text, markup=False, highlight=False, soft_wrap=True)
    if chosen.write:
        head = PAGE.read_text(encoding="utf-8").partition("<!-- measured -->")[0]
        PAGE.write_text(f"{head}<!-- measured -->\n\n{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
