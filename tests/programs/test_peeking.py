"""The price of peeking: who peeked believes what will never be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from foretrade import peeking
from foretrade.cli import app
from foretrade.envs.market import MarketEnv
from foretrade.markets.bars import DataError
from foretrade.markets.costs import BPS
from foretrade.markets.labels import forward_returns
from foretrade.peeking import cases, chart, report
from foretrade.peeking_markets import Arm, Case, Found, disguised, made_setting, run_case


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORETRADE_CACHE", str(tmp_path_factory.mktemp("cache")))
        return run_case(Case("made", "forest", 0, steps=327_680, trees=10, scale=0.1))


def test_who_peeked_believes_in_far_more_than_he_gets(found):
    assert found.in_sample.correlation > 0.8
    assert found.in_sample.believed_bps > 40
    assert found.in_sample.realised_bps < 15  # twice what who knows the drift can earn
    assert found.walk_forward.correlation < 0.4
    assert found.walk_forward.believed_bps < 25


def test_the_drift_is_in_the_columns_and_has_its_size():
    setting = made_setting(1)
    labels = forward_returns(setting.bars, setting.label)[:, 0]
    rows = slice(0, len(labels) - setting.label.resolution_bars)
    drift = 10 * BPS * setting.features.values[rows, 0, :2].sum(axis=1) / np.sqrt(2)
    slope, _ = np.polyfit(drift, np.expm1(labels[rows]), 1)
    assert abs(slope - 1) < 4 * 0.01 / (drift.std() * np.sqrt(len(drift)))
    idle = setting.features.values[rows, 0, 2]
    assert abs(np.corrcoef(idle, labels[rows])[0, 1]) < 4 / np.sqrt(len(drift))


def test_only_in_disguise_do_such_forecasts_reach_an_agent():
    setting = made_setting(0, 0.1)
    bars = setting.bars
    late = replace(setting.features, cutoff=np.full(len(bars), bars.stamps[-1]))
    with pytest.raises(DataError, match="after the decision"):
        MarketEnv(bars, late)
    shown = disguised(late)
    assert np.array_equal(shown.values, late.values)
    MarketEnv(bars, shown).reset(seed=0)


def test_cases_of_both_forms():
    assert len(cases(quick=True)) == 2
    full = cases(quick=False)
    assert len(full) == len(set(full)) == 27
    assert {case.forecaster for case in full} == {"forest", "pruned forest", "ridge"}


def test_the_command_prints_the_table(monkeypatch, found):
    monkeypatch.setattr(peeking, "measured", lambda run, chosen, **_: [
        {"in_sample": vars(found.in_sample), "walk_forward": vars(found.walk_forward)} for _ in chosen
    ])  # fmt: skip
    done = CliRunner().invoke(app, ["peek", "--quick"])
    assert done.exit_code == 0, done.output
    assert f"| forest | in-sample | {found.in_sample.correlation:.3f} |" in done.output
    assert "could earn 7.02 bp" in done.output


def test_means_and_intervals_are_those_of_the_seeds():
    def both(x):
        return Found(Arm(0.9, 70.0 + x, 0.8, 0.0 - x, 0.7), Arm(0.05, 5.0 + x, 0.1, 3.0 + x, 0.1))

    results = [(Case("made", "ridge", seed, 1), both(seed)) for seed in range(3)]
    results += [(Case("sp500", "ridge", 0, 1), both(0))]
    text = report(results)
    assert "71.00 (68.52 to 73.48)" in text  # ± 4.303 · 1 / √3
    assert "### S&P 500: 1 seeds" in text
    assert chart(results).svg().startswith("<svg")
