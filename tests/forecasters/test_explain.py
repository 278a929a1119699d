"""Importances and SHAP values, on markets where it is known what matters."""

from __future__ import annotations

import math
import sys
from itertools import chain, combinations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import t as student
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression

from foretrade.forecasters import explain, trees
from foretrade.forecasters.base import Forecast, SklearnForecaster
from foretrade.forecasters.explain import (
    feature_blocks,
    member_importance,
    permutation_importance,
    permuted_forecasts,
)
from foretrade.forecasters.linear import OnlineRidgeForecaster, ridge
from foretrade.forecasters.scaling import ScaledForecaster
from foretrade.forecasters.shap_values import shap_values
from foretrade.forecasters.updates import Updates
from foretrade.forecasters.walk import Walk
from foretrade.forecasters.walker import run_walk
from foretrade.markets.bars import DataError
from foretrade.markets.features import compute_features
from foretrade.markets.splits import WalkForward
from foretrade.markets.synthetic import random_walk

RESOLUTION, LOOKBACK = 2, 5
SCHEDULE = WalkForward(refit_every_bars=100, warm_up_bars=300)
SLOPE, NOISE = 0.1, 0.3


def market(*, bars=1500, seed=0) -> tuple[np.ndarray, np.ndarray]:
    """``0.1 · x1 + noise``; four further features are noise."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(bars, 5))
    labels = 0.01 * (SLOPE * inputs[:, 0] + NOISE * rng.normal(size=bars))
    labels[-RESOLUTION:] = np.nan
    return inputs, labels


def walk_of(member, inputs, labels, *, updates=None, schedule=SCHEDULE, folder=None) -> Walk:
    return Walk(
        name="member",
        member=member,
        inputs=inputs,
        labels=labels,
        folds=tuple(schedule.folds(LOOKBACK - 1, len(inputs), RESOLUTION)),
        schedule=schedule,
        resolution_bars=RESOLUTION,
        lookback_bars=LOOKBACK,
        updates=updates or Updates(),
        folder=folder,
    )


class Faulty(BaseEstimator):
    """Forecasts from the first feature alone; goes wrong at fits on just so many rows, or where the
    feature is above a limit."""

    def __init__(self, wrong_at=(), how="raise", limit=math.inf):
        self.wrong_at = wrong_at
        self.how = how
        self.limit = limit

    def fit(self, X, y, sample_weight=None):
        if len(y) in self.wrong_at and self.how == "raise":
            raise FloatingPointError("singular")
        self.scale_ = 1e6 if len(y) in self.wrong_at else 0.001
        return self

    def predict(self, X):
        return Forecast(np.where(X[:, -1, 0] < self.limit, self.scale_ * X[:, -1, 0], np.nan))


class FaultyAndObserving(Faulty):
    def observe(self, X):
        return self


EACH = {f"x{k + 1}": [k] for k in range(5)}
THIRD_FIT = len(SCHEDULE.training_rows(LOOKBACK - 1, LOOKBACK - 1 + 500, RESOLUTION))
WALKED = {
    "plain": (SklearnForecaster(LinearRegression()), Updates()),
    "whole window": (ridge(alpha=1.0, window="flat"), Updates()),
    "updated": (OnlineRidgeForecaster(forgetting=0.99), Updates(7)),
    "updated every bar": (OnlineRidgeForecaster(), Updates(1)),
    "observing": (ScaledForecaster(LinearRegression(), span_bars=50), Updates()),
    "rolled back": (Faulty((THIRD_FIT,), "diverge"), Updates()),
    "failed": (Faulty((THIRD_FIT,)), Updates(guard=False)),
    "failed on the way": (FaultyAndObserving(limit=2.7), Updates(guard=False)),
}


@pytest.mark.parametrize("name", WALKED)
def test_the_plain_forecasts_are_those_of_the_walk_to_the_bit(name, tmp_path):
    member, updates = WALKED[name]
    walk = walk_of(member, *market(bars=700), updates=updates, folder=tmp_path)
    plain = permuted_forecasts(walk, {"x2": [1], "x5": [4]}, rows=range(700), repeats=2)[0]
    assert not list(tmp_path.iterdir())
    assert_array_equal(plain, run_walk(walk).mean)
    assert np.isnan(plain[304:]).any() == name.startswith("failed")


def test_drift_moves_refits_as_in_the_walk():
    pytest.importorskip("river")
    inputs, labels = market()
    labels[700:] *= 5
    walk = walk_of(SklearnForecaster(LinearRegression()), inputs, labels, updates=Updates(on_drift=True))
    walked = run_walk(walk)
    assert any(event.kind == "drift" for event in walked.events)
    assert_array_equal(permuted_forecasts(walk, {}, rows=range(1500))[0], walked.mean)


def test_with_all_columns_in_a_block_each_forecast_is_that_of_an_earlier_row_of_its_fold():
    walk = walk_of(ridge(alpha=1.0, window="flat"), *market(bars=700))
    plain, permuted = permuted_forecasts(walk, {"all": range(5)}, rows=range(700), repeats=3)
    moved = []
    for fold in walk.folds:
        assert np.isnan(permuted[0, :, fold.start]).all()
        for row in range(fold.start + 1, fold.stop):
            for other in permuted[0, :, row]:
                gaps = np.abs(other - plain[fold.start : row])
                assert gaps.min() < 1e-12 * np.abs(other)
                moved.append((row - fold.start - gaps.argmin()) / (row - fold.start))
    assert abs(np.mean(moved) - 0.5) < 0.05  # each of them as often


@pytest.mark.parametrize("name", [name for name in WALKED if not name.startswith("failed")])
def test_columns_that_a_member_ignores_have_no_importance_at_all(name):
    member, updates = WALKED[name]
    inputs, labels = market(bars=700)
    inputs[:, 3:] = 0.0  # no fit can use them
    walk = walk_of(member, inputs, labels, updates=updates)
    found = permutation_importance(walk, {"x1": [0], "flat": [3, 4]}, repeats=2)
    assert (found.loc["flat"] == 0).all()
    assert found.loc["x1", "importance"] != 0


@pytest.mark.parametrize("name", ["plain", "whole window", "updated", "observing"])
def test_forecasts_with_features_of_another_row_could_have_been_made_at_the_time(name):
    member, updates = WALKED[name]
    inputs, labels = market(bars=700)
    whole = permuted_forecasts(
        walk_of(member, inputs, labels, updates=updates), EACH, rows=range(700), repeats=2
    )
    rng = np.random.default_rng(1)
    for cut in (455, 640):
        changed, later = inputs.copy(), labels.copy()
        changed[cut + 1 :] = rng.normal(size=changed[cut + 1 :].shape)
        later[cut + 1 - RESOLUTION :] = rng.normal(size=len(later) - cut - 1 + RESOLUTION)
        for seen, known in ((changed, later), (inputs[: cut + 1], later[: cut + 1])):
            walk = walk_of(member, seen, known, updates=updates)
            again = permuted_forecasts(walk, EACH, rows=range(len(seen)), repeats=2)
            for before, after in zip(whole, again, strict=True):
                assert_array_equal(after[..., : cut + 1], before[..., : cut + 1])


def test_an_importance_depends_on_the_seed_but_on_no_other_block_and_no_row_outside():
    walk = walk_of(ridge(alpha=1.0), *market(bars=700))
    some, alone = range(450, 600), {"x1": [0]}
    found = permutation_importance(walk, EACH, rows=some)
    pd.testing.assert_frame_equal(
        found.loc[["x1"]], permutation_importance(walk, alone, rows=some), check_exact=True
    )
    other = permutation_importance(walk, alone, rows=some, seed=1)
    assert other.loc["x1", "importance"] != found.loc["x1", "importance"]
    plain, permuted = permuted_forecasts(walk, alone, rows=range(700))
    rows = np.isfinite(permuted[0, 0]) & np.isin(np.arange(700), some)
    y, square = walk.labels[rows], np.mean(walk.labels[rows] ** 2)
    worse = ((y - permuted[0][:, rows]) ** 2).mean() - ((y - plain[rows]) ** 2).mean()
    assert_allclose(found.loc["x1", "importance"], worse / square, rtol=1e-9)
    assert found.index.name == "block"


def test_the_whole_window_of_a_block_is_taken_from_the_other_row():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(1500, 5))
    labels = 0.01 * (np.roll(inputs[:, 1], LOOKBACK - 1) + rng.normal(size=1500))
    found = permutation_importance(walk_of(ridge(alpha=1.0, window="flat"), inputs, labels), EACH)
    assert found["importance"].idxmax() == "x2"
    assert abs(found.loc["x2", "importance"] - 1.0) < 3 * found.loc["x2", "std_error"]  # 2 · 1 / (1 + 1)


MEMBERS = {
    "ridge": ridge(alpha=1.0),
    "lightgbm": trees.lightgbm(n_estimators=60),
    "scaled": ScaledForecaster(LinearRegression()),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_the_informative_feature_ranks_first(name):
    found = permutation_importance(walk_of(MEMBERS[name], *market()), EACH, repeats=2)
    assert found["importance"].idxmax() == "x1"
    assert found.loc["x1", "low"] > 0
    assert found.loc["x1", "low"] > found.loc["x2":, "high"].max()
    if name == "ridge":  # y − b x' against y − b x, with b the true slope
        truth = 2 * SLOPE**2 / (SLOPE**2 + NOISE**2)
        assert found.loc["x1", "low"] < truth < found.loc["x1", "high"]


def returns_market(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A random walk: trailing returns, and a slow and a fast series that have nothing to do with it."""
    rng = np.random.default_rng(seed)
    returns = rng.normal(size=1500)
    sums = np.concatenate([[0.0], returns.cumsum()])
    trailing = [np.convolve(returns, np.ones(n))[:1500] / math.sqrt(n) for n in (5, 21, 63)]
    assert_allclose(trailing[1][700] * math.sqrt(21), sums[701] - sums[680], rtol=1e-9)
    slow = pd.Series(rng.normal(size=1500)).ewm(alpha=0.02).mean().to_numpy()
    inputs = np.column_stack([*trailing, slow / slow.std(), rng.normal(size=1500)])
    return inputs, 0.01 * np.append(returns[1:], np.nan)


def null_statistics(seeds: int) -> np.ndarray:
    """Importances over their standard errors ``[seeds, blocks]``, and whether zero is out of reach."""
    found = []
    for seed in range(seeds):
        walk = walk_of(SklearnForecaster(LinearRegression()), *returns_market(seed))
        table = permutation_importance(walk, EACH, repeats=3, seed=seed)
        found.append([table["importance"] / table["std_error"], table["low"] * table["high"] > 0])
    return np.array(found, dtype=np.float64).swapaxes(0, 1)


def test_features_that_mean_nothing_do_not_differ_from_zero():
    seeds = 40
    scores, apart = null_statistics(seeds)
    assert apart.mean() < 0.05 + 3 * math.sqrt(0.05 * 0.95 / apart.size)
    assert (np.abs(scores.mean(axis=0)) < 3.5 / math.sqrt(seeds)).all()


def test_rows_after_a_row_would_give_its_return_away(monkeypatch):
    """The planted fault: a permutation proper of each fold."""

    def permuted(begins, repeats, seed):
        rng = np.random.default_rng(seed)
        rows = np.tile(np.arange(len(begins)), (repeats, 1))
        for begin in np.unique(begins):
            fold = np.flatnonzero(begins == begin)
            rows[:, fold] = [rng.permutation(fold) for _ in range(repeats)]
        return rows

    monkeypatch.setattr(explain, "_earlier_rows", permuted)
    seeds = 20
    scores, apart = null_statistics(seeds)
    assert apart[:, 2].mean() > 0.15
    assert scores[:, 2].mean() > 3.5 / math.sqrt(seeds)


def test_the_standard_error_is_that_of_the_cosine_test_and_allows_for_overlap():
    rng = np.random.default_rng(0)
    labels = np.convolve(rng.normal(size=519), np.ones(20), mode="valid")
    plain, other = 0.1 * rng.normal(size=(2, 500))
    found = explain._increase(plain, other[None], labels, range(500), 1)
    share = np.mean((labels - other) ** 2 - (labels - plain) ** 2) / np.mean(labels**2)
    deviation = (labels - other) ** 2 - (labels - plain) ** 2 - share * labels**2
    places, waves = (np.arange(500) + 0.5) / 500, int(0.4 * 500 ** (2 / 3))
    parts = [
        (np.sqrt(2 / 500) * np.cos(np.pi * j * places) @ deviation) ** 2 for j in range(1, waves + 1)
    ]
    error = np.sqrt(np.mean(parts) / 500) / np.mean(labels**2)
    reach = student.ppf(0.975, waves) * error
    expected = [share, error, share - reach, share + reach]
    assert_allclose(list(found.values()), expected, rtol=1e-9)

    means = []  # of labels that overlap: the spread that is told and the spread that there is
    for _ in range(200):
        x = np.convolve(rng.normal(size=1019), np.ones(20), mode="valid")
        one = explain._increase(np.zeros(1000), np.full((1, 1000), -0.01), x, range(1000), 20)
        means.append([one["importance"] * np.mean(x**2), one["std_error"] * np.mean(x**2)])
    importance, told = np.array(means).T
    assert abs(np.sqrt(np.mean(told**2)) / importance.std() - 1) < 0.2


def test_features_are_grouped_by_kind_and_none_is_left_out():
    table = compute_features(random_walk(300))
    names = [column.name for column in table.columns]
    blocks = feature_blocks(names)
    assert sorted(chain(*blocks.values())) == list(range(len(names)))
    assert list(blocks) == [
        "return_lag", "momentum", "trend", "volatility", "rsi", "atr", "volume", "calendar",
    ]  # fmt: skip
    assert [names[column] for column in blocks["volatility"]] == ["volatility_21", "volatility_ratio"]
    assert len(blocks["calendar"]) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"blocks": {"x6": [5]}}, "'x6' = .* 0 to 4"),
        ({"blocks": {"none": []}}, "'none' = .* 0 to 4"),
        ({"repeats": 0}, "repeats must be at least 1"),
        ({"rows": range(600, 800)}, "within the 700 bars"),
        ({"rows": range(0, 700, 2)}, "within the 700 bars"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings, message):
    walk = walk_of(ridge(), *market(bars=700))
    with pytest.raises(ValueError, match=message):
        permutation_importance(walk, **{"blocks": EACH} | settings)


def test_too_few_rows_and_folds_of_one_row_are_errors():
    walk = walk_of(ridge(), *market(bars=400))
    with pytest.raises(DataError, match="^9 of the rows 305 to 313 have"):
        permutation_importance(walk, EACH, rows=range(305, 314))
    every_bar = WalkForward(refit_every_bars=1, warm_up_bars=300)
    walk = walk_of(ridge(), *market(bars=350), schedule=every_bar)
    with pytest.raises(DataError, match="^0 of the rows 0 to 349 have.*longer folds"):
        permutation_importance(walk, {"x1": [0]}, repeats=1)


def test_a_member_that_cannot_bear_mixed_windows_is_named():
    class Wary(Faulty):
        def predict(self, X):
            return Forecast(np.where(X[:, -1, 0] == X[:, -1, 1], X[:, -1, 0], np.nan))

    inputs, labels = market(bars=700)
    inputs[:, 1] = inputs[:, 0]
    walk = walk_of(Wary(), inputs, labels)
    with pytest.raises(DataError, match=r"'member' has no finite forecast where columns \[0\]"):
        permutation_importance(walk, EACH, rows=range(400, 500))


def members(*, bars=2000, seed=0) -> tuple[np.ndarray, np.ndarray]:
    """One member that knows the drift, one that is noise, one that forecasts zero."""
    rng = np.random.default_rng(seed)
    drift = 0.1 * rng.normal(size=bars)
    labels = 0.01 * (drift + NOISE * rng.normal(size=bars))
    means = 0.01 * np.column_stack([drift, 0.05 * rng.normal(size=bars), np.zeros(bars)])
    means[:100] = np.nan
    labels[-RESOLUTION:] = np.nan
    return means, labels


NAMES, ROWS = ("drift", "noise", "zero"), range(600, 2000)


def importance(means, labels, fusion, *, names=NAMES, rows=ROWS, **settings):
    return member_importance(
        means, names, labels, fusion, resolution_bars=RESOLUTION, rows=rows, **settings
    )


@pytest.mark.parametrize("fusion", ["mean", "stacking", "inverse_mse", "boa"])
def test_the_member_that_knows_something_ranks_first(fusion):
    found = importance(*members(), fusion)
    for way in ("left_out", "permuted"):
        assert found[way]["importance"].idxmax() == "drift"
        assert found.loc["drift", (way, "low")] > 0
        assert found.loc[["noise", "zero"], (way, "high")].max() < found.loc["drift", (way, "low")]
    assert (found.loc["zero", "permuted"] == 0).all()


def test_the_change_without_one_of_two_members_is_that_of_the_other_alone():
    means, labels = members()
    found = importance(means[:, :2], labels, "mean", names=NAMES[:2])["left_out"]
    y, f = labels[600:-RESOLUTION], means[600:-RESOLUTION, :2]
    loss = ((y - f.mean(axis=1)) ** 2).mean()
    for k, name in enumerate(NAMES[:2]):
        expected = (((y - f[:, 1 - k]) ** 2).mean() - loss) / (y**2).mean()
        assert_allclose(found.loc[name, "importance"], expected, rtol=1e-9)
    # the mean of x and noise against x alone: ¼ (slope² + 0.05²)
    truth = -(SLOPE**2 + 0.05**2) / 4 / (SLOPE**2 + NOISE**2)
    assert found.loc["noise", "low"] < truth < found.loc["noise", "high"]
    assert found.loc["noise", "high"] < 0


def test_a_permuted_member_loses_what_its_weight_times_its_knowledge_is_worth():
    means, labels = members()
    found = importance(means, labels, "mean")["permuted"].loc["drift"]
    truth = 2 * (SLOPE / 3) * SLOPE / (SLOPE**2 + NOISE**2)  # 2 w cov(f, y), as w² var f cancels
    assert found["low"] < truth < found["high"]


def test_a_noise_member_does_not_differ_from_zero_when_permuted():
    apart = []
    for seed in range(60):
        means, labels = members(seed=seed)
        momentum = pd.Series(labels).shift(RESOLUTION).rolling(40).mean().to_numpy()
        means[100:, 2] = momentum[100:]  # knows past labels, and so the future of rows before it
        found = importance(means, labels, "mean", repeats=3, seed=seed)["permuted"]
        apart.append((found["low"] * found["high"] > 0)[["noise", "zero"]])
    assert np.mean(apart) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 120)


def test_rows_where_a_member_failed_are_left_out_for_it():
    means, labels = members()
    means[900:1000, 1] = np.nan
    assert np.isfinite(importance(means, labels, "stacking").to_numpy()).all()


def test_members_that_do_not_fit_are_named():
    means, labels = members()
    with pytest.raises(ValueError, match=r"of two members or more, got \(2000, 3\)"):
        importance(means, labels, "mean", names=NAMES[:2])
    with pytest.raises(ValueError, match="stacking.*got 'vote'"):
        importance(means, labels, "vote")
    with pytest.raises(ValueError, match="block_bars at least 2"):
        importance(means, labels, "mean", block_bars=1)
    with pytest.raises(DataError, match="^0 of the rows 0 to 99 have"):
        importance(means, labels, "mean", rows=range(100))


def windows(*, rows=400, features=4, lookback=1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, lookback, features))
    return X, 0.01 * (X[:, -1, 0] + 0.5 * X[:, -1, 0] * X[:, -1, 1] + 0.3 * rng.normal(size=rows))


def value(node: dict, row: np.ndarray, known: set[int]) -> float:
    """What a LightGBM tree is expected to say of a row of which some features are known."""
    if "leaf_value" in node:
        return node["leaf_value"]
    left, right = node["left_child"], node["right_child"]
    if node["split_feature"] in known:
        side = left if row[node["split_feature"]] <= node["threshold"] else right
        return value(side, row, known)
    counts = [child.get("internal_count", child.get("leaf_count")) for child in (left, right)]
    values = [value(child, row, known) for child in (left, right)]
    return float(np.average(values, weights=counts))


def test_lightgbm_gives_the_shapley_values_of_the_path_dependent_game():
    """Against their definition, over all 16 sets of four features."""
    X, y = windows()
    member = trees.lightgbm(n_estimators=4, learning_rate=0.3, num_leaves=6, min_child_samples=10)
    member.fit(X, y)
    roots = [tree["tree_structure"] for tree in member.estimator_.booster_.dump_model()["tree_info"]]
    found = shap_values(member, X[:20])
    for row, values in zip(X[:20, -1], found, strict=True):
        game = {
            known: sum(value(root, row, set(known)) for root in roots)
            for size in range(5)
            for known in combinations(range(4), size)
        }
        for feature in range(4):
            others = [known for known in game if feature not in known]
            weights = [math.factorial(len(s)) * math.factorial(3 - len(s)) / 24 for s in others]
            gains = [game[tuple(sorted((*s, feature)))] - game[s] for s in others]
            assert_allclose(values[feature], np.dot(weights, gains), rtol=1e-9, atol=1e-15)
        assert_allclose(values[-1], game[()], rtol=1e-9)


TREES = {
    "lightgbm": trees.lightgbm(n_estimators=40),
    "forest": trees.random_forest(n_estimators=10),
    "extra": trees.extra_trees(n_estimators=10),
    "flat lightgbm": trees.lightgbm(n_estimators=40, window="flat"),
    "flat forest": trees.random_forest(n_estimators=10, window="flat"),
}


@pytest.mark.parametrize("name", TREES)
def test_shap_values_sum_to_the_forecast_and_find_the_features_that_matter(name):
    if "lightgbm" not in name:
        pytest.importorskip("shap")
    X, y = windows(lookback=3)
    member = TREES[name].fit(X, y)
    values = shap_values(member, X[:50])
    assert values.shape == (50, 13 if name.startswith("flat") else 5)
    assert_allclose(values.sum(axis=1), member.predict(X[:50]).mean, rtol=1e-7, atol=1e-9)
    assert np.ptp(values[:, -1]) == 0
    size = np.abs(values[:, :-1]).mean(axis=0)
    assert size.argmax() == (8 if name.startswith("flat") else 0)


def test_a_feature_in_no_split_has_a_shap_value_of_zero():
    X, y = windows()
    X[:, :, 3] = 1.0
    assert (shap_values(trees.lightgbm().fit(X, y), X)[:, 3] == 0).all()


def test_lightgbm_and_shap_agree():
    shap = pytest.importorskip("shap")
    X, y = windows()
    member = trees.lightgbm(n_estimators=40).fit(X, y)
    explainer = shap.TreeExplainer(member.estimator_, feature_perturbation="tree_path_dependent")
    assert_allclose(
        shap_values(member, X)[:, :-1], explainer.shap_values(X[:, -1]), rtol=1e-6, atol=1e-9
    )


def test_shap_values_of_another_kind_of_member_are_refused_with_a_remedy(monkeypatch):
    X, y = windows()
    with pytest.raises(ValueError, match="LGBMRegressor.*around Pipeline; use permutation_importance"):
        shap_values(ridge().fit(X, y), X)
    with pytest.raises(NotFittedError):
        shap_values(trees.lightgbm(), X)
    forest = trees.random_forest(n_estimators=2).fit(X, y)
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(ModuleNotFoundError, match=r"foretrade\[explain\]"):
        shap_values(forest, X)
