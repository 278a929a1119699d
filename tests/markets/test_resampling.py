"""Rows drawn anew: the draws of arch, and the variance that theory says they have."""

from __future__ import annotations

import numpy as np
import pytest
from arch.bootstrap import StationaryBootstrap
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from foretrade.markets.resampling import (
    block_lengths,
    resampled_means,
    stationary_rows,
    stationary_variance,
)


@given(st.integers(2, 60), st.floats(1, 30), st.integers(0, 1000))
def test_rows_are_those_that_arch_draws(rows, block, seed):
    reference = StationaryBootstrap(block, np.arange(rows), seed=seed)
    expected = [data[0][0] for data in reference.bootstrap(5)]
    assert np.array_equal(np.vstack(list(stationary_rows(rows, block, 5, seed))), expected)


def test_chunks_go_on_with_one_stream():
    chunks = list(stationary_rows(10, 3.0, 600, 0))
    assert [len(chunk) for chunk in chunks] == [256, 256, 88]
    assert not np.array_equal(chunks[0], chunks[1])


def test_means_are_those_of_the_rows_drawn():
    values = np.random.default_rng(0).normal(size=(40, 3))
    expected = [values[rows].mean(axis=0) for rows in np.vstack(list(stationary_rows(40, 4.0, 300, 1)))]
    assert_allclose(resampled_means(values, 4.0, 300, 1), expected, atol=1e-14)


@given(st.integers(2, 40), st.floats(1, 20), st.integers(0, 1000))
def test_the_variance_is_the_sum_over_lags(rows, block, seed):
    """Politis and Romano (1994), added up lag by lag."""
    values = np.random.default_rng(seed).normal(size=(rows, 2)).cumsum(axis=0)
    centred, stay = values - values.mean(axis=0), 1 - 1 / block
    expected = (centred**2).sum(axis=0) / rows
    for i in range(1, rows):
        weight = (1 - i / rows) * stay**i + i / rows * stay ** (rows - i)
        expected += 2 * weight * (centred[i:] * centred[:-i]).sum(axis=0) / rows
    assert_allclose(stationary_variance(values, block), expected, rtol=1e-9, atol=1e-12)


def test_resampled_means_have_that_variance():
    values = np.random.default_rng(0).normal(size=(100, 1)).cumsum(axis=0)
    drawn = resampled_means(values, 8.0, 20_000)
    assert_allclose(drawn.var(axis=0) * 100, stationary_variance(values, 8.0), rtol=0.05)


def test_blocks_grow_with_persistence():
    noise = np.random.default_rng(0).normal(size=(2000, 1))
    walk = noise.cumsum(axis=0)
    short, long = block_lengths(np.hstack([noise, walk]))
    assert 1 <= short < 10 < long


@pytest.mark.parametrize(("block", "resamples"), [(0.5, 10), (np.nan, 10), (np.inf, 10), (2.0, 0)])
def test_no_resamples_and_no_blocks_are_refused(block, resamples):
    with pytest.raises(ValueError, match="at least 1"):
        next(stationary_rows(10, block, resamples, 0))
