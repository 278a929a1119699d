from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.testing import assert_allclose

from foretrade.markets.bars import PRICE_FIELDS
from foretrade.markets.cleaning import inspect_bars
from foretrade.markets.features import compute_features
from foretrade.markets.fills import stale_opens
from foretrade.markets.nopeek import assert_future_invisible
from foretrade.markets.sources import load


def test_features_do_not_see_the_future_of_real_prices(sp500):
    cuts = [*np.random.default_rng(0).integers(300, len(sp500) - 1, 8).tolist(), len(sp500) - 2]
    assert_future_invisible(lambda bars: compute_features(bars).values, sp500, cuts)


def test_features_of_a_panel_are_those_of_its_symbols():
    panel, alone = load("stocks"), load("stocks", "IBM")
    ibm = compute_features(panel).values[:, panel.column("IBM")]
    assert np.array_equal(ibm, compute_features(alone).values[:, 0], equal_nan=True)


def test_definitions_on_the_last_row(sp500):
    table, log_close = compute_features(sp500), np.log(sp500.close[:, 0])
    last = {name: table.column(name)[-1, 0] for name in table.names}
    returns = np.diff(log_close)
    assert_allclose(last["volatility_21"], np.sqrt((returns[-21:] ** 2).mean() * 252), rtol=1e-9)
    ratio = last["momentum_21"] / last["return_lag_0"]
    expected = (log_close[-1] - log_close[-22]) / np.sqrt(21) / returns[-1]
    assert_allclose(ratio, expected, rtol=1e-9)
    assert_allclose(last["return_lag_2"] / last["return_lag_0"], returns[-3] / returns[-1], rtol=1e-9)
    log_volume = np.log1p(sp500.volume[-252:, 0])
    z = (log_volume[-1] - log_volume.mean()) / log_volume.std(ddof=1)
    assert_allclose(last["volume"], z, rtol=1e-6)
    assert_allclose(last["weekday_sin"], np.sin(0.0), atol=1e-12)  # 2018-12-31 was a Monday


def test_the_currency_unit_does_not_matter(walk):
    cents = replace(walk, **{name: getattr(walk, name) * 100 for name in PRICE_FIELDS})
    assert_allclose(compute_features(cents).values, compute_features(walk).values, rtol=1e-6, atol=1e-9)


def test_a_constant_price_has_features_of_zero(walk):
    flat = replace(walk, **{name: np.full_like(walk.close, 50.0) for name in PRICE_FIELDS})
    values = compute_features(flat)
    assert np.isfinite(values.values[300:]).all()
    assert (values.column("momentum_21")[300:] == 0).all()


def test_stale_opens_of_the_index_are_found():
    sp500, nasdaq = load("sp500"), load("nasdaq")
    assert_allclose(stale_opens(sp500), [0.3984], atol=1e-4)
    assert stale_opens(nasdaq)[0] < 0.01
    assert any("39.8% of the opens" in finding.message for finding in inspect_bars(sp500))


def test_inspection_finds_what_is_planted(walk):
    scaled = {
        n: np.where(np.arange(len(walk))[:, None] < 100, 1, 0.5) * getattr(walk, n) for n in PRICE_FIELDS
    }
    volume = np.array(walk.volume)
    volume[7] = 0
    messages = " | ".join(f.message for f in inspect_bars(replace(walk, **scaled, volume=volume)))
    assert "an unadjusted split?" in messages
    assert "volume is zero on 1 of 600 bars" in messages
    assert inspect_bars(walk) == []
