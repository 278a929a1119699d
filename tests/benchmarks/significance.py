"""How fast tests of significance are, and how often wrong; ``make bench-significance``.

Each test runs beside ``arch`` on the same made-up returns, block length and seed, and must give the same
numbers before its time counts; machines are shared: read the ratios. ``arch`` has no probability of
overfitting: there the CPU time is told. Then, for minutes, each test judges made-up returns in which
there is nothing to find. The tables go into docs/significance.md.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import arch
import numpy as np
import pandas as pd
from arch.bootstrap import MCS, SPA, StationaryBootstrap
from rich.console import Console
from scipy.signal import lfilter
from threadpoolctl import threadpool_limits

from foretrade.backtests.overfitting import overfitting
from foretrade.backtests.significance import (
    probabilistic_sharpe,
    sharpe_difference,
    sharpe_interval,
    sharpe_ratio,
)
from foretrade.backtests.superiority import superior_ability
from foretrade.forecasters.elimination import elimination_p_values
from foretrade.markets.resampling import block_lengths

PAGE = Path(__file__).parents[2] / "docs" / "significance.md"
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"
YEARS_5, YEARS_20 = 1258, 5030
BLOCK, SEED, RESAMPLES = 10, 3, 1000
SIZES, SAMPLES = (0.05, 0.1), 1000


def made_up(bars: int, strategies: int) -> pd.DataFrame:
    """Strategies that share a part of their risk."""
    rng = np.random.default_rng(0)
    table = rng.normal(0.0, 0.007, (bars, 1)) + rng.normal(0.0, 0.007, (bars, strategies))
    table += rng.normal(0.0, 0.0003, strategies)
    return pd.DataFrame(table, columns=[f"rule {k}" for k in range(strategies)])


def seconds(work: Callable[[], Any], repeats: int = 5) -> tuple[float, Any]:
    """Median CPU time, once compiled, and what was found."""
    found = work()
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return statistics.median(taken), found


def once(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def interval() -> str:
    returns = made_up(YEARS_5, 1).iloc[:, 0].to_numpy()
    own, found = seconds(lambda: sharpe_interval(returns, 1.0, seed=SEED))

    def reference() -> Any:
        bootstrap = StationaryBootstrap(block_lengths(returns)[0], returns, seed=SEED)
        return bootstrap.conf_int(sharpe_ratio, RESAMPLES, method="percentile")[:, 0]

    theirs, expected = seconds(reference)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    return row("bootstrap interval of a Sharpe ratio, 1258 bars", own, theirs)


def difference() -> str:
    returns = made_up(YEARS_5, 2).to_numpy().T
    own, _ = seconds(lambda: sharpe_difference(*returns, 1.0, seed=SEED))
    return row("studentised difference of two Sharpe ratios, 1258 bars", own, None)


def superior(strategies: int) -> str:
    returns, benchmark = made_up(YEARS_20, strategies), made_up(YEARS_20, strategies + 1).iloc[:, -1]
    arguments = {"studentised": False, "block_bars": BLOCK, "seed": SEED}
    own, found = seconds(lambda: superior_ability(returns, benchmark, **arguments), 3)

    def reference() -> Any:
        losses = -returns.to_numpy()
        test = SPA(-benchmark.to_numpy(), losses, block_size=BLOCK, reps=RESAMPLES, seed=SEED)
        test.compute()
        return test.pvalues

    theirs, expected = once(reference)
    assert (found.lower, found.consistent, found.upper) == tuple(expected)
    return row(f"superior predictive ability, {strategies} strategies, 5030 bars", own, theirs)


def remaining(strategies: int) -> str:
    losses = -made_up(YEARS_5, strategies).to_numpy()
    own, found = seconds(lambda: elimination_p_values(losses, BLOCK, RESAMPLES, SEED), 3)

    def reference() -> Any:
        test = MCS(losses, 0.1, reps=RESAMPLES, block_size=BLOCK, seed=SEED)
        test.compute()
        return test.pvalues["Pvalue"].sort_index().to_numpy()

    theirs, expected = once(reference)
    assert np.array_equal(found, expected)
    return row(f"model confidence set, {strategies} strategies, 1258 bars", own, theirs)


def halves() -> str:
    returns = made_up(YEARS_20, 1000)
    own, _ = seconds(lambda: overfitting(returns))
    return row("probability of overfitting, 1000 strategies, 5030 bars, 16 blocks", own, None)


def row(what: str, own: float, theirs: float | None) -> str:
    times = "–" if theirs is None else f"{theirs / own:.2g}×"
    return f"| {what} | {own * 1e3:.0f} | {times} |"


def nothing_to_find(bars: int, strategies: int, autocorrelation: float, seed: int) -> np.ndarray:
    """Sums of an own and a shared Student-t draw (5 degrees of freedom): means 0, correlations ½."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_t(5, (bars + 50, strategies)) + rng.standard_t(5, (bars + 50, 1))
    return 0.005 * lfilter([1.0], [1.0, -autocorrelation], noise, axis=0)[50:]


def rejects_interval(returns: np.ndarray, seed: int) -> list[bool]:
    bounds = [sharpe_interval(returns[:, 0], 1.0, level=1 - size, seed=seed) for size in SIZES]
    return [not low < 0 < high for low, high in bounds]


def rejects_probability(returns: np.ndarray, seed: int) -> list[bool]:
    return [probabilistic_sharpe(returns[:, 0]) > 1 - size for size in SIZES]


def rejects_difference(returns: np.ndarray, seed: int) -> list[bool]:
    p_value = sharpe_difference(returns[:, 0], returns[:, 1], 1.0, seed=seed).p_value
    return [p_value <= size for size in SIZES]


def rejects_superiority(returns: np.ndarray, seed: int) -> list[bool]:
    names = {f"rule {k}": column for k, column in enumerate(returns.T)}
    p_value = superior_ability(names, np.zeros(len(returns)), seed=seed).consistent
    return [p_value <= size for size in SIZES]


def rates(console: Console) -> list[str]:
    tests: dict[str, tuple[Callable[[np.ndarray, int], list[bool]], int]] = {
        "0 outside the bootstrap interval": (rejects_interval, 1),
        "probabilistic Sharpe ratio above 1 − size": (rejects_probability, 1),
        "studentised difference": (rejects_difference, 2),
        "superior predictive ability, consistent, 20 strategies": (rejects_superiority, 20),
    }
    settings = [(250, 0.0), (1250, 0.0), (250, 0.2), (1250, 0.2)]
    header = " | ".join(f"{bars} bars, ρ = {rho:g}" for bars, rho in settings)
    lines = [f"| rejected at 5 % / 10 % | {header} |", "| --- |" + " --- |" * len(settings)]
    for name, (test, strategies) in tests.items():
        cells = []
        for bars, rho in settings:
            drawn = [test(nothing_to_find(bars, strategies, rho, n), n) for n in range(SAMPLES)]
            cells.append(" / ".join(f"{100 * rate:.1f} %" for rate in np.mean(drawn, axis=0)))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
        console.print(lines[-1], markup=False, highlight=False)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/significance.md")
    arguments = parser.parse_args()
    console = Console()
    works: list[Callable[[], str]] = [
        interval,
        difference,
        lambda: superior(100),
        lambda: superior(1000),
        lambda: remaining(100),
        halves,
    ]
    lines = [
        f"One thread; Python {platform.python_version()}, arch {arch.__version__}, 1000 resamples.",
        "",
        "| test | CPU, ms | arch / ours |",
        "| --- | --- | --- |",
    ]
    with threadpool_limits(1):
        for work in works:
            lines.append(work())
            console.print(lines[-1], markup=False, highlight=False)
        lines += ["", *rates(console)]
    if arguments.write:
        text = PAGE.read_text(encoding="utf-8")
        head, tail = text.split(BEGIN)[0], text.split(END)[1]
        table = "\n".join(lines)
        PAGE.write_text(f"{head}{BEGIN}\n\n{table}\n\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
