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

from foretrade.backtests.engine import Run
from foretrade.backtests.metrics import is_defined, quantstats_returns
from foretrade.storage import atomic_path

MIN_BARS = 40  # below, quantstats' density estimates fail
EXTERNAL = re.compile(r"<(?:link|script|img)\b[^>]*(?:href|src)=[\"']?https?://[^>]*>", re.IGNORECASE)


def write_tearsheet(
    run: Run, benchmark: Run, path: Path, *, title: str, periods_per_year: float
) -> bool:
    """Write the tear sheet of ``run`` against ``benchmark``; False if its ratios are undefined.

    The benchmark is joined on the days both have; title and names are escaped; links to outside
    resources are taken out.
    """
    returns = quantstats_returns(run)
    daily, other = by_day(returns), by_day(quantstats_returns(benchmark))
    joined = pd.concat([daily, other], axis=1, join="inner")
    if joined.iloc[0].min() < 0:  # quantstats overlooks a drawdown that begins on the first bar
        start = pd.DataFrame(0.0, index=[joined.index[0] - pd.Timedelta(days=1)], columns=joined.columns)
        joined = pd.concat([start, joined])
    days_per_year = periods_per_year * len(daily) / len(returns)
    if len(joined) < MIN_BARS or not is_defined(returns):
        return False
    with warnings.catch_warnings(), _drawing(), atomic_path(path) as temporary:
        warnings.simplefilter("ignore")  # quantstats warns of pandas' and matplotlib's future
        from quantstats import reports

        reports.html(
            joined.iloc[:, 0].rename("Strategy"),
            benchmark=None if run.name == benchmark.name else joined.iloc[:, 1].rename("Benchmark"),
            title=html.escape(title),
            output=str(temporary),
            periods_per_year=round(days_per_year),
            match_dates=False,
            strategy_title=html.escape(run.name),
            benchmark_title=html.escape(benchmark.name),
        )
        page = temporary.read_text(encoding="utf-8")
        temporary.write_text(EXTERNAL.sub("", page).replace("CAGR﹪", "CAGR %"), encoding="utf-8")
    return True


def by_day(returns: pd.Series) -> pd.Series:
    """Returns compounded within each day: quantstats counts a row as a day."""
    return (1 + returns).groupby(level=0).prod() - 1


@contextmanager
def _drawing() -> Iterator[None]:
    """Draw off screen, with fonts that exist, and leave matplotlib's settings as they were."""
    import matplotlib.pyplot as plt

    _give_arial_a_face()
    with matplotlib.rc_context():
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
