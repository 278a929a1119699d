"""How fast forecasts are made; ``make bench-forecasts``. Machines are shared: read the ratios.

The default members walk forward through the S&P 500 and, side by side, go through a plain loop as one
writes it first: at the same dates each is fitted from scratch, and then asked for one row at a time.
Before anything is timed, members that carry nothing over from refit to refit must forecast the same in
both. Then: one process and two, an empty cache and a full one, features of many assets. The tables go
into docs/speed_forecasts.md.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from sklearn.base import clone

from foretrade.forecasters.comparison import diebold_mariano
from foretrade.forecasters.members import build_member
from foretrade.forecasters.rolling import plan_walks, rolling_forecasts
from foretrade.forecasters.walk import Walk
from foretrade.markets.bars import Bars
from foretrade.markets.features import compute_features
from foretrade.markets.labels import LabelConfig
from foretrade.markets.sources import load
from foretrade.markets.splits import WalkForward
from foretrade.markets.synthetic import random_walk
from foretrade.workers import ONE_THREAD

PAGE = Path(__file__).parents[2] / "docs" / "speed_forecasts.md"
MEMBERS = ("ridge", "random_forest", "lightgbm", "lstm", "hybrid")
CARRIED_OVER = ("lstm", "hybrid")  # their refits start from the parameters before
BARS = 1500
SCHEDULE = WalkForward()


def members() -> dict[str, Any]:
    return {name: build_member(name, {}, seed=i) for i, name in enumerate(MEMBERS)}


def walks(bars: Bars) -> list[Walk]:
    features, label = compute_features(bars), LabelConfig()
    return plan_walks(bars, features, members(), symbol=bars.symbols[0], label=label, schedule=SCHEDULE)


def ours(bars: Bars, mapper: Callable[..., Any] = map, cache: Path | None = None) -> np.ndarray:
    """Mean forecasts ``[bars, members]``."""
    table = rolling_forecasts(
        bars, compute_features(bars), members(), symbol=bars.symbols[0], label=LabelConfig(),
        schedule=SCHEDULE, mapper=mapper, cache=cache,
    )  # fmt: skip
    return np.column_stack([table.column(f"{name}.mean")[:, 0] for name in MEMBERS])


def plain_loop(walk: Walk) -> np.ndarray:
    """Fit from scratch at each refit, then predict row by row; mean forecasts ``[bars]``."""
    mean = np.full(len(walk.inputs), np.nan)
    for fold in walk.folds:
        X = np.ascontiguousarray(walk.rows(fold.train.start, fold.train.stop))
        model = clone(walk.member).fit(X, walk.labels[fold.train.start : fold.train.stop])
        for row in range(fold.start, fold.stop):
            mean[row] = one_row(model, np.ascontiguousarray(walk.rows(row, row + 1)))
    return mean


def one_row(model: Any, window: np.ndarray) -> float:
    """A network's own ``predict``, as its manual shows it; else the member's."""
    net = getattr(model, "net_", None)
    if net is None:
        return float(model.predict(window).mean[0])
    raw = net.predict(np.clip(window, -10, 10).astype(np.float32), verbose=0)
    return float(raw[0, 0]) * model.label_std_ + model.label_mean_


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def compare_with_plain_loop(bars: Bars, console: Console) -> list[str]:
    lines = [
        "| member | plain loop / ours | RMSE, ours / plain loop | Diebold-Mariano p |",
        "| --- | --- | --- | --- |",
    ]
    totals, all_means = np.zeros(2), []
    labels = walks(bars)[0].labels
    seconds, means = zip(*(timed(lambda w=w: walked(w)) for w in walks(bars)), strict=True)
    for walk, own, mean in zip(walks(bars), seconds, means, strict=True):
        console.print(f"plain loop: {walk.name}")
        slow, plain = timed(lambda walk=walk: plain_loop(walk))
        if walk.name not in CARRIED_OVER:
            np.testing.assert_allclose(mean, plain, rtol=1e-9, atol=1e-15)
        lines.append(f"| {walk.name} | {slow / own:.1f}× | {errors_compared(mean, plain, labels)} |")
        totals += (slow, own)
        all_means.append((mean, plain))
    fused = np.mean(all_means, axis=0)
    lines.append(f"| ensemble | {totals[0] / totals[1]:.1f}× | {errors_compared(*fused, labels)} |")
    return lines


def errors_compared(mean: np.ndarray, plain: np.ndarray, labels: np.ndarray) -> str:
    """Ratio of the root mean squared errors, and how likely luck makes such a difference."""
    known = np.isfinite(mean) & np.isfinite(plain) & np.isfinite(labels)
    own, other = ((forecast - labels)[known] ** 2 for forecast in (mean, plain))
    p = diebold_mariano(own, other).p_value
    ratio = math.sqrt(own.mean() / other.mean())
    return f"{ratio:.4f} | {'–' if math.isnan(p) else f'{p:.2f}'}"


def walked(walk: Walk) -> np.ndarray:
    from foretrade.forecasters.walker import run_walk

    return run_walk(walk).mean


def slowest_first(pool: ProcessPoolExecutor) -> Callable[..., Any]:
    """A pool's ``map`` that hands the networks out first, as ``foretrade forecast`` does."""

    def mapper(function: Callable[..., Any], items: list[Walk]) -> list[Any]:
        order = sorted(range(len(items)), key=lambda i: items[i].name not in CARRIED_OVER)
        done = dict(zip(order, pool.map(function, [items[i] for i in order]), strict=True))
        return [done[i] for i in range(len(items))]

    return mapper


def processes_and_cache(bars: Bars, console: Console) -> list[str]:
    console.print(f"one process, two processes, cache: {len(bars)} bars")
    seconds, means = [], []
    with tempfile.TemporaryDirectory() as folder:
        for processes in (1, 2):
            with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
                list(pool.map(abs, range(processes)))
                cache = Path(folder) if processes == 1 else None
                taken, mean = timed(lambda: ours(bars, slowest_first(pool), cache))  # noqa: B023
                seconds.append(taken)
                means.append(mean)
        again, third = timed(lambda: ours(bars, cache=Path(folder)))
    assert np.array_equal(means[0], means[1], equal_nan=True)
    assert np.array_equal(means[0], third, equal_nan=True)
    return [
        f"| {len(bars)} bars | times faster |",
        "| --- | --- |",
        f"| two processes than one, same bits | {seconds[0] / seconds[1]:.2f}× |",
        f"| a second run from the cache than the first, same bits | {seconds[0] / again:.0f}× |",
    ]


def many_assets(console: Console) -> list[str]:
    console.print("features of 500 assets")
    bars = random_walk(20 * 252, symbols=500)
    seconds, table = timed(lambda: compute_features(bars))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    size = table.values.nbytes / 2**30
    return [
        f"Features of 500 assets over 20 years of daily bars ({len(table.names)} columns, "
        f"{size:.1f} GiB): {seconds:.0f} s, {peak:.1f} GiB at most in the process."
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--write", action="store_true", help="put the tables into docs/speed_forecasts.md"
    )
    arguments = parser.parse_args()
    os.environ.update(ONE_THREAD)
    console = Console()
    bars = load("sp500").rows(0, BARS)
    lines = [
        f"S&P 500, {BARS} bars, default members and calendar; Python {platform.python_version()}, "
        f"pandas {pd.__version__}, one thread a process.",
        "",
        *many_assets(console),
        "",
        *compare_with_plain_loop(bars, console),
        "",
        *processes_and_cache(load("sp500"), console),
    ]
    text = "\n".join(lines) + "\n"
    console.print(text, markup=False, highlight=False)
    if arguments.write:
        head = PAGE.read_text(encoding="utf-8").split("<!-- measured -->")[0]
        PAGE.write_text(f"{head}<!-- measured -->\n\n{text}", encoding="utf-8")


if __name__ == "__main__":
    main()
