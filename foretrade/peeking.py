"""The price of peeking: what an agent believes that was trained on forecasts of the past that its
forecasters had already seen, and what it then earns.

The same agent is trained twice on the same prices: on in-sample forecasts and on walk-forward ones. Both
are chosen on the validation block by the forecasts that they were trained on, and play the test block on
walk-forward forecasts: there are no others when the future is not known.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from foretrade.agents.ppo_config import PPOConfig
from foretrade.backtests.vega import Chart
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.forecasters.rolling import cache_folder
from foretrade.markets.costs import BPS
from foretrade.markets.fills import StaleOpenWarning
from foretrade.markets.labels import forward_returns
from foretrade.markets.table import NEVER, Table
from foretrade.measuring import markdown_table, mean_interval, measured, with_interval
from foretrade.peeking_markets import Setting, best_on_the_made_market, index_setting, made_setting
from foretrade.rundir import LIBRARIES
from foretrade.storage import code_hash, file_hash, library_versions

FORECASTERS = ("forest", "pruned forest", "ridge")
WAYS = ("in-sample", "walk-forward")
TITLES = {"made": "A market with a weak drift", "sp500": "S&P 500"}
AGENT = PPOConfig()
SEEDS = {"sp500": 5, "made": 6}


@dataclass(frozen=True)
class Case:
    """One forecaster on one market, seen both ways.

    Args:
        market: ``"made"`` or ``"sp500"``.
        forecaster: One of :data:`FORECASTERS`.
        seed: Of the market that is made, and of the agent.
        steps: Of training.
        trees: In a forest.
        scale: Length of the made market, 1 for 16,000 bars.
    """

    market: str
    forecaster: str
    seed: int
    steps: int
    trees: int = 50
    scale: float = 1.0


@dataclass(frozen=True)
class Arm:
    """What one way of forecasting promised, and what came of it.

    Args:
        correlation: Of the forecasts with the returns, on the validation block.
        believed_bps, believed_turnover: Net return and turnover a bar there.
        realised_bps, realised_turnover: The same on the test block.
    """

    correlation: float
    believed_bps: float
    believed_turnover: float
    realised_bps: float
    realised_turnover: float


@dataclass(frozen=True)
class Found:
    """Both ways."""

    in_sample: Arm
    walk_forward: Arm


def run_case(case: Case) -> Found:
    """Train on either kind of forecasts, and play the test block."""
    from foretrade.forecasters.in_sample import in_sample_forecasts
    from foretrade.forecasters.rolling import rolling_forecasts

    setting = index_setting() if case.market == "sp500" else made_setting(case.seed, case.scale)
    bars, features, members = setting.bars, setting.features, {"it": forecaster(case)}
    honest = rolling_forecasts(
        bars, features, members, symbol=bars.symbols[0], label=setting.label,
        schedule=setting.schedule, lookback_bars=1, cache=cache_folder(),
    )  # fmt: skip
    honest = honest.select(["it.mean"])
    seen = range(setting.blocks["train"].start, setting.blocks["validation"].stop)
    peeking = in_sample_forecasts(
        bars, features, members, symbol=bars.symbols[0], label=setting.label,
        schedule=setting.schedule, lookback_bars=1, rows=seen,
    )  # fmt: skip
    return Found(_arm(case, setting, disguised(peeking), honest), _arm(case, setting, honest, honest))


def disguised(table: Table) -> Table:
    """The same forecasts as if no model stood behind them: else every environment refuses them."""
    return replace(table, cutoff=np.full(len(table), NEVER))


def forecaster(case: Case) -> Any:
    """A forest as scikit-learn makes it by default, the one shipped here, or a ridge regression."""
    from sklearn.ensemble import RandomForestRegressor

    from foretrade.forecasters.linear import ridge
    from foretrade.forecasters.trees import random_forest

    if case.forecaster == "forest":
        return RandomForestRegressor(case.trees, random_state=0, n_jobs=1)
    if case.forecaster == "ridge":
        return ridge()
    return random_forest(n_estimators=case.trees)


def _arm(case: Case, setting: Setting, shown: Table, honest: Table) -> Arm:
    """Train on what is shown, choose on what is shown, play on what is honest."""
    from foretrade.agents.ppo import train_ppo
    from foretrade.backtests.engine import run

    def env(table: Table, block: str, episodes: Episodes | None = None) -> MarketEnv:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StaleOpenWarning)  # the made market has no gaps
            return MarketEnv(
                setting.bars,
                table,
                rows=setting.blocks[block],
                fill=setting.label.fill,
                costs=setting.costs,
                actions="position",
                episodes=episodes or Episodes(),
            )

    config = replace(AGENT, steps=case.steps)
    training = env(shown, "train", Episodes(config.episode_bars, random_start=True))
    validation = env(shown, "validation")
    with tempfile.TemporaryDirectory() as folder:
        agent = train_ppo(
            training, validation, config, seed=case.seed, folder=Path(folder), tensorboard=False
        )
    told = []
    for market in (validation, env(honest, "test")):
        ledger = run(agent, market).ledger
        equity = np.concatenate([[market.initial_equity], ledger["equity"].to_numpy()])
        told += [np.diff(equity) / equity[:-1] / BPS, ledger["traded"].to_numpy() / equity[:-1]]
    rows = setting.blocks["validation"][: -setting.label.resolution_bars]
    labels = forward_returns(setting.bars, setting.label)[rows.start : rows.stop, 0]
    forecasts = shown.column("it.mean")[rows.start : rows.stop, 0]
    return Arm(float(np.corrcoef(forecasts, labels)[0, 1]), *(float(np.mean(x)) for x in told))


def cases(*, quick: bool) -> list[Case]:
    """What takes longest first."""
    if quick:
        return [Case("made", name, 0, 8192, 20, 0.25) for name in ("forest", "ridge")]
    return [
        Case(market, name, seed, AGENT.steps)
        for market, seeds in SEEDS.items()
        for seed in range(seeds)
        for name in FORECASTERS
    ]


def measure(
    chosen: Sequence[Case], *, workers: int, console: Console, folder: Path | None = None
) -> list[tuple[Case, Found]]:
    """Train and play all cases, in processes; goes on where it was interrupted."""
    code = [
        file_hash(Path(__file__)),
        code_hash("markets", "markets/known", "forecasters", "envs", "agents", "backtests"),
        *library_versions(*LIBRARIES),
        repr(AGENT),
    ]
    found = measured(
        run_case,
        chosen,
        title="peek",
        code=code,
        folder=folder or cache_folder() / "peeking",
        workers=workers,
        console=console,
    )
    arms = ({name: Arm(**arm) for name, arm in values.items()} for values in found)
    return [(case, Found(**both)) for case, both in zip(chosen, arms, strict=True)]


def told(results: Sequence[tuple[Case, Found]]) -> Iterator[tuple[str, str, str, list[Arm]]]:
    """Market, forecaster, way of forecasting, and what came of it, one a seed."""
    for market in TITLES:
        for name in FORECASTERS:
            both = [f for c, f in results if (c.market, c.forecaster) == (market, name)]
            if both:
                yield market, name, WAYS[0], [found.in_sample for found in both]
                yield market, name, WAYS[1], [found.walk_forward for found in both]


def rows(results: Sequence[tuple[Case, Found]], market: str) -> Iterator[list[str]]:
    """A table: what each agent believed, and what it earned."""
    yield ["forecaster", "trained on forecasts", "correlation with returns", "believed net, bp a bar",
           "realised net, bp a bar", "turnover, believed", "turnover, realised"]  # fmt: skip
    for its, name, way, arms in told(results):
        if its == market:
            yield [
                name, way, f"{np.mean([a.correlation for a in arms]):.3f}",
                with_interval([a.believed_bps for a in arms]),
                with_interval([a.realised_bps for a in arms]),
                f"{np.mean([a.believed_turnover for a in arms]):.2f}",
                f"{np.mean([a.realised_turnover for a in arms]):.2f}",
            ]  # fmt: skip


def chart(results: Sequence[tuple[Case, Found]]) -> Chart:
    """On the made market: from what was believed to what was realised."""
    points = []
    for market, name, way, arms in told(results):
        if market == "made":
            for what in ("believed", "realised"):
                mean, low, high = mean_interval([getattr(a, f"{what}_bps") for a in arms])
                points.append(
                    {"row": f"{name}, {way}", "what": what, "mean": mean, "low": low, "high": high}
                )
    order = list(dict.fromkeys(point["row"] for point in points))
    y = {"field": "row", "type": "nominal", "sort": order, "title": None, "axis": {"labelLimit": 220}}
    x = {"field": "mean", "type": "quantitative", "title": "net return, bp a bar"}
    scale = {"domain": ["believed", "realised"], "range": ["#d62728", "#1f77b4"]}
    hue = {"field": "what", "type": "nominal", "scale": scale}
    data = {"name": "points"}
    spec = {
        "height": {"step": 34},
        "layer": [
            {
                "data": data,
                "mark": {"type": "line", "color": "#9aa5b1", "strokeWidth": 2},
                "encoding": {"y": y, "x": x, "detail": {"field": "row"}},
            },
            {
                "data": data,
                "mark": {"type": "rule", "strokeWidth": 5, "opacity": 0.35},
                "encoding": {"y": y, "x": {**x, "field": "low"}, "x2": {"field": "high"}, "color": hue},
            },
            {
                "data": data,
                "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
                "encoding": {"y": y, "x": x, "color": hue},
            },
        ],
    }
    note = "Mean over seeds, with its 95 % interval."
    return Chart("Believed and realised", spec, {"points": pd.DataFrame(points)}, note)


def report(results: Sequence[tuple[Case, Found]]) -> str:
    """Both tables in Markdown."""
    parts = []
    for market, title in TITLES.items():
        seeds = len({case.seed for case, _ in results if case.market == market})
        if seeds:
            parts += [f"### {title}: {seeds} seeds", markdown_table(rows(results, market))]
    parts.append(
        f"Who knew the drift of the made market could earn {best_on_the_made_market():.2f} bp a bar. "
        "Intervals are those of the mean over seeds, at 95 %."
    )
    return "\n\n".join(parts)
