"""Your own prices: load a CSV, see what is wrong with it, trade a rule on it."""

import sys

import foretrade
from foretrade.agents.baselines import MovingAverageTrend
from foretrade.backtests.metrics import score_run
from foretrade.markets.cleaning import inspect_bars
from foretrade.markets.costs import Costs
from foretrade.markets.sources import DataConfig


def main(path: str, timezone: str = "America/New_York") -> None:
    bars = foretrade.load_bars(DataConfig(source=path, timezone=timezone, frequency="1D"))
    for finding in inspect_bars(bars):
        print(f"look at {finding.symbol}: {finding.message}")

    costs = Costs(fee_bps=5, half_spread_bps=2, borrow_bps_per_year=100)
    market = foretrade.MarketEnv(bars, fill="next_open", costs=costs)
    rule = MovingAverageTrend(market.layout, market.actions, column="trend_200")
    run = foretrade.run(rule, market, name="trend")

    scores = score_run(run, bars.periods_per_year)
    interval = f"{scores.sharpe_low:.2f} to {scores.sharpe_high:.2f}"
    print(f"{len(run.fills)} fills, costs {scores.cost_bps:.0f} bp a year")
    print(f"net Sharpe {scores.sharpe:.2f} (95 % interval {interval})")


if __name__ == "__main__":
    main(*sys.argv[1:3])
