"""What ffn says: ``ffn_reference.py DATA.npz OUT.json``.

Runs in the engines' own virtual environment (``engines.txt``) and knows nothing of foretrade. The data
hold ``returns`` ``[bars, strategies]`` and ``blocks``, an array of numbers of blocks.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from ffn.core import calc_deflated_sharpe_ratio, calc_prob_backtest_overfitting

source, out = map(Path, sys.argv[1:])
with np.load(source) as data:
    returns, blocks = pd.DataFrame(data["returns"]), data["blocks"].tolist()
ratios = returns.mean() / returns.std(ddof=1)
best = returns[ratios.idxmax()]
halves = [calc_prob_backtest_overfitting(returns, number, full_output=True) for number in blocks]
found = {
    "deflated_sharpe": calc_deflated_sharpe_ratio(best, ratios, nperiods=252, annualized_trials=False),
    "overfitting": [half["pbo"] for half in halves],
    "logits": [half["logits"].tolist() for half in halves],
}
out.write_text(json.dumps(found))
