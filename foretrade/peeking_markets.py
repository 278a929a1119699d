"""Markets on which an agent can be shown forecasts of two kinds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foretrade.markets.bars import Bars
from foretrade.markets.costs import BPS, Costs
from foretrade.markets.features import compute_features
from foretrade.markets.known.bounded import BoundedMarket
from foretrade.markets.known.market import autoregression
from foretrade.markets.labels import LabelConfig
from foretrade.markets.sources import load
from foretrade.markets.splits import Blocks, WalkForward
from foretrade.markets.synthetic import market_of
from foretrade.markets.table import Column, Table

PERSISTENCE, DRIFT_STD, NOISE_STD, COST_BPS = 0.9, 0.001, 0.01, 5.0
FEATURES, TELLING = 10, 2  # columns, and how many of them the drift is made of


@dataclass(frozen=True)
class Setting:
    """A market with its blocks, what is forecast, and the calendar of refits."""

    bars: Bars
    features: Table
    blocks: dict[str, range]
    schedule: WalkForward
    label: LabelConfig
    costs: Costs


def made_setting(seed: int, scale: float = 1.0) -> Setting:
    """A drift that lasts ten bars, a tenth of the noise; ten columns, two of which it is made of.

    The drift of the bar after row ``t`` is known at ``t`` to who knows which columns matter.
    """
    edges = [round(scale * bars) for bars in (1000, 5000, 6000, 16_000)]
    rng = np.random.default_rng(seed)
    seen = np.column_stack([autoregression(PERSISTENCE, 1.0, edges[3], rng) for _ in range(FEATURES)])
    drift = DRIFT_STD * seen[:, :TELLING].sum(axis=1) / np.sqrt(TELLING)
    returns = drift[:-1] + rng.normal(0.0, NOISE_STD, edges[3] - 1)
    bars = market_of(returns, rng, source=f"made for peeking, seed {seed}")
    columns = {Column(f"seen_{k}", "ratio"): seen[:, [k]] for k in range(FEATURES)}
    return Setting(
        bars,
        Table.from_columns(bars, columns),
        {name: range(edges[k], edges[k + 1]) for k, name in enumerate(("train", "validation", "test"))},
        WalkForward(edges[0], edges[0], window_bars=4 * edges[0]),
        LabelConfig(1, "next_open"),  # which is the close of the decision: there are no gaps
        Costs(COST_BPS, 0.0, 0.0, 0.0),
    )


def index_setting() -> Setting:
    """The packaged S&P 500 with the default features, blocks and costs."""
    bars = load("sp500")
    features = compute_features(bars)
    return Setting(bars, features, Blocks().rows(bars), WalkForward(252), LabelConfig(), Costs())


def best_on_the_made_market() -> float:
    """What who knew the drift could earn a bar, in bp."""
    known = BoundedMarket(PERSISTENCE, DRIFT_STD, NOISE_STD, COST_BPS * BPS)
    return known.optimum().average_reward / BPS
