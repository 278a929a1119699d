"""The whole pipeline on markets whose truth is known: nominal on noise, awake where something is."""

from __future__ import annotations

import json
from dataclasses import asdict
from io import StringIO

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from foretrade import calibration, calibration_markets
from foretrade.backtests.significance import sharpe_ratio
from foretrade.calibration import measure, null_cases, power_cases, power_picture, rate, report
from foretrade.calibration_markets import (
    FREE,
    LABEL,
    NOISES,
    YEAR,
    Case,
    made_market,
    net_returns,
    run_case,
)
from foretrade.markets.synthetic import shocks


@pytest.fixture(scope="module")
def on_noise():
    return [run_case(case) for case in null_cases(8, 0)]


def test_on_noise_the_pipeline_is_seldom_wrong_and_who_does_not_count_often(on_noise):
    """Of 24 markets; more than 6 errors at 5 % happen once in 1,500 times."""
    assert sum(one.psr for one in on_noise) <= 6
    assert sum(one.verdict for one in on_noise) <= 3
    assert sum(one.best_on_test for one in on_noise) >= 4
    assert abs(np.mean([one.sharpe for one in on_noise])) < 0.45 * 4 / np.sqrt(24)


def test_what_is_there_is_found():
    found = [run_case(Case(1, noise, sharpe=6.0)) for noise in NOISES]
    assert all(one.verdict and one.beats_benchmark and one.superior_ability for one in found)


def test_a_pipeline_that_peeks_is_caught(monkeypatch):
    """Weights that know the bar to come: on noise every market shows an edge."""
    honest, ahead = calibration_markets.rules, LABEL.resolution_bars

    def peeks(bars, forecasts):
        targets = honest(bars, forecasts)
        targets[:-ahead] = targets[ahead:]
        return targets

    monkeypatch.setattr(calibration_markets, "rules", peeks)
    found = [run_case(Case(number, "normal")) for number in range(3)]
    assert all(one.psr and one.interval and one.superior_ability for one in found)


def test_who_knows_the_drift_earns_what_is_stated():
    ratios = []
    for number in range(12):
        case = Case(number, NOISES[number % 3], sharpe=4.0)
        bars, seen = made_market(case)
        known = np.sign(seen.column("seen"))  # blurred by half: right in 97.7 % of bars
        earned = net_returns(bars, known[:-1], range(len(bars) - 1), FREE)[:, 0]
        ratios.append(sharpe_ratio(earned, YEAR))
    assert np.mean(ratios) == pytest.approx(4.0 * 0.954, abs=4 / np.sqrt(12 * 9.5))


@pytest.mark.parametrize("noise", NOISES)
def test_noise_has_variance_one_and_no_memory_of_direction(noise):
    drawn = shocks(noise, 20_000, np.random.default_rng(0))
    assert abs(drawn.mean()) < 4 / np.sqrt(20_000)
    assert drawn.var() == pytest.approx(1.0, abs=0.15)
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 0.05
    clusters = np.corrcoef(drawn[1:] ** 2, drawn[:-1] ** 2)[0, 1]
    assert (clusters > 0.1) == (noise == "garch")
    with pytest.raises(ValueError, match="must be normal, student-t or garch"):
        shocks("pink", 10, np.random.default_rng(0))


def test_costs_make_noise_cost(on_noise):
    paying = run_case(Case(0, "normal", pays=True))
    assert paying.sharpe < on_noise[0].sharpe + 0.3
    assert run_case(Case(0, "normal")) == on_noise[0]  # same market, same bits


def test_rates_have_the_exact_interval():
    """Clopper and Pearson: none of n reaches up to ``1 − (α/2)^(1/n)``."""
    assert rate([False] * 300) == pytest.approx((0.0, 0.0, 1 - 0.025 ** (1 / 300)))
    share, low, high = rate([True] * 15 + [False] * 285)
    assert share == 0.05
    assert stats.binom.sf(14, 300, low) == pytest.approx(0.025)
    assert stats.binom.cdf(15, 300, high) == pytest.approx(0.025)


def test_what_was_measured_is_kept_and_told(on_noise, tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "SHARPES", (6.0,))
    cases = null_cases(1, 1) + power_cases(1)
    settings = {"folder": tmp_path, "workers": 1, "console": Console(file=StringIO())}
    results = measure(cases, **settings)
    assert [case for case, _ in results] == cases
    assert asdict(results[0][1]) == asdict(on_noise[0])
    (path,) = tmp_path.glob("*.json")
    stored = json.loads(path.read_text())
    stored[0]["best_on_test"] = not stored[0]["best_on_test"]
    path.write_text(json.dumps(stored))
    again = measure(cases, **settings)  # read, not computed anew
    assert again[0][1].best_on_test != results[0][1].best_on_test
    text = report(results)
    assert "### On noise: 3 markets without costs, 3 with" in text
    assert text.count("| verdict: *edge*") == 2
    assert power_picture(results).startswith("<?xml")
