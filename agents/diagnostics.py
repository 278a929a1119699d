"""What a user should notice in a training, in words.

Each check looks at the policy that was kept, as it played the validation block (``chosen``: the figures
of :meth:`foretrade.agents.validation.Play.figures`), or at the last tenth of the updates (the columns of
``training.csv``, see :class:`foretrade.agents.training_record.TrainingRecord`). It returns a sentence,
or nothing. A figure that is not defined, or that the algorithm does not log, warns of nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from foretrade.storage import write_json

IDLE_EXPOSURE = 0.02
SAME_AS_MARKET = 0.99
ALWAYS = 0.95
EATEN = 0.9
AT_BOUND = 0.95
LARGEST_VALUE_LOSS = 1e4
LARGEST_GROWTH = 10.0
LAST = 0.1  # of the updates


def warnings_of(updates: pd.DataFrame, chosen: Mapping[str, float]) -> list[str]:
    """Everything that the checks below have to say.

    Args:
        updates: One row an update, in order.
        chosen: Figures of the policy that was kept; NaN is undefined.
    """
    found = [never_trades(chosen), always_in(chosen), costs_eat(chosen)]
    return [text for text in (*found, collapsed(updates), value_loss_explodes(updates)) if text]


def never_trades(chosen: Mapping[str, float]) -> str:
    """The mean absolute weight is below 2 %.

    Such an account moves by less than a fiftieth of what the market does. It is not zero, because the
    mean of a Gaussian policy that means nothing is seldom exactly nothing.
    """
    exposure = chosen["exposure"]
    if not exposure < IDLE_EXPOSURE:
        return ""
    return (
        f"the agent never trades: on average {100 * exposure:.1f} % of its equity is in the market; "
        "costs may be above what can be earned"
    )


def always_in(chosen: Mapping[str, float]) -> str:
    """Its returns correlate with the market's by 0.99, either way, and it is in at 95 % of the closes.

    Then 98 % of their variance is the market's: a fixed weight explains the result, and buy-and-hold
    has it without an agent. At the first closes of a block nobody holds anything yet.
    """
    correlation = chosen["market_correlation"]
    if not (abs(correlation) >= SAME_AS_MARKET and chosen["time_in_market"] >= ALWAYS):
        return ""
    way, other = ("long", "equal to") if correlation > 0 else ("short", "the reverse of")
    return (
        f"always {way}: {other} buy-and-hold (correlation of returns {correlation:.3f}, mean weight "
        f"{chosen['position']:.2f})"
    )


def costs_eat(chosen: Mapping[str, float]) -> str:
    """Costs take 90 % or more of a profit before costs.

    What is left is less than an error of a tenth in the assumed costs. Without a gross profit there is
    nothing to eat.
    """
    share = chosen["cost_share"]
    if not share >= EATEN:
        return ""
    return (
        f"costs eat {100 * share:.0f} % of gross: a turnover of {chosen['turnover']:.2g} of equity a "
        "bar is more than its profit pays"
    )


def collapsed(updates: pd.DataFrame) -> str:
    """With exploration, 95 % or more of the actions ask for one and the same bound, least or largest.

    A Gaussian whose mean is the bound itself passes it half the time; 95 % means that the mean lies
    beyond by 1.6 standard deviations, where clipping hides from the agent what another action would
    give. Of choices it means that hardly any other is tried.
    """
    asked = last(updates).filter(regex="^action ").mean()
    for target, share in (asked.iloc[[0, -1]] if len(asked) else asked).items():
        if share >= AT_BOUND:
            bound = str(target).removeprefix("action ")
            return (
                f"policy has collapsed to its bound: {100 * share:.0f} % of the last actions ask for "
                f"{bound}, exploration included; raise the entropy coefficient, or lower the learning "
                "rate"
            )
    return ""


def value_loss_explodes(updates: pd.DataFrame) -> str:
    """The median value loss of the last updates is above 10⁴, or has grown tenfold and explains nothing.

    The loss is a mean squared error. Networks start with outputs of order one and Adam takes steps of
    the learning rate, so errors above a hundred stay out of reach: the reward is scaled badly. Tenfold
    growth may come from larger positions, but not with an explained variance below zero, where the mean
    of the returns would be the better prediction.
    """
    late, early = last(updates), updates.head(max(1, math.ceil(LAST * len(updates))))
    loss, first = float(late["value_loss"].median()), float(early["value_loss"].median())
    diverges = loss > LARGEST_GROWTH * first and float(late["explained_variance"].median()) < 0
    if not (loss > LARGEST_VALUE_LOSS or diverges):
        return ""
    return (
        f"value loss explodes: {loss:.2g} in the last updates, {first:.2g} in the first; lower the "
        "reward scale or the learning rate"
    )


def last(updates: pd.DataFrame) -> pd.DataFrame:
    """The last tenth of the updates, at least one."""
    return updates.tail(max(1, math.ceil(LAST * len(updates))))


def write_warnings(folder: Path, updates: pd.DataFrame, trials: pd.DataFrame) -> list[str]:
    """Write ``warnings.json``: the warnings, and the checkpoint that was kept.

    Args:
        trials: The rows of ``validation.csv``.
    """
    figures = trials.astype(float)
    chosen = figures.iloc[int(figures["log_growth"].argmax())]
    found = warnings_of(updates, {str(k): float(v) for k, v in chosen.items()})
    write_json(folder / "warnings.json", {"chosen_steps": int(chosen["steps"]), "warnings": found})
    return found
