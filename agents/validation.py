"""One play of a policy through a block: what it earned, and what it did."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from foretrade.agents.base import Agent
from foretrade.envs.behaviour import cost_share
from foretrade.envs.market import MarketEnv
from foretrade.envs.rewards import RUIN_LEVEL
from foretrade.markets.arrays import Floats


@dataclass(frozen=True)
class Play:
    """Every step of one episode, ``[steps]``; amounts are over the equity before the step.

    Args:
        growth: Log growth of equity after costs; a ruined account's last is ``log(RUIN_LEVEL)``.
        traded: Notional of the fills.
        gross: Price P&L and dividends.
        costs: Fees, spread, impact, borrow and financing less interest.
        weights: Position value over equity at the closes, ``[steps, symbols]``, as the agent sees it.
        market: Simple return of the symbols' closes, the mean of those that have one.
    """

    growth: Floats
    traded: Floats
    gross: Floats
    costs: Floats
    weights: Floats
    market: Floats

    def figures(self) -> dict[str, float | None]:
        """What the policy did, JSON-ready: an undefined figure is None.

        ``turnover`` a bar; ``cost_share``, costs over the profit before costs; ``time_in_market``, share
        of closes with a position; ``position`` and ``exposure``, mean net and absolute weight;
        ``market_correlation`` of its returns with the market's, which are those of buy-and-hold, after
        the first step, in which anybody enters.
        """
        figures = {
            "turnover": float(self.traded.mean()),
            "cost_share": cost_share(float(self.gross.sum()), float(self.costs.sum())),
            "time_in_market": float(self.weights.any(axis=1).mean()),
            "position": float(self.weights.sum(axis=1).mean()),
            "exposure": float(np.abs(self.weights).sum(axis=1).mean()),
            "market_correlation": _correlation(np.expm1(self.growth[1:]), self.market[1:]),
        }
        return {name: None if math.isnan(value) else value for name, value in figures.items()}


def play(agent: Agent, env: MarketEnv) -> Play:
    """Play one episode from the block's start to its end, or to ruin."""
    agent.reset()
    observation, info = env.reset(seed=0)
    own = [k for k, name in enumerate(env.layout.names) if name.endswith("account.weight")]
    infos, weights, over = [info], [], False
    while not over:
        observation, _, terminated, truncated, info = env.step(agent.decide(observation[None])[0])
        infos.append(info)
        weights.append(observation[own])
        over = terminated or truncated
    equity, steps = _values(infos, "equity"), infos[1:]
    before = equity[:-1]
    flows = ("fee", "spread", "impact", "borrow", "financing")
    paid = sum(_values(steps, name) for name in flows) - _values(steps, "interest")
    return Play(
        growth=np.log(np.maximum(equity[1:] / before, RUIN_LEVEL)),
        traded=_values(steps, "traded") / before,
        gross=(_values(steps, "price_pnl") + _values(steps, "dividend")) / before,
        costs=paid / before,
        weights=np.array(weights, dtype=np.float64),
        market=_market(_values(infos, "close").reshape(len(infos), -1)),
    )


def _values(infos: list[dict[str, Any]], name: str) -> Floats:
    return np.array([info[name] for info in infos], dtype=np.float64)


def _market(closes: Floats) -> Floats:
    """Mean return of the symbols that have two closes; 0 where none has."""
    returns = closes[1:] / closes[:-1] - 1.0
    known = np.isfinite(returns)
    mean: Floats = np.where(known, returns, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return mean


def _correlation(left: Floats, right: Floats) -> float:
    """Pearson's; NaN of fewer than three values, or if either does not vary."""
    if len(left) < 3 or left.std() == 0 or right.std() == 0:
        return math.nan
    return float(np.corrcoef(left, right)[0, 1])
