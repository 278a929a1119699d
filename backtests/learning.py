"""How the policies of a report learned: curves of every training, and what was noticed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from foretrade.backtests.marks import ZOOM, colour, every
from foretrade.backtests.vega import Chart, Spec

POINTS = 200  # of a curve
SCORE = "net log growth on validation"
CURVES = {
    "entropy": "entropy of the policy",
    "explained_variance": "explained variance of the returns",
    "value_loss": "value loss",
    "approx_kl": "approximate KL divergence of an update",
    "clip_fraction": "share of clipped ratios",
    "turnover": "turnover a bar while exploring",
    "cost_share": "costs over gross profit while exploring",
    "time_in_market": "time in the market while exploring",
    "position": "mean weight while exploring",
}


@dataclass(frozen=True)
class Training:
    """How one policy was trained.

    Args:
        agent: Label of its kind.
        seed: Its own.
        updates: One row an update: ``steps``, and the columns of :data:`CURVES`; NaN is undefined.
        checkpoints: Those played on the validation block: ``steps`` and ``log_growth``.
        chosen_steps: After which the checkpoint that was kept was made.
        noticed: What a user should know of it.
    """

    agent: str
    seed: int
    updates: pd.DataFrame
    checkpoints: pd.DataFrame
    chosen_steps: int
    noticed: Sequence[str] = ()


def noticed(trainings: Sequence[Training]) -> list[str]:
    """One line a policy of which something was noticed."""
    return [
        f"{one.agent}, seed {one.seed}: {'; '.join(one.noticed)}" for one in trainings if one.noticed
    ]


def learning_chart(trainings: Sequence[Training]) -> Chart:
    """Score on validation, entropy, explained variance …, over steps; a menu chooses what is shown."""
    lines = pd.concat([_lines(one) for one in trainings], ignore_index=True)
    kept = pd.concat([_chosen(one) for one in trainings], ignore_index=True)
    shown = list(dict.fromkeys(lines["what"]))
    menu = {"input": "select", "options": shown, "name": "Shown: "}
    agents = list(dict.fromkeys(one.agent for one in trainings))
    scale = {"zero": False, "padding": 8}
    at: Spec = {
        "x": {"field": "steps", "type": "quantitative", "title": "environment steps"},
        "y": {"field": "value", "type": "quantitative", "title": None, "scale": scale},
        "color": colour("agent", agents),
        "detail": {"field": "seed"},
    }
    chosen = {"filter": "datum.what === shown"}
    curves = {
        "data": {"name": "lines"},
        "params": [ZOOM],
        "transform": [chosen],
        "mark": {
            "type": "line",
            "strokeWidth": 1.5,
            "opacity": 0.8,
            "tooltip": True,
            "point": {"size": 14},
        },
        "encoding": at,
    }
    dots = {
        "data": {"name": "kept"},
        "transform": [chosen],
        "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1, "tooltip": True},
        "encoding": at,
    }
    name = {
        "data": {"name": "names"},
        "transform": [chosen],
        "mark": {"type": "text", "align": "left", "fontSize": 12},
        "encoding": {"text": {"field": "what"}, "x": {"value": 8}, "y": {"value": 10}},
    }
    spec = {
        "height": 260,
        "params": [{"name": "shown", "value": shown[0], "bind": menu}],
        "layer": [curves, dots, name],
    }
    data = {"lines": lines, "kept": kept, "names": pd.DataFrame({"what": shown})}
    note = "One line a seed. Large dots: the checkpoint that was kept, the best on validation."
    return Chart("Learning curves", spec, data, note)


def _lines(one: Training) -> pd.DataFrame:
    """Tidy: ``steps``, ``value``, ``what``."""
    columns = [name for name in CURVES if name in one.updates]
    curves = one.updates[["steps", *columns]].rename(columns=CURVES).set_index("steps")
    thinned = [every(curves[name].dropna(), POINTS).rename("value") for name in curves]
    score = one.checkpoints.set_index("steps")["log_growth"].rename("value")
    frames = [
        values.reset_index().assign(what=what)
        for what, values in zip([SCORE, *curves], [score, *thinned], strict=True)
    ]
    tidy = pd.concat([frame for frame in frames if len(frame)], ignore_index=True)
    return tidy.assign(agent=one.agent, seed=one.seed)


def _chosen(one: Training) -> pd.DataFrame:
    """The point of the checkpoint that was kept."""
    score = one.checkpoints.rename(columns={"log_growth": "value"})[["steps", "value"]]
    kept = score[score["steps"] == one.chosen_steps]
    return kept.assign(what=SCORE, agent=one.agent, seed=one.seed)
