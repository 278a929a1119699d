"""Rows of the league: break-even costs, ranks, and correlations, against independent formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from foretrade.backtests.contest import Played
from foretrade.backtests.field import field_tests
from foretrade.backtests.league_page import standing_cells
from foretrade.backtests.standings import (
    break_even_level,
    concordance,
    max_drawdown,
    median_seed,
    rank_correlation,
    standing,
)
from foretrade.backtests.trials import Trials
from foretrade.backtests.verdict import judge

LEVELS = (0.0, 1.0, 2.0)


def played(gross, cost_per_bar, turnover=100.0):
    """Returns that fall by ``cost_per_bar`` a level."""
    returns = gross[:, None] - cost_per_bar * np.array(LEVELS)
    equity = np.concatenate([np.ones((1, 3)), np.cumprod(1 + returns, axis=0)])
    return Played(equity, np.full(3, turnover), np.zeros(3))


def ruin(good):
    """An account that gains, and then loses more than all, at every level of costs."""
    equity = np.concatenate([[1.0], np.cumprod(1 + good), np.full(40, -2.0)])
    return Played(np.column_stack([equity] * 3), np.full(3, 10.0), np.ones(3))


def test_a_margin_call_takes_the_account_and_leaves_what_it_left():
    equity = np.append(np.cumprod(np.append(1e6, np.full(30, 0.998))), np.full(40, 0.9e6))
    one = Played(np.column_stack([equity] * 3), np.full(3, 10.0), np.ones(3))
    assert one.called.all()
    verdict = judge(one.lived(1), np.zeros(len(one.lived(1))), Trials(1, 0.0), 252)
    row = standing(
        "x", "x", "sign", [one], verdict, {}, cost_scales=LEVELS, folds=4, periods_per_year=252
    )
    assert (row.ruined, row.called, row.proven) == (True, True, False)
    assert row.mean_return == pytest.approx(one.returns[:, 1].mean() * 252)
    assert -1 < row.mean_return < 0
    cells = standing_cells(row, {})
    assert (cells[0], cells[1:5]) == ("x (margin call)", ["–", "–", "–", "–"])
    rng = np.random.default_rng(0)
    field = {"x": one.returns[:, 1], "alive": rng.normal(0, 0.01, len(one.returns))}
    found = field_tests(field, "hold", rng.normal(0, 0.01, len(one.returns)), closed=["x"])
    assert found.ruined == ("x",)
    assert set(found.confidence) == {"alive", "hold"}


def test_a_ruined_account_has_lost_everything_and_has_no_ratios():
    good = np.random.default_rng(1).normal(0.03, 0.01, 60)
    one, lived = ruin(good), np.append(good, -1.0)
    np.testing.assert_allclose(one.lived(1), lived)
    assert one.returns.min() == -1.0
    assert (one.returns[61:] == 0.0).all()
    verdict = judge(lived, lived, Trials(1, 0.0), 252)
    assert verdict.sharpe > 0
    row = standing(
        "x", "x", "sign", [one], verdict, {}, cost_scales=LEVELS, folds=4, periods_per_year=252
    )
    assert row.ruined
    assert not row.proven
    assert row.max_drawdown == row.mean_return == -1.0
    ratios = [row.gross_sharpe, row.sharpe, row.sharpe_low, row.sharpe_high, row.deflated]
    ratios += [row.break_even_bps, row.break_even_level, row.sharpe_min, *row.level_sharpes]
    assert np.isnan(ratios).all()
    cells = standing_cells(row, {})
    assert cells[0] == "x (ruined)"
    assert cells[1:5] == ["–", "–", "–", "–"]
    assert cells[5:10] == ["-100.0%", "-100.0%", "–", "10.0×", "–"]


def test_a_lost_account_ranks_below_every_other_seed():
    good, noise = np.random.default_rng(1).normal([0.03, 0.0], 0.01, (100, 2)).T
    lost, poor, fair = ruin(good[:60]), played(noise - 0.01, 0.0), played(noise, 0.0)
    assert median_seed([lost, poor], LEVELS) is lost
    assert median_seed([fair, lost, poor], LEVELS) is poor


def test_the_row_of_a_strategy():
    gross = np.random.default_rng(0).normal(0.001, 0.01, 504)
    one = played(gross, 0.0008)
    net = one.returns[:, 1]
    row = standing(
        "x", "x", "sign", [one], judge(net, gross, Trials(1, 0.0), 252), {"ic": 0.1},
        cost_scales=LEVELS, folds=4, periods_per_year=252,
    )  # fmt: skip
    assert row.gross_sharpe == pytest.approx(gross.mean() / gross.std(ddof=1) * math.sqrt(252))
    assert row.mean_return == pytest.approx(net.mean() * 252)
    assert row.break_even_bps == pytest.approx(gross.mean() * 252 / 100 * 1e4)
    assert row.break_even_level == pytest.approx(gross.mean() / 0.0008)
    assert row.difference_high < 0  # costs alone make the difference
    assert len(row.fold_sharpes) == 4
    assert row.fold_sharpes[0] == pytest.approx(net[:126].mean() / net[:126].std(ddof=1) * 252**0.5)
    assert math.isnan(row.crps)
    assert row.flat(LEVELS)["sharpe_at_costs_2"] == row.level_sharpes[2]


def test_the_level_at_which_nothing_is_left():
    assert break_even_level(np.array([2.0, 1.0, -1.0]), LEVELS) == pytest.approx(1.5)
    assert break_even_level(np.array([2.0, 1.5, 1.0]), LEVELS) == math.inf
    assert math.isnan(break_even_level(np.array([-1.0, -2.0, -3.0]), LEVELS))


def test_of_several_policies_the_lower_middle_one_is_shown():
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.01, 200)
    seeds = [played(noise + shift, 0.0) for shift in (0.004, 0.001, 0.003, 0.002)]
    assert median_seed(seeds, LEVELS) is seeds[3]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_a_policy_that_never_trades_does_not_hide_the_range(order):
    noise = np.random.default_rng(1).normal(0, 0.01, 200)
    seeds = [played(noise + 0.001, 0.0), played(np.zeros(200), 0.0), played(noise + 0.003, 0.0)]
    verdict = judge(noise, noise, Trials(1, 0.0), 252.0)
    row = standing("x", "x", "r", [seeds[k] for k in order], verdict, {}, cost_scales=LEVELS, folds=1,
                   periods_per_year=252.0)  # fmt: skip
    assert 0 < row.sharpe_min < row.sharpe_max


def test_a_drawdown_counts_from_the_first_equity():
    assert max_drawdown(np.array([100.0, 90.0, 120.0, 90.0])) == -0.25
    assert max_drawdown(np.array([100.0, 80.0])) == pytest.approx(-0.2)


@given(arrays(np.float64, st.tuples(st.integers(3, 6), st.integers(3, 8)), elements=st.integers(-3, 3)))
def test_concordance_is_friedmans_statistic(scores):
    """W = χ² / (m (n − 1)), ties included."""
    found = concordance(scores)
    if all(np.ptp(row) == 0 for row in scores):
        assert math.isnan(found.kendall_w)
        return
    friedman = stats.friedmanchisquare(*scores.T)
    m, n = scores.shape
    assert found.kendall_w == pytest.approx(friedman.statistic / (m * (n - 1)), abs=1e-9)
    assert found.p_value == pytest.approx(friedman.pvalue, abs=1e-9)


def test_the_same_ranking_everywhere_is_full_concordance():
    scores = np.array([[3.0, 1.0, 2.0], [30.0, 10.0, 20.0], [0.3, -1.0, math.nan]])
    found = concordance(scores)
    assert found.kendall_w == 1.0
    assert found.mean_correlation == 1.0
    assert found.ranks.tolist() == [[1, 3, 2]] * 3


def test_rank_correlation_and_its_interval():
    found = rank_correlation("IC", [1, 2, 3, 4, 5, math.nan], [2.0, 1.0, 4.0, 3.0, 5.0, 9.0])
    assert found.forecasters == 5
    assert found.correlation == pytest.approx(0.8)
    assert -1 < found.low < 0.8 < found.high < 1
    assert math.isnan(rank_correlation("IC", [1, 2, 3], [1, 2, 3]).correlation)
    assert math.isnan(rank_correlation("IC", [1, 2, 3, 4], [0, 0, 0, 0]).low)


def test_the_interval_of_a_rank_correlation_covers():
    """Of twelve forecasters whose score says nothing, one interval in twenty excludes zero."""
    rng = np.random.default_rng(0)
    found = [rank_correlation("IC", *rng.normal(size=(2, 12))) for _ in range(1000)]
    missed = sum(c.low > 0 or c.high < 0 for c in found)
    assert 25 <= missed <= 90


def test_the_field_finds_who_is_better_and_copes_with_copies_and_the_idle():
    rng = np.random.default_rng(4)
    hold = rng.normal(0.0003, 0.01, 1000)
    noise = {f"noise {k}": rng.normal(0, 0.01, 1000) for k in range(4)}
    good = hold + rng.normal(0.002, 0.005, 1000)
    field = noise | {"good": good, "copy": good.copy(), "idle": np.zeros(1000), "held": hold.copy()}
    found = field_tests(field, "hold", hold)
    assert found.superior_to_benchmark < 0.01
    assert found.beats_benchmark == ("good", "copy")
    assert found.left_out == ("idle",)
    assert found.confidence["good"] == found.confidence["copy"] == 1.0
    assert found.confidence["held"] == found.confidence["hold"]
    assert found.confidence["noise 0"] < 0.1
    nothing = field_tests(noise, "hold", hold)
    assert nothing.superior_to_benchmark > 0.05
    assert nothing.beats_benchmark == ()
    nearly = {"as held": hold * (1 + 1e-15), "as idle": np.eye(1, 1000)[0] * 1e-15}
    assert field_tests(noise | nearly, "hold", hold).left_out == ("as idle",)


def test_leverage_is_no_edge():
    """The same at any leverage is the same; after the interest on it, less."""
    rng = np.random.default_rng(0)
    hold = rng.normal(0.0008, 0.01, 1500)
    interest = 0.00005 * (1 + 0.1 * rng.normal(size=1500))
    levered = {"2.5x free": 2.5 * hold, "0.3x": 0.3 * hold, "2.5x": 2.5 * hold - 1.5 * interest}
    found = field_tests(levered, "hold", hold)
    assert found.beats_benchmark == ()
    assert found.superior_to_benchmark > 0.3
    assert found.confidence["2.5x free"] == found.confidence["0.3x"] == found.confidence["hold"] == 1.0
    assert found.confidence["2.5x"] < 0.1
    good = hold + rng.normal(0.001, 0.005, 1500)
    for scale in (0.1, 1.0, 7.0):  # and an edge is one however small the bets
        assert field_tests(levered | {"good": scale * good}, "hold", hold).beats_benchmark == ("good",)
    assert field_tests({"small": 0.1 * good, "large": good}, "hold", hold).confidence == {
        "hold": 0.0, "small": 1.0, "large": 1.0
    }  # fmt: skip


def test_a_lost_account_is_not_tested_but_named():
    rng = np.random.default_rng(0)
    hold = rng.normal(0.0003, 0.01, 300)
    lost = np.concatenate([rng.normal(0.02, 0.01, 200), [-1.0], np.zeros(99)])
    found = field_tests({"lost": lost, "alive": rng.normal(0, 0.01, 300)}, "hold", hold)
    assert found.ruined == ("lost",)
    assert found.left_out == ()
    assert sorted(found.confidence) == ["alive", "hold"]
    alone = field_tests({"lost": lost}, "hold", hold)
    assert math.isnan(alone.superior_to_benchmark)
    assert alone.ruined == ("lost",)


def test_a_field_of_the_idle_has_nothing_to_say():
    found = field_tests({"idle": np.zeros(100)}, "hold", np.random.default_rng(0).normal(size=100))
    assert math.isnan(found.superior_to_benchmark)
    assert found.left_out == ("idle",)
