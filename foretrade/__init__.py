"""Foretrade: what are forecasts worth when traded?

The public names load on first use, so that ``import foretrade`` stays cheap; it registers the
environments with Gymnasium.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from foretrade.envs.registration import register_environments

if TYPE_CHECKING:
    from foretrade.backtests.engine import Run, run
    from foretrade.config import Experiment
    from foretrade.envs.episodes import Episodes
    from foretrade.envs.market import MarketEnv
    from foretrade.forecasters.base import Forecast, Forecaster
    from foretrade.forecasters.rolling import rolling_forecasts
    from foretrade.markets.bars import Bars, DataError
    from foretrade.markets.costs import Costs
    from foretrade.markets.features import compute_features
    from foretrade.markets.rules import Rules
    from foretrade.markets.sources import load, load_bars
    from foretrade.markets.table import Table

__version__ = "0.1.0"

__all__ = [
    "Bars",
    "Costs",
    "DataError",
    "Episodes",
    "Experiment",
    "Forecast",
    "Forecaster",
    "MarketEnv",
    "Rules",
    "Run",
    "Table",
    "compute_features",
    "load",
    "load_bars",
    "rolling_forecasts",
    "run",
]

_HOMES = {
    "Bars": "markets.bars",
    "Costs": "markets.costs",
    "DataError": "markets.bars",
    "Episodes": "envs.episodes",
    "Experiment": "config",
    "Forecast": "forecasters.base",
    "Forecaster": "forecasters.base",
    "MarketEnv": "envs.market",
    "Rules": "markets.rules",
    "Run": "backtests.engine",
    "Table": "markets.table",
    "compute_features": "markets.features",
    "load": "markets.sources",
    "load_bars": "markets.sources",
    "rolling_forecasts": "forecasters.rolling",
    "run": "backtests.engine",
}

register_environments()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'foretrade' has no attribute {name!r}")
    return getattr(importlib.import_module(f"foretrade.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
