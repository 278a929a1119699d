"""An agent whose decisions come one bar late: what is left of a result when the fills do too."""

from __future__ import annotations

import numpy as np

from foretrade.agents.base import Agent
from foretrade.envs.actions import Actions
from foretrade.markets.arrays import AnyArray, Float32s


class Delayed:
    """Acts at each close as ``agent`` decided at the close before.

    At the first close of an episode it asks for a target of zero, or for what the actions allow nearest.

    Args:
        agent: Who decides; it sees every observation when it is made.
        actions: Of the environment: ``env.unwrapped.actions``.
        symbols: Number of symbols traded.
    """

    def __init__(self, agent: Agent, actions: Actions, symbols: int = 1) -> None:
        self.agent = agent
        self.actions = actions
        self.symbols = symbols
        self._decided: AnyArray | None = None

    def reset(self) -> None:
        """Forget the decision that is due."""
        self.agent.reset()
        self._decided = None

    def decide(self, observation: Float32s) -> AnyArray:
        due = self._decided
        if due is None:
            due = self.actions.encode(np.zeros((len(observation), self.symbols)))
        self._decided = self.agent.decide(observation)
        return due
