"""What the report tells of the trainings: their curves as they were, and the words."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from foretrade.agents.baselines import Constant
from foretrade.backtests.engine import run
from foretrade.backtests.league import Strategy, league_rows
from foretrade.backtests.learning import CURVES, SCORE, Training, learning_chart, noticed
from foretrade.backtests.metrics import score_run
from foretrade.backtests.report import Report
from foretrade.backtests.trials import Trials
from foretrade.envs.market import MarketEnv

EVIL = "<script>alert(1)</script>"


def training(agent: str, seed: int, *texts: str, updates: int = 50) -> Training:
    rng = np.random.default_rng(seed)
    steps = 100 * np.arange(1, updates + 1)
    columns = {name: rng.normal(size=updates) for name in CURVES if name != "approx_kl"}
    columns["cost_share"][::2] = np.nan  # not every rollout has a profit
    frame = pd.DataFrame({"steps": steps} | columns)
    checkpoints = pd.DataFrame({"steps": steps[9::10], "log_growth": rng.normal(size=updates // 10)})
    best = int(checkpoints["steps"].iloc[checkpoints["log_growth"].argmax()])
    return Training(agent, seed, frame, checkpoints, best, texts)


TRAININGS = [training("PPO", 0, "a", "b"), training("PPO", 1), training(EVIL, 0, EVIL)]


def test_one_line_for_each_policy_of_which_something_was_noticed():
    assert noticed(TRAININGS) == ["PPO, seed 0: a; b", f"{EVIL}, seed 0: {EVIL}"]
    assert noticed([training("PPO", 0)]) == []


def test_the_curves_are_those_of_the_trainings():
    chart = learning_chart(TRAININGS)
    lines = chart.data["lines"]
    assert list(chart.data["names"]["what"]) == [
        SCORE, *(what for name, what in CURVES.items() if name != "approx_kl"),
    ]  # fmt: skip
    for one in TRAININGS:
        mine = lines[(lines["agent"] == one.agent) & (lines["seed"] == one.seed)]
        for name in ("entropy", "cost_share"):
            drawn = mine[mine["what"] == CURVES[name]]
            known = one.updates[["steps", name]].dropna()
            assert drawn["steps"].tolist() == known["steps"].tolist()
            assert drawn["value"].tolist() == known[name].tolist()
        score = mine[mine["what"] == SCORE]
        assert score["value"].tolist() == one.checkpoints["log_growth"].tolist()
    kept = chart.data["kept"]
    assert kept["value"].tolist() == [one.checkpoints["log_growth"].max() for one in TRAININGS]
    json.dumps(chart.packed(), allow_nan=False)
    assert chart.still().startswith("data:image/svg+xml")


def test_long_trainings_are_thinned():
    chart = learning_chart([training("PPO", seed, updates=20_000) for seed in range(3)])
    curves = chart.data["lines"].groupby(["seed", "what"]).size()
    assert curves.drop(SCORE, level="what").max() <= 200


@pytest.fixture(scope="module")
def report(walk) -> Report:
    env = MarketEnv(walk)
    weights = {"agent": 0.3, "buy-and-hold": 1.0}
    runs = {n: run(Constant(env.layout, env.actions, w), env, name=n) for n, w in weights.items()}
    rows = league_rows(
        [Strategy(name, (name,)) for name in runs], {n: score_run(r, 252.0) for n, r in runs.items()}
    )
    return Report(
        title="t",
        setting={},
        rows=rows,
        benchmark="buy-and-hold",
        runs=runs,
        forecasts={},
        trials=Trials(2, 1e-4),
        periods_per_year=252.0,
    )


def test_the_report_says_what_was_noticed_or_that_nothing_was(report):
    told = replace(report, trainings=TRAININGS)
    assert "- Noticed in training: PPO, seed 0: a; b\n" in told.markdown()
    page = told.html()
    assert "PPO, seed 0: a; b</p>" in page
    assert EVIL not in page
    assert "<h2>Learning curves</h2>" in page
    quiet = replace(report, trainings=[training("PPO", 0)])
    assert "Noticed" not in quiet.markdown()
    assert "<h2>Noticed in training</h2>\n<p>Nothing.</p>" in quiet.html()
    assert "Noticed in training" not in report.html()
    assert "<h2>Learning curves</h2>" not in report.html()
