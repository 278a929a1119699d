"""The equity curve of an independent engine: ``engines.py ENGINE DATA.npz OUT.npy``.

Runs in the engines' own virtual environment (``engines.txt``) and knows nothing of foretrade. The data
hold ``prices``, ``opens`` and ``targets`` ``[bars, symbols]``, ``sizing`` (whether targets are
``weights`` or ``units``), ``fee`` (a fraction of the traded notional) and ``cash``. Every bar trades to
its targets at its price; what is saved is the equity after that trade, one value a bar.
``backtrader-next-open`` trades to the targets of a bar at the next one's open; what is saved is the
equity at each bar's price.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """What an engine is to play."""

    prices: pd.DataFrame
    opens: pd.DataFrame
    targets: pd.DataFrame
    sizing: str
    fee: float
    cash: float


def read(path: Path) -> Run:
    """The run in a file; its bars get made-up days, for bt wants dates."""
    with np.load(path) as data:
        days = pd.bdate_range("2000-01-03", periods=len(data["prices"]))
        prices, opens, targets = (
            pd.DataFrame(data[key], days).add_prefix("S") for key in ("prices", "opens", "targets")
        )
        return Run(prices, opens, targets, str(data["sizing"]), float(data["fee"]), float(data["cash"]))


def vectorbt(run: Run) -> Floats:
    """One group of columns that share their cash; sales come first, weights are of the equity before."""
    import vectorbt as vbt

    portfolio = vbt.Portfolio.from_orders(
        run.prices,
        run.targets,
        size_type={"weights": "targetpercent", "units": "targetamount"}[run.sizing],
        fees=run.fee,
        init_cash=run.cash,
        cash_sharing=True,
        call_seq="auto",
    )
    return np.asarray(portfolio.value(), dtype=np.float64)


def bt(run: Run) -> Floats:
    """A strategy that rebalances every bar; commissions come out of the amount allotted to an order."""
    import bt

    def hold_units(strategy: Any) -> bool:
        for name, units in run.targets.loc[strategy.now].items():
            held = strategy.children[name].position if name in strategy.children else 0.0
            strategy.transact(units - held, child=name)
        return True

    by_weight = [bt.algos.WeighTarget(run.targets), bt.algos.Rebalance()]
    backtest = bt.Backtest(
        bt.Strategy("targets", by_weight if run.sizing == "weights" else [hold_units]),
        run.prices,
        initial_capital=run.cash,
        commissions=lambda units, price: abs(units) * price * run.fee,
        integer_positions=False,
    )
    backtest.run()
    return np.asarray(backtest.strategy.values.iloc[1:], dtype=np.float64)  # bt puts a day in front


def backtrader(run: Run, *, next_open: bool = False) -> Floats:
    """Orders sized by the broker's value at a close and filled there ("cheat on close"), or next open.

    As it comes, backtrader buys whole shares, and drops what it opens beyond the cash of the moment, so
    that a weight of 1 is never held; here shares are divisible, sales go first and weights stay below 1.
    """
    import backtrader

    class Targets(backtrader.Strategy):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.equity: list[float] = []

        def next(self) -> None:
            bar = len(self) - 1
            ago = 0 if next_open else -1  # cheating, yesterday's orders have filled at yesterday's close
            if next_open or bar > 0:
                held = sum(self.getposition(data).size * data.close[ago] for data in self.datas)
                self.equity.append(self.broker.getcash() + held)
            if bar < len(run.targets):
                price, asked = run.prices.iloc[bar].to_numpy(), run.targets.iloc[bar].to_numpy()
                units = asked * self.broker.getvalue() / price if run.sizing == "weights" else asked
                orders = units - [self.getposition(data).size for data in self.datas]
                for k in np.argsort(orders * price):  # sales first
                    order = self.buy if orders[k] > 0 else self.sell
                    order(self.datas[k], size=abs(orders[k]))

    cerebro = backtrader.Cerebro(stdstats=False)
    cerebro.broker = backtrader.brokers.BackBroker(cash=run.cash, checksubmit=False, coc=not next_open)
    cerebro.broker.setcommission(commission=run.fee)
    cerebro.addstrategy(Targets)
    days = run.prices.index
    if not next_open:
        days = days.append(days[-1:] + pd.Timedelta(days=1))  # for the last fills
    for name in run.prices:
        price = run.prices[name].reindex(days, method="ffill")
        begun = run.opens[name] if next_open else price
        columns = {
            "open": begun,
            "high": np.maximum(begun, price),
            "low": np.minimum(begun, price),
            "close": price,
            "volume": 0.0 * price,
        }
        cerebro.adddata(backtrader.feeds.PandasData(dataname=pd.DataFrame(columns)))
    (played,) = cerebro.run()
    return np.asarray(played.equity, dtype=np.float64)


ENGINES: dict[str, Callable[[Run], Floats]] = {
    "vectorbt": vectorbt,
    "bt": bt,
    "backtrader": backtrader,
    "backtrader-next-open": partial(backtrader, next_open=True),
}


if __name__ == "__main__":
    name, source, out = sys.argv[1:]
    np.save(out, ENGINES[name](read(Path(source))))
