"""The exam tells good policies from bad ones, and outcomes are kept; the proof itself is slow."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from foretrade import measuring, proof
from foretrade.markets.known.bounded import BoundedMarket
from foretrade.markets.known.quadratic import QuadraticMarket
from foretrade.proof import CASES, QUICK_CASES, QUICK_SEEDS, best_curve, median_of, prove, reached
from foretrade.proof_exam import Exam
from foretrade.proof_page import QUICK, chart, report, rows, write
from foretrade.studies import studies
from foretrade.terminal import print_proof

BY_KEY = {case.key: case for case in CASES}
ACCOUNTS = 200


@pytest.fixture(scope="module")
def bounded():
    return BoundedMarket().draw(Exam.bars(ACCOUNTS), seed=1, noisy=False)


@pytest.fixture(scope="module")
def exam(bounded):
    return Exam(bounded, discrete=True, accounts=ACCOUNTS)


@pytest.fixture
def tiny(monkeypatch):
    """Two rollouts, a small exam: nothing is learned, everything is done."""
    monkeypatch.setattr(proof, "TRAINING_BARS", 500)
    monkeypatch.setattr(proof, "ACCOUNTS", 10)
    monkeypatch.setattr(
        proof, "PROOF", replace(proof.PROOF, environments=8, batch_size=128, checkpoints=1)
    )


def tiny_proof(keys, seeds, folder):
    """Units in this process, as in workers."""
    cases = [replace(BY_KEY[key], steps=512) for key in keys]
    return cases, prove(cases, seeds, folder=folder, workers=1, console=Console(file=StringIO()))


@pytest.fixture
def in_process(monkeypatch):
    """Units of work done here, where the tiny sizes hold; their number."""
    done = []

    def run(function, items, **_):
        for item in items:
            done.append(item)
            function(item)

    monkeypatch.setattr(measuring, "run_parallel", run)
    return done


def test_the_best_policy_realises_the_optimum_and_planted_ones_less(bounded, exam):
    """The sign rule by the formula, within the error of 78,000 bars; thresholds that are wrong."""
    best = exam.rule(bounded.optimum.policy)
    assert best.reward == pytest.approx(bounded.optimum.average_reward, rel=0.05)
    earned = {name: exam.rule(policy).reward for name, policy in BY_KEY["B"].rules().items()}
    gross, turnover = BoundedMarket().average_of(0.0)
    expected = (gross - 0.002 * turnover) / bounded.optimum.average_reward
    assert earned["sign"] / best.reward == pytest.approx(expected, abs=0.05)
    assert abs(earned["long"]) < 0.1 * best.reward
    threshold = BoundedMarket().threshold / BoundedMarket().signal_std
    for factor in (0.5, 2.0):

        def other(held, signals, limit=factor * threshold):
            return np.where(np.abs(signals[:, 0]) > limit, np.sign(signals[:, 0]), held)

        assert exam.rule(other).reward < 0.95 * best.reward
    opposite = exam.rule(lambda held, signals: -bounded.optimum.policy(-held, signals))
    assert opposite.reward < 0


def test_an_agent_that_acts_as_the_oracle_earns_what_it_earns(bounded, exam):
    """The same policy told through observations instead of the table, to the last digit."""
    threshold = BoundedMarket().threshold / BoundedMarket().signal_std

    def decide(seen):
        signal, weight = seen[:, 0], seen[:, 1]
        side = np.where(np.abs(signal) > threshold, np.sign(signal), np.sign(np.round(weight, 3)))
        return side.astype(int) + 1

    assert exam.agent(decide) == exam.rule(bounded.optimum.policy)
    for held in (-1.0, 0.0, 1.0):
        assert exam.curve(decide, held, proof.SIGNALS) == best_curve(bounded, held)


def test_what_simple_rules_leave_where_trading_has_quadratic_costs():
    """Markowitz at once and the myopic rule, by the moments of the closed form, within the error of
    78,000 bars."""
    model = QuadraticMarket()
    market = model.draw(Exam.bars(ACCOUNTS), seed=1, noisy=False)
    exam = Exam(market, discrete=False, accounts=ACCOUNTS)
    best = exam.rule(market.optimum.policy).reward
    variance = model.noise_std**2
    free = 1 / (model.risk_aversion * variance)
    rate = model.risk_aversion / (model.risk_aversion + model.cost)
    expected = {"Markowitz": (1.0, free), "myopic": (rate, free)}
    for name, policy in BY_KEY["A1"].rules().items():
        formula = model.average_reward(expected[name][0], np.array([expected[name][1]]))
        assert exam.rule(policy).reward / best == pytest.approx(
            formula / model.optimum().average_reward, abs=0.08
        )


def test_curves_show_an_agent_what_the_environment_shows(exam):
    """Long since the last bar: the observation made by hand against the environment's."""
    seen = []
    exam.agent(lambda shown: seen.append(shown.copy()) or np.full(len(shown), 2))
    made = []
    exam.curve(lambda shown: made.append(shown) or np.full(len(shown), 2), 1.0, proof.SIGNALS)
    names = list(exam.batch.env.layout.names)
    for name in ("account.weight", "account.cash"):
        entry = names.index(name)
        np.testing.assert_allclose(made[0][:, entry], seen[1][0, entry], atol=0.02)  # prices move
    assert names[0] == "signal_0"


def test_the_interval_of_a_median_covers_it():
    assert median_of([0.9, 0.9, 0.9]) == (0.9, 0.9, 0.9)
    median, low, high = median_of([0.5, 0.8, 0.9, 0.95, 1.0])
    assert (median, low, high) == (0.9, 0.5, 1.0)  # (1/5)⁵ · many ways: the ends are within 95 %


def test_outcomes_are_kept_and_a_second_proof_trains_nothing(tiny, in_process, tmp_path):
    cases, results = tiny_proof(["A2", "B", "G"], (0, 1), tmp_path)
    assert len(in_process) == 6
    assert [case for case, _ in results] == cases
    again = tiny_proof(["A2", "B", "G"], (0, 1), tmp_path)[1]
    assert len(in_process) == 6
    assert [outcomes for _, outcomes in again] == [outcomes for _, outcomes in results]
    next(tmp_path.glob("*.json")).unlink()
    mended = tiny_proof(["A2", "B", "G"], (0, 1), tmp_path)[1]
    assert len(in_process) == 7
    for (_, before), (_, after) in zip(results, mended, strict=True):
        assert [one.learned for one in before] == [one.learned for one in after]


def test_results_are_told_alike_everywhere(tiny, in_process, tmp_path):
    _, results = tiny_proof(["A1", "B", "G"], (0, 1), tmp_path / "cache")
    write(results, tmp_path / "out", quick=True)
    stored = json.loads((tmp_path / "out" / "proof.json").read_text())
    assert stored["quick"]
    with (tmp_path / "out" / "proof.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 6
    for part, (case, outcomes) in zip(stored["cases"], results, strict=True):
        assert part["reached"] == reached(case, outcomes)
        mine = [line for line in lines if line["case"] == case.key]
        for line, kept, one in zip(mine, part["outcomes"], outcomes, strict=True):
            assert float(line["reward"]) == kept["learned"]["reward"] == one.learned.reward
    page, _, picture = (tmp_path / "out" / "proof.md").read_text().rpartition("\n\n")
    assert page == report(results, quick=True)
    assert "(proof.svg)" in picture
    assert page.startswith(QUICK)
    assert len(page.splitlines()[-1].split(" | ")) == len(next(rows(results)))
    assert len(chart(results).spec["hconcat"]) == 2
    assert (tmp_path / "out" / "proof.svg").read_text().startswith("<svg")
    shown = StringIO()
    console = Console(file=shown, width=120)
    print_proof(console, results, quick=True)
    assert "quick form" in shown.getvalue()
    assert "short of what is needed: A1, B" in shown.getvalue()


def test_to_trade_where_nothing_can_be_earned_is_to_fall_short(tiny, in_process, tmp_path):
    ((case, outcomes),) = tiny_proof(["G"], (0,), tmp_path)[1]
    out = replace(outcomes[0], learned=replace(outcomes[0].learned, exposure=0.05, turnover=0.01))
    assert reached(case, [out])
    for fault in ({"exposure": 0.2}, {"turnover": 0.03}):
        assert not reached(case, [replace(out, learned=replace(out.learned, **fault))])


def test_the_command_says_whether_all_was_reached(tiny, in_process, tmp_path, monkeypatch):
    monkeypatch.setenv("FORETRADE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(proof, "QUICK_CASES", (replace(BY_KEY["B"], steps=512),))
    command = CliRunner().invoke(studies, ["prove", "--quick", "--out", str(tmp_path / "out")])
    assert command.exit_code == 1
    assert json.loads((tmp_path / "out" / "proof.json").read_text())["cases"][0]["reached"] is False
    assert len(in_process) == len(QUICK_SEEDS)
    monkeypatch.setattr(proof, "QUICK_CASES", (replace(BY_KEY["B"], steps=512, bar=-100.0),))
    assert CliRunner().invoke(studies, ["prove", "--quick", "--out", str(tmp_path)]).exit_code == 0
    assert CliRunner().invoke(studies, ["prove", "--quick", "--write"]).exit_code == 2


@pytest.mark.learning
def test_the_quick_form_reaches_its_bars(tmp_path):
    results = prove(QUICK_CASES, QUICK_SEEDS, folder=tmp_path, workers=0, console=Console())
    for case, outcomes in results:
        assert reached(case, outcomes), (case.key, [one.learned for one in outcomes])
