"""A market with a known answer as an environment."""

from __future__ import annotations

import warnings

from foretrade.envs.actions import Actions, UnitActions
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.envs.rewards import Reward
from foretrade.markets.fills import StaleOpenWarning
from foretrade.markets.known.market import KnownMarket


def known_env(
    market: KnownMarket, *, actions: Actions | None = None, episodes: Episodes | None = None
) -> MarketEnv:
    """The market on the terms on which its optimum holds; see :class:`KnownMarket`.

    Args:
        actions: Targets in units; default: any within the market's bounds.
        episodes: How episodes begin; default: from the first bar to the last.
    """
    aversion = market.risk_aversion * market.notional
    reward = Reward("mean_variance", aversion) if aversion else Reward("simple_return")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StaleOpenWarning)  # such a market has no gaps
        return MarketEnv(
            market.bars,
            market.signals,
            fill="next_open",
            costs=market.costs,
            rules=market.rules,
            actions=UnitActions(*market.bounds) if actions is None else actions,
            reward=reward,
            episodes=Episodes() if episodes is None else episodes,
            initial_equity=market.notional,
            variance=market.variance,
        )
