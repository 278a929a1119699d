from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from foretrade.forecasters.bagging import (
    BaggedForecaster,
    mean_block_bars,
    seeded_clone,
    stationary_rows,
)
from foretrade.forecasters.base import Forecast, Observing, SklearnForecaster, Updating, WarmStarted
from foretrade.forecasters.boosting import StagewiseForecaster
from foretrade.forecasters.checks import yield_checks


def noise(rows=400, seed=0, features=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 5, features)), rng.normal(size=rows)


def moving_average(rows, span, seed=0):
    """Labels that overlap over ``span`` rows."""
    shocks = np.random.default_rng(seed).normal(size=rows + span)
    return np.convolve(shocks, np.ones(span), mode="valid")[:rows]


class Spy(BaseEstimator):
    """Remembers its fit, and gives a std."""

    def __init__(self, *, seed: int = 0, std: float | None = None) -> None:
        self.seed = seed
        self.std = std

    inputs = "returns"
    lookback_bars = 4

    def fit(self, X, y, sample_weight=None):
        self.fit_ = X, y, sample_weight
        return self

    def predict(self, X):
        std = None if self.std is None else np.full(len(X), self.std)
        return Forecast(np.full(len(X), self.fit_[1].mean()), std)


class Stateful(Spy):
    def observe(self, X):
        return self


@pytest.mark.parametrize(
    "forecaster",
    [
        BaggedForecaster(Ridge(), copies=3),
        BaggedForecaster(SklearnForecaster(DecisionTreeRegressor(max_depth=3), window="flat"), copies=3),
        StagewiseForecaster(DecisionTreeRegressor(max_depth=1, max_features=0.5)),
        StagewiseForecaster(BaggedForecaster(Ridge(), copies=2), stages=2),
    ],
    ids=["bagged ridge", "bagged tree", "boosted stump", "boosted bag"],
)
def test_conformance(forecaster):
    for check in yield_checks(forecaster):
        check(forecaster)


def test_a_copy_is_a_fit_on_a_resample_of_the_training_rows():
    X, y = noise()
    weights = np.random.default_rng(1).uniform(size=400)
    bagged = BaggedForecaster(Spy(), copies=5).fit(X, y, weights)
    samples = []
    for copy in bagged.copies_:
        seen_X, seen_y, seen_weights = copy.fit_
        rows = np.array([int(np.flatnonzero(y == label)[0]) for label in seen_y])
        assert np.array_equal(seen_X, X[rows])
        assert np.array_equal(seen_weights, weights[rows])
        assert len(rows) == 400
        assert 0.5 < len(np.unique(rows)) / 400 < 0.75  # 1 − 1/e of them are drawn
        samples.append(tuple(rows))
    assert len(set(samples)) == 5
    assert len({copy.seed for copy in bagged.copies_}) == 5
    assert_allclose(bagged.predict(X).mean, np.mean([copy.fit_[1].mean() for copy in bagged.copies_]))


def test_blocks_are_as_long_as_labels_overlap():
    independent, overlapping = moving_average(3000, 1), moving_average(3000, 20)
    assert mean_block_bars(independent) < 5
    assert mean_block_bars(overlapping) > 20
    clustered = independent * np.exp(moving_average(3000, 60, seed=1) / 10)
    assert mean_block_bars(clustered) > 15  # by its squares
    block = mean_block_bars(overlapping)
    rows = stationary_rows(3000, block, np.random.default_rng(0))
    ends = (np.diff(rows) % 3000 != 1).sum()
    assert abs(ends - 3000 / block) < 4 * np.sqrt(3000 / block)


def test_labels_from_which_no_block_length_follows():
    assert mean_block_bars(np.zeros(1000)) == pytest.approx(10)
    assert mean_block_bars(np.arange(8.0)) == pytest.approx(2)


def test_bagging_a_deep_tree_takes_out_variance():
    """On pure noise the best forecast is zero, and a tree that interpolates is as bad as the noise."""
    X, y = noise(1000)
    unseen = noise(1000, seed=1)[0]
    tree = DecisionTreeRegressor(random_state=0)
    single = tree.fit(X[:, -1], y).predict(unseen[:, -1])
    bagged = BaggedForecaster(tree, copies=25).fit(X, y).predict(unseen).mean
    assert (single**2).mean() > 0.8
    assert (bagged**2).mean() < 0.4 * (single**2).mean()


def test_bagging_a_mean_gives_back_its_sampling_error():
    """The bootstrap's own purpose: over copies, means vary as the mean of dependent labels does."""
    span, rows = 10, 4000
    y = moving_average(rows, span)
    bagged = BaggedForecaster(Spy(), copies=200).fit(np.zeros((rows, 1, 1)), y)
    spread = np.std([copy.fit_[1].mean() for copy in bagged.copies_])
    truth = span / np.sqrt(rows)  # long-run standard deviation of a moving sum: span
    assert 0.7 * truth < spread < 1.3 * truth
    assert spread > 2 * y.std() / np.sqrt(rows)  # what independent draws would give


def test_std_is_that_of_the_mixture():
    X, y = noise()
    bagged = BaggedForecaster(Spy(std=0.5), copies=7).fit(X, y)
    means = [copy.fit_[1].mean() for copy in bagged.copies_]
    assert_allclose(bagged.predict(X).std, np.sqrt(0.25 + np.var(means)))
    assert BaggedForecaster(Spy(), copies=2).fit(X, y).predict(X).std is None


def test_every_nested_seed_is_set_and_nothing_else():
    tree = DecisionTreeRegressor(max_depth=2)
    member = StagewiseForecaster(make_pipeline(StandardScaler(), tree))
    copies = [seeded_clone(member, seed, number) for seed, number in ((0, 0), (0, 1), (1, 0))]
    seeds = [copy.get_params()["seed"] for copy in copies]
    assert len(set(seeds)) == 3
    assert [c.get_params()["member__decisiontreeregressor__random_state"] for c in copies] == seeds
    assert tree.random_state is None
    assert copies[0].stages == member.stages
    assert min(seeds) >= 0
    assert max(seeds) < 2**31


@pytest.mark.parametrize("kind", [BaggedForecaster, StagewiseForecaster])
def test_a_wrapper_is_shown_what_its_member_is_shown_and_promises_nothing_else(kind):
    wrapped = kind(Spy())
    assert wrapped.inputs == "returns"
    assert wrapped.lookback_bars == 4
    plain = kind(Ridge())
    assert plain.inputs == "features"
    assert not hasattr(plain, "lookback_bars")
    assert not isinstance(wrapped, Observing | Updating | WarmStarted)
    X, y = noise()
    with pytest.raises(ValueError, match="Stateful has a running state: put it around the wrapper"):
        kind(Stateful()).fit(X, y)
    again = pickle.loads(pickle.dumps(plain.fit(X, y)))
    assert np.array_equal(again.predict(X).mean, plain.predict(X).mean)


def additive(rows, seed):
    X = np.random.default_rng(seed).uniform(-1, 1, size=(rows, 1, 3))
    return X, np.sign(X[:, 0, 0]) + 0.5 * np.sign(X[:, 0, 1] - 0.3) + X[:, 0, 2]


def test_boosting_stumps_is_a_loop_over_residuals():
    X, y = additive(300, 0)
    weights = np.random.default_rng(1).uniform(size=300)
    stump = DecisionTreeRegressor(max_depth=1, random_state=0)
    boosted = StagewiseForecaster(stump, stages=20, learning_rate=0.3).fit(X, y, weights)
    expected = np.full(300, (weights * y).sum() / weights.sum())
    for _ in range(20):
        stage = DecisionTreeRegressor(max_depth=1, random_state=0)
        expected = expected + 0.3 * stage.fit(X[:, 0], y - expected, weights).predict(X[:, 0])
    assert_allclose(boosted.predict(X).mean, expected, rtol=1e-9)


def test_more_stages_fit_additive_data_better():
    (X, y), (unseen, truth) = additive(1000, 0), additive(1000, 1)
    stump = DecisionTreeRegressor(max_depth=1)
    errors = [
        ((StagewiseForecaster(stump, stages=n).fit(X, y).predict(unseen).mean - truth) ** 2).mean()
        for n in (1, 5, 25, 100)
    ]
    assert all(np.diff(errors) < 0)
    assert errors[-1] < 0.05 * truth.var()
    constant = StagewiseForecaster(Spy(), stages=5).fit(X, y).predict(unseen).mean
    assert_allclose(constant, y.mean())  # a member that knows nothing adds nothing


def test_boosting_least_squares_in_one_full_step_is_least_squares():
    X, y = noise()
    for stages in (1, 4):
        boosted = StagewiseForecaster(LinearRegression(), stages=stages, learning_rate=1.0).fit(X, y)
        expected = LinearRegression().fit(X[:, -1], y).predict(X[:, -1])
        assert_allclose(boosted.predict(X).mean, expected, atol=1e-12)


def test_settings_out_of_range_are_refused():
    X, y = noise()
    for wrong, message in (
        (BaggedForecaster(Ridge(), copies=0), "copies must be at least 1"),
        (StagewiseForecaster(Ridge(), stages=0), "stages must be at least 1"),
        (StagewiseForecaster(Ridge(), learning_rate=1.5), "learning_rate above 0 and at most 1"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong.fit(X, y)
    with pytest.raises(TypeError, match="neither a forecaster nor a scikit-learn regressor"):
        BaggedForecaster(object()).fit(X, y)
