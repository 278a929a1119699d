"""What ffn and empyrical-reloaded make of two series: ``ratio_libraries.py DATA.npz OUT.json``.

Runs in the engines' own virtual environment (``engines.txt``) and knows nothing of foretrade. The data
hold ``returns`` and ``benchmark`` ``[bars]``, ``periods`` (bars a year) and ``days``: those of the bars,
and before them that of the first equity.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def by_empyrical(returns: pd.Series, benchmark: pd.Series, periods: float) -> dict[str, Any]:
    """Its own functions of returns; those of months and years as ``[periods]``."""
    import empyrical as ep

    alpha, beta = ep.alpha_beta_aligned(returns.to_numpy(), benchmark.to_numpy(), annualization=periods)
    return {
        "cagr": ep.cagr(returns, annualization=periods),
        "volatility": ep.annual_volatility(returns, annualization=periods),
        "sharpe": ep.sharpe_ratio(returns, annualization=periods),
        "sortino": ep.sortino_ratio(returns, annualization=periods),
        "calmar": ep.calmar_ratio(returns, annualization=periods),
        "max_drawdown": ep.max_drawdown(returns),
        "value_at_risk": ep.value_at_risk(returns, 0.05),
        "expected_shortfall": ep.conditional_value_at_risk(returns, 0.05),
        "tail_ratio": ep.tail_ratio(returns),
        "omega": ep.omega_ratio(returns),
        "beta": beta,
        "alpha": alpha,
        "information_ratio_per_bar": ep.excess_sharpe(returns, benchmark),
        **{
            name: ep.aggregate_returns(returns, f"{name}ly").to_list()
            for name in ("week", "month", "quarter", "year")
        },
    }


def by_ffn(prices: pd.Series, benchmark: pd.Series) -> dict[str, Any]:
    """Its functions of prices, which begin at 1 on the day before the first return."""
    import ffn

    fallen = ffn.to_drawdown_series(prices)
    spells = ffn.drawdown_details(fallen)
    returns, other = (ffn.to_returns(item).dropna() for item in (prices, benchmark))
    stats = ffn.PerformanceStats(prices)
    return {
        "total_return": ffn.calc_total_return(prices),
        "cagr_by_days": ffn.calc_cagr(prices),
        "max_drawdown": ffn.calc_max_drawdown(prices),
        "ulcer_index_percent": ffn.to_ulcer_index(prices),
        "ulcer_performance_by_days": ffn.to_ulcer_performance_index(prices),
        "information_ratio_per_bar": ffn.calc_information_ratio(returns, other),
        "starts": [str(day.date()) for day in spells["Start"]],
        "ends": [str(day.date()) for day in spells["End"]],
        "depths": [float(depth) for depth in spells["drawdown"]],
        "windows_by_days": [stats.stats[name] for name in ("three_year", "five_year", "ten_year")],
        "best_month": stats.stats["best_month"],
        "worst_month": stats.stats["worst_month"],
    }


def main(source: str, out: str) -> None:
    with np.load(source) as data:
        days, periods = pd.DatetimeIndex(data["days"]), float(data["periods"])
        returns, benchmark = (pd.Series(data[key], days[1:]) for key in ("returns", "benchmark"))
    prices, other = (
        pd.concat([pd.Series([1.0], days[:1]), (1 + item).cumprod()]) for item in (returns, benchmark)
    )
    found = {"empyrical": by_empyrical(returns, benchmark, periods), "ffn": by_ffn(prices, other)}
    Path(out).write_text(json.dumps(found, default=float))


if __name__ == "__main__":
    main(*sys.argv[1:])
