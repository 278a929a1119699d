"""The page as a reader meets it: what stands first, what it weighs, and what a browser says of it."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from browser import (
    assert_readable_on_a_phone,
    browse,
    needs_browser,
    overhang_on_a_phone,
    sorted_by_clicks,
    without_scripts,
)

from foretrade.agents.baselines import Constant
from foretrade.backtests.engine import run
from foretrade.backtests.league import Strategy, league_rows
from foretrade.backtests.marks import thinned
from foretrade.backtests.metrics import score_run
from foretrade.backtests.report import Report
from foretrade.backtests.stress import Stress, stress
from foretrade.backtests.tables import sorting_script
from foretrade.backtests.trials import Trials
from foretrade.envs.market import MarketEnv

EVIL = "</script><script>alert(1)</script>"


def made_report(walk, count: int, **options: object) -> Report:
    env = MarketEnv(walk, **options)
    names = ["agent", "buy-and-hold", *(f"{EVIL}-{k}" for k in range(2, count))]
    weights = np.linspace(-0.9, 1.0, count)
    agents = {n: Constant(env.layout, env.actions, w) for n, w in zip(names, weights, strict=True)}
    runs = {name: run(agent, env, name=name) for name, agent in agents.items()}
    rows = league_rows(
        [Strategy(name, (name,)) for name in names], {n: score_run(r, 252.0) for n, r in runs.items()}
    )
    return Report(
        title=EVIL,
        setting={"Fills": env.fill.replace("_", " ")},
        rows=rows,
        benchmark="buy-and-hold",
        runs=runs,
        forecasts={},
        trials=Trials(count, 1e-4),
        periods_per_year=252.0,
        stress={name: stress(agents[name], env, periods_per_year=252.0) for name in names[:3]},
    )


@pytest.fixture(scope="module")
def page(walk):
    return made_report(walk, 10)


def test_ten_strategies_weigh_below_five_megabytes(page):
    assert len(page.html().encode()) < 5_000_000


def test_the_policy_lets_the_one_script_run_and_nothing_else(page):
    html = page.html()
    assert "default-src &#39;none&#39;" in html or "default-src 'none'" in html
    assert "unsafe-eval" not in html.split("<script")[0]
    (script,) = re.findall(r'<script type="module">(.*?)</script>', html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"sha256-{digest}" in html.split("<style>")[0]
    assert html.count("<script") - script.count("<script") == 2  # the other one holds data
    assert EVIL not in html


def test_without_javascript_verdict_tables_and_pictures_are_there(page):
    still = without_scripts(page.html())
    assert "edge after costs" in still
    assert still.count("<table") >= 3
    assert still.count('<img src="data:image/svg+xml;base64,') == still.count("<figure") >= 6


def test_same_close_is_marked_wherever_fills_are_shown(walk):
    ideal = made_report(walk, 3, fill="same_close")
    assert 'class="danger">same close</span>' in ideal.html()
    assert '<dd class="danger">same close</dd>' in ideal.html()
    assert "| agent **(same close)** |" in ideal.markdown()
    assert ideal.markdown().startswith("**Idealised fills (same close)")
    assert "same close" not in made_report(walk, 3).markdown()


def test_a_broken_record_of_trials_stands_first(page):
    broken = replace(page, faults=["line 3 was changed"])
    assert broken.markdown().startswith("**The record of trials is broken")
    assert "line 3 was changed" in broken.html()


def test_thinning_keeps_ends_and_extremes():
    values = pd.Series(np.random.default_rng(0).normal(size=20_000).cumsum())
    kept = thinned(values, 500)
    assert len(kept) <= 500
    assert kept.index.is_monotonic_increasing
    assert (kept.iloc[0], kept.iloc[-1]) == (values.iloc[0], values.iloc[-1])
    assert (kept.min(), kept.max()) == (values.min(), values.max())


@needs_browser
def test_the_page_is_readable_on_a_phone(page, tmp_path):
    assert_readable_on_a_phone(page.html(), tmp_path)


@needs_browser
def test_a_browser_draws_every_picture_and_asks_the_network_for_nothing(page, tmp_path):
    path, log = tmp_path / "report.html", tmp_path / "net.json"
    path.write_text(page.html())
    done = browse(tmp_path, f"--log-net-log={log}", "--dump-dom", path.as_uri())
    assert "CONSOLE" not in done.stderr
    assert 'data-ready="yes"' in done.stdout
    assert done.stdout.count("<svg") >= page.html().count("<figure")
    assert "<img" not in done.stdout.split("</style>")[-1].split("<script")[0]
    assert not re.search(r'"url":"https?://[^"]*(vega|jsdelivr|foretrade)', log.read_text())


@needs_browser
@pytest.mark.parametrize("drawn_at", [390, 900])
def test_pictures_fit_a_phone_and_a_page_that_becomes_narrower(walk, tmp_path, drawn_at):
    found = overhang_on_a_phone(made_report(walk, 3).html(), tmp_path, drawn_at)
    assert len(found) >= 6
    assert max(found) <= 1


@needs_browser
def test_break_even_costs_are_sorted_from_the_best_to_none(page, tmp_path):
    kinds = [(1.0, 0.5, -2.0), (1.0, 0.9, 0.8), (-1.0, -2.0, -3.0), (1.0, -0.25, -1.0)]
    made = [
        Stress((0.0, 1.0, 5.0), (math.nan if k == 4 else 1.0, 1.0, 1.0), returns, 1.0, 0.0, 1.0)
        for k, returns in enumerate([*kinds, kinds[0]])
    ]
    stressed = dict(zip(list(page.runs)[:5], made, strict=True))
    html = replace(page, stress=stressed).html()
    best_first = ["above 5×", "1.80×", "0.80×", "none: loses without costs", "–"]
    assert sorted_by_clicks(html, tmp_path, "Stress tests", 1) == best_first
    assert sorted_by_clicks(html, tmp_path, "Stress tests", 1, clicks=2) == [*best_first[3::-1], "–"]


@needs_browser
def test_a_p_value_too_small_to_be_told_is_sorted_as_the_smallest(tmp_path):
    cells = "".join(f"<tr><td>{text}</td></tr>" for text in ("0.05", "–", "&lt; 0.001", "0.20"))
    table = f'<table class="sortable"><thead><tr><th>p</th></tr></thead><tbody>{cells}</tbody></table>'
    body = f'<div role="region" aria-label="P">{table}</div><script>{sorting_script()}</script>'
    html = f"<!doctype html><html><body>{body}</body></html>"
    assert sorted_by_clicks(html, tmp_path, "P", 0) == ["0.20", "0.05", "< 0.001", "–"]
