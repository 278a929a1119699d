"""Scores of a run: quantstats computes them, this layer sees that it is asked properly."""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict, dataclass

import matplotlib
import numpy as np
import pandas as pd

from foretrade.backtests.candidates import MIN_BARS
from foretrade.backtests.engine import COSTS, Run
from foretrade.backtests.relative import Relative, growth_a_year, relative_on_common
from foretrade.backtests.returns import (
    checked_returns,
    defined_sharpe,
    is_defined,
    until_ruin,
)
from foretrade.backtests.significance import probabilistic_sharpe, sharpe_interval, sharpe_ratio

# while it is imported it warns of pandas' and matplotlib's future, and sets a style for all pictures
with warnings.catch_warnings(), matplotlib.rc_context():
    warnings.simplefilter("ignore")
    plain = matplotlib.rcParams.copy()
    import quantstats.stats as qs

    QUANTSTATS_STYLE = {k: v for k, v in matplotlib.rcParams.items() if v != plain[k]}


@dataclass(frozen=True)
class Scores:
    """Net of all costs unless said otherwise; NaN is "undefined" (too short, or nothing varied).

    Args:
        bars: Steps scored.
        total_return, cagr, volatility, max_drawdown: As fractions; annualised by
            ``periods_per_year``; drawdown is negative and counts from the initial equity.
        sharpe, sortino, calmar: Annualised, risk-free rate zero.
        sharpe_low, sharpe_high: 95 % stationary-bootstrap interval.
        psr: Probability that the true Sharpe ratio is positive (2012 form).
        gross_sharpe: Of price P&L over the equity before, without any cost.
        turnover: Traded notional over equity, a year.
        cost_bps: All costs less interest, in basis points of equity, a year.
        time_in_market: Share of closes with a position.
        ruined: Whether the account was lost.
    """

    bars: int
    total_return: float
    cagr: float
    volatility: float
    sharpe: float
    sharpe_low: float
    sharpe_high: float
    psr: float
    gross_sharpe: float
    sortino: float
    calmar: float
    max_drawdown: float
    turnover: float
    cost_bps: float
    time_in_market: float
    ruined: bool

    def as_dict(self) -> dict[str, float]:
        """JSON-ready: undefined values are None."""
        return {k: None if _is_nan(v) else v for k, v in asdict(self).items()}  # type: ignore[misc]


def score_run(run: Run, periods_per_year: float) -> Scores:
    """Score one run; see :class:`Scores`."""
    returns = quantstats_returns(run)
    ledger, values = run.ledger, returns.to_numpy()
    before = np.concatenate([[run.initial_equity], ledger["equity"].to_numpy()[:-1]])
    years = len(returns) / periods_per_year
    paid = ledger[list(COSTS)].sum(axis=1) - 2 * ledger["interest"]
    low, high = math.nan, math.nan
    if is_defined(returns):
        low, high = sharpe_interval(values, periods_per_year)
    return Scores(
        bars=len(returns),
        total_return=max(float(ledger["equity"].iloc[-1] / run.initial_equity - 1), -1.0),
        **_quantstats(returns, periods_per_year),
        sharpe_low=low,
        sharpe_high=high,
        psr=probabilistic_sharpe(values) if is_defined(returns) else math.nan,
        gross_sharpe=defined_sharpe(
            np.maximum(ledger["price_pnl"].to_numpy() / before, -1.0), periods_per_year
        ),
        turnover=float((ledger["traded"] / before).sum() / years),
        cost_bps=float((paid / before).sum() / years * 1e4),
        time_in_market=float(run.invested.mean()),
        ruined=bool(ledger["ruined"].any()),
    )


@dataclass(frozen=True)
class SeriesScores:
    """Headline ratios of a series of one's own, as in :class:`Scores`.

    ``ruined_on`` is the day on which everything was lost; what came later is left out. ``relative`` is
    None without a benchmark.
    """

    bars: int
    total_return: float
    cagr: float
    volatility: float
    sharpe: float
    sortino: float
    calmar: float
    max_drawdown: float
    ruined_on: pd.Timestamp | None
    relative: Relative | None


def score_returns(
    returns: pd.Series, periods_per_year: float, *, benchmark: pd.Series | None = None
) -> SeriesScores:
    """Score returns that were not made here.

    Args:
        returns: Simple returns by exchange day; see ``foretrade.backtests.returns.checked_returns``, and
            ``by_exchange_day`` for intraday bars.
        periods_per_year: Of these bars: 252 of days, 52 of weeks, 12 of months; nothing is guessed.
        benchmark: Returns too; joined on the days that both have, of which there may be fewer a year.

    Raises:
        DataError: Either is something other than returns; a benchmark's name is one: nothing is
            downloaded.
    """
    if not (math.isfinite(periods_per_year) and periods_per_year > 0):
        raise ValueError(f"periods_per_year must be positive, got {periods_per_year}")
    values, ruined_on = until_ruin(checked_returns(returns))
    relative = None
    if benchmark is not None:
        other, _ = until_ruin(checked_returns(benchmark, what="benchmark"))
        relative = relative_on_common(values, other, periods_per_year)
    return SeriesScores(
        bars=len(values),
        total_return=float(np.prod(1 + values.to_numpy()) - 1),
        **_quantstats(values, periods_per_year),
        ruined_on=ruined_on,
        relative=relative,
    )


def quantstats_returns(run: Run) -> pd.Series:
    """Returns as quantstats needs them: float64, finite, dated by exchange day without timezone.

    Raises:
        ValueError: A return is not finite.
    """
    returns = run.returns.astype(np.float64)
    if not np.isfinite(returns).all():
        raise ValueError(
            f"{run.name}: the return of {returns[~np.isfinite(returns)].index[0]} is not finite"
        )
    return returns


def _quantstats(returns: pd.Series, periods: float) -> dict[str, float]:
    """The ratios that agree with independent formulas (the tests compare them).

    ``periods`` is passed everywhere, because quantstats assumes 252; the drawdown starts from a
    return of zero, because quantstats overlooks one that begins on the first bar.
    """
    names = ("cagr", "volatility", "sharpe", "sortino", "calmar", "max_drawdown")
    if len(returns) < MIN_BARS:
        return dict.fromkeys(names, math.nan)
    values = returns.to_numpy()
    known = {"cagr": growth_a_year(values, periods), "max_drawdown": 0.0}
    if values.min() >= 0 and values.max() >= 1:  # quantstats would take them for prices
        volatility = float(values.std(ddof=1)) * math.sqrt(periods)
        known |= {"volatility": volatility, "sharpe": sharpe_ratio(values, periods)}
        return dict.fromkeys(names, math.nan) | known
    start = pd.Series([0.0], index=[returns.index[0] - pd.Timedelta(days=1)])
    drawdown = float(qs.max_drawdown(pd.concat([start, returns])))
    if not is_defined(returns):
        known |= {"volatility": float(returns.std()), "max_drawdown": drawdown}
        return dict.fromkeys(names, math.nan) | known
    cagr = float(qs.cagr(returns, periods=periods))
    return {
        "cagr": cagr,
        "volatility": float(qs.volatility(returns, periods=periods)),
        "sharpe": float(qs.sharpe(returns, periods=periods)),
        "sortino": float(qs.sortino(returns, periods=periods)),
        "calmar": cagr / -drawdown if drawdown < 0 else math.nan,
        "max_drawdown": drawdown,
    }


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
