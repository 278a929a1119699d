"""Actions: how what the agent emits becomes a target weight, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from foretrade.markets.arrays import AnyArray, Floats


class InvalidAction(ValueError):
    """An action outside its space; nothing is clipped on the agent's behalf."""


@dataclass(frozen=True)
class WeightActions:
    """A target weight (fraction of equity) between ``low`` and ``high``, as a one-entry box."""

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not (np.isfinite([self.low, self.high]).all() and self.low < self.high):
            raise ValueError(f"weights must satisfy low < high, got {self.low} and {self.high}")

    @property
    def space(self) -> gymnasium.spaces.Box:
        return gymnasium.spaces.Box(self.low, self.high, (1,), np.float32)

    def decode(self, action: Any) -> float:
        """Target weight of an action.

        Raises:
            InvalidAction: Wrong shape, not finite, or out of bounds.
        """
        value = np.asarray(action, dtype=np.float64)
        if value.shape != (1,):
            raise InvalidAction(f"action has shape {value.shape}, expected (1,)")
        weight = float(value[0])
        if not np.float32(self.low) <= np.float32(weight) <= np.float32(self.high):  # NaN included
            raise InvalidAction(f"action[0] = {weight} is not within [{self.low}, {self.high}]")
        return min(max(weight, self.low), self.high)  # the space is float32: its edge may lie outside

    def decode_many(self, actions: Any) -> Floats:
        """Target weights ``[n]`` of actions ``[n, 1]``; see :meth:`decode`."""
        values = np.asarray(actions, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != 1:
            raise InvalidAction(f"actions have shape {values.shape}, expected (n, 1)")
        single = values[:, 0].astype(np.float32)
        outside = ~((single >= np.float32(self.low)) & (single <= np.float32(self.high)))
        if outside.any():
            i = int(outside.argmax())
            raise InvalidAction(f"action {i}: {values[i, 0]} is not within [{self.low}, {self.high}]")
        return np.clip(values[:, 0], self.low, self.high)

    def encode(self, weights: Floats) -> AnyArray:
        """Actions for target weights ``[n]``, clipped to the bounds, ``[n, 1]``."""
        clipped: AnyArray = np.clip(weights, self.low, self.high).astype(np.float32)[:, None]
        return clipped


@dataclass(frozen=True)
class PositionActions:
    """One of several target weights, by number."""

    weights: tuple[float, ...] = (-1.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        if len(self.weights) < 2 or not np.isfinite(self.weights).all():
            raise ValueError(f"positions needs two finite weights or more, got {self.weights}")

    @property
    def space(self) -> gymnasium.spaces.Discrete:
        return gymnasium.spaces.Discrete(len(self.weights))

    def decode(self, action: Any) -> float:
        """Target weight of an action.

        Raises:
            InvalidAction: Not an integer from 0 to ``len(weights) - 1``.
        """
        value = np.asarray(action)
        if value.shape != () or value.dtype.kind not in "iu":
            raise InvalidAction(f"action {action!r} is not one integer")
        if not 0 <= value < len(self.weights):
            raise InvalidAction(f"action {int(value)} is not within 0 … {len(self.weights) - 1}")
        return self.weights[int(value)]

    def decode_many(self, actions: Any) -> Floats:
        """Target weights ``[n]`` of actions ``[n]``; see :meth:`decode`."""
        values = np.asarray(actions)
        if values.ndim != 1 or values.dtype.kind not in "iu":
            raise InvalidAction(f"actions of shape {values.shape}, {values.dtype} are not n integers")
        outside = (values < 0) | (values >= len(self.weights))
        if outside.any():
            i = int(outside.argmax())
            raise InvalidAction(f"action {i}: {values[i]} is not within 0 … {len(self.weights) - 1}")
        weights: Floats = np.array(self.weights)[values]
        return weights

    def encode(self, weights: Floats) -> AnyArray:
        """Numbers of the positions nearest to target weights ``[n]``, ``[n]``."""
        nearest: AnyArray = np.abs(weights[:, None] - np.array(self.weights)).argmin(axis=1)
        return nearest
