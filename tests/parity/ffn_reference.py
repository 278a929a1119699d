"""What ffn says: ``ffn_reference.py DATA.npz`` prints JSON.

Runs in the engines' own virtual environment (``engines.txt``) and knows nothing of foretrade. The data hold
``returns`` ``[bars, strategies]`` and ``blocks``, an array of numbers of blocks.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
from ffn.core import calc_deflated_sharpe_ratio, calc_prob_backtest_overfitting

with np.load(sys.argv[1]) as data:
    returns = pd.DataFrame(data["returns"])
    blocks = data["blocks"].tolist()
ratios = returns.mean() / returns.std(ddof=1)
best = returns[ratios.idxmax()]
overfitting = [calc_prob_backtest_overfitting(returns, number, full_output=True) for number in blocks]
print(
    json.dumps(
        {
            "deflated_sharpe": calc_deflated_sharpe_ratio(
                best, ratios, nperiods=252, annualized_trials=False
            ),
            "overfitting": [found["pbo"] for found in overfitting],
            "logits": [found["logits"].tolist() for found in overfitting],
        }
    )
)
