"""A quantstats tear sheet of one run: its own HTML file, without network, fonts or surprises."""

from __future__ import annotations

import html
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib import font_manager

from foretrade.backtests.alarms import IDEALISED_FILLS
from foretrade.backtests.engine import Run
from foretrade.backtests.metrics import QUANTSTATS_STYLE, quantstats_returns
from foretrade.backtests.returns import by_day, is_defined, joined, joined_periods, until_ruin
from foretrade.storage import atomic_path

MIN_DAYS = 40  # fewer say nothing, and quantstats' density estimates can fail
EXTERNAL = re.compile(r"<(?:link|script|img)\b[^>]*(?:href|src)=[\"']?https?://[^>]*>", re.IGNORECASE)
OPENING = re.compile(r"<body[^>]*>")  # quantstats' own calls a function that its page lacks
OTHERWISE = (
    "quantstats computes this sheet. Five of its numbers are others than the report's: Treynor and "
    "ulcer performance take the total return where it should be a year's, the recovery factor has no "
    "sign, the information ratio is that of one bar, and returns over years that the history does not "
    "reach are those of all of it. The report's “More ratios” has them as they are defined."
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
    if both.iloc[0].min() < 0:  # quantstats overlooks a drawdown that begins on the first bar
        start = pd.DataFrame(0.0, index=[both.index[0] - pd.Timedelta(days=1)], columns=both.columns)
        both = pd.concat([start, both])
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
        page = OPENING.sub(f"<body>{_notes(run)}", page, count=1).replace("CAGR﹪", "CAGR %")
        temporary.write_text(page, encoding="utf-8")
    return True


def _notes(run: Run) -> str:
    """What a reader has to know before the numbers."""
    mark = f'<p style="color:#b00020;font-weight:bold">{IDEALISED_FILLS}</p>' if run.idealised else ""
    return f'<div style="margin:12px 24px;font-family:sans-serif">{mark}<p>{OTHERWISE}</p></div>'


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
