from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretrade.markets.bars import DataError
from foretrade.markets.labels import LabelConfig, forward_returns
from foretrade.markets.splits import Blocks, WalkForward, purge


@given(
    st.integers(0, 50), st.integers(100, 400), st.integers(1, 10), st.integers(0, 10),
    st.integers(1, 60), st.integers(30, 80), st.sampled_from([0, 25]),
)  # fmt: skip
def test_no_fold_learns_from_a_label_that_was_not_resolved(
    first, rows, resolution, embargo, every, warm_up, window
):
    schedule = WalkForward(every, warm_up, embargo, window)
    folds = list(schedule.folds(first, rows, resolution))
    predicted = [row for fold in folds for row in range(fold.start, fold.stop)]
    assert predicted == list(range(first + warm_up, rows))
    for fold in folds:
        assert fold.train.start >= first
        assert fold.train[-1] + resolution == fold.cutoff == fold.start - embargo
        assert not window or len(fold.train) <= window


def test_a_warm_up_that_leaves_nothing_to_learn_from_is_refused():
    with pytest.raises(DataError, match="leaves 1 rows to learn from; raise it"):
        list(WalkForward(10, 5, 3).folds(0, 100, 2))
    with pytest.raises(ValueError, match="at least 1"):
        WalkForward(0)


@given(st.integers(0, 80), st.integers(1, 20), st.integers(1, 10), st.integers(0, 10))
def test_purged_rows_share_no_bar_with_the_test_block(start, length, resolution, embargo):
    test = range(start, start + length)
    kept = purge(np.arange(100), test, resolution_bars=resolution, embargo_bars=embargo)
    tested = set(range(test.start, test.stop + resolution))
    for row in kept.tolist():
        assert not tested & set(range(row, row + resolution + 1))
        assert not test.stop - 1 + resolution < row <= test.stop - 1 + resolution + embargo


@pytest.mark.parametrize("fill", ["next_close", "next_open", "same_close"])
@pytest.mark.parametrize("horizon", [1, 5])
def test_labels_are_what_the_decision_can_earn(walk, fill, horizon):
    config = LabelConfig(horizon, fill)
    labels = forward_returns(walk, config)[:, 0]
    prices = walk.open[:, 0] if fill == "next_open" else walk.close[:, 0]
    lag = 0 if fill == "same_close" else 1
    row = 50
    assert labels[row] == np.log(prices[row + lag + horizon]) - np.log(prices[row + lag])
    assert np.isnan(labels[-config.resolution_bars :]).all()
    assert np.isfinite(labels[: -config.resolution_bars]).all()


def test_blocks_follow_each_other_without_overlap(sp500):
    blocks = Blocks().rows(sp500)
    days = sp500.dates
    assert str(days[blocks["train"][0]].date()) == "2003-01-02"
    assert str(days[blocks["train"][-1]].date()) == "2011-12-30"
    assert blocks["validation"].start == blocks["train"].stop
    assert blocks["test"].start == blocks["validation"].stop
    assert blocks["test"].stop == len(sp500)
    assert str(days[Blocks(end="2016-12-31").rows(sp500)["test"][-1]].date()) == "2016-12-30"


@pytest.mark.parametrize("folds", [1, 2, 5, 1257])
def test_folds_learn_from_what_lies_before_them_and_share_no_return(sp500, folds):
    blocks, rolled = Blocks().rows(sp500), Blocks().rolled(sp500, folds)
    assert [fold["train"] for fold in rolled[:1]] == [blocks["train"]]
    assert [fold["validation"] for fold in rolled[:1]] == [blocks["validation"]]
    decisions = [row for fold in rolled for row in fold["test"][:-1]]
    assert decisions == list(blocks["test"][:-1])
    for fold in rolled:
        assert fold["train"].start == blocks["train"].start
        assert fold["train"].stop == fold["validation"].start
        assert fold["validation"].stop == fold["test"].start
        assert len(fold["validation"]) == len(blocks["validation"])
    sizes = [len(fold["test"]) - 1 for fold in rolled]
    assert sizes == [len(part) for part in np.array_split(decisions, folds)]  # as standings cut them
    with pytest.raises(DataError, match="cannot be split into 1258 folds"):
        Blocks().rolled(sp500, 1258)


def test_blocks_outside_the_data_are_refused(sp500):
    with pytest.raises(DataError, match="block 'test' holds 0 bars between 1999-01-04 and 2018"):
        Blocks(test="2020-01-01").rows(sp500)
    with pytest.raises(DataError, match=r"blocks.test = 'soon' is not a date"):
        Blocks(test="soon").rows(sp500)
