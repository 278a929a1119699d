"""Forecasts that peek. They exist for one experiment, which shows what harm they do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import clone

from foretrade.forecasters.rolling import plan_walks
from foretrade.markets.bars import Bars
from foretrade.markets.labels import LabelConfig
from foretrade.markets.splits import WalkForward
from foretrade.markets.table import Column, Table


def in_sample_forecasts(
    bars: Bars,
    features: Table,
    members: Mapping[str, Any],
    *,
    symbol: str,
    label: LabelConfig,
    schedule: WalkForward,
    rows: range,
    lookback_bars: int = 21,
) -> Table:
    """What each member says of the rows that it was fitted on: ``<member>.mean``, NaN elsewhere.

    No agent should be trained on them, because it will never see their like again. The cutoff of every
    row is the close at which the last label was resolved, so that an environment refuses the table.

    Args:
        schedule: Of the walk that this is compared with; gives the first row that can be learnt from.
        rows: What is fitted and forecast; the labels must be resolved within the bars.

    See :func:`foretrade.forecasters.rolling.rolling_forecasts` for the rest.
    """
    asset = bars.column(symbol)
    walks = plan_walks(
        bars, features, members,
        symbol=symbol, label=label, schedule=schedule, lookback_bars=lookback_bars,
    )  # fmt: skip
    columns = {}
    for walk in walks:
        X, y = walk.rows(rows.start, rows.stop), walk.labels[rows.start : rows.stop]
        shown = np.full((len(bars), len(bars.symbols)), np.nan)
        shown[rows.start : rows.stop, asset] = clone(walk.member).fit(X, y).predict(X).mean
        columns[Column(f"{walk.name}.mean", "log return")] = shown
    last = bars.stamps[rows.stop - 1 + label.resolution_bars]
    return Table.from_columns(bars, columns, cutoff=np.full(len(bars), last))
