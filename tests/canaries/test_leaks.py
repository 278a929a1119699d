"""Every planted leak is caught, no clean part raises an alarm, and the checks themselves are sound."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from canaries.detection import MARKER, PAGE, page
from canaries.leaks import CLEAN, CUTS, LEAKS, output, peeks, peeks_if_moved
from canaries.trial import BARS, RANDOM_CUTS, REFIT_CUTS

from foretrade.agents.baselines import Constant
from foretrade.envs.market import MarketEnv
from foretrade.forecasters.linear import ridge
from foretrade.markets.bars import Bars, DataError
from foretrade.markets.checks import is_feature_function
from foretrade.markets.features import FeatureConfig, compute_features
from foretrade.markets.nopeek import PeekError, assert_future_invisible, random_cuts, scramble_future
from foretrade.markets.synthetic import random_walk
from foretrade.markets.table import NEVER, Column, Table
from foretrade.testing import PartError, check, checks_for, load_part, parametrize_with_checks


@pytest.mark.parametrize("name", LEAKS)
def test_every_planted_leak_is_caught(name):
    assert peeks(LEAKS[name])
    assert all(str(peek).startswith("future after row ") for peek in peeks(LEAKS[name]))


@pytest.mark.parametrize("name", CLEAN)
def test_clean_parts_raise_no_alarm(name):
    assert not peeks(CLEAN[name])


@pytest.mark.parametrize("name", CLEAN)
def test_clean_parts_would_be_caught_if_they_leaked(name):
    assert len(peeks_if_moved(CLEAN[name])) == len(REFIT_CUTS)
    rows = output(CLEAN[name])[: min(CUTS) + 1]
    assert len(np.unique(rows[np.isfinite(rows)])) > 1  # something to compare before the first cut


def test_each_probe_and_each_kind_of_cut_is_needed():
    def caught(name: str) -> set[tuple[str, bool]]:
        return {(peek.probe, peek.cut in RANDOM_CUTS) for peek in peeks(LEAKS[name])}

    assert {probe for probe, _ in caught("full sample minimum")} == {"replaced by noise"}
    assert {probe for probe, _ in caught("share of the sample")} == {"cut off"}
    assert {at_random for _, at_random in caught("label overlap at the refit")} == {False}
    assert not set(RANDOM_CUTS) & set(REFIT_CUTS)


def test_the_page_shows_what_the_command_measures():
    """If this fails: ``cd tests && python -m canaries.detection --write``."""
    assert PAGE.read_text(encoding="utf-8").partition(MARKER)[2].strip() == page().strip()


def test_cuts_leave_something_to_compare(walk):
    def late(bars: Bars) -> np.ndarray:
        return np.where(np.arange(len(bars))[:, None] < 500, np.nan, bars.close)

    for cuts in ([499], [len(walk) - 1], [-1], [], 0):
        with pytest.raises(ValueError, match="row 500, the first that holds a value, and row 598"):
            assert_future_invisible(late, walk, cuts)
    assert_future_invisible(late, walk, 10)
    with pytest.raises(ValueError, match="its first axis must be 600 bars"):
        assert_future_invisible(lambda bars: bars.close[:-1], walk, 3)
    cuts = random_cuts(walk, 40, seed=1, first_row=550)
    assert cuts == random_cuts(walk, 40, seed=1, first_row=550) == sorted(set(cuts))
    assert 550 <= min(cuts) <= max(cuts) <= len(walk) - 2
    assert random_cuts(walk, 100, first_row=550) == list(range(550, 599))


def test_what_differs_by_itself_is_not_called_a_leak(walk):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="on the same bars"):
        assert_future_invisible(lambda bars: rng.normal(size=len(bars)), walk, 2)


def test_the_sign_of_a_zero_is_a_bit_too(walk):
    def signed(bars: Bars) -> np.ndarray:
        return np.full(len(bars), 0.0 if len(bars) == 600 else -0.0)

    with pytest.raises(PeekError, match=r"cut off: row 0.*0.0.*-0.0"):
        assert_future_invisible(signed, walk, [300])


def test_stamps_of_a_table_are_compared_too(walk):
    def late_stamp(bars: Bars) -> Table:
        cutoff = np.full(len(bars), NEVER)
        cutoff[0] = bars.stamps[-1]
        return Table.from_columns(bars, {Column("one", "ratio"): bars.close}, cutoff=cutoff)

    with pytest.raises(PeekError, match="row 0, cutoff"):
        assert_future_invisible(late_stamp, walk, [300])


def test_users_are_not_warned_of_bars_that_are_made_up(walk):
    def part(bars: Bars) -> np.ndarray:
        if bars is not walk:
            warnings.warn("strange bars", UserWarning, stacklevel=1)
        return np.zeros(len(bars))

    assert_future_invisible(part, walk, [300])


def test_noise_fits_a_symbol_that_has_no_bar_at_the_cut():
    bars = random_walk(300, symbols=2, seed=5)
    fields = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close", "volume")}
    for array in fields.values():
        array[:200, 1] = np.nan
    bars = replace(bars, **fields)
    noisy = scramble_future(bars, 100, np.random.default_rng(0))
    assert np.array_equal(noisy.present, bars.present)
    assert_future_invisible(compute_features, bars, [280])


def test_noise_changes_dividends_and_splits():
    noisy = scramble_future(BARS, 300, np.random.default_rng(0))
    assert np.array_equal(noisy.dividend[:301], BARS.dividend[:301])
    assert (noisy.dividend[301:] > 0).all()
    assert (noisy.split[301:] != 1).any()


def test_releases_need_a_timezone():
    naive = pd.DataFrame({"x": [1.0]}, index=pd.DatetimeIndex(["2000-02-01"]))
    with pytest.raises(DataError, match="timezone-aware publication times"):
        assert_future_invisible(lambda bars, releases: bars.close, BARS, [300], releases=naive)


def test_the_market_refuses_forecasts_of_a_model_that_saw_the_future(walk):
    """In-sample forecasts: fitted up to the last bar, shown from the first."""
    cutoff = np.full(len(walk), walk.stamps[-1])
    leaked = Table.from_columns(walk, {Column("f.mean", "log return"): walk.close}, cutoff=cutoff)
    with pytest.raises(DataError, match="fitted up to .*after the decision at"):
        MarketEnv(walk, leaked)
    one_late = np.full(len(walk), NEVER)
    one_late[400] = walk.stamps[401]
    leaked = Table.from_columns(walk, {Column("f.mean", "log return"): walk.close}, cutoff=one_late)
    with pytest.raises(DataError, match="row 400"):
        MarketEnv(walk, leaked)
    fair = np.concatenate([[NEVER], walk.stamps[:-1]])
    table = Table.from_columns(walk, {Column("f.mean", "log return"): walk.close}, cutoff=fair)
    MarketEnv(walk, table).reset()


# Feature functions against their contract.


def one_row_short(bars: Bars) -> np.ndarray:
    return np.diff(bars.close, axis=0)


def unseeded(bars: Bars) -> np.ndarray:
    return bars.close + np.random.default_rng().normal(size=bars.close.shape)


def fills_its_input(bars: Bars) -> np.ndarray:
    bars.close.flags.writeable = True
    bars.close[:5] = bars.close[5]
    return bars.close.copy()


def gap_in_the_middle(bars: Bars) -> np.ndarray:
    falls = np.diff(bars.close, axis=0, prepend=np.nan) < 0
    return np.where(falls, bars.close, np.nan)


def peeks_at_the_mean(bars: Bars) -> np.ndarray:
    return bars.close / bars.close.mean(axis=0)


FEATURES = {
    "check_gives_one_row_a_bar": one_row_short,
    "check_computes_the_same_bits_twice": unseeded,
    "check_leaves_the_bars_alone": fills_its_input,
    "check_gaps_only_at_the_start": gap_in_the_middle,
    "check_future_is_invisible": peeks_at_the_mean,
}


@pytest.mark.parametrize("name", FEATURES)
def test_each_feature_check_catches_its_cheat(name):
    assert check(FEATURES[name])[name].startswith(("AssertionError: ", "PeekError: "))


def test_a_gap_is_named():
    found = check(gap_in_the_middle)["check_gaps_only_at_the_start"]
    assert "column 0 of 2 starts in row" in found
    assert (
        "no value in 600 bars" in check(lambda bars: bars.close * np.nan)["check_gaps_only_at_the_start"]
    )


@parametrize_with_checks([compute_features, partial(compute_features, config=FeatureConfig())])
def test_shipped_features_keep_their_contract(check):
    check()


def test_every_feature_check_has_its_cheat():
    assert {name for name, _ in checks_for(compute_features)} == set(FEATURES)
    strange = check(lambda bars: "nothing")["check_gives_one_row_a_bar"]
    assert "neither a Table nor an array of numbers" in strange


def test_a_function_of_bars_is_told_from_a_factory(walk):
    env = MarketEnv(walk)
    assert load_part("foretrade.markets.features:compute_features", env) is compute_features
    assert is_feature_function(lambda bars, window=5: bars.close)
    for other in (Constant, ridge, ridge(), random_walk, FeatureConfig, scramble_future, print, 5):
        assert not is_feature_function(other)
    assert not is_feature_function(load_part("foretrade.forecasters.linear:ridge", env))
    with pytest.raises(PartError, match="cannot be made"):
        load_part("foretrade.markets.nopeek:truncate", env)
