"""The equity curve of an independent engine: ``engines.py ENGINE DATA.npz OUT.npy``.

Runs in the engines' own virtual environment (``engines.txt``) and knows nothing of foretrade. The data
hold ``prices`` and ``targets`` ``[bars, symbols]``, ``sizing`` (whether targets are ``weights`` or
``units``), ``fee`` (a fraction of the traded notional) and ``cash``. Every bar trades to its targets at
its price; what is saved is the equity after that trade, one value a bar.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
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
    targets: pd.DataFrame
    sizing: str
    fee: float
    cash: float


def read(path: Path) -> Run:
    """The run in a file; its bars get made-up days, for bt wants dates."""
    with np.load(path) as data:
        bars, symbols = data["prices"].shape
        days, names = pd.bdate_range("2000-01-03", periods=bars), [f"S{k}" for k in range(symbols)]
        prices, targets = (pd.DataFrame(data[key], days, names) for key in ("prices", "targets"))
        return Run(prices, targets, str(data["sizing"]), float(data["fee"]), float(data["cash"]))


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


ENGINES: dict[str, Callable[[Run], Floats]] = {"vectorbt": vectorbt, "bt": bt}


if __name__ == "__main__":
    name, source, out = sys.argv[1:]
    np.save(out, ENGINES[name](read(Path(source))))
