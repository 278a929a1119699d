"""Tests across strategies: equal to arch, blind to nothing, and as often wrong as they say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from arch.bootstrap import MCS, SPA, StepM
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from foretrade.backtests.candidates import distinct
from foretrade.backtests.superiority import confidence_set, step_m, superior_ability
from foretrade.markets.resampling import stationary_variance

BLOCK = 7


def field(strategies=12, bars=300, seed=0, edge=0.0):
    """Strategies that share a part of their risk, of unlike volatility, and a benchmark."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 0.01, (bars, 1))
    own = rng.standard_t(5, (bars, strategies)) * 0.005 * (1 + np.arange(strategies) / 4)
    table = shared + own + 0.0005 * rng.normal(size=strategies)
    table[:, 0] += edge
    return pd.DataFrame(table, columns=[f"rule {k}" for k in range(strategies)]), shared[:, 0] + 1e-4


def arch_p_values(returns, benchmark, seed):
    test = SPA(-benchmark, -returns, block_size=BLOCK, reps=500, seed=seed)
    test.compute()
    return tuple(test.pvalues[["lower", "consistent", "upper"]])


@settings(max_examples=10)
@given(st.integers(1, 15), st.integers(0, 10_000), st.sampled_from([0.0, 0.001, 0.003]))
def test_p_values_are_those_of_arch(strategies, seed, edge):
    returns, benchmark = field(strategies, seed=seed, edge=edge)
    arguments = {"block_bars": BLOCK, "resamples": 500, "seed": seed}
    found = superior_ability(returns, benchmark, studentised=False, **arguments)
    expected = arch_p_values(returns.to_numpy(), benchmark, seed)
    assert (found.lower, found.consistent, found.upper) == expected
    assert found.reality_check == found.upper
    studentised = superior_ability(returns, benchmark, **arguments)
    excess = returns.to_numpy() - benchmark[:, None]
    scaled = excess / np.sqrt(stationary_variance(excess, BLOCK))
    expected = arch_p_values(scaled, np.zeros(len(scaled)), seed)
    assert (studentised.lower, studentised.consistent, studentised.upper) == expected
    assert studentised.lower <= studentised.consistent <= studentised.upper
    assert studentised.reality_check == found.reality_check


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.floats(0.0, 0.004), st.sampled_from([0.05, 0.3]))
def test_what_step_m_names_is_what_arch_names(seed, edge, size):
    returns, benchmark = field(seed=seed, edge=edge)
    returns["rule 1"] += edge
    arguments = {"size": size, "block_bars": BLOCK, "resamples": 500, "seed": seed}
    found = step_m(returns, benchmark, recentring="consistent", studentised=False, **arguments)
    test = StepM(-benchmark, -returns, size, block_size=BLOCK, reps=500, seed=seed)
    test.compute()
    assert list(found) == test.superior_models
    assert set(step_m(returns, benchmark, **arguments)) <= set(
        step_m(returns, benchmark, recentring="consistent", **arguments)
    )


def test_an_edge_is_found_and_the_second_one_too():
    returns, benchmark = field(edge=0.003)
    returns["rule 11"] += 0.006
    assert superior_ability(returns, benchmark).consistent < 0.01
    assert superior_ability(returns, benchmark).best == "rule 0"
    assert step_m(returns, benchmark) == ("rule 0", "rule 11")
    assert step_m(returns - 1e-2, benchmark) == ()


def test_studentised_a_volatile_strategy_does_not_hide_the_others():
    returns, benchmark = field(edge=0.002)
    returns["wild"] = np.random.default_rng(1).normal(0, 0.2, len(returns))
    assert superior_ability(returns, benchmark).consistent < 0.01
    assert superior_ability(returns, benchmark, studentised=False).consistent > 0.1


def test_one_strategy_alone_is_a_test_of_its_mean():
    returns, benchmark = field(1)
    excess = returns["rule 0"].to_numpy() - benchmark
    found = superior_ability(returns, benchmark, block_bars=1.0, resamples=4000)
    t = excess.mean() / (excess.std() / np.sqrt(len(excess)))
    assert_allclose(found.upper, stats.norm.sf(t), atol=0.03)


def test_the_best_of_noise_is_rejected_as_often_as_the_level_says_or_little_more():
    """A little more is what is documented; 200 fields, so that the band is wide."""
    rng, rejected = np.random.default_rng(2), 0
    for seed in range(200):
        names = {f"noise {k}": rng.normal(0, 0.01, 250) for k in range(10)}
        found = superior_ability(names, np.zeros(250), resamples=200, block_bars=2.0, seed=seed)
        rejected += found.consistent <= 0.1
    assert 10 <= rejected <= 40


def test_the_confidence_set_is_that_of_arch_on_losses():
    returns, _ = field(6, edge=0.002)
    found = confidence_set(returns, 0.1, seed=3, resamples=300)
    test = MCS(-returns, 0.1, reps=300, block_size=found.block_rows, seed=3)
    test.compute()
    assert sorted(found.included) == sorted(test.included)
    for name, p_value in found.p_values.items():
        assert p_value == test.pvalues.loc[name, "Pvalue"]
    assert "rule 0" in found.included


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda r: r.mask(r.index.to_series() == 7, np.nan), "'rule 0' has the return nan in row 7"),
        (lambda r: r.replace(r.iloc[3, 2], np.inf), "'rule 2' has the return inf in row 3"),
        (lambda r: r.assign(flat=0.0), "the returns of 'flat' do not vary"),
        (lambda r: r.assign(copy=r["rule 1"]), "'rule 1' and 'copy' have the same returns"),
        (lambda r: r.set_axis(["twin", "twin", "other"], axis=1), "two strategies are called 'twin'"),
        (
            lambda r: {"long": np.arange(40.0), "short": np.arange(30.0)},
            "'short' has returns of",
        ),
        (lambda r: r.iloc[:19], "19 bars are too few"),
        (lambda r: {}, "got \\[\\]"),
        (
            lambda r: {"early": r["rule 0"], "late": r["rule 1"].set_axis(r.index + 1)},
            "'late' has other dates",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(spoil, message):
    returns, benchmark = field(3)
    spoiled = spoil(returns)
    with pytest.raises(ValueError, match=message):
        superior_ability(spoiled, benchmark)
    with pytest.raises(ValueError, match=message):
        step_m(spoiled, benchmark)
    with pytest.raises(ValueError, match=message if len(spoiled) else "2 strategies or more"):
        confidence_set(spoiled)


def test_a_benchmark_that_cannot_be_compared_is_refused():
    returns, benchmark = field(3)
    with pytest.raises(ValueError, match="the benchmark has returns of the shape"):
        superior_ability(returns, benchmark[1:])
    with pytest.raises(ValueError, match="'the benchmark' has the return nan in row 0"):
        superior_ability(returns, np.where(np.arange(300) == 0, np.nan, benchmark))
    with pytest.raises(ValueError, match="'rule 1' differs from the benchmark by a constant"):
        superior_ability(returns, returns["rule 1"].to_numpy())
    shifted = pd.Series(benchmark, index=returns.index + 1)
    with pytest.raises(ValueError, match="other dates"):
        superior_ability(returns, shifted)
    with pytest.raises(ValueError, match="size must lie"):
        step_m(returns, benchmark, size=1.0)
    with pytest.raises(ValueError, match="at least 1 row"):
        superior_ability(returns, benchmark, block_bars=0.5)


def test_what_holds_the_benchmark_is_no_contender():
    rng = np.random.default_rng(0)
    benchmark, other = rng.normal(0, 0.01, (2, 300))
    field = {"own": other, "hold": benchmark, "hold and a fee": benchmark - 1e-4, "copy": other}
    assert list(distinct(field)) == ["own", "hold", "hold and a fee"]
    assert list(distinct(field, benchmark)) == ["own"]
    assert 0 < superior_ability(distinct(field, benchmark), benchmark).consistent <= 1
