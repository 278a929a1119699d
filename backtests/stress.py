"""What is left of a result when costs are other, and when every fill comes one bar later."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from foretrade.agents.base import Agent
from foretrade.agents.delayed import Delayed
from foretrade.backtests.candidates import MIN_BARS
from foretrade.backtests.returns import defined_sharpe, returns_of
from foretrade.backtests.significance import sharpe_difference
from foretrade.envs.market import MarketEnv
from foretrade.envs.vector import MarketVectorEnv
from foretrade.markets.arrays import Floats

COST_SCALES = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0)
"""Multiples of every cost of the market at which a strategy is played again."""


@dataclass(frozen=True)
class Stress:
    """One strategy, played again under other conditions.

    Args:
        cost_scales: Multiples of all costs, increasing from zero.
        sharpes: Annualised net Sharpe ratio at each of them; NaN where returns do not vary, or are
            fewer than ``MIN_BARS``.
        returns: Mean simple return after costs at each of them, a year (arithmetic).
        later_sharpe: Net Sharpe ratio at the full costs with every action one bar later.
        lost_low, lost_high: 95 % interval of the Sharpe ratio that the delay costs.
    """

    cost_scales: tuple[float, ...]
    sharpes: tuple[float, ...]
    returns: tuple[float, ...]
    later_sharpe: float
    lost_low: float
    lost_high: float

    @property
    def sharpe(self) -> float:
        """At the costs of the market."""
        return self.sharpes[self.cost_scales.index(1.0)]

    @property
    def break_even(self) -> float:
        """Multiple of the costs at which the mean return is zero, interpolated linearly.

        0 if it is not positive even without costs, inf if it is positive at all of them, NaN if the
        strategy never trades.
        """
        if math.isnan(self.sharpes[0]):
            return math.nan
        if self.returns[0] <= 0:
            return 0.0
        for k in range(1, len(self.returns)):
            before, after = self.returns[k - 1 : k + 1]
            if after <= 0:
                low, high = self.cost_scales[k - 1 : k + 1]
                return low + (high - low) * before / (before - after)
        return math.inf

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: undefined values, and bounds that are infinite, are None."""
        return {
            key: [_known(v) for v in value] if isinstance(value, tuple) else _known(value)
            for key, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Stress:
        """What :meth:`as_dict` wrote."""
        values: dict[str, Any] = {
            key: tuple(map(_number, value)) if isinstance(value, list) else _number(value)
            for key, value in stored.items()
        }
        return cls(**values)


def stress(
    agent: Agent,
    env: MarketEnv,
    *,
    periods_per_year: float,
    cost_scales: Sequence[float] = COST_SCALES,
) -> Stress:
    """Play the environment's block again from its start: once a cost level, and once a bar late.

    The agent decides anew each time, on what its account then shows; a network's decisions for several
    accounts at once differ from single ones by rounding, and so do the results from the backtest's. The
    cost levels are accounts of one batch, so the agent must decide for several observations at once, as
    the contract has it.

    Raises:
        ValueError: The scales do not increase from 0, or leave out 1.
    """
    scales = tuple(map(float, cost_scales))
    if scales[:1] != (0.0,) or 1.0 not in scales or sorted(set(scales)) != list(scales):
        raise ValueError(f"cost_scales must increase from 0 and hold 1, got {scales}")
    swept = equity_at(agent, env, scales)
    (later,) = equity_at(Delayed(agent, env.actions, len(env.symbols)), env, (1.0,))
    returns, late = [returns_of(equity) for equity in swept], returns_of(later)
    low, high = lost_by_delay(returns[scales.index(1.0)], late, periods_per_year)
    return Stress(
        cost_scales=scales,
        sharpes=tuple(defined_sharpe(values, periods_per_year) for values in returns),
        returns=tuple(float(values.mean()) * periods_per_year for values in returns),
        later_sharpe=defined_sharpe(late, periods_per_year),
        lost_low=low,
        lost_high=high,
    )


def lost_by_delay(returns: Floats, late: Floats, periods_per_year: float) -> tuple[float, float]:
    """95 % interval of the annualised Sharpe ratio that a delay costs, over the bars that both have.

    Ruin ends one before the other; NaN of fewer than ``MIN_BARS``.
    """
    shared = min(len(returns), len(late))
    if shared < MIN_BARS:
        return math.nan, math.nan
    difference = sharpe_difference(returns[:shared], late[:shared], periods_per_year)
    return difference.low, difference.high


def equity_at(agent: Agent, env: MarketEnv, cost_scales: Sequence[float]) -> list[Floats]:
    """Equity at each close from the start of the block, one array ``[steps + 1]`` a cost level.

    Ends at the end of the block, or with ruin.
    """
    count = len(cost_scales)
    many = MarketVectorEnv(count, market=env.copy(), autoreset_mode=AutoresetMode.NEXT_STEP)
    for account, scale in enumerate(cost_scales):
        only = np.arange(count) == account
        mask = np.ones(count, dtype=np.bool_) if account == 0 else only  # the first resets all
        observation, infos = many.reset(seed=0, options={"cost_scale": scale, "reset_mask": mask})
    agent.reset()
    rows, lengths, over = [infos["equity"]], np.ones(count, dtype=np.int64), np.zeros(count, np.bool_)
    while not over.all():
        observation, _, terminated, truncated, infos = many.step(agent.decide(observation))
        rows.append(infos["equity"])
        lengths[~over] += 1
        over |= terminated | truncated
    equity = np.array(rows)
    return [equity[:length, account] for account, length in enumerate(lengths)]


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
