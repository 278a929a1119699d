"""PBO against a plain construction, on noise, and with an edge planted."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from foretrade.backtests.overfitting import overfitting


def field(strategies, bars, seed=0):
    table = np.random.default_rng(seed).normal(0.0, 0.01, (bars, strategies))
    return pd.DataFrame(table, columns=[f"rule {k}" for k in range(strategies)])


def plain(table, blocks):
    """All halves, one after the other: winner here, its rank there."""

    def ratios(sample):
        deviation = sample.std(axis=0, ddof=1)
        varies = np.ptp(sample, axis=0) > 0
        return np.where(varies, sample.mean(axis=0) / np.where(varies, deviation, 1.0), 0.0)

    parts, rows = np.array_split(table, blocks), []
    for chosen in combinations(range(blocks), blocks // 2):
        rest = [parts[b] for b in range(blocks) if b not in chosen]
        here, there = ratios(np.concatenate([parts[b] for b in chosen])), ratios(np.concatenate(rest))
        winner = int(here.argmax())
        relative = stats.rankdata(there)[winner] / (table.shape[1] + 1)
        rows.append((math.log(relative / (1 - relative)), here[winner], there[winner]))
    return np.array(rows)


@settings(max_examples=15)
@given(st.integers(2, 9), st.integers(24, 70), st.sampled_from([2, 4, 8]), st.integers(0, 10_000))
def test_every_half_is_scored_as_a_plain_loop_does(strategies, bars, blocks, seed):
    """Also where the blocks are uneven, and where a strategy did not trade over a half."""
    returns = field(strategies, bars, seed)
    returns.iloc[: bars // 2 + 1, 0] = 0.0
    found = overfitting(returns, blocks=blocks)
    ours = np.column_stack([found.logits, found.in_sample, found.out_of_sample])
    expected = plain(returns.to_numpy(), blocks)
    order = [np.lexsort(rows.round(9).T) for rows in (ours, expected)]
    assert_allclose(ours[order[0]], expected[order[1]], rtol=1e-7, atol=1e-9)
    assert found.probability == np.mean(expected[:, 0] <= 0)
    assert found.probability_of_loss == np.mean(expected[:, 2] < 0)
    slope = stats.linregress(expected[:, 1], expected[:, 2]).slope
    assert_allclose(found.degradation, slope, rtol=1e-6)


def test_of_noise_every_second_winner_is_overfitted():
    """Bailey et al. (2017) publish .476 ± .137 for 200 strategies over 1000 bars in 16 blocks."""
    found = [overfitting(field(200, 1000, seed)).probability for seed in range(12)]
    assert 0.35 < np.mean(found) < 0.6
    assert 0.05 < np.std(found) < 0.25


def test_of_a_planted_edge_none_is():
    """Published: .001."""
    returns = field(200, 1000)
    returns["rule 7"] += 0.003
    found = overfitting(returns)
    assert found.probability < 0.001
    assert found.probability_of_loss < 0.01
    assert len(found.logits) == math.comb(16, 8)


def test_what_was_best_by_luck_loses_in_the_other_half():
    """Means of the halves add up to that of all: where no strategy is better, the slope is −1."""
    returns = field(1, 400).to_numpy()
    balanced = returns - returns.mean()
    found = overfitting({"up": balanced[:, 0], "down": -balanced[:, 0]}, blocks=4)
    assert found.probability == 1.0
    assert found.probability_of_loss == 1.0
    assert found.degradation < -0.8


def test_equals_share_the_middle_which_counts_as_overfitted():
    """Neither traded in the second half: the winner of the first ranks 1.5 there, a logit of zero."""
    own, other = np.zeros(20), np.zeros(20)
    own[:5], other[:5] = [1, 2, 3, 4, 5], [5, 1, 2, 1, 4]
    found = overfitting({"own": own, "other": other}, blocks=2)
    assert_allclose(sorted(found.logits), [0.0, math.log(2)])
    assert found.probability == 0.5


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (3, "even number"),
        (0, "even number"),
        (22, "even number from 2 to 20"),
        (16, "30 bars"),
    ],
)
def test_blocks_that_cannot_be_halved_are_refused(blocks, message):
    with pytest.raises(ValueError, match=message):
        overfitting(field(3, 30), blocks=blocks)


def test_what_cannot_be_compared_is_refused_by_name():
    with pytest.raises(ValueError, match="2 strategies or more"):
        overfitting(field(1, 100))
    with pytest.raises(ValueError, match="'rule 1' has the return nan in row 4"):
        overfitting(field(3, 100).mask(np.arange(300).reshape(100, 3) == 13))
