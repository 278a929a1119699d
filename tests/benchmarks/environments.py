"""How fast the environments are; ``make bench``. Machines are shared: read the ratios.

First the batch is checked against single environments, bit for bit. Then rounds are interleaved over our
environments, numpy's rate of copying the same observations and, if ``make bench-peers`` has installed
them, rival environments in processes of their own; what is told are medians of the rounds' ratios.
The tables go into docs/speed.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from rich.console import Console
from rich.progress import track

from foretrade.envs.actions import WeightActions
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.envs.vector import MarketVectorEnv
from foretrade.markets.bars import Bars
from foretrade.markets.costs import Costs
from foretrade.markets.features import FeatureConfig, compute_features
from foretrade.markets.rules import Rules
from foretrade.markets.sources import load
from foretrade.markets.table import Column, Table

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "speed.md"
PEERS = ("gym-anytrading", "gym-trading-env", "finrl", "finrl-numpy", "finrl 30", "finrl-numpy 30",
         "torchtrade x256", "torchtrade x1024", "torchtrade x4096")  # fmt: skip
WINDOWED = 10
EPISODES = Episodes(252, random_start=True)
COSTS = Costs(2, 1, 50, 150, 10, fee_per_unit=0.005, minimum_fee=1.0, impact_bps=10.0, quadratic=1e-9)
TERMS = ("all costs", "everything on")
SLIDES = "window of 20, all costs"
WHOLE = f"{SLIDES}, written whole"
ALL_COSTS = {"costs": COSTS, "rules": Rules(2.0, no_trade_band=0.01, max_participation=0.1)}
EVERYTHING = {
    "costs": COSTS,
    "rules": Rules(
        2.0,
        max_net=1.5,
        no_trade_band=0.01,
        lot_size=1.0,
        minimum_order=100.0,
        max_participation=0.1,
        maintenance_margin=0.25,
        margin_check="high_low",
    ),
    "actions": WeightActions(-1.0, 1.0, stop_loss=(0.05,), take_profit=(0.1,)),
}


def table_of(bars: Bars) -> Table:
    """Standard features, and eight columns of made-up forecasts."""
    rng = np.random.default_rng(0)
    shape = bars.close.shape
    forecasts = {Column(f"f{k}.mean", "log return"): rng.normal(0, 1e-3, shape) for k in range(8)}
    features = compute_features(bars, FeatureConfig())
    return features.select(features.names[:WINDOWED]).join(Table.from_columns(bars, forecasts))


def markets(bars: Bars) -> dict[str, MarketEnv]:
    """The environments that are measured."""
    table = table_of(bars)
    window = {"window": table.names[:WINDOWED], "lookback_bars": 20}
    return {
        f"{kind}{more}": MarketEnv(bars, table, episodes=EPISODES, **shown, **terms)
        for kind, shown in (("compact", {}), ("window of 20", window))
        for more, terms in (("", {}), (", all costs", ALL_COSTS), (", everything on", EVERYTHING))
    }


def panel(bars: Bars, symbols: int) -> Bars:
    """Made-up relatives of one series, as the peers' 30 assets are."""
    rng = np.random.default_rng(0)
    noise = np.exp(np.cumsum(rng.normal(0, 0.005, (len(bars), symbols)), axis=0))
    fields = {name: getattr(bars, name) * noise for name in ("open", "high", "low", "close")}
    return Bars(
        symbols=tuple(f"S{i}" for i in range(symbols)),
        closes_at=bars.closes_at,
        volume=np.repeat(bars.volume, symbols, axis=1),
        frequency=bars.frequency,
        periods_per_year=bars.periods_per_year,
        timezone=bars.timezone,
        source="panel",
        **fields,
    )


def check_parity(market: MarketEnv) -> None:
    batch = MarketVectorEnv(3, market=market, autoreset_mode=AutoresetMode.SAME_STEP)
    singles = [market.copy() for _ in range(3)]
    batch.reset(seed=0)
    batch.action_space.seed(0)
    for i, single in enumerate(singles):
        single.reset(seed=i)
    for _ in range(100):
        actions = batch.action_space.sample()
        seen, rewards, *_ = batch.step(actions)
        for i, single in enumerate(singles):
            observation, reward, *_ = single.step(actions[i])
            assert np.array_equal(seen[i], observation)
            assert rewards[i] == reward


@dataclass
class Ours:
    """A batch, or one environment, that steps for a while and says how fast it was."""

    market: MarketEnv
    accounts: int = 0
    whole: bool = False

    def __post_init__(self) -> None:
        self.market.action_space.seed(0)
        if self.accounts:
            shape = (self.accounts, len(self.market.layout.entries))
            buffers = (np.zeros(shape, np.float32), np.zeros(shape, np.float32))
            self.batch = MarketVectorEnv(
                self.accounts,
                market=self.market,
                autoreset_mode=AutoresetMode.SAME_STEP,
                copy=False,
                infos=False,
                buffers=buffers if self.whole else None,
            )
            self.batch.action_space.seed(0)
            self.actions = [self.batch.action_space.sample() for _ in range(16)]
            self.batch.reset(seed=0)
        else:
            self.actions = [self.market.action_space.sample() for _ in range(512)]
            self.market.reset(seed=0)

    def rate(self, seconds: float) -> float:
        """Steps a second."""
        step, done = (self.many if self.accounts else self.single), 0
        start = time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds:
            done += step()
        return done / elapsed

    def single(self) -> int:
        env = self.market
        for action in self.actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return len(self.actions)

    def many(self) -> int:
        for actions in self.actions:
            self.batch.step(actions)
        return len(self.actions) * self.accounts


class Copy:
    """numpy copying the observations of so many accounts."""

    def __init__(self, accounts: int, entries: int) -> None:
        self.source = np.random.default_rng(0).normal(size=(accounts, entries)).astype(np.float32)
        self.target = np.empty_like(self.source)

    def rate(self, seconds: float) -> float:
        done, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds:
            for _ in range(64):
                np.copyto(self.target, self.source)
            done += 64 * len(self.source)
        return done / elapsed


class Peer:
    """A rival in a process of its own; see peers.py."""

    def __init__(self, python: Path, name: str, data: Path) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [python, HERE / "peers.py", name, data],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.facts: dict[str, Any] = json.loads(self._line())

    def rate(self, seconds: float) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        return float(json.loads(self._line()))

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


def rivals(python: Path, bars: Bars, folder: Path) -> Iterator[tuple[str, Peer]]:
    """Those that are installed."""
    fields = [getattr(bars, name)[:, 0] for name in ("open", "high", "low", "close", "volume")]
    data = folder / "bars.npy"
    np.save(data, np.column_stack([bars.stamps / 1e9, *fields]))
    if python.exists():
        for name in PEERS:
            yield name, Peer(python, name, data)


def measure(runners: dict[str, Any], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Rates of each, round by round."""
    rates: dict[str, list[float]] = {name: [] for name in runners}
    for runner in runners.values():
        runner.rate(0.05)
    for _ in track(range(rounds), description="rounds", console=Console(stderr=True)):
        for name, runner in runners.items():
            rates[name].append(runner.rate(seconds))
    return rates


def first_steps() -> tuple[float, float]:
    """Seconds to a first step in a process with an empty cache of compiled code, and in the next."""
    code = (
        "import time, numpy as np; from foretrade.envs.market import MarketEnv; "
        "from foretrade.markets.synthetic import random_walk; bars = random_walk(600); "
        "start = time.perf_counter(); env = MarketEnv(bars); env.reset(seed=0); "
        "env.step(np.zeros(1, np.float32)); print(time.perf_counter() - start)"
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"XDG_CACHE_HOME": folder}
        first, second = (
            float(
                subprocess.run(
                    [sys.executable, "-c", code],
                    env=environment,
                    capture_output=True,
                    check=True,
                    text=True,
                ).stdout
            )
            for _ in range(2)
        )
    return first, second


def rows(
    rates: dict[str, list[float]], entries: dict[str, int]
) -> Iterator[tuple[str, list[list[str]]]]:
    """Tables of the page: a title and lines."""

    def ratio(one: str, other: str) -> float:
        return median(a / b for a, b in zip(rates[one], rates[other], strict=True))

    def rate(name: str) -> str:
        value = median(rates[name])
        return f"{value / 1e6:.1f} M" if value >= 1e6 else f"{value / 1e3:.3g} k"

    lines = [["observation", "entries", "accounts", "steps/s", "of the copy rate", "time / plain"]]
    for kind in ("compact", "window of 20"):
        for n in (256, 1024, 4096, 16384):
            copies = f"copy {entries[kind]} x{n}"
            for name in (kind, *(f"{kind}, {terms}" for terms in TERMS), WHOLE):
                if not name.startswith(kind):
                    continue
                slower = f"{ratio(f'{kind} x{n}', f'{name} x{n}'):.2f}×" if name != kind else ""
                share = f"{ratio(f'{name} x{n}', copies):.0%}"
                lines.append([name, str(entries[kind]), f"{n:,}", rate(f"{name} x{n}"), share, slower])
            lines.append(["numpy's copy", str(entries[kind]), f"{n:,}", rate(copies), "", ""])
    yield "Batches", lines
    lines = [["environment", "accounts", "steps/s", "ours", "ours / theirs"]]
    for peer in (name for name in PEERS if name in rates):
        for own in opponents(peer):
            lines.append([peer, "", rate(peer), own, f"{ratio(own, peer):.2f}×"])
    yield "Beside peers", lines


def opponents(peer: str) -> tuple[str, ...]:
    """Which of ours a peer is measured against."""
    if " x" in peer:
        n = peer.partition(" x")[2]
        kinds = (f"{kind}, {terms}" for kind in ("window of 20", "compact") for terms in TERMS)
        return tuple(f"{name} x{n}" for name in kinds)
    if peer.endswith(" 30"):
        return ("30 assets x1", "30 assets x1024")
    return ("compact x1", "window of 20 x1")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", type=Path, default=HERE.parents[1] / ".venv-peers/bin/python")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.name}")
    chosen = parser.parse_args()
    bars = load("sp500")
    ours = markets(bars)
    for market in ours.values():
        check_parity(market)
    many = panel(bars, 30)
    assets = MarketEnv(many, compute_features(many), symbols=many.symbols, episodes=EPISODES)
    check_parity(assets)
    runners: dict[str, Any] = {}
    entries = {name: len(market.layout.entries) for name, market in ours.items()}
    for n in (256, 1024, 4096, 16384):
        runners |= {f"{name} x{n}": Ours(market, n) for name, market in ours.items()}
        runners[f"{WHOLE} x{n}"] = Ours(ours[SLIDES], n, whole=True)
        runners |= {f"copy {k} x{n}": Copy(n, k) for k in set(entries.values())}
    runners |= {f"{name} x1": Ours(market.copy()) for name, market in ours.items()}
    runners |= {"30 assets x1": Ours(assets.copy()), "30 assets x1024": Ours(assets, 1024)}
    with tempfile.TemporaryDirectory() as folder:
        runners |= dict(rivals(chosen.peers, bars, Path(folder)))
        rates = measure(runners, chosen.rounds, chosen.seconds)
    text = page(rates, entries, first_steps())
    Console().print(text, markup=False, highlight=False, soft_wrap=True)
    if chosen.write:
        head = PAGE.read_text(encoding="utf-8").partition("<!-- measured -->")[0]
        PAGE.write_text(f"{head}<!-- measured -->\n\n{text}\n", encoding="utf-8")


def page(rates: dict[str, list[float]], entries: dict[str, int], first: tuple[float, float]) -> str:
    """The tables in Markdown."""
    parts = [
        "The batch and single environments agreed bit for bit before anything was timed. Medians of "
        f"{len(next(iter(rates.values())))} interleaved rounds, "
        f"Python {platform.python_version()}, numpy {np.__version__}, one thread."
    ]
    for title, lines in rows(rates, entries):
        head, *body = lines
        table = ["| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *body)]
        parts.append(f"### {title}\n\n" + "\n".join(table))
    parts.append(
        f"First step of a process: {first[0]:.1f} s with an empty cache of compiled code, "
        f"{first[1]:.2f} s with a full one."
    )
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
