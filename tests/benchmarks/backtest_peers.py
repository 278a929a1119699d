"""Other engines on given targets: ``backtest_peers.py ENGINE DATA.npz``, in the engines' environment.

The data are those of ``tests/parity/engines.py``; ``vectorbt sweep`` plays each column of the targets as
an account of its own. A line read from stdin plays them once and is answered with the seconds of CPU;
``equity PATH`` saves the equity besides.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "parity"))

from engines import ENGINES, Floats, Run, read


def vectorbt_sweep(run: Run) -> Floats:
    """All columns of the targets at once, each an account of its own."""
    import vectorbt as vbt

    portfolio = vbt.Portfolio.from_orders(
        run.prices.iloc[:, 0],
        run.targets,
        size_type={"weights": "targetpercent", "units": "targetamount"}[run.sizing],
        fees=run.fee,
        init_cash=run.cash,
    )
    return np.asarray(portfolio.value(), dtype=np.float64)


def main() -> None:
    name, source = sys.argv[1], Path(sys.argv[2])
    play, run = ({"vectorbt sweep": vectorbt_sweep} | ENGINES)[name], read(source)
    for line in sys.stdin:
        start = time.process_time()
        equity = play(run)
        seconds = time.process_time() - start
        if line.startswith("equity"):
            np.save(line.split(maxsplit=1)[1].strip(), equity)
        sys.stdout.write(f"{seconds}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
