"""The long-run variance against arch and against what it is known to be."""

from __future__ import annotations

import numpy as np
import pytest
from arch.covariance.kernel import QuadraticSpectral
from numpy.testing import assert_allclose
from scipy.signal import lfilter

from foretrade.backtests.influence import influence
from foretrade.backtests.longrun import autocorrelations, long_run_variance, quadratic_spectral
from foretrade.backtests.significance import sharpe_ratio


@pytest.mark.parametrize("bandwidth", [0.5, 3.0, 20.0])
def test_the_kernel_is_that_of_arch(bandwidth):
    values = lfilter([1.0], [1.0, -0.5], np.random.default_rng(0).normal(size=300))
    expected = float(QuadraticSpectral(values, bandwidth=bandwidth).cov.long_run[0, 0])
    assert_allclose(quadratic_spectral(values, bandwidth), expected, rtol=1e-9)


@pytest.mark.parametrize("coefficient", [-0.5, 0.0, 0.5, 0.9])
def test_an_autoregression_has_the_variance_it_is_known_to_have(coefficient):
    values = lfilter([1.0], [1.0, -coefficient], np.random.default_rng(1).normal(size=50_000))
    assert_allclose(long_run_variance(values), 1 / (1 - coefficient) ** 2, rtol=0.1)
    expected = coefficient ** np.arange(1, 4)
    assert_allclose(autocorrelations(values, 3), expected, atol=0.02)


def test_what_does_not_vary_has_none():
    assert long_run_variance(np.full(30, 0.1)) == pytest.approx(0.0, abs=1e-25)


def test_influence_is_the_change_of_the_ratio():
    returns = np.random.default_rng(2).normal(0.01, 0.05, 200)
    added = influence(returns)
    assert added.mean() == pytest.approx(0.0, abs=1e-14)
    scale = np.sqrt(199 / 200)  # population ratios
    for row in (0, 17, 199):
        mixed = 1e-6
        weights = np.full(200, (1 - mixed) / 200)
        weights[row] += mixed
        mean = weights @ returns
        ratio = mean / np.sqrt(weights @ returns**2 - mean**2)
        change = (ratio - sharpe_ratio(returns) / scale) / mixed
        assert change == pytest.approx(added[row], rel=1e-4)
