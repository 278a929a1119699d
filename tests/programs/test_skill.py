"""From skill to profit: who plays is scored by what the ledger pays."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from foretrade import skill, skill_markets
from foretrade.cli import app
from foretrade.markets.costs import BPS
from foretrade.skill import cases, exact, measure
from foretrade.skill_markets import Case, crossing_units, market_of, run_case, score


@pytest.mark.parametrize("trader", ["best", "sign"])
@pytest.mark.parametrize(("strength", "cost"), [(0.25, 5.0), (1.0, 20.0)])
def test_rules_earn_what_the_closed_form_says(trader, strength, cost):
    found = [run_case(Case(trader, strength, cost, seed)).net_bps for seed in range(8)]
    expected = exact(strength, cost)[trader == "sign"]
    error = np.std(found, ddof=1) / np.sqrt(8)
    assert abs(np.mean(found) - expected) < 4 * error
    assert error < 0.5


def test_crossings_are_the_policy_step_by_step():
    model = market_of(0.5, 20.0)
    market = model.draw(2000, seed=5)
    forecast, held, expected = market.signals.values[:, 0], np.zeros(1), []
    for row in range(2000):
        held = market.optimum.policy(held, forecast[row : row + 1])
        expected.append(held[0])
    assert np.array_equal(crossing_units(forecast[:, 0], model.perceived.threshold), expected)


def test_the_score_is_what_the_prices_pay_without_their_noise():
    model = market_of(0.5, 5.0)
    forecast = model.draw(3000, seed=1).signals.values[:, 0, 0]
    truth = model.market.draw(3000, seed=1, noisy=False)
    units = crossing_units(forecast, 0.0)[:-1]
    changes = np.diff(truth.bars.close[:, 0])
    net = (units * changes).mean() - 5 * BPS * np.abs(np.diff(units, prepend=0.0)).mean()
    assert score(units, truth.signals.values[:-1, 0, 0], 5.0).net_bps == pytest.approx(net / BPS)


def test_more_skill_and_lower_costs_earn_more():
    table = np.array([[exact(s, c)[0] for s in (0.25, 0.5, 1.0)] for c in (0.0, 5.0, 20.0)])
    assert (np.diff(table, axis=1) > 0).all()
    assert (np.diff(table, axis=0) < 0).all()
    assert exact(0.5, 0.0)[0] == pytest.approx(exact(0.5, 0.0)[1])  # the sign rule is best if free


def test_an_agent_is_trained_through_the_environment(monkeypatch):
    monkeypatch.setattr(skill_markets, "TEST_BARS", 2000)
    monkeypatch.setattr(skill_markets, "TRAINING_BARS", 2000)
    monkeypatch.setattr(skill_markets, "VALIDATION_BARS", 1000)
    found = run_case(Case("ppo", 1.0, 5.0, 0, steps=32_768))
    assert 0 <= found.turnover <= 2
    assert -10 < found.net_bps < exact(1.0, 5.0)[0] + 3
    assert run_case(Case("ppo", 1.0, 5.0, 0, steps=32_768)) == found


def test_cases_of_both_forms():
    assert {case.trader for case in cases(quick=True, ppo=False)} == {"best"}
    trained = [case for case in cases(quick=False, ppo=True) if case.trader == "ppo"]
    assert len(trained) == 12
    assert len({case.seed for case in cases(quick=False, ppo=True)}) == 5


def test_the_command_prints_the_table(monkeypatch, tmp_path):
    monkeypatch.setenv("FORETRADE_CACHE", str(tmp_path))
    monkeypatch.setattr(skill, "COSTS_BPS", (5.0,))
    monkeypatch.setattr(skill, "SKILLS", (0.5, 1.0))
    monkeypatch.setattr(skill, "CURVE", (0.5, 1.0))
    done = CliRunner().invoke(app, ["skill", "--quick", "--workers", "1"])
    assert done.exit_code == 0, done.output
    assert "| 5 | 1 | 0.100 | 7.02 | 6.54 |" in done.output
    assert len(list((tmp_path / "skill").glob("*.json"))) == 6
    results = measure(cases(quick=True, ppo=False), workers=1, console=Console(file=StringIO()))
    fake = [(Case("ppo", 0.5, 5.0, seed), found) for seed, (_, found) in enumerate(results[:3])]
    assert skill.chart(results + fake).svg().startswith("<svg")
    assert "of the optimum" in skill.report(results + fake)
