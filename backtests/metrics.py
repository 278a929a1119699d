"""Scores of a run: quantstats computes them, this layer sees that it is asked properly."""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from foretrade.backtests.engine import COSTS, Run
from foretrade.backtests.significance import probabilistic_sharpe, sharpe_interval, sharpe_ratio

with warnings.catch_warnings():  # it warns of pandas' and matplotlib's future while it is imported
    warnings.simplefilter("ignore")
    import quantstats.stats as qs

MIN_BARS = 20


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
        total_return=float(ledger["equity"].iloc[-1] / run.initial_equity - 1),
        **_quantstats(returns, periods_per_year),
        sharpe_low=low,
        sharpe_high=high,
        psr=probabilistic_sharpe(values) if is_defined(returns) else math.nan,
        gross_sharpe=sharpe_ratio(ledger["price_pnl"].to_numpy() / before, periods_per_year),
        turnover=float((ledger["traded"] / before).sum() / years),
        cost_bps=float((paid / before).sum() / years * 1e4),
        time_in_market=float((ledger["units"] != 0).mean()),
        ruined=bool(ledger["ruined"].any()),
    )


def quantstats_returns(run: Run) -> pd.Series:
    """Returns as quantstats needs them: float64, finite, dated by exchange day without timezone.

    A loss of all and more counts as −100 %: quantstats would flip the sign of equity there.

    Raises:
        ValueError: A return is not finite.
    """
    returns = run.returns.astype(np.float64).clip(lower=-1.0)
    if not np.isfinite(returns).all():
        raise ValueError(
            f"{run.name}: the return of {returns[~np.isfinite(returns)].index[0]} is not finite"
        )
    return returns


def is_defined(returns: pd.Series) -> bool:
    """Whether ratios of these returns mean anything: enough of them, and they vary."""
    return len(returns) >= MIN_BARS and not math.isnan(sharpe_ratio(returns.to_numpy()))


def _quantstats(returns: pd.Series, periods: float) -> dict[str, float]:
    """The ratios that agree with independent formulas (the tests compare them).

    ``periods`` is passed everywhere, because quantstats assumes 252; the drawdown starts from a
    return of zero, because quantstats overlooks one that begins on the first bar.
    """
    names = ("cagr", "volatility", "sharpe", "sortino", "calmar", "max_drawdown")
    if len(returns) < MIN_BARS:
        return dict.fromkeys(names, math.nan)
    start = pd.Series([0.0], index=[returns.index[0] - pd.Timedelta(days=1)])
    drawdown = float(qs.max_drawdown(pd.concat([start, returns])))
    if not is_defined(returns):
        growth = float(np.prod(1 + returns.to_numpy()) ** (periods / len(returns)) - 1)
        flat = {"cagr": growth, "volatility": float(returns.std()), "max_drawdown": drawdown}
        return dict.fromkeys(names, math.nan) | flat
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
