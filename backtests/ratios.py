"""What a tear sheet should say beside the scores, exactly: quantstats has these wrong or not at all.

``docs/metrics.md`` says where other libraries define them differently.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy import stats

from foretrade.backtests.candidates import MIN_BARS
from foretrade.backtests.drawdowns import drawdown_table, ulcer_index, underwater
from foretrade.backtests.engine import Run
from foretrade.backtests.relative import Relative, growth_a_year, relative_on_common
from foretrade.backtests.returns import by_day, is_defined, joined, until_ruin
from foretrade.backtests.windows import by_period, trailing_return
from foretrade.markets.arrays import Floats

TAIL = 0.05


@dataclass(frozen=True)
class Growth:
    """By the calendar, by exchange day.

    Args:
        one_year, three_years, five_years, ten_years: Annualised, of the last whole years to the last
            day; undefined if the run is shorter.
        best_month, worst_month: Compounded; of months that began before the run only the part in it.
        months_won: Share of months that gained.
    """

    one_year: float
    three_years: float
    five_years: float
    ten_years: float
    best_month: float
    worst_month: float
    months_won: float


@dataclass(frozen=True)
class Shape:
    """Of the returns per bar, as fractions.

    Args:
        best_bar, worst_bar: Largest gain and loss.
        win_rate: Share of gains among bars whose return is not zero.
        payoff: Mean gain over mean loss.
        profit_factor: Sum of gains over sum of losses; it is the omega ratio at a threshold of zero.
        value_at_risk: The 5 % quantile, historical: a loss is negative.
        expected_shortfall: Mean of the returns that are no higher (Acerbi and Tasche 2002): negative.
        tail_ratio: Size of the 95 % quantile over that of the 5 % quantile.
        skew, excess_kurtosis: Of the population (no correction for bias); Normal: 0, 0.
    """

    best_bar: float
    worst_bar: float
    win_rate: float
    payoff: float
    profit_factor: float
    value_at_risk: float
    expected_shortfall: float
    tail_ratio: float
    skew: float
    excess_kurtosis: float


@dataclass(frozen=True)
class Drawdowns:
    """Below the highest equity so far, which begins at the initial equity.

    Args:
        ulcer_index: Root mean square drawdown.
        ulcer_performance: CAGR over the ulcer index (Martin and McCann 1989), risk-free rate zero.
        recovery_factor: Total return over the size of the deepest drawdown; negative for a loser.
        longest_days: Calendar days of the longest drawdown, whether recovered or not.
        under_water: Share of closes below the peak.
    """

    ulcer_index: float
    ulcer_performance: float
    recovery_factor: float
    longest_days: float
    under_water: float


@dataclass(frozen=True)
class Exposure:
    """From positions and fills, not from returns.

    Args:
        time_in_market: Share of closes with a position; ``long``, ``short`` with that net weight.
        mean_gross: Mean of the summed sizes of weights at the closes.
        risk_adjusted_return: CAGR over the time in market.
        trades: Steps with a fill, a year.
        refused: Share of decisions that were refused, cut, rounded or overruled; see ``Run.refusals``.
    """

    time_in_market: float
    long: float
    short: float
    mean_gross: float
    risk_adjusted_return: float
    trades: float
    refused: float


@dataclass(frozen=True)
class Ratios:
    """Groups of numbers that say more of a run; NaN is undefined.

    ``relative`` is None without a benchmark. A run that was ruined ends there.
    """

    growth: Growth
    shape: Shape
    drawdowns: Drawdowns
    exposure: Exposure
    relative: Relative | None

    def as_dict(self) -> dict[str, dict[str, float | None]]:
        """JSON-ready, group by group: undefined values are None."""
        return {
            group: {k: None if math.isnan(v) else v for k, v in values.items()}
            for group, values in asdict(self).items()
            if values is not None
        }


def ratios_of(run: Run, benchmark: Run | None, periods_per_year: float) -> Ratios:
    """The ratios of a run; ``benchmark`` may have other dates, see :func:`joined_runs`."""
    returns, _ = until_ruin(run.returns)
    values = returns.to_numpy()
    relative = None
    if benchmark is not None:
        relative = relative_on_common(*_comparable(run, benchmark), periods_per_year)
    return Ratios(
        growth=growth_of(by_day(returns), start=_start(run)),
        shape=shape_of(values),
        drawdowns=drawdowns_of(by_day(returns), values, periods_per_year),
        exposure=exposure_of(run, periods_per_year),
        relative=relative,
    )


def ratios_frame(runs: Sequence[Run], benchmark: Run | None, periods_per_year: float) -> pd.DataFrame:
    """One row a run, any number of them; columns are pairs of group and name."""
    rows = [ratios_of(run, benchmark, periods_per_year).as_dict() for run in runs]
    flat = [{(group, key): v for group, of in row.items() for key, v in of.items()} for row in rows]
    columns = pd.MultiIndex.from_tuples(list(flat[0]), names=["group", "ratio"])
    values = [[*row.values()] for row in flat]
    return pd.DataFrame(values, [run.name for run in runs], columns, dtype=np.float64)


def joined_runs(run: Run, benchmark: Run) -> pd.DataFrame:
    """Returns of both where both have a bar, ``strategy`` and ``benchmark``, up to a ruin of either.

    Bars of whole days are matched by exchange day, shorter ones by the instant of their close.
    """
    return joined(*_comparable(run, benchmark))


def _comparable(run: Run, benchmark: Run) -> tuple[pd.Series, pd.Series]:
    """Returns of both up to ruin, by stamps that can be matched."""
    mine, other = (until_ruin(item.returns)[0] for item in (run, benchmark))
    if mine.index.is_unique and other.index.is_unique:
        return mine, other
    return _by_close(mine, run), _by_close(other, benchmark)


def _by_close(returns: pd.Series, run: Run) -> pd.Series:
    return returns.set_axis(pd.DatetimeIndex(run.ledger["closes_at"].iloc[: len(returns)]))


def growth_of(daily: pd.Series, *, start: pd.Timestamp | None = None) -> Growth:
    """Of returns by day; ``start`` is the day of the equity before the first."""
    months = by_period(daily, "month").to_numpy()
    one, three, five, ten = (trailing_return(daily, years, start=start) for years in (1, 3, 5, 10))
    return Growth(
        one_year=one,
        three_years=three,
        five_years=five,
        ten_years=ten,
        best_month=float(months.max()),
        worst_month=float(months.min()),
        months_won=float((months > 0).mean()),
    )


def shape_of(values: Floats) -> Shape:
    """Of the returns of ``n`` bars; all undefined for fewer than ``MIN_BARS``."""
    if len(values) < MIN_BARS:
        return Shape(*[math.nan] * 10)
    gains, losses = values[values > 0], values[values < 0]
    low, high = np.quantile(values, [TAIL, 1 - TAIL])
    varies = is_defined(values)
    return Shape(
        best_bar=float(values.max()),
        worst_bar=float(values.min()),
        win_rate=_over(len(gains), len(gains) + len(losses)),
        payoff=_over(_mean(gains), -_mean(losses)),
        profit_factor=_over(float(gains.sum()), -float(losses.sum())),
        value_at_risk=float(low),
        expected_shortfall=float(values[values <= low].mean()),
        tail_ratio=_over(abs(high), abs(low)),
        skew=float(stats.skew(values)) if varies else math.nan,
        excess_kurtosis=float(stats.kurtosis(values)) if varies else math.nan,
    )


def omega(values: Floats, threshold: float = 0.0) -> float:
    """Sum of what exceeds the threshold (a return per bar) over what falls short of it.

    Keating and Shadwick (2002); NaN if nothing falls short.
    """
    over = values - threshold
    return _over(float(np.maximum(over, 0).sum()), float(np.maximum(-over, 0).sum()))


def drawdowns_of(daily: pd.Series, values: Floats, periods_per_year: float) -> Drawdowns:
    """Of returns by bar (``values``); the lengths are counted by day."""
    ulcer, below = ulcer_index(values), underwater(values)
    spells = drawdown_table(daily)["days"]
    known = is_defined(values)
    return Drawdowns(
        ulcer_index=ulcer,
        ulcer_performance=_over(growth_a_year(values, periods_per_year), ulcer) if known else math.nan,
        recovery_factor=_over(float(np.prod(1 + values) - 1), -float(below.min())),
        longest_days=float(spells.max()) if len(spells) else 0.0,
        under_water=float((below < 0).mean()),
    )


def exposure_of(run: Run, periods_per_year: float) -> Exposure:
    """From the run's own books."""
    weights, values = run.symbol_weights.to_numpy(), until_ruin(run.returns)[0].to_numpy()
    growth = growth_a_year(values, periods_per_year) if len(values) >= MIN_BARS else math.nan
    held = run.invested.to_numpy()
    net, share = weights.sum(axis=1), float(held.mean())
    reason = run.holdings["reason"].to_numpy().reshape(weights.shape)
    return Exposure(
        time_in_market=share,
        long=float((held & (net > 0)).mean()),
        short=float((held & (net < 0)).mean()),
        mean_gross=float(np.abs(weights).sum(axis=1).mean()),
        risk_adjusted_return=_over(growth, share),
        trades=float((run.ledger["traded"] > 0).mean() * periods_per_year),
        refused=float((reason != 0).any(axis=1).mean()),
    )


def _start(run: Run) -> pd.Timestamp:
    """Exchange day of the first decision: as many days before the first close as their stamps say."""
    first = run.ledger.iloc[0]
    return pd.Timestamp(first["date"] - (first["closes_at"] - first["decided_at"]).round("D"))


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else math.nan


def _over(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator else math.nan
