"""An exam on a known market: what a policy earns on fresh bars, in the ordinary environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from gymnasium.vector import AutoresetMode

from foretrade.envs.actions import Actions, UnitActions, UnitPositionActions
from foretrade.envs.episodes import Episodes
from foretrade.envs.known import known_env
from foretrade.envs.vector import MarketVectorEnv
from foretrade.markets.arrays import AnyArray, Float32s, Floats
from foretrade.markets.known.market import KnownMarket, Policy

BARS, APART, FIRST = 390, 395, 300  # played by an account, between two starts, before the first

Decide: TypeAlias = Callable[[Float32s], AnyArray]
"""From observations ``[accounts, entries]`` to actions of the environment."""


@dataclass(frozen=True)
class Played:
    """What came of an exam, a bar and account.

    Args:
        reward: In quote currency, risk and costs taken off.
        turnover: Units traded, as a share of the largest position.
        exposure: Size of the position, as a share of the largest.
    """

    reward: float
    turnover: float
    exposure: float


def actions_of(market: KnownMarket, *, discrete: bool) -> Actions:
    """Positions in units within the market's bounds: short, out or long; or all between."""
    low, high = market.bounds
    return UnitPositionActions((low, 0.0, high)) if discrete else UnitActions(low, high)


class Exam:
    """Many accounts, each flat at the start of its own stretch of the bars.

    Args:
        market: Drawn without noise: what a policy earns is then what it is expected to.
        discrete: See :func:`actions_of`.
        accounts: How many stretches.
    """

    def __init__(self, market: KnownMarket, *, discrete: bool, accounts: int) -> None:
        env = known_env(
            market, actions=actions_of(market, discrete=discrete), episodes=Episodes(bars=APART)
        )
        self.market = market
        self.batch = MarketVectorEnv(accounts, market=env, autoreset_mode=AutoresetMode.DISABLED)
        self.starts = FIRST + APART * np.arange(accounts)

    @staticmethod
    def bars(accounts: int) -> int:
        """How many bars so many accounts need."""
        return FIRST + APART * accounts + 1

    def agent(self, decide: Decide) -> Played:
        """What an agent earns, which sees what the environment shows."""
        return self._play(lambda seen, held, row: decide(seen))

    def rule(self, policy: Policy) -> Played:
        """What a policy of positions held and signals earns, such as the optimum's."""
        signals = self.market.signals.values[:, 0]
        encode = self.batch.env.actions.encode
        return self._play(lambda seen, held, row: encode(policy(held, signals[self.starts + row])))

    def _play(self, decide: Callable[[Float32s, Floats, int], AnyArray]) -> Played:
        seen, _ = self.batch.reset(seed=0)
        for account, start in enumerate(self.starts.tolist()):
            alone = np.arange(len(self.starts)) == account
            seen, _ = self.batch.reset(options={"start": start, "reset_mask": alone})
        held = np.zeros(len(self.starts))
        total = np.zeros(3)
        for bar in range(BARS):
            seen, rewards, _, _, infos = self.batch.step(decide(seen, held, bar))
            before, held = held, infos["units"]
            total += rewards.sum(), np.abs(held - before).sum(), np.abs(held).sum()
        reward, turnover, exposure = (total / (BARS * len(held))).tolist()
        reach = self.market.bounds[1]
        return Played(reward * self.market.notional, turnover / reach, exposure / reach)

    def curve(self, decide: Decide, held: float, signals: Sequence[float]) -> list[float]:
        """Positions that an agent takes, as shares of the largest, for values of the first signal.

        Args:
            held: Current position, as a share of the largest.
            signals: In standard deviations; other signals are zero.
        """
        env = self.batch.env
        names = list(env.layout.names)
        seen = np.zeros((len(signals), len(names)), np.float32)
        seen[:, 0] = signals
        seen[:, names.index("account.weight")] = held
        seen[:, names.index("account.cash")] = 1 - held
        actions = np.empty((len(signals), 1))
        env.actions.write_all(decide(seen), actions)
        grid = np.array(env.actions.grid)
        units = grid[actions[:, 0].astype(int)] if len(grid) > 1 else actions[:, 0]
        return [float(value) for value in units / self.market.bounds[1]]
