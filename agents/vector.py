"""The batch of markets as stable-baselines3 wants it."""

from __future__ import annotations

from collections.abc import Mapping
from secrets import randbits
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv

from foretrade.envs.market import MarketEnv
from foretrade.envs.vector import MarketVectorEnv
from foretrade.markets.arrays import AnyArray, Float32s

NOTHING: dict[str, Any] = {}  # the info of every account whose episode goes on


def unit_box(box: Box) -> Box:
    """A box of the same shape, from −1 to 1."""
    return Box(-1.0, 1.0, box.shape, np.float32)


def from_unit(actions: AnyArray, box: Box) -> Float32s:
    """Actions ``[n, …]`` from −1 to 1 as those of ``box``; one of −1 to 1 leaves them as they are."""
    low, high = box.low.astype(np.float64), box.high.astype(np.float64)
    scaled = (low + high) / 2 + (high - low) / 2 * actions
    return np.clip(scaled.astype(np.float32), box.low, box.high)


class MarketVecEnv(VecEnv):
    """``DummyVecEnv`` over Monitors of ``market.copy()``, bit for bit, in one compiled call a step.

    Args:
        market: Copied ``num_envs`` times.
        reward_scale: Rewards are multiplied by it.
        unit_actions: Whether a box of actions is shown as one from −1 to 1, whatever its bounds.
    """

    def __init__(
        self,
        market: MarketEnv,
        num_envs: int,
        *,
        reward_scale: float = 1.0,
        unit_actions: bool = False,
    ) -> None:
        shape = (num_envs, len(market.layout.entries))  # torch warns of arrays that it may not write to
        self.batch = MarketVectorEnv(
            num_envs,
            market=market,
            autoreset_mode=AutoresetMode.SAME_STEP,
            copy=False,
            infos=False,
            buffers=(np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)),
            counts=True,
        )
        space = market.action_space
        self._box = space if unit_actions and isinstance(space, Box) else None
        shown = space if self._box is None else unit_box(self._box)
        super().__init__(num_envs, market.observation_space, shown)
        self.reward_scale = reward_scale
        self._returns = np.zeros(num_envs)
        self._lengths = np.zeros(num_envs, dtype=np.int64)
        self._actions: AnyArray = np.zeros(0)

    def reset(self) -> Any:
        """Begin new episodes, with what :meth:`seed` and :meth:`set_options` said since the last."""
        groups = self._alike()
        seeds: list[int | None] = list(self._seeds)
        if len(groups) > 1 and not self.batch.begun:
            # The first reset has to be everybody's; with seeds, the first episodes begin anew below.
            seeds = [randbits(63) if seed is None else seed for seed in seeds]
            self.batch.reset(seed=seeds)
        for group in groups:
            mask = np.isin(np.arange(self.num_envs), group)
            options = self._options[group[0]] | {"reset_mask": mask}
            observation, _ = self.batch.reset(seed=seeds, options=options)
        self._reset_seeds()
        self._reset_options()
        self._returns[:] = 0.0
        self._lengths[:] = 0
        return observation

    def _alike(self) -> list[list[int]]:
        """Accounts by number, grouped by what their options ask for; a bad option raises."""
        groups: dict[bytes, list[int]] = {}
        for i, options in enumerate(self._options):
            groups.setdefault(self.batch.env.wish(options).tobytes(), []).append(i)
        return list(groups.values())

    def step_async(self, actions: AnyArray) -> None:
        self._actions = actions if self._box is None else from_unit(actions, self._box)

    def step_wait(self) -> tuple[Any, Float32s, AnyArray, list[dict[str, Any]]]:
        """Observations, rewards, ends, and infos; an ended episode tells its return and length."""
        observation, rewards, terminated, truncated, details = self.batch.step(self._actions)
        scaled = rewards * self.reward_scale
        self._returns += scaled
        self._lengths += 1
        done = terminated | truncated
        infos = [NOTHING] * self.num_envs
        for i in done.nonzero()[0].tolist():
            infos[i] = {
                "terminal_observation": details["final_obs"][i],
                "TimeLimit.truncated": bool(truncated[i]),
                "episode": {"r": float(self._returns[i]), "l": int(self._lengths[i]), "t": 0.0},
            }
            self._returns[i], self._lengths[i] = 0.0, 0
        return observation, scaled.astype(np.float32), done, infos

    def state(self) -> dict[str, AnyArray]:
        """Copies of all that the next step depends on."""
        own = {"returns": self._returns.copy(), "lengths": self._lengths.copy()}
        return {f"batch.{name}": values for name, values in self.batch.state().items()} | own

    def set_state(self, state: Mapping[str, AnyArray]) -> Any:
        """Go on from a :meth:`state`; returns the observations."""
        self._returns[:], self._lengths[:] = state["returns"], state["lengths"]
        batch = {k.removeprefix("batch."): v for k, v in state.items() if k.startswith("batch.")}
        return self.batch.set_state(batch)

    def close(self) -> None:
        """Nothing is held open."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.batch.env, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refused: the accounts share one market.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("the accounts share one market; make another with other settings")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        method = getattr(self.batch.env, method_name)
        return [method(*args, **kwargs) for _ in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * len(list(self._get_indices(indices)))
