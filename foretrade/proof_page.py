"""The outcome of a proof: its table, its picture, and files of both."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foretrade.backtests.vega import Chart, Spec
from foretrade.measuring import markdown_table
from foretrade.pages import COLOURS
from foretrade.proof import (
    LARGEST_EXPOSURE,
    LARGEST_TURNOVER,
    SIGNALS,
    Case,
    Outcome,
    Results,
    median_of,
    reached,
)
from foretrade.storage import write_json, write_text

QUICK = "**Quick form: three seeds, short trainings and lower bars; the proof is the whole one.**"
DRAWN = ("A1", "B", "B weight")
NARROW = (0, 1, 4, 5, 8, 9, 10)  # columns for a terminal
HELD = ("short", "out", "long")  # current positions, in the order of Case.held
WIDTH, HEIGHT = 300, 240  # pixels of a panel


def rows(results: Results) -> Iterator[list[str]]:
    """The table, its header first; earnings in units of 10⁻⁴ a bar."""
    yield [
        "market", "positions", "optimum", "oracle", "PPO / oracle (95 %)", "needed", "each seed",
        "simple rules / oracle", "mean size", "turnover", "CPU s", "wall s",
    ]  # fmt: skip
    for case, outcomes in results:
        shares = [one.share for one in outcomes]
        median, low, high = median_of(shares)
        small = f"position < {LARGEST_EXPOSURE:g}, turnover < {LARGEST_TURNOVER:g}"
        needed = f"≥ {case.bar:g}" if case.bar else small
        yield [
            f"{case.key.split()[0]}: {case.label}",
            "discrete" if case.discrete else "continuous",
            f"{1e4 * outcomes[0].optimum:.3f}",
            f"{1e4 * _median(one.oracle.reward for one in outcomes):.3f}",
            f"{median:.3f} ({low:.3f} to {high:.3f})" if case.bar else "nothing to earn",
            f"{needed}: {'yes' if reached(case, outcomes) else 'no'}",
            " ".join(f"{share:.3f}" for share in shares) if case.bar else "–",
            _rules(case, outcomes),
            f"{_median(one.learned.exposure for one in outcomes):.3f}",
            f"{_median(one.learned.turnover for one in outcomes):.4f}",
            f"{_median(one.cpu_seconds for one in outcomes):.0f}",
            f"{_median(one.wall_seconds for one in outcomes):.0f}",
        ]


def report(results: Results, *, quick: bool = False) -> str:
    """The table in Markdown."""
    table = markdown_table(rows(results))
    return f"{QUICK}\n\n{table}" if quick else table


def chart(results: Results) -> Chart:
    """The learned position beside the best one, against the signal."""
    drawn = [(case, _middle(outcomes)) for case, outcomes in results if case.key in DRAWN]
    panels = [_panel(case) for case, _ in drawn]
    data = {case.key: _curves(one) for case, one in drawn}
    note = "By the median seed; on A1 from a quarter of the largest position, elsewhere from all of it."
    return Chart("What was learned", {"hconcat": panels}, data, note)


def write(results: Results, folder: Path, *, quick: bool) -> None:
    """Write ``proof.md``, ``proof.csv`` (a line a training), ``proof.json`` (with the curves) and
    ``proof.svg`` into a folder."""
    shown = "![Learned and best positions](proof.svg)"
    write_text(folder / "proof.md", f"{report(results, quick=quick)}\n\n{shown}\n")
    write_text(folder / "proof.csv", _csv(results))
    write_json(
        folder / "proof.json",
        {
            "quick": quick,
            "signals": SIGNALS,
            "cases": [
                {
                    "case": case.key,
                    "label": case.label,
                    "needed": case.bar,
                    "reached": reached(case, outcomes),
                    "market": type(case.market).__name__,
                    "parameters": asdict(case.market),
                    "settings": asdict(case.config),
                    "outcomes": [asdict(one) | {"share": one.share} for one in outcomes],
                }
                for case, outcomes in results
            ],
        },
    )
    write_text(folder / "proof.svg", chart(results).svg())


def _median(values: Iterator[float]) -> float:
    return float(np.median(list(values)))


def _middle(outcomes: Sequence[Outcome]) -> Outcome:
    """The training whose share is the median, or the next below."""
    return sorted(outcomes, key=lambda one: one.share)[(len(outcomes) - 1) // 2]


def _rules(case: Case, outcomes: Sequence[Outcome]) -> str:
    """What simple rules realise; where there is nothing to earn, what they lose."""
    told = []
    for name in case.rules():
        earned = _median(one.rules[name] for one in outcomes)
        share = _median(one.rules[name] / (one.oracle.reward or 1) for one in outcomes)
        told.append(f"{name} {share:.2f}" if case.bar else f"{name} earns {1e4 * earned:.2f}")
    return ", ".join(told)


def _csv(results: Results) -> str:
    text = io.StringIO()
    lines = [_line(case, one) for case, outcomes in results for one in outcomes]
    names = dict.fromkeys(name for line in lines for name in line)
    writer = csv.DictWriter(text, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _line(case: Case, one: Outcome) -> dict[str, Any]:
    return {
        "case": case.key,
        "discrete": case.discrete,
        "seed": one.seed,
        "optimum": one.optimum,
        "oracle": one.oracle.reward,
        **asdict(one.learned),
        "share": one.share if case.bar else "",
        "cpu_seconds": one.cpu_seconds,
        "wall_seconds": one.wall_seconds,
        **{f"rule {name}": reward for name, reward in one.rules.items()},
    }


def _curves(one: Outcome) -> pd.DataFrame:
    """Tidy: a row a policy, current position and signal."""
    curves = [
        pd.DataFrame({"signal": SIGNALS, "position": curve}).assign(held=held, policy=policy)
        for policy, several in one.curves.items()
        for held, curve in zip(HELD, several, strict=True)
    ]
    return pd.concat(curves, ignore_index=True)


def _panel(case: Case) -> Spec:
    kind = "discrete" if case.discrete else "continuous"
    return {
        "title": f"{case.key.split()[0]}: {case.label}, {kind}",
        "width": WIDTH,
        "height": HEIGHT,
        "data": {"name": case.key},
        "mark": {"type": "line", "interpolate": "step" if case.discrete else "linear"},
        "encoding": {
            "x": {"field": "signal", "type": "quantitative", "title": "signal, standard deviations"},
            "y": {
                "field": "position",
                "type": "quantitative",
                "title": "next position, share of the largest",
            },
            "color": {
                "field": "held",
                "type": "nominal",
                "scale": {"domain": list(HELD), "range": [COLOURS[1], COLOURS[7], COLOURS[0]]},
                "legend": {"title": "current position", "orient": "top"},
            },
            "strokeDash": {
                "field": "policy",
                "type": "nominal",
                "scale": {"domain": ["learned", "best"], "range": [[1, 0], [5, 4]]},
                "legend": {"title": "policy", "orient": "top"},
            },
            "strokeWidth": {"condition": {"test": "datum.policy == 'best'", "value": 1.5}, "value": 2.5},
        },
    }
