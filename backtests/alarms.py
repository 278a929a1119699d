"""Results too good to be true, and what to look at before anybody believes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from foretrade.backtests.engine import Run
from foretrade.backtests.league import Row
from foretrade.backtests.stress import Stress

SHARPE_LIMIT = 3.0
LEAST_SHARE = 0.5
DAYS_A_YEAR = 252.0
LOST_SHARE = 0.5
REMEDY = (
    "Before believing it: run 'foretrade check' on every feature and forecaster of your own, look for "
    "labels, scalers or news stamped too early (docs/no_peeking.md), and compare fills 'next_open' with "
    "'next_close'"
)
IDEALISED_FILLS = (
    "Idealised fills (same close): orders trade at the very close on which they were decided; nobody "
    "gets such fills."
)
BROKEN = "The record of trials is broken, there may have been more"
MENDING = (
    "Only a copy of the file from before mends it; who has none begins a new folder of runs, and says "
    "beside its results that earlier trials are not counted there"
)


def too_high(
    label: str, sharpe: float, low: float, high: float, lead: float, periods_per_year: float
) -> list[str]:
    """A sentence, if an annualised net Sharpe ratio is above :func:`sharpe_limit`, and not by luck.

    A few lucky weeks show any ratio, and what hardly moves shows a high one to whoever holds it. So the
    lower end of the interval has to be above half the limit, about what the best honest strategies
    reach, and the lead over buy-and-hold has to be proven.

    Args:
        low, high: The 95 % interval of the ratio.
        lead: Lower end of the 95 % interval of the ratio less that of buy-and-hold; NaN if the two
            cannot be compared.
    """
    limit = sharpe_limit(periods_per_year)
    if not (sharpe > limit and low > LEAST_SHARE * limit) or lead <= 0:
        return []
    return [
        f"{label}: a net Sharpe ratio of {sharpe:.2f} (95 % interval {low:.2f} to {high:.2f}) is "
        f"above {limit:.1f}; probably it sees the future"
    ]


def notices(alarms: Sequence[str], faults: Sequence[str], *, idealised: bool) -> list[str]:
    """What must be read first: probable leaks, idealised fills, a broken record of trials."""
    found = [f"Probable leak. {text}." for text in alarms]
    found += [f"{REMEDY}."] * bool(found)
    found += [IDEALISED_FILLS] * idealised
    found += [f"{BROKEN}: {text}." for text in faults]
    return found + [f"{MENDING}."] * bool(faults)


def doubt(alarms: Sequence[str], *, idealised: bool) -> str:
    """What a verdict has to say first, and instead of any gain; empty if nothing speaks against it."""
    against = ["look like a leak"] * bool(alarms) + ["were made with idealised fills"] * idealised
    if not against:
        return ""
    return f"These results {', '.join(against)} and are not to be believed until checked"


def sharpe_limit(periods_per_year: float) -> float:
    """Annualised net Sharpe ratio above which a leak is likelier than skill.

    3 on daily bars and slower ones. On faster bars there are more bets a year, so that it grows with
    the root of their number: ``3 √(periods_per_year / 252)``, the same ratio a bar (Grinold 1989, JPM
    15(3): the information ratio is skill times the root of breadth).
    """
    return SHARPE_LIMIT * math.sqrt(max(1.0, periods_per_year / DAYS_A_YEAR))


def alarms(
    rows: Sequence[Row],
    runs: Mapping[str, Run],
    stress: Mapping[str, Stress],
    leads: Mapping[str, float],
    periods_per_year: float,
    *,
    benchmark: str = "",
) -> list[str]:
    """One sentence for each strategy whose result is implausible; none for a plausible one.

    Args:
        rows: Strategies with their scores.
        leads: By name of the run, see :func:`too_high`; of a run without it is unknown.
        benchmark: Label of buy-and-hold, which sees nothing and is never implausible.
        runs: By name.
        stress: By name of the run; strategies without are asked for their Sharpe ratio alone.
    """
    found = []
    for row in rows:
        label, scores = row.strategy.label, row.scores
        if label == benchmark:
            continue
        late, one = [], stress.get(row.median_run)
        if one is not None:
            held = (
                f"positions are held for {holding_bars(runs[row.median_run]):.0f} bars on average, yet "
            )
            late = dies_late(label, one.sharpe, scores.sharpe_low, one.later_sharpe, one.lost_low, held)
        bounds = scores.sharpe_low, scores.sharpe_high
        lead = leads.get(row.median_run, math.nan)
        found += too_high(label, scores.sharpe, *bounds, lead, periods_per_year) or late
    return found


def holding_bars(run: Run) -> float:
    """Bars for which a position is held: twice the mean absolute weight over the turnover a bar.

    A round trip trades twice what it holds. inf if nothing was traded.
    """
    ledger = run.ledger
    turnover = float(
        (ledger["traded"] / ledger["equity"].shift(1, fill_value=run.initial_equity)).mean()
    )
    return 2 * float(run.weights.abs().mean()) / turnover if turnover > 0 else math.inf


def dies_late(
    label: str,
    sharpe: float,
    sharpe_low: float,
    later_sharpe: float,
    lost_low: float,
    held: str = "",
) -> list[str]:
    """A sentence, if most of a proven gain disappears when every action comes one bar later.

    Alarming is a loss of more than half, proven by its interval. A signal that lasts no longer than a
    bar loses as much, honest or not: nothing in the returns tells them apart.

    Args:
        sharpe, later_sharpe: Annualised net Sharpe ratio, as decided and one bar later.
        sharpe_low: Lower end of the 95 % interval of the first.
        lost_low: Lower end of the 95 % interval of what the delay costs.
        held: Said before it.
    """
    if not (sharpe_low > 0 and lost_low > 0 and sharpe - later_sharpe > LOST_SHARE * sharpe):
        return []
    return [
        f"{label}: {held}with every action one bar later the net Sharpe ratio falls from {sharpe:.2f} "
        f"to {later_sharpe:.2f}; either it sees the next bar, or its signal lasts no longer than one"
    ]
