from __future__ import annotations

import copy
import functools
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import mean_pinball_loss

from foretrade.forecasters import networks
from foretrade.forecasters.hybrid import HybridForecaster
from foretrade.forecasters.keras_nets import (
    GRUForecaster,
    LSTMForecaster,
    TCNForecaster,
    TransformerForecaster,
    keras,
)
from foretrade.testing import parametrize_with_checks

SMALL = {"epochs": 1, "refit_epochs": 1}
QUICK = {"units": (8,), "dropout": 0.0, "epochs": 15, "learning_rate": 1e-2}


@parametrize_with_checks(
    [
        GRUForecaster(units=(4,), head="gaussian", **SMALL),
        TCNForecaster(filters=4, dilations=(1,), head="quantile", **SMALL),
        TransformerForecaster(width=4, heads=2, layers=1, **SMALL),
    ]
)
def test_conformance(check):
    check()


def sample(rows=2500, seed=0):
    """The newest first feature moves the mean, the second the spread, the third nothing."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 5, 3))
    std = 0.01 * np.exp(0.5 * X[:, -1, 1])
    return X, 0.005 * X[:, -1, 0] + std * rng.normal(size=rows), std


@pytest.fixture(scope="module")
def gaussian():
    X, y, _ = sample()
    return GRUForecaster(head="gaussian", **QUICK).fit(X[:2000], y[:2000])


def test_a_gaussian_head_learns_mean_and_spread(gaussian):
    X, y, std = sample()
    forecast = gaussian.predict(X[2000:])
    assert np.corrcoef(forecast.mean, X[2000:, -1, 0])[0, 1] > 0.9
    assert np.corrcoef(np.log(forecast.std), np.log(std[2000:]))[0, 1] > 0.9
    assert ((y[2000:] - forecast.mean) / forecast.std).std() == pytest.approx(1, abs=0.1)


def test_quantiles_cover_what_they_say_and_never_cross():
    X, y, std = sample()
    forecast = GRUForecaster(head="quantile", **QUICK).fit(X[:2000], y[:2000]).predict(X[2000:])
    assert list(forecast.quantiles) == [0.05, 0.25, 0.5, 0.75, 0.95]
    for level, values in forecast.quantiles.items():
        assert (y[2000:] <= values).mean() == pytest.approx(level, abs=0.06)  # 3 standard errors
    assert (np.diff(list(forecast.quantiles.values()), axis=0) > 0).all()
    assert np.corrcoef(forecast.std, std[2000:])[0, 1] > 0.9


def test_the_losses_are_the_published_ones():
    rng = np.random.default_rng(0)
    labels = rng.normal(size=50).astype(np.float32)
    output = np.column_stack([rng.normal(size=50), rng.uniform(0.5, 2, size=50)]).astype(np.float32)
    loss = np.asarray(networks.GaussianHead().loss(labels, output))
    constant = 0.5 * np.log(2 * np.pi)
    assert_allclose(loss + constant, -stats.norm.logpdf(labels, *output.T), rtol=1e-5)
    head = networks.QuantileHead((0.1, 0.7))
    expected = np.mean([mean_pinball_loss(labels, output[:, k], alpha=head.levels[k]) for k in (0, 1)])
    assert np.mean(head.loss(labels, output)) == pytest.approx(expected, rel=1e-5)


def test_the_mean_of_quantiles_is_the_integral_over_levels():
    levels, values = (0.05, 0.3, 0.9), np.array([-2.0, 0.5, 1.0])
    forecast = networks.QuantileHead(levels).forecast(values[None], 0.0, 1.0)
    fine = (np.arange(100_000) + 0.5) / 100_000
    assert forecast.mean[0] == pytest.approx(np.interp(fine, levels, values).mean(), abs=1e-6)
    straight = networks.QuantileHead((0.05, 0.5, 0.95))
    normal = stats.norm(1.0, 3.0).ppf(straight.levels)[None]
    assert straight.forecast(normal, 0.0, 1.0).std[0] == pytest.approx(3.0)
    assert straight.forecast(normal, 0.0, 1.0).mean[0] == pytest.approx(1.0)


def test_positions_are_alike_by_their_distance_alone():
    code = networks.positions(21, 8)
    alike = code @ code.T
    for distance in range(21):
        assert np.ptp(np.diagonal(alike, distance)) < 1e-5
    assert_allclose(code[:, 0], np.sin(np.arange(21)), atol=1e-6)


def parts_of(forecaster, lookback=10):
    """What each lag contributes to the forecasts of an untrained network, ``[lookback]``."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(64, lookback, 2))
    forecaster.set_params(epochs=0).fit(X, rng.normal(size=64))
    return np.abs(forecaster.integrated_gradients(X)).max(axis=(0, 2))


def test_a_temporal_cnn_sees_as_far_back_as_it_says():
    parts = parts_of(TCNForecaster(filters=4, kernel_bars=3, dilations=(1,)))
    assert (parts[-5:] > 0).all()
    assert (parts[:-5] == 0).all()
    parts = parts_of(TCNForecaster(filters=4, kernel_bars=2, dilations=(1, 2)))
    assert (parts[-7:] > 0).all()
    assert (parts[:-7] == 0).all()


def test_a_transformer_sees_the_whole_window_and_its_order():
    net = TransformerForecaster(width=4, heads=2, layers=1)
    assert (parts_of(net) > 0).all()
    X = np.random.default_rng(2).normal(size=(8, 10, 2))
    swapped = np.concatenate([X[:, :-1][:, ::-1], X[:, -1:]], axis=1)
    assert (np.abs(net.predict(swapped).mean - net.predict(X).mean) > 1e-6).all()


def test_attribution_finds_the_feature_that_matters(gaussian):
    X, _, _ = sample()
    importance = gaussian.attribution(X[:300])
    assert importance.shape == (3,)
    assert importance.argmax() == 0
    assert importance[0] > 3 * importance[1:].max()


def test_the_parts_of_a_forecast_sum_to_it(gaussian):
    X, _, _ = sample()
    parts = gaussian.integrated_gradients(X[:300])
    moved = gaussian.predict(X[:300]).mean - gaussian.predict(0 * X[:300]).mean
    assert_allclose(parts.sum(axis=(1, 2)), moved, atol=1e-3 * np.abs(moved).max())


def test_a_row_keeps_its_bits_in_any_batch(gaussian):
    X, _, _ = sample()
    whole = gaussian.predict(X[:700])
    for rows in (slice(0, 1), slice(255, 258), slice(699, 700)):
        assert_array_equal(gaussian.predict(X[rows]).mean, whole.mean[rows])
        assert_array_equal(gaussian.predict(X[rows]).std, whole.std[rows])


def test_copies_and_files_carry_the_network(gaussian, tmp_path):
    X, y, _ = sample()
    forecast = gaussian.predict(X[:300])
    gaussian.save_weights(tmp_path / "net.weights.h5")
    loaded = clone(gaussian).load_weights(tmp_path / "net.weights.h5", X)
    for same in (loaded, copy.deepcopy(gaussian), pickle.loads(pickle.dumps(gaussian))):
        assert_array_equal(same.predict(X[:300]).mean, forecast.mean)
        assert_array_equal(same.predict(X[:300]).std, forecast.std)
        before = same.features(X[:300])
        assert_array_equal(before, gaussian.features(X[:300]))
        same.refit(X[:256], y[:256])
        assert not np.array_equal(same.features(X[:300]), before)  # its encoder learns with it
    assert_array_equal(gaussian.predict(X[:300]).mean, forecast.mean)


def test_updates_follow_a_change(gaussian):
    net = copy.deepcopy(gaussian).set_params(update_learning_rate=1e-2)
    fresh, changed, _ = sample(seed=5)
    changed = changed - 0.01 * fresh[:, -1, 0]  # the first feature now moves it the other way

    def error():
        return ((net.predict(fresh[2000:]).mean - changed[2000:]) ** 2).mean()

    before = error()
    for start in range(0, 2000, 50):
        net.update(fresh[start : start + 50], changed[start : start + 50])
    assert error() < 0.75 * before


def test_nothing_is_traced_again(monkeypatch):
    traces = []
    original = keras.layers.Dense.call

    @functools.wraps(original)
    def counted(self, *args, **kwargs):
        traces.append(self.name)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(keras.layers.Dense, "call", counted)
    X, y, _ = sample(rows=600)
    net = LSTMForecaster(units=(4,), epochs=2, batch_size=64)  # a trace calls its Dense layer once
    first = net.fit(X[:500], y[:500]).predict(X).mean
    net.refit(X[:501], y[:501])
    assert len(traces) == 2  # training, prediction
    for rows in (300, 333, 600):
        net.refit(X[:rows], y[:rows]).predict(X[:rows])
    assert len(traces) == 2
    net.update(X[:7], y[:7]).update(X[:8], y[:8])
    assert len(traces) == 4  # of one length, of any length
    for rows in (7, 1, 9, 40):
        net.update(X[:rows], y[:rows])
    kept = net.state()
    again = net.fit(X[:500], y[:500]).predict(X).mean
    net.set_state(kept, X)
    assert len(traces) == 4
    assert_array_equal(again, first)
    net.set_params(units=(3,)).fit(X, y)
    assert net.features(X).shape == (600, 3)
    assert len(traces) == 5


def test_a_hybrid_is_bagged_forests_on_what_the_encoder_sees():
    X, y, _ = sample(rows=400)
    hybrid = HybridForecaster(
        encoder="gru", encoder_settings={"units": (4,)}, forests=2, trees=3, seed=1, **SMALL
    ).fit(X, y)
    seen = GRUForecaster(units=(4,), seed=1, **SMALL).fit(X, y).features(X)
    means = []
    for number in range(2):
        rows = np.random.default_rng([1, number]).integers(400, size=400)
        forest = RandomForestRegressor(
            3, min_samples_leaf=20, max_features="sqrt", max_samples=0.25, random_state=1000 + number
        )
        means.append(forest.fit(seen[rows], y[rows]).predict(seen))
    assert_allclose(hybrid.predict(X).mean, np.mean(means, axis=0), rtol=1e-12)
    restored = clone(hybrid).set_state(hybrid.state(), X)
    assert_array_equal(restored.predict(X).mean, hybrid.predict(X).mean)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (GRUForecaster(head="normal"), "head must be 'point', 'gaussian' or 'quantile', got 'normal'"),
        (GRUForecaster(head="quantile", quantiles=(0.5, 0.1)), "two or more that increase"),
        (TransformerForecaster(width=6, heads=4), "width must be even and a multiple of heads = 4"),
        (HybridForecaster(encoder="mlp"), "encoder must be one of gru, lstm, tcn, transformer"),
    ],
)
def test_wrong_settings_are_named(net, message):
    X, y, _ = sample(rows=50)
    with pytest.raises(ValueError, match=message):
        net.fit(X, y)


def test_flat_inputs_are_refused():
    with pytest.raises(
        ValueError, match=r"X must be \[n, lookback_bars, features\], got shape \(9, 4\)"
    ):
        GRUForecaster().fit(np.zeros((9, 4)), np.zeros(9))
