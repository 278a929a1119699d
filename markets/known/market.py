"""A market whose best policy is known, and the bars that such markets are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from foretrade.markets.arrays import Floats
from foretrade.markets.bars import Bars
from foretrade.markets.costs import Costs
from foretrade.markets.rules import Rules
from foretrade.markets.table import NEVER, Column, Table

Policy = Callable[[Floats, Floats], Floats]
"""From positions held ``[n]``, in units, and signals ``[n, signals]``, in their standard deviations, to
the positions to hold next ``[n]``."""

BEGINNING = pd.Timestamp("1990-01-01", tz="UTC")
FIXED_NOTIONAL = Rules(max_leverage=1e12, accounting="fixed_notional")


@dataclass(frozen=True)
class Optimum:
    """The best that can be done.

    Args:
        policy: Which positions to take.
        average_reward: What it earns a bar in the long run, in quote currency, risk and costs taken off.
    """

    policy: Policy
    average_reward: float


@dataclass(frozen=True)
class KnownMarket:
    """Prices and signals of one draw, and the terms on which the optimum holds.

    Nothing compounds: a position of ``x`` units earns ``x`` times the change of the price. To meet these
    terms, trade at the next open (which is the close of the decision: there are no gaps), with targets
    in units within ``bounds``, and with simple returns on the ``notional`` as the reward; with a
    ``risk_aversion``, with the mean-variance reward, ``variance``, and that times the notional.

    Args:
        bars: One symbol.
        signals: What is known at each close and tells something of the change to the next, a table.
        bounds: Least and largest position, in units.
        notional: Value of the largest position at the first price: weights shown are of the order of 1.
        costs, rules: Of trading.
        risk_aversion: Of the mean-variance objective; 0 asks for none.
        variance: Of a bar's return (as a fraction of the price), ``[bars, 1]``.
        optimum: See :class:`Optimum`.
    """

    bars: Bars
    signals: Table
    bounds: tuple[float, float]
    notional: float
    costs: Costs
    rules: Rules
    risk_aversion: float
    variance: Floats
    optimum: Optimum


def check_finite(market: Any) -> None:
    """Refuse parameters that are not finite, by name.

    Raises:
        ValueError: There is one.
    """
    for parameter in fields(market):
        if not np.isfinite(getattr(market, parameter.name)).all():
            raise ValueError(f"{parameter.name} must be finite, got {getattr(market, parameter.name)}")


def bars_of(changes: Floats, *, price: float, source: str) -> Bars:
    """Hourly bars without gaps whose closes change by ``changes[1:]``; the first close is ``price``.

    Raises:
        ValueError: The price falls to zero: begin higher; or there is no bar.
    """
    if not len(changes):
        raise ValueError(f"{source}: draw one bar at least")
    close = price + np.concatenate([[0.0], np.cumsum(changes[1:])])
    if close.min() <= 0:
        raise ValueError(f"{source}: the price falls to {close.min():g}; begin higher than {price:g}")
    open_ = np.concatenate([close[:1], close[:-1]])
    return Bars(
        symbols=("KNOWN",),
        closes_at=pd.date_range(BEGINNING, periods=len(close), freq="h"),
        open=open_[:, None],
        high=np.maximum(open_, close)[:, None],
        low=np.minimum(open_, close)[:, None],
        close=close[:, None],
        volume=np.ones((len(close), 1)),
        frequency="1h",
        periods_per_year=8760.0,
        timezone="UTC",
        source=source,
    )


def one_unit(
    bars: Bars, signals: Table, *, cost: float, noise_std: float, optimum: Optimum
) -> KnownMarket:
    """A position of at most one unit, long or short, of which each one traded costs ``cost``.

    Args:
        noise_std: Of the price change, in quote currency.
    """
    return KnownMarket(
        bars=bars,
        signals=signals,
        bounds=(-1.0, 1.0),
        notional=float(bars.close[0, 0]),
        costs=Costs(0.0, 0.0, 0.0, 0.0, fee_per_unit=cost),
        rules=FIXED_NOTIONAL,
        risk_aversion=0.0,
        variance=(noise_std / bars.close) ** 2,
        optimum=optimum,
    )


def table_of(bars: Bars, signals: Floats, std: Sequence[float]) -> Table:
    """Signals ``[bars, signals]``, each known at its bar's close, in units of its standard deviation.

    So an environment shows them as they are. As returns they would be divided by their recent size,
    which for a slow signal is itself uncertain: no policy could then reach the optimum.
    """
    stamps = bars.stamps[:, None, None]
    return Table(
        closes_at=bars.closes_at,
        symbols=bars.symbols,
        columns=tuple(Column(f"signal_{k}", "std") for k in range(signals.shape[1])),
        values=(signals / np.array(std))[:, None, :],
        known_at=np.broadcast_to(stamps, (len(bars), 1, signals.shape[1])),
        cutoff=np.full(len(bars), NEVER),
    )


def autoregression(persistence: float, std: float, steps: int, rng: np.random.Generator) -> Floats:
    """``f' = persistence · f + noise`` from its stationary distribution, of standard deviation
    ``std``."""
    shocks = rng.normal(0.0, std * np.sqrt(1 - persistence**2), steps)
    shocks[:1] = rng.normal(0.0, std)
    values = np.empty(steps)
    state = 0.0
    for k, shock in enumerate(shocks.tolist()):
        state = persistence * state + shock
        values[k] = state
    return values
