"""The contract of an agent."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from foretrade.markets.arrays import AnyArray, Float32s


@runtime_checkable
class Agent(Protocol):
    """Who decides, for one observation or many at once.

    ``decide`` maps observations ``[n, entries]`` to actions ``[n, …]`` of the environment's space,
    one per account; it uses nothing but those observations and what it has seen since ``reset``.
    """

    def reset(self) -> None: ...

    def decide(self, observation: Float32s) -> AnyArray: ...
