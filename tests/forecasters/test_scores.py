from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from foretrade.forecasters.scores import resolved_mean, score_forecast
from foretrade.markets.labels import LabelConfig, forward_returns


def score(mean, labels, benchmark):
    return score_forecast(mean, labels, benchmark, mean - 1.645, mean + 1.645)


def test_gaussian_identities():
    """With correlation ρ the hit rate is ½ + asin(ρ)/π, and the rank correlation 6/π asin(ρ/2)."""
    rng, rho, n = np.random.default_rng(0), 0.3, 400_000
    forecast = rho * rng.normal(size=n)
    labels = forecast + math.sqrt(1 - rho**2) * rng.normal(size=n)
    scores = score(forecast, labels, np.zeros(n))
    assert_allclose(scores.ic, rho, atol=0.005)
    assert_allclose(scores.hit_rate, 0.5 + math.asin(rho) / math.pi, atol=0.003)
    assert_allclose(scores.rank_ic, 6 / math.pi * math.asin(rho / 2), atol=0.005)
    assert_allclose([scores.r2_os, scores.r2_zero], rho**2, atol=0.005)
    assert_allclose(scores.rmse, math.sqrt(1 - rho**2), rtol=0.01)
    assert_allclose(scores.coverage, math.erf(1.645 / math.sqrt(1 - rho**2) / math.sqrt(2)), atol=0.003)


def test_the_sp500_autoregression_has_its_known_score(sp500):
    """Daily AR(1), expanding from 1,000 bars: R²_OS about +0.58 %."""
    returns = np.diff(np.log(sp500.close[:, 0]))
    x, y = returns[:-1], returns[1:]
    n = np.arange(1, len(x) + 1)
    mx, my = np.cumsum(x) / n, np.cumsum(y) / n
    known = np.arange(1000, len(y))
    slope = np.full(len(y), np.nan)
    slope[999:] = (np.cumsum(x * y) / n - mx * my)[999:] / (np.cumsum(x * x) / n - mx**2)[999:]
    forecast = np.full(len(y), np.nan)
    forecast[known] = my[known - 1] + slope[known - 1] * (x[known] - mx[known - 1])
    benchmark = np.concatenate([[np.nan], my[:-1]])
    scores = score(forecast, y, benchmark)
    assert_allclose(scores.r2_os, 0.0058, atol=3e-4)


def test_the_benchmark_knows_resolved_labels_only(walk):
    config = LabelConfig(horizon_bars=3)
    labels = forward_returns(walk, config)[:, 0]
    mean = resolved_mean(labels, config.resolution_bars)
    assert np.isnan(mean[: config.resolution_bars]).all()
    assert_allclose(mean[50], labels[: 50 - config.resolution_bars + 1].mean(), rtol=1e-12)


def test_the_undefined_is_not_a_number():
    labels = np.random.default_rng(0).normal(size=50)
    scores = score(np.zeros(50), labels, np.zeros(50))
    assert math.isnan(scores.ic)
    assert math.isnan(scores.rank_ic)
    assert math.isnan(scores.hit_rate)
    assert scores.r2_zero == 0.0
    with pytest.raises(ValueError, match="only 0 rows"):
        score(np.full(50, np.nan), labels, np.zeros(50))
