"""A quantstats tear sheet of one run: its own HTML file, without network, fonts or surprises."""

from __future__ import annotations

import html
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib import font_manager

from foretrade.backtests.alarms import IDEALISED_FILLS
from foretrade.backtests.engine import Run
from foretrade.backtests.metrics import QUANTSTATS_STYLE, quantstats_returns
from foretrade.backtests.returns import DAILY, by_day, is_defined, joined, joined_periods, until_ruin
from foretrade.storage import atomic_path

MIN_DAYS = 40  # fewer say nothing, and quantstats' density estimates can fail
EXTERNAL = re.compile(r"<(?:link|script|img)\b[^>]*(?:href|src)=[\"']?https?://[^>]*>", re.IGNORECASE)
OPENING = re.compile(r"<body[^>]*>")  # quantstats' own calls a function that its page lacks
QUANTSTATS_YEAR = 252
OTHERWISE: dict[tuple[str, ...], str] = {  # rows of a sheet, and what they are instead
    ("Ulcer Performance Index", "Treynor Ratio"): "take the total return where it should be a year's",
    ("Recovery Factor",): "is of the sum of returns, and has no sign",
    ("Information Ratio",): "is that of one bar",
    ("Daily Value-at-Risk", "Expected Shortfall (cVaR)"): "are those of a Normal distribution",
    ("1Y",): "counts the day a year ago too",
    ("3Y (ann.)", "5Y (ann.)", "10Y (ann.)"): (
        "are of a month less, and where the history is shorter, of all of it"
    ),
    ("Longest DD Days",): "ends with the last bar below the peak, not with the recovery",
    ("Skew", "Kurtosis", "Prob. Sharpe Ratio", "Ulcer Index"): "are corrected for the sample's size",
    ("Time in Market",): "counts bars whose return is not zero, rounded up to a per cent",
    ("Win Month",): "leaves out months without a return",
    ("Risk-Adjusted Return",): "is over that time in market",
}
PADDED = (
    "Before the first bar stands one without a return, so that a drawdown may begin there: ratios are "
    "of one bar more."
)
DRAWN_AT = re.compile(r"<dc:date>[^<]*</dc:date>")  # same inputs, same bytes


def write_tearsheet(
    run: Run, benchmark: Run, path: Path, *, title: str, periods_per_year: float
) -> bool:
    """Write the tear sheet of ``run`` against ``benchmark``; False if :func:`undrawable` says why not.

    The benchmark is joined on the days that both have; a ruined run ends with the bar that lost
    everything; title and names are escaped; links to outside resources are taken out. Above it stands
    which of its numbers are not the report's, and whether fills are idealised.
    """
    if undrawable(run, benchmark):
        return False
    both, daily = _daily(run, benchmark), until_ruin(by_day(run.returns))[0]
    own = periods_per_year * run.returns.index.nunique() / len(run.returns)
    days_per_year = joined_periods(daily, both, own)
    padded = both.iloc[0].min() < 0
    if padded:  # quantstats overlooks a drawdown that begins on the first bar
        start = pd.DataFrame(0.0, index=[both.index[0] - pd.Timedelta(days=1)], columns=both.columns)
        both = pd.concat([start, both])
    told = [*otherwise(run, days_per_year), *([PADDED] if padded else [])]
    with warnings.catch_warnings(), _drawing(), atomic_path(path) as temporary:
        warnings.simplefilter("ignore")  # quantstats warns of pandas' and matplotlib's future
        from quantstats import reports

        reports.html(
            both["strategy"].rename("Strategy"),
            benchmark=None if run.name == benchmark.name else both["benchmark"].rename("Benchmark"),
            title=html.escape(title),
            output=str(temporary),
            periods_per_year=round(days_per_year),
            match_dates=False,
            strategy_title=html.escape(run.name),
            benchmark_title=html.escape(benchmark.name),
        )
        page = DRAWN_AT.sub("", EXTERNAL.sub("", temporary.read_text(encoding="utf-8")))
        page = OPENING.sub(f"<body>{_notes(run, told)}", page, count=1).replace("CAGR﹪", "CAGR %")
        temporary.write_text(page, encoding="utf-8")
    return True


def otherwise(run: Run, days_per_year: float) -> list[str]:
    """Which numbers of a sheet are not the report's, and why: sentences for a reader."""
    rows = "; ".join(f"{', '.join(names)} {how}" for names, how in OTHERWISE.items())
    told = [f"quantstats computes this sheet, and some of its numbers are not the report's. {rows}."]
    if days_per_year < DAILY:
        told.append(
            f"What it calls a day, or daily, is one bar, of which a year has {days_per_year:.4g}."
        )
    if round(days_per_year) != QUANTSTATS_YEAR:
        told.append(f"Its Risk-Adjusted Return takes a year to have {QUANTSTATS_YEAR} bars.")
    if not run.returns.index.is_unique:
        told.append(
            "It is made of returns by day: the report's ratios are of bars, of which a day has more."
        )
    if abs(days_per_year - round(days_per_year)) > 1e-9:
        told.append(
            f"It takes a year to have {round(days_per_year)} bars instead of {days_per_year:.4g}: so "
            "numbers a year differ a little."
        )
    return [*told, "The report's “Significance” and “More ratios” have all of them as they are defined."]


def _notes(run: Run, told: Sequence[str]) -> str:
    """What a reader has to know before the numbers."""
    mark = f'<p style="color:#b00020;font-weight:bold">{IDEALISED_FILLS}</p>' if run.idealised else ""
    style = "margin:12px 24px;font-family:sans-serif;max-width:960px"
    return f'<div style="{style}">{mark}<p>{" ".join(told)}</p></div>'


def undrawable(run: Run, benchmark: Run) -> str:
    """Why quantstats cannot draw a run, for a reader; empty if it can."""
    if not is_defined(quantstats_returns(run)):
        return "its returns do not vary, or are fewer than 20"
    days = _daily(run, benchmark)
    if any(column.min() >= 0 and column.max() >= 1 for _, column in days.items()):
        return "a day gains 100 % or more and none loses: quantstats would take that for prices"
    if len(days) < MIN_DAYS:
        return f"it has {len(days)} days in common with {benchmark.name}; {MIN_DAYS} are needed"
    return ""


def _daily(run: Run, benchmark: Run) -> pd.DataFrame:
    """Returns of both by day, on the days that both have."""
    return joined(*(until_ruin(by_day(item.returns))[0] for item in (run, benchmark)))


@contextmanager
def _drawing() -> Iterator[None]:
    """Draw off screen, with fonts that exist, and leave matplotlib's settings as they were."""
    import matplotlib.pyplot as plt

    _give_arial_a_face()
    with matplotlib.rc_context(QUANTSTATS_STYLE | {"svg.hashsalt": "foretrade"}):
        plt.switch_backend("agg")
        try:
            yield
        finally:
            plt.close("all")


def _give_arial_a_face() -> None:
    """Let the name Arial, which quantstats asks for by itself, find DejaVu Sans where it is absent."""
    fonts = font_manager.fontManager.ttflist
    if not any(font.name == "Arial" for font in fonts):
        fonts.extend(replace(font, name="Arial") for font in fonts if font.name == "DejaVu Sans")
