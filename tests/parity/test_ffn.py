"""Overfitting and deflated Sharpe ratio against ffn, in the environment of the engines.

ffn leaves out the last bars where blocks do not divide them, which is done here beforehand, and takes
bias-corrected skewness and kurtosis, for which the formula is asked directly.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from parity.test_engines import PYTHON, pytestmark  # noqa: F401

from foretrade.backtests.deflation import deflated_sharpe, expected_best_sharpe
from foretrade.backtests.overfitting import overfitting
from foretrade.backtests.significance import psr_from_moments, sharpe_ratio

BLOCKS = (2, 8, 10, 16)


@pytest.fixture(scope="module")
def returns():
    table = np.random.default_rng(4).normal(0.0003, 0.01, (1000, 20))
    return pd.DataFrame(table, columns=[f"rule {k}" for k in range(20)])


@pytest.fixture(scope="module")
def reference(returns, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ffn")
    source, out = folder / "data.npz", folder / "out.json"
    np.savez(source, returns=returns.to_numpy(), blocks=BLOCKS)
    script = Path(__file__).parent / "ffn_reference.py"
    done = subprocess.run([PYTHON, script, source, out], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_overfitting(returns, reference, number):
    blocks = BLOCKS[number]
    found = overfitting(returns.iloc[: len(returns) // blocks * blocks], blocks=blocks)
    assert found.probability == reference["overfitting"][number]
    assert_allclose(sorted(found.logits), sorted(reference["logits"][number]), rtol=1e-12)


def test_deflated_sharpe(returns, reference):
    ratios = [sharpe_ratio(returns[name].to_numpy()) for name in returns]
    best = returns.iloc[:, int(np.argmax(ratios))]
    variance = float(np.var(ratios, ddof=1))
    hurdle = expected_best_sharpe(20, variance)
    corrected = psr_from_moments(max(ratios), hurdle, len(best), best.skew(), best.kurt() + 3)
    assert_allclose(corrected, reference["deflated_sharpe"], rtol=1e-9)
    assert_allclose(deflated_sharpe(best.to_numpy(), 20, variance), corrected, atol=1e-3)
