"""Pictures of strategies: what they earned, held and paid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from foretrade.backtests.engine import Run
from foretrade.backtests.marks import (
    COLOURS,
    band_marks,
    date_axis,
    dated,
    every,
    level,
    line_frame,
    line_marks,
    thinned,
)
from foretrade.backtests.returns import DAILY
from foretrade.backtests.vega import Chart, Spec

NORMAL_95 = 1.96
ROLLING_DAYS = 126
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def equity_chart(
    lines: Mapping[str, Run], bands: Mapping[str, Sequence[Run]], bold: Sequence[str]
) -> Chart:
    """Equity relative to the start; ``bands`` shades the range over seeds, ``bold`` are lit at first."""
    shown = pd.concat(
        [line_frame(label, relative_equity(run)) for label, run in lines.items()], ignore_index=True
    )
    several = [label for label in lines if len(bands.get(label, ())) > 1]
    shaded = [_band(label, bands[label]) for label in several]
    none = pd.DataFrame({"date": pd.DatetimeIndex([]), "strategy": [], "low": [], "high": []})
    drawn = line_marks(list(lines), "equity / initial equity", bold, zero=False)
    spec = {"height": 360, "layer": [*band_marks(several, list(lines)), drawn]}
    data = {"lines": shown, "bands": pd.concat(shaded, ignore_index=True) if shaded else none}
    note = (
        "Shaded: range over seeds. Click a name to light it, shift-click for several, an empty place "
        "for all; shift with wheel or drag zooms. A line has at most 1,000 points: of more days the "
        "lowest and the highest of each stretch."
        f"{_ruin_note(lines)}"
    )
    return Chart("Equity after costs", spec, data, note)


def _ruin_note(lines: Mapping[str, Run]) -> str:
    """Who lost the account, and on which day."""
    lost = {
        f"{label} on {pd.Timestamp(run.ledger['date'].iloc[-1]).date()}": run.equity.iloc[-1] > 0
        for label, run in lines.items()
        if run.ledger["ruined"].any()
    }
    ends = (("Ruin", False), ("Margin call", True))
    named = [(how, [who for who, left in lost.items() if bool(left) is called]) for how, called in ends]
    return "".join(f" {how}, where the line ends: {', '.join(who)}." for how, who in named if who)


def drawdown_chart(lines: Mapping[str, Run], bold: Sequence[str]) -> Chart:
    """Loss from the highest equity so far."""
    frames = []
    for label, run in lines.items():
        relative = relative_equity(run)
        frames.append(line_frame(label, relative / relative.cummax().clip(lower=1.0) - 1))
    spec = {"height": 220, "layer": [line_marks(list(lines), "drawdown", bold, form="%")]}
    data = {"lines": pd.concat(frames, ignore_index=True)}
    return Chart("Drawdown", spec, data, _ruin_note(lines).strip())


def rolling_sharpe_chart(
    lines: Mapping[str, Run], days_per_year: float, coloured: Sequence[str] = ()
) -> Chart:
    """Sharpe ratio of the last ``ROLLING_DAYS`` days, with the 95 % band of the first strategy.

    Args:
        days_per_year: Days of trading in a year: of weekly bars, weeks.
        coloured: All labels of the page in their order, so that each has its colour of other pictures.
    """
    frames, band = [], pd.DataFrame()
    for label, run in lines.items():
        rolling = rolling_sharpe(run, days_per_year)
        frames.append(line_frame(label, rolling["sharpe"]))
        if band.empty:
            kept = rolling.loc[thinned(rolling["sharpe"]).index]
            band = kept[["low", "high"]].rename_axis("date").reset_index().assign(strategy=label)
    labels, order = list(lines), coloured or list(lines)
    drawn = line_marks(labels, "Sharpe ratio, annualised", labels, coloured=order)
    spec = {"height": 260, "layer": [*band_marks(labels[:1], order), drawn, level(0)]}
    data = {"lines": pd.concat(frames, ignore_index=True), "bands": band}
    note = (
        f"Over the last {ROLLING_DAYS} {_bars_in_words(days_per_year)}. Band: ± 1.96 standard errors of "
        f"{labels[0]} for independent normal returns (Lo 2002). Neighbours share most of theirs."
    )
    return Chart("Rolling Sharpe ratio", spec, data, note)


def _bars_in_words(days_per_year: float) -> str:
    """What a day with a return stands for, if that is fewer days than there are."""
    if days_per_year > DAILY:
        return "days"
    return "weeks" if 45 < days_per_year < 60 else "months" if 11 < days_per_year < 14 else "bars"


def rolling_sharpe(run: Run, days_per_year: float) -> pd.DataFrame:
    """``sharpe``, ``low`` and ``high`` by day, from the first full window on.

    The band is ``SR ± 1.96 √((1 + SR²/2)/n)`` with SR a day: Lo (2002, FAJ 58(4)), for independent
    normal returns. Days without variance are left out.
    """
    daily = (1 + run.returns).groupby(level=0).prod() - 1
    window = daily.rolling(ROLLING_DAYS)
    deviation = window.std()
    ratio = (window.mean() / deviation.where(deviation > 1e-14)).dropna()
    error = NORMAL_95 * np.sqrt((1 + ratio**2 / 2) / ROLLING_DAYS)
    frame = pd.DataFrame({"sharpe": ratio, "low": ratio - error, "high": ratio + error})
    return frame * math.sqrt(days_per_year)


def position_chart(lines: Mapping[str, Run], forecast: pd.Series | None = None) -> Chart:
    """Price, the weight held and, below it, the forecast by day; a menu chooses the strategy.

    Args:
        forecast: Log return forecast at each close, by date.
    """
    price = dated(thinned(adjusted_close(next(iter(lines.values())))), "price")
    held = [
        dated(thinned(run.weights.groupby(level=0).last()), "weight").assign(strategy=label)
        for label, run in lines.items()
    ]
    known = pd.Series(dtype=np.float64) if forecast is None else forecast.dropna()
    strip = dated(every(1e4 * known.groupby(level=0).last()), "forecast")
    reach = float(strip["forecast"].abs().quantile(0.95)) if len(strip) else 1.0
    menu = {"input": "select", "options": list(lines), "name": "Strategy: "}
    weights = {
        "data": {"name": "weights"},
        "transform": [{"filter": "datum.strategy === shown"}],
        "mark": {"type": "area", "interpolate": "step-after", "opacity": 0.3, "color": COLOURS[0]},
        "encoding": {
            "x": date_axis(),
            "y": {
                "field": "weight",
                "type": "quantitative",
                "title": "weight held",
                "axis": {"orient": "right", "grid": False},
            },
        },
    }
    prices = {
        "data": {"name": "price"},
        "mark": {
            "type": "line",
            "color": "#333",
            "strokeWidth": 1.2,
            "tooltip": True,
            "point": {"opacity": 0},
        },
        "encoding": {
            "x": date_axis(),
            "y": {"field": "price", "type": "quantitative", "scale": {"zero": False}, "title": "price"},
        },
    }
    ticks = {
        "data": {"name": "forecast"},
        "mark": {"type": "tick", "thickness": 1.5, "height": 16, "tooltip": True},
        "encoding": {
            "x": date_axis(),
            "y": {"value": 330},
            "color": {
                "field": "forecast",
                "type": "quantitative",
                "title": "ensemble forecast, bp (strip below)",
                "scale": {"scheme": "redblue", "domain": [-reach, reach], "clamp": True},
                "legend": {"gradientLength": 160, "titleLimit": 240, "orient": "top"},
            },
        },
    }
    layers = [weights, prices, *([ticks] if len(strip) else [])]
    spec = {
        "height": 340,
        "params": [{"name": "shown", "value": next(iter(lines)), "bind": menu}],
        "layer": layers,
        "resolve": {"scale": {"y": "independent"}},
    }
    data = {"weights": pd.concat(held, ignore_index=True), "price": price, "forecast": strip}
    note = (
        "Line: price, splits taken out. Shaded: weight held. Strip: forecasts; the largest twentieth "
        "looks alike."
    )
    return Chart("Positions and forecasts on the price", spec, data, note)


def adjusted_close(run: Run) -> pd.Series:
    """Last close of each day in units of the last day: prices before a split are divided by it."""
    ledger = run.ledger.set_index("date")
    later = ledger["split"][::-1].cumprod()[::-1] / ledger["split"]
    return (ledger["close"] / later).groupby(level=0).last()


def monthly_chart(lines: Mapping[str, Run]) -> Chart:
    """Return of each calendar month; a menu chooses the strategy."""
    months = pd.concat([_months(label, run) for label, run in lines.items()], ignore_index=True)
    menu = {"input": "select", "options": list(lines), "name": "Strategy: "}
    top = {"labelAngle": 0, "orient": "top"}
    year: Spec = {"domain": MONTHS}  # all of them, in their order, however few there are
    at = {
        "x": {"field": "month", "type": "ordinal", "title": None, "axis": top, "scale": year},
        "y": {"field": "year", "type": "ordinal", "title": None},
    }
    value: Spec = {"field": "percent", "type": "quantitative"}
    reach = float(months["percent"].abs().max())
    shade = value | {"scale": {"scheme": "redblue", "domain": [-reach, reach]}, "legend": None}
    dark = {"test": f"abs(datum.percent) > {0.6 * reach}", "value": "white"}
    cells = {"mark": {"type": "rect", "tooltip": True}, "encoding": at | {"color": shade}}
    texts = {
        "mark": {"type": "text", "fontSize": 10},
        "encoding": at
        | {"text": value | {"format": ".1f"}, "color": {"condition": dark, "value": "black"}},
    }
    spec = {
        "height": 26 * months["year"].nunique(),
        "data": {"name": "months"},
        "params": [{"name": "shown", "value": next(iter(lines)), "bind": menu}],
        "transform": [{"filter": "datum.strategy === shown"}],
        "layer": [cells, texts],
    }
    return Chart("Monthly returns, %", spec, {"months": months})


def relative_equity(run: Run) -> pd.Series:
    """Equity over initial equity at the end of each day; 0 if everything was lost and more."""
    return run.equity.groupby(level=0).last().clip(lower=0.0) / run.initial_equity


def _band(label: str, runs: Sequence[Run]) -> pd.DataFrame:
    seeds = pd.concat([relative_equity(run) for run in runs], axis=1)
    low, high = seeds.min(axis=1), seeds.max(axis=1)
    kept = thinned(high - low).index
    return pd.DataFrame(
        {"date": kept, "strategy": label, "low": low[kept].to_numpy(), "high": high[kept].to_numpy()}
    )


def _months(label: str, run: Run) -> pd.DataFrame:
    monthly = (1 + run.returns).groupby(pd.DatetimeIndex(run.returns.index).to_period("M")).prod() - 1
    months = pd.PeriodIndex(monthly.index)
    names = [MONTHS[month - 1] for month in months.month]
    columns = {"year": months.year, "month": names, "percent": 100 * monthly.to_numpy()}
    return pd.DataFrame({"strategy": label} | columns)
