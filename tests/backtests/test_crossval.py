"""Combinatorial splits against a slow construction, and inside scikit-learn."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor

from foretrade.backtests.crossval import CombinatorialPurged


def slow_splits(rows, blocks, tested, resolution, embargo):
    """Row by row: what a label spans, and what it must not touch."""
    parts = [set(part.tolist()) for part in np.array_split(np.arange(rows), blocks)]
    for chosen in combinations(range(blocks), tested):
        test = set().union(*(parts[b] for b in chosen))
        banned = set()
        for i in range(rows):
            spans = set(range(i, i + resolution + 1))
            for j in test:
                after = set(range(j, j + resolution + 1))
                late = set(range(j + resolution + 1, j + resolution + embargo + 1))
                if (spans & after and (i > j or j in spans)) or i in late:
                    banned.add(i)
        yield sorted(set(range(rows)) - test - banned), sorted(test)


shapes = st.tuples(
    st.integers(12, 40), st.integers(2, 6), st.integers(1, 3), st.integers(0, 3), st.integers(0, 3)
)


@given(shapes)
def test_splits_are_those_of_a_slow_construction(shape):
    rows, blocks, tested, resolution, embargo = shape
    assume(tested < blocks)
    expected = list(slow_splits(*shape))
    assume(all(train for train, _ in expected))
    splitter = CombinatorialPurged(blocks, tested, resolution, embargo)
    found = [(train.tolist(), test.tolist()) for train, test in splitter.split(np.zeros((rows, 2)))]
    assert found == expected
    assert len(found) == splitter.get_n_splits()


@given(shapes)
def test_paths_cover_all_rows_and_use_every_forecast_once(shape):
    rows, blocks, tested, _, _ = shape
    assume(tested < blocks)
    splitter = CombinatorialPurged(blocks, tested, 0, 0)
    tests = [test for _, test in splitter.split(range(rows))]
    marked = [split * 1000.0 + test for split, test in enumerate(tests)]
    paths = splitter.paths(marked)
    assert paths.shape == (splitter.number_of_paths, rows)
    assert (paths % 1000 == np.arange(rows)).all()
    assert sorted(paths.ravel()) == sorted(np.concatenate(marked))
    assert (np.diff(paths // 1000, axis=0) > 0).all()  # a later path takes a later split


def test_six_blocks_two_at_a_time_make_fifteen_splits_and_five_paths():
    """López de Prado (2018, ch. 12)."""
    splitter = CombinatorialPurged(6, 2)
    assert (splitter.get_n_splits(), splitter.number_of_paths) == (15, 5)


def test_the_neighbours_of_a_test_block_know_its_labels_unless_they_are_purged():
    """A label that spans ten bars is nearly that of the row before, of which a neighbour is told."""
    walk = np.random.default_rng(0).normal(size=410).cumsum()
    labels, position = walk[10:] - walk[:-10], np.arange(400.0)[:, None]

    def correlation(resolution_bars):
        splitter, model = CombinatorialPurged(80, 1, resolution_bars), KNeighborsRegressor(1)
        forecasts = [
            model.fit(position[train], labels[train]).predict(position[test])
            for train, test in splitter.split(position)
        ]
        (path,) = splitter.paths(forecasts)
        return np.corrcoef(path, labels)[0, 1]

    assert correlation(0) > 0.5
    assert abs(correlation(10)) < 0.2


def test_scikit_learn_takes_it():
    X = np.random.default_rng(0).normal(size=(120, 3))
    splitter = CombinatorialPurged(5, 2, resolution_bars=2, embargo_bars=1)
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 10.0]}, cv=splitter).fit(X, X @ [1.0, 2.0, 3.0])
    assert search.best_params_ == {"alpha": 0.1}
    assert search.n_splits_ == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((5, 5), "test_blocks must lie"), ((5, 0), "test_blocks must lie"), ((5, 2, -1), "negative")],
)
def test_impossible_splitters_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        CombinatorialPurged(*arguments)


def test_too_few_rows_and_wrong_forecasts_are_refused():
    with pytest.raises(ValueError, match="4 rows cannot be cut into 6 blocks"):
        list(CombinatorialPurged().split(range(4)))
    with pytest.raises(ValueError, match="nothing to learn from"):
        list(CombinatorialPurged(4, 2, embargo_bars=50).split(range(40)))
    splitter = CombinatorialPurged(3, 1)
    with pytest.raises(ValueError, match="3 splits need as many forecasts, got 2"):
        splitter.paths([np.zeros(4), np.zeros(4)])
    with pytest.raises(ValueError, match="has 4 test rows, got 5 forecasts"):
        splitter.paths([np.zeros(5), np.zeros(4), np.zeros(3)])
