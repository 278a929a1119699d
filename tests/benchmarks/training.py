"""How fast agents learn; ``make bench-training``. Machines are shared: read the ratios.

Steps of training a second beside stable-baselines3's PPO on rivals' environments, in rounds that are
interleaved; then how long it takes until the greedy policy holds 0.95 of an optimum that is known.
Rivals run in processes of their own, if ``make bench-peers`` has installed them. The tables go into
docs/speed_training.md.
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
import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from environments import EPISODES, table_of
from optimum import search_bounded, search_predictable
from predictable import draw
from rich.console import Console
from rich.progress import track
from search import EQUAL, GOAL, learn
from stable_baselines3 import PPO

from foretrade.agents.fast_ppo import FastPPO
from foretrade.agents.ppo_config import PPOConfig
from foretrade.agents.store import ACTIVATIONS
from foretrade.agents.vector import MarketVecEnv
from foretrade.envs.market import MarketEnv
from foretrade.markets.bars import Bars
from foretrade.markets.fills import StaleOpenWarning
from foretrade.markets.sources import load

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "speed_training.md"
ACCOUNTS = 64
BATCH = ACCOUNTS * EQUAL["n_steps"]
BUDGET_S = 30.0  # of CPU for one search of ours
DEFAULTS = {"its defaults": 1.0, "its defaults, rewards × 1,000": 1e3}  # on market B: scale of rewards
PAIRS = {
    "gym-trading-env": ("foretrade, 240 entries", "stable-baselines3's PPO on ours, 240 entries"),
    "finrl": ("foretrade, 13 entries", "stable-baselines3's PPO on ours, 13 entries"),
    "gym-trading-env, defaults": ("foretrade, defaults",),
    "finrl, defaults": ("foretrade, defaults",),
}


class Ours:
    """A model on a batch of markets; ``steps`` are those of a round."""

    def __init__(
        self, market: MarketEnv, kind: type[PPO], accounts: int, steps: int, **settings: Any
    ) -> None:
        self.steps, self.entries = steps, len(market.layout.entries)
        self.env = MarketVecEnv(market, accounts)
        self.model = kind("MlpPolicy", self.env, device="cpu", seed=0, **settings)

    def learn(self) -> dict[str, float]:
        return learn(self.model, self.steps)

    def share_of_environments(self) -> float:
        """Of the CPU time of a round."""
        spent, step = 0.0, self.env.step_wait

        def timed() -> Any:
            nonlocal spent
            start = time.process_time()
            outcome = step()
            spent += time.process_time() - start
            return outcome

        self.env.step_wait = timed
        whole = self.learn()["cpu"]
        self.env.step_wait = step
        return spent / whole


class Rival:
    """A peer in a process of its own; see training_peers.py."""

    def __init__(self, python: Path, name: str, data: Path, steps: int = 0) -> None:
        self.steps = steps
        self.process = subprocess.Popen(
            [python, HERE / "training_peers.py", name, data],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        self.entries = int(self._line())

    def learn(self) -> dict[str, float]:
        return self.ask("learn", self.steps)

    def ask(self, word: str, number: int) -> dict[str, float]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word} {number}\n")
        self.process.stdin.flush()
        answer: dict[str, float] = json.loads(self._line())
        return answer

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


def ours(bars: Bars) -> dict[str, Ours]:
    """At equal settings with as many entries as the rivals show, and by defaults."""
    table, config = table_of(bars), PPOConfig()
    names = table.names
    narrow = MarketEnv(bars, table.select(names[:8]), episodes=EPISODES)
    wide = MarketEnv(
        bars,
        table.select(names[:15]),
        episodes=EPISODES,
        actions="position",
        window=names[:10],
        lookback_bars=23,
    )
    found = {}
    for market in (narrow, wide):
        size = f"{len(market.layout.entries)} entries"
        found[f"foretrade, {size}"] = Ours(market, FastPPO, ACCOUNTS, 2 * BATCH, **EQUAL)
        found[f"stable-baselines3's PPO on ours, {size}"] = Ours(market, PPO, ACCOUNTS, BATCH, **EQUAL)
    rollout = config.environments * config.rollout_bars
    found["foretrade, defaults"] = Ours(
        MarketEnv(bars, table, episodes=EPISODES),
        FastPPO,
        config.environments,
        8 * rollout,
        n_steps=config.rollout_bars,
        batch_size=config.batch_size,
        n_epochs=config.epochs,
        policy_kwargs={
            "net_arch": list(config.net_arch),
            "activation_fn": ACTIVATIONS[config.activation],
        },
    )
    return found


def rivals(python: Path, bars: Bars, folder: Path) -> dict[str, Rival]:
    """Those that are installed."""
    if not python.exists():
        return {}
    fields = [getattr(bars, name)[:, 0] for name in ("open", "high", "low", "close", "volume")]
    data = folder / "bars.npy"
    np.save(data, np.column_stack([bars.stamps / 1e9, *fields]))
    return {name: Rival(python, name, data, 2048 if "defaults" in name else BATCH) for name in PAIRS}


def measure(learners: dict[str, Any], rounds: int) -> dict[str, list[float]]:
    """Steps a second of CPU of each, round by round; the first round warms up."""
    rates: dict[str, list[float]] = {name: [] for name in learners}
    for _ in track(range(rounds + 1), description="rounds", console=Console(stderr=True)):
        for name, learner in learners.items():
            rates[name].append(learner.steps / learner.learn()["cpu"])
    return {name: values[1:] for name, values in rates.items()}


def searches(
    python: Path, seeds: int, largest: float, folder: Path
) -> dict[str, list[dict[str, float]]]:
    """Of ours and of rivals, seed by seed; on market B a rival gets ``largest`` times our median."""
    notes = {"market B": [search_bounded(seed, BUDGET_S) for seed in range(seeds)]}
    budget = largest * typical(notes["market B"])["cpu"]
    defaults = {
        name: subprocess.Popen(
            [sys.executable, HERE / "optimum.py", str(budget), str(scale)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        for name, scale in DEFAULTS.items()
    }
    train, judge = draw(20_000, 1), draw(3_001, 2)
    if python.exists():
        data = folder / "predictable.npz"
        parts = {"train": train, "judge": judge}
        arrays = {f"{part}_returns": drawn.returns for part, drawn in parts.items()}
        arrays |= {f"{part}_signals": drawn.signals for part, drawn in parts.items()}
        np.savez(data, **arrays)
        rival = Rival(python, "gym-trading-env, predictable", data)
        notes["gym-trading-env, AR(1)"] = [rival.ask("search", seed) for seed in range(seeds)]
    notes["AR(1)"] = [search_predictable(train, judge, seed, BUDGET_S) for seed in range(seeds)]
    for name, process in defaults.items():
        notes[name] = [json.loads(process.communicate()[0])]
    return notes


def typical(found: list[dict[str, float]]) -> dict[str, float]:
    """The median search by CPU; one that did not reach the goal comes after all that did."""
    ordered = sorted(found, key=lambda own: (own["best"] < GOAL, own["cpu"]))
    return ordered[len(ordered) // 2]


def speed_rows(
    rates: dict[str, list[float]], learners: dict[str, Any], shares: dict[str, float]
) -> Iterator[tuple[str, list[list[str]]]]:
    """Tables of steps a second."""

    def ratio(one: str, other: str) -> str:
        return f"{median(a / b for a, b in zip(rates[one], rates[other], strict=True)):.1f}×"

    lines = [["learner", "entries", "steps a second of CPU", "of them in environments"]]
    for name, values in rates.items():
        share = f"{shares[name]:.1%}" if name in shares else ""
        lines.append([name, str(learners[name].entries), f"{median(values):,.0f}", share])
    yield "Steps a second", lines
    lines = [["rival", "beside", "faster by"]]
    for rival, own in PAIRS.items():
        if rival in rates:
            lines += [[rival, name, ratio(name, rival)] for name in own]
    for fast, plain in (PAIRS["gym-trading-env"], PAIRS["finrl"]):
        lines.append([plain, fast, ratio(fast, plain)])
    yield "Beside rivals", lines


def search_rows(notes: dict[str, list[dict[str, float]]]) -> Iterator[tuple[str, list[list[str]]]]:
    """Tables of the time to the optimum; ratios are of CPU."""
    pairs = {"market B": tuple(DEFAULTS), "AR(1)": ("gym-trading-env, AR(1)",)}
    head = [
        "learner",
        "reached",
        "CPU",
        "wall",
        "steps",
        "best share",
        "CPU of each seed",
        "ours faster by",
    ]
    for title, others in pairs.items():
        middle = typical(notes[title])["cpu"]
        lines = [head, ["foretrade", *search_cells(notes[title]), ""]]
        for name in (name for name in others if name in notes):
            theirs = typical(notes[name])
            least = "more than " if theirs["best"] < GOAL else ""
            ratio = f"{least}{theirs['cpu'] / middle:.1f}×"
            lines.append([name, *search_cells(notes[name]), ratio])
        yield f"Time to {GOAL} of the optimum: {title}", lines


def search_cells(found: list[dict[str, float]]) -> list[str]:
    middle = typical(found)
    reached = [own["best"] >= GOAL for own in found]
    sign = "" if middle["best"] >= GOAL else "not within "
    each = [f"{own['cpu']:.1f}" if fine else "–" for own, fine in zip(found, reached, strict=True)]
    return [
        f"{sum(reached)} of {len(found)}",
        f"{sign}{middle['cpu']:.1f} s",
        f"{sign}{middle['wall']:.1f} s",
        f"{int(middle['steps']):,}",
        f"{middle['best']:.2f}",
        " · ".join(each),
    ]


def page(tables: list[tuple[str, list[list[str]]]], rounds: int) -> str:
    """The tables in Markdown."""
    parts = [
        f"Medians of {rounds} interleaved rounds and of the seeds; Python {platform.python_version()}, "
        f"torch {torch.__version__}, one thread, seconds of CPU unless said otherwise."
    ]
    for title, (head, *body) in tables:
        lines = ["| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *body)]
        parts.append(f"### {title}\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", type=Path, default=HERE.parents[1] / ".venv-peers/bin/python")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--largest", type=float, default=30.0, help="times our median for a rival's search"
    )
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.name}")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", StaleOpenWarning)
    bars = load("sp500")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        own = ours(bars)
        learners: dict[str, Any] = own | rivals(chosen.peers, bars, folder)
        rates = measure(learners, chosen.rounds)
        shares = {name: learner.share_of_environments() for name, learner in own.items()}
        tables = [*speed_rows(rates, learners, shares)]
        for learner in learners.values():
            if isinstance(learner, Rival):
                learner.process.terminate()
        tables += search_rows(searches(chosen.peers, chosen.seeds, chosen.largest, folder))
    text = page(tables, chosen.rounds)
    Console().print(text, markup=False, highlight=False, soft_wrap=True)
    if chosen.write:
        head = PAGE.read_text(encoding="utf-8").partition("<!-- measured -->")[0]
        PAGE.write_text(f"{head}<!-- measured -->\n\n{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
