"""Actions: what an agent may ask for, and the targets that the ledger makes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

import gymnasium
import numpy as np

from foretrade.markets.arrays import AnyArray, Floats
from foretrade.markets.exchange import Sizing


class InvalidAction(ValueError):
    """An action outside its space; nothing is clipped on the agent's behalf."""


DIRECT, GRID, SIMPLEX = range(3)
NONE = (math.inf,)
FLOAT32 = np.dtype(np.float32)


@dataclass(frozen=True)
class Actions:
    """Base of the action spaces. An action has one entry a symbol: the target.

    Args:
        stop_loss, take_profit: Distance of a stop or profit target from the average entry price, as
            a fraction. One value holds always; of several, the agent chooses one per symbol with
            each action (between the least and the largest, if the space is continuous): its entries
            follow those of the targets, stops first. inf is none.

    Raises:
        ValueError: A setting is impossible.
    """

    stop_loss: tuple[float, ...] = field(default=NONE, kw_only=True)
    take_profit: tuple[float, ...] = field(default=NONE, kw_only=True)

    kind: ClassVar[int] = DIRECT
    sizing: ClassVar[Sizing] = "weights"

    def __post_init__(self) -> None:
        for name in ("stop_loss", "take_profit"):
            levels = getattr(self, name)
            if not isinstance(levels, tuple | list):
                raise ValueError(f"{name} must be a tuple of distances such as (0.05,), got {levels!r}")
            if not levels or not all(level > 0 for level in levels):
                raise ValueError(f"{name} must hold positive distances, got {levels}")
            if len(levels) > 1 and self.kind != GRID and not np.isfinite(levels).all():
                raise ValueError(f"{name}: a continuous space needs finite distances, got {levels}")

    @property
    def has_exits(self) -> bool:
        """Whether any stop or profit target can be in force."""
        return bool(np.isfinite([*self.stop_loss, *self.take_profit]).any())

    @property
    def chosen(self) -> tuple[tuple[float, ...], ...]:
        """The levels among which the agent chooses, of stops and of profit targets."""
        return tuple(x for x in (self.stop_loss, self.take_profit) if len(x) > 1)

    def bounds(self) -> tuple[float, float]:
        """Least and largest target."""
        raise NotImplementedError

    def space(self, symbols: int) -> gymnasium.spaces.Space[Any]:
        """The Gymnasium space of actions for so many symbols."""
        limits = [self.bounds(), *((min(x), max(x)) for x in self.chosen)]
        low, high = (np.repeat([limit[k] for limit in limits], symbols) for k in (0, 1))
        return gymnasium.spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)

    def write_all(self, actions: Any, rows: Floats) -> None:
        """Put ``n`` actions into rows ``[n, entries]`` of the kernel's.

        Raises:
            InvalidAction: Wrong shape or type.
        """
        values = actions if isinstance(actions, np.ndarray) else np.asarray(actions)
        dtype = values.dtype
        if values.shape != rows.shape or (dtype is not FLOAT32 and dtype.kind not in "fiu"):
            raise InvalidAction(
                f"actions of shape {values.shape}, {dtype} are not numbers of shape {rows.shape}"
            )
        rows[...] = values

    def write(self, action: Any, row: Floats) -> None:
        """Put one action into a row ``[entries]`` of the kernel's.

        Raises:
            InvalidAction: Wrong shape or type.
        """
        values = action if isinstance(action, np.ndarray) else np.asarray(action)
        dtype = values.dtype
        if values.shape != row.shape or (dtype is not FLOAT32 and dtype.kind not in "fiu"):
            raise InvalidAction(
                f"action of shape {values.shape}, {values.dtype} is not numbers of shape {row.shape}"
            )
        row[...] = values

    def encode(self, weights: Floats) -> AnyArray:
        """Actions for targets ``[n]`` or ``[n, symbols]``, clipped to the bounds; no stop is asked for
        that one can do without."""
        targets = np.reshape(weights, (len(weights), -1))
        parts = [np.clip(targets, *self.bounds())]
        parts += [np.full_like(targets, max(levels)) for levels in self.chosen]
        rows: AnyArray = np.concatenate(parts, axis=1).astype(np.float32)
        return rows

    def constants(self) -> dict[str, float]:
        """The constants of the kernel."""
        low, high = self.bounds()
        counts = {"stops": len(self.stop_loss), "takes": len(self.take_profit)}
        return {"kind": self.kind, "low": low, "high": high, **counts}

    def levels(self) -> Floats:
        """Targets, stops and profit targets to choose from, ``[3, most]``; NaN fills the rest."""
        levels = (self.grid, self.stop_loss, self.take_profit)
        table = np.full((3, max(map(len, levels))), np.nan)
        for row, values in zip(table, levels, strict=True):
            row[: len(values)] = values
        return table

    @property
    def grid(self) -> tuple[float, ...]:
        """Targets to choose from, if there are only some."""
        return (0.0,)

    def limits(self) -> Floats:
        """Least and largest entry of each part of an action, ``[1 + chosen exits, 2]``.

        The space is float32: its edge may lie outside the bound by a rounding.
        """
        parts = np.array([self.bounds(), *((min(x), max(x)) for x in self.chosen)])
        single = parts.astype(np.float32).astype(np.float64)
        return np.column_stack([np.minimum(parts, single)[:, 0], np.maximum(parts, single)[:, 1]])

    def complaint(self, values: Floats, index: int) -> str:
        """What is wrong with entry ``index`` of one action."""
        limits = [self.bounds(), *((min(x), max(x)) for x in self.chosen)]
        low, high = limits[index * len(limits) // len(values)]
        return f"action[{index}] = {values[index]} is not within [{low}, {high}]"


@dataclass(frozen=True)
class WeightActions(Actions):
    """Target weights, as fractions of equity, each between ``low`` and ``high``."""

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (np.isfinite([self.low, self.high]).all() and self.low < self.high):
            raise ValueError(f"targets must satisfy low < high, got {self.low} and {self.high}")

    def bounds(self) -> tuple[float, float]:
        return self.low, self.high


@dataclass(frozen=True)
class UnitActions(WeightActions):
    """Target positions in units (shares, contracts), each between ``low`` and ``high``."""

    sizing: ClassVar[Sizing] = "units"


@dataclass(frozen=True)
class DeltaActions(WeightActions):
    """Units to buy (or sell, if negative) of each symbol, between ``low`` and ``high``."""

    sizing: ClassVar[Sizing] = "deltas"


@dataclass(frozen=True)
class SimplexActions(Actions):
    """Long-only weights from 0 to 1; what they leave of 1 is cash.

    If they sum to more than 1 they are divided by their sum. So one symbol can have all, and so can
    cash, which no softmax over a bounded box can give.
    """

    kind: ClassVar[int] = SIMPLEX

    def bounds(self) -> tuple[float, float]:
        return 0.0, 1.0


@dataclass(frozen=True)
class PositionActions(Actions):
    """One of several target weights per symbol, by number."""

    weights: tuple[float, ...] = (-1.0, 0.0, 1.0)
    kind: ClassVar[int] = GRID

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.weights) < 2 or not np.isfinite(self.weights).all():
            raise ValueError(f"positions needs two finite weights or more, got {self.weights}")

    @property
    def grid(self) -> tuple[float, ...]:
        return self.weights

    def bounds(self) -> tuple[float, float]:
        return min(self.weights), max(self.weights)

    def space(self, symbols: int) -> gymnasium.spaces.Space[Any]:
        counts = [len(x) for x in (self.weights, *self.chosen)]
        if symbols == 1 and not self.chosen:
            return gymnasium.spaces.Discrete(counts[0])
        return gymnasium.spaces.MultiDiscrete(np.repeat(counts, symbols))

    def write_all(self, actions: Any, rows: Floats) -> None:
        values = np.asarray(actions)
        into = rows[:, 0] if rows.shape[1] == 1 else rows
        if values.shape != into.shape or values.dtype.kind not in "iu":
            raise InvalidAction(
                f"actions of shape {values.shape}, {values.dtype} are not integers of shape {into.shape}"
            )
        into[...] = values

    def write(self, action: Any, row: Floats) -> None:
        if row.size > 1:
            values = np.asarray(action)
            if values.shape != row.shape or values.dtype.kind not in "iu":
                raise InvalidAction(f"action {action!r} is not integers of shape {row.shape}")
            row[:] = values
        elif (isinstance(action, int) and not isinstance(action, bool)) or (
            isinstance(action, np.integer | np.ndarray)
            and action.shape == ()
            and action.dtype.kind in "iu"
        ):
            row[0] = action
        else:
            raise InvalidAction(f"action {action!r} is not one integer")

    def limits(self) -> Floats:
        return np.array([(0.0, len(x) - 1.0) for x in (self.weights, *self.chosen)])

    def encode(self, weights: Floats) -> AnyArray:
        targets = np.reshape(weights, (len(weights), -1))
        nearest = np.abs(targets[:, :, None] - np.array(self.weights)).argmin(axis=2)
        parts = [nearest, *(np.full_like(nearest, np.argmax(levels)) for levels in self.chosen)]
        rows: AnyArray = np.concatenate(parts, axis=1)
        return rows[:, 0] if rows.shape[1] == 1 else rows

    def complaint(self, values: Floats, index: int) -> str:
        counts = [len(x) for x in (self.weights, *self.chosen)]
        count = counts[index * len(counts) // len(values)]
        return f"action[{index}] = {int(values[index])} is not within 0 … {count - 1}"


@dataclass(frozen=True)
class UnitPositionActions(PositionActions):
    """One of several target positions per symbol, in units, by number."""

    sizing: ClassVar[Sizing] = "units"


ActionName: TypeAlias = Literal["weight", "position", "simplex", "units", "deltas"]
SHIPPED: dict[str, Actions] = {
    "weight": WeightActions(),
    "position": PositionActions(),
    "simplex": SimplexActions(),
    "units": UnitActions(-100.0, 100.0),
    "deltas": DeltaActions(-100.0, 100.0),
}
