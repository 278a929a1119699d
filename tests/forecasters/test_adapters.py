from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from foretrade.forecasters import checks
from foretrade.forecasters.adapters import FunctionForecaster
from foretrade.forecasters.blocks import CLIP
from foretrade.forecasters.keras_model import KerasModelForecaster
from foretrade.forecasters.keras_nets import LSTMForecaster, keras
from foretrade.forecasters.torch_net import TorchForecaster
from foretrade.testing import parametrize_with_checks

RECIPES = (Path(__file__).parents[2] / "docs" / "own_models.md").read_text()
BLOCKS = re.findall(
    r"^## ([^\n]*)\n(?:(?!^## ).)*?```python\n(.*?)```", RECIPES, re.DOTALL | re.MULTILINE
)
layers = keras.layers


def keras_model(shape):
    """Compiled, with a loss and an optimiser of its own, and noise inside another model."""
    noisy = keras.Sequential(
        [layers.GaussianNoise(0.1), layers.Dropout(0.2), layers.BatchNormalization()]
    )
    model = keras.Sequential([keras.Input(shape), layers.Flatten(), noisy, layers.Dense(1)])
    model.compile(keras.optimizers.Adagrad(0.01), "mae")
    return model


def torch_module(shape):
    return torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.BatchNorm1d(shape[0] * shape[1]),
        torch.nn.Linear(shape[0] * shape[1], 4),
        torch.nn.Dropout(0.2),
        torch.nn.Linear(4, 1),
    )


def momentum(window):
    return 0.001 * window[:, 0].mean()


def momentums(windows):
    return 0.001 * windows[:, :, 0].mean(axis=1)


@parametrize_with_checks(
    [
        KerasModelForecaster(keras_model, epochs=1, refit_epochs=1),
        TorchForecaster(torch_module, epochs=1, refit_epochs=1),
        TorchForecaster(torch_module, epochs=1, refit_epochs=None),
        FunctionForecaster(momentum),
        FunctionForecaster(momentums, vectorised=True),
    ]
)
def test_conformance(check):
    check()


def sample(rows=600, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 5, 3))
    return X, 0.01 * (0.5 * X[:, -1, 0] - 0.3 * X[:, 0, 2] + rng.normal(size=rows))


def own_lstm(shape):
    inputs = keras.Input(shape)
    hidden = layers.LSTM(6, return_sequences=True)(inputs)
    hidden = layers.Dropout(0.2)(hidden)
    hidden = layers.LSTM(4)(hidden)
    hidden = layers.Dropout(0.2)(hidden)
    return keras.Model(inputs, layers.Dense(1)(hidden))


def test_the_shipped_lstm_built_by_hand_has_the_same_bits():
    X, y = sample()
    weights = np.random.default_rng(1).uniform(0.5, 2, size=400)
    settings = {"epochs": 2, "refit_epochs": 1, "batch_size": 64, "seed": 3}
    own, shipped = KerasModelForecaster(own_lstm, **settings), LSTMForecaster(units=(6, 4), **settings)
    for net in (own, shipped):
        net.fit(X[:400], y[:400], weights).refit(X[:500], y[:500]).update(X[500:], y[500:])
    assert_array_equal(own.predict(X).mean, shipped.predict(X).mean)
    assert_array_equal(own.attribution(X), shipped.attribution(X))


def linear_keras(shape):
    return keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(1)])


def linear_torch(shape):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(shape[0] * shape[1], 1))


@pytest.mark.parametrize(
    "net",
    [
        KerasModelForecaster(linear_keras, epochs=80, learning_rate=0.05, batch_size=600),
        TorchForecaster(linear_torch, epochs=80, learning_rate=0.05, batch_size=600),
    ],
    ids=["keras", "torch"],
)
def test_a_linear_network_learns_weighted_least_squares(net):
    X, y = sample()
    weights = np.where(X[:, -1, 1] > 0, 1.0, 0.2)
    y = y + 0.01 * np.where(X[:, -1, 1] > 0, X[:, -1, 2], -X[:, -1, 2])  # so that the weights matter
    rows = np.column_stack([X.reshape(len(X), -1), np.ones(len(X))])

    def least_squares(weights):
        root = np.sqrt(weights)[:, None]
        return rows @ np.linalg.lstsq(root * rows, root[:, 0] * y, rcond=None)[0]

    expected = least_squares(weights)
    mean = net.fit(X, y, weights).predict(X).mean
    assert_allclose(mean, expected, atol=0.1 * expected.std())
    assert np.abs(mean - least_squares(np.ones(len(y)))).max() > expected.std()
    outlier = 1000 * X[:1]
    assert net.predict(outlier).mean == net.predict(np.clip(outlier, -CLIP, CLIP)).mean


def test_a_compiled_model_keeps_its_loss_and_optimiser():
    X, y = sample()
    net = KerasModelForecaster(keras_model, epochs=1).fit(X, y)
    assert net.net_.loss == "mae"
    assert isinstance(net.net_.optimizer, keras.optimizers.Adagrad)


def test_torch_leaves_the_caller_s_generator_and_threads_alone():
    X, y = sample()
    torch.manual_seed(5)
    expected = torch.rand(3)
    threads = torch.get_num_threads()
    torch.manual_seed(5)
    first = TorchForecaster(torch_module, epochs=1).fit(X, y).refit(X, y).predict(X).mean
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
    again = TorchForecaster(torch_module, epochs=1).fit(X, y).refit(X, y).predict(X).mean
    assert_array_equal(first, again)  # and does not hear it


def test_a_refit_goes_on_or_begins_anew():
    X, y = sample()
    anew = TorchForecaster(torch_module, epochs=1, refit_epochs=None)
    expected = clone(anew).fit(X, y).predict(X).mean
    assert_array_equal(anew.fit(X[:300], y[:300]).refit(X, y).predict(X).mean, expected)
    warm = TorchForecaster(torch_module, epochs=1, refit_epochs=0).fit(X[:300], y[:300])
    kept = warm.state()
    for name, values in warm.refit(X, y).state().items():
        if name != "label":
            assert_array_equal(values, kept[name])


@pytest.mark.parametrize("net", [TorchForecaster(linear_torch), KerasModelForecaster(linear_keras)])
def test_a_row_keeps_its_bits_in_any_batch(net):
    X, y = sample()
    whole = net.set_params(epochs=1).fit(X, y).predict(X).mean
    for rows in (slice(0, 1), slice(250, 263), slice(599, 600)):
        assert_array_equal(net.predict(X[rows]).mean, whole[rows])


def two_values_keras(shape):
    return keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(2)])


def two_values_torch(shape):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(shape[0] * shape[1], 2))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            KerasModelForecaster(two_values_keras),
            r"one value a window, \[n, 1\]; of 2 windows .* \(2, 2\)",
        ),
        (
            TorchForecaster(two_values_torch),
            r"one value a window, \[n, 1\]; of 256 windows .* \(256, 2\)",
        ),
        (FunctionForecaster(lambda X: X[:, 0], vectorised=True), r"made shape \(256, 3\)"),
        (FunctionForecaster(lambda window: window.fill(0)), "read-only"),
    ],
)
def test_what_is_no_forecast_is_named(model, message):
    X, y = sample()
    with pytest.raises(ValueError, match=message):
        model.fit(X, y).predict(X)


def test_a_function_is_called_with_each_window():
    X, y = sample()
    expected = [momentum(window) for window in X]
    assert_array_equal(FunctionForecaster(momentum).fit(X, y).predict(X).mean, expected)
    vectorised = FunctionForecaster(momentums, vectorised=True).fit(X, y).predict(X).mean
    assert_allclose(vectorised, expected, rtol=1e-12)


def river_pipeline():
    linear_model = pytest.importorskip("river.linear_model")
    from river import optim, preprocessing

    return preprocessing.StandardScaler() | linear_model.LinearRegression(optim.SGD(0.01))


def river_forecaster(**settings):
    pipeline = river_pipeline()
    from foretrade.forecasters.river_online import RiverForecaster

    return RiverForecaster(pipeline, **settings)


@pytest.mark.parametrize("window", ["last", "flat"])
def test_river_conformance(window):
    forecaster = river_forecaster(window=window)
    for check in checks.yield_checks(forecaster):
        check(forecaster)


def test_river_learns_row_by_row():
    X, y = sample()
    plain, expected = river_pipeline(), []
    for row, label in zip(X[:, -1], y, strict=True):
        named = dict(zip("012", row, strict=True))
        expected.append(plain.predict_one(named))
        plain.learn_one(named, label)
    forecaster = river_forecaster().fit(X[:1], y[:1])
    actual = [0.0]
    for k in range(1, len(X)):
        actual.append(forecaster.predict(X[k : k + 1]).mean[0])
        forecaster.update(X[k : k + 1], y[k : k + 1])
    assert_allclose(actual[1:], expected[1:], rtol=1e-12)


def test_river_names_what_it_cannot_do():
    X, y = sample()
    with pytest.raises(ValueError, match="give it no sample_weight"):
        river_forecaster().fit(X, y, np.ones(len(y)))
    with pytest.raises(ValueError, match="window must be 'last' or 'flat', got 'all'"):
        river_forecaster(window="all").fit(X, y)


@pytest.mark.parametrize(("title", "block"), BLOCKS, ids=[title for title, _ in BLOCKS])
def test_recipes_run(title, block, tmp_path, monkeypatch):
    if "river" in block:
        pytest.importorskip("river")
    monkeypatch.chdir(tmp_path)
    exec(compile(block, f"docs/own_models.md: {title}", "exec"), {"__name__": "__main__"})


def test_every_block_is_found():
    assert len(BLOCKS) == RECIPES.count("```python")
