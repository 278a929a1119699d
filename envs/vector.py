"""Many accounts in one market, stepped by one compiled call; bit-equal to as many single ones."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from foretrade.envs import kernel
from foretrade.envs.market import MarketEnv
from foretrade.markets import ledger
from foretrade.markets.arrays import AnyArray, Bools, Float32s, Floats


class MarketVectorEnv(gymnasium.vector.VectorEnv[Float32s, AnyArray, AnyArray]):
    """``num_envs`` accounts of one :class:`MarketEnv`, which share its arrays.

    Account ``i`` sees, draws and earns the same bits as a ``MarketEnv`` that was reset with the seed
    ``seed + i`` and given the same actions. Memory per account is its state and its observation.

    Args:
        num_envs: Number of accounts.
        autoreset_mode: What happens to an episode that has ended: ``NEXT_STEP`` begins the next one
            at the next step, which ignores the action; ``SAME_STEP`` at once, with the last
            observation and info in ``infos["final_obs"]`` and ``infos["final_info"]``; ``DISABLED``
            leaves it to ``reset(options={"reset_mask": …})``.
        market: A market to copy; or give its arguments as keywords.

    Observations, rewards and flags are new arrays at each step; ``infos`` holds an array per key of
    the single environment's info.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode = AutoresetMode.NEXT_STEP,
        market: MarketEnv | None = None,
        **arguments: Any,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {num_envs}")
        if market is not None and arguments:
            raise ValueError("give a market or its arguments, not both")
        self.env = MarketEnv(**arguments) if market is None else market
        self.num_envs = num_envs
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = self.env.metadata | {"autoreset_mode": self.autoreset_mode}
        self.render_mode = None
        self.single_observation_space = self.env.observation_space
        self.single_action_space = self.env.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._accounts = kernel.new_accounts(num_envs)
        self._seen = np.zeros((num_envs, self.env.market.low.size), dtype=np.float32)
        self._random: list[np.random.Generator | None] = [None] * num_envs
        self._ended = np.ones(num_envs, dtype=np.bool_)
        self._begun = False

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Float32s, dict[str, Any]]:
        """Begin new episodes; account ``i`` is seeded with ``seed + i``, or with ``seed[i]``.

        ``options`` are those of the single environment, and ``reset_mask`` (bool, ``[num_envs]``),
        which leaves the other accounts where they are.
        """
        chosen = dict(options or {})
        mask = np.asarray(chosen.pop("reset_mask", np.ones(self.num_envs, dtype=np.bool_)))
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise ValueError(f"reset_mask must hold {self.num_envs} booleans, one at least true")
        if not self._begun and not mask.all():
            raise ValueError("the first reset must reset every account")
        for i, one in enumerate(self._seeds(seed)):
            if mask[i] and one is not None:
                self._random[i] = seeding.np_random(one)[0]
        self._restart(np.flatnonzero(mask), chosen)
        self._begun = True
        return self._seen.copy(), self._infos()

    def step(self, actions: AnyArray) -> tuple[Float32s, Floats, Bools, Bools, dict[str, Any]]:
        """Advance every account by one bar.

        Raises:
            InvalidAction: An action is outside its space; the message names the account.
            RuntimeError: Nothing was reset yet, or an ended episode was not (``DISABLED``).
        """
        if not self._begun:
            raise RuntimeError("call reset() before step()")
        playing = ~self._ended
        if self.autoreset_mode is AutoresetMode.DISABLED and not playing.all():
            over = np.flatnonzero(self._ended)
            raise RuntimeError(f"the episodes of accounts {over.tolist()} are over; reset them")
        self._accounts.book.targets[:, 0] = self.env.actions.decode_many(actions)
        ended = kernel.advance(self.env.market, self._accounts, playing, self._seen)
        if not playing.all():  # NEXT_STEP: their episodes ended a step ago
            self._restart(np.flatnonzero(~playing), {})
        if not ended:
            return *self._outcome(), self._infos()
        self._ended = self._accounts.terminated | self._accounts.truncated
        if self.autoreset_mode is not AutoresetMode.SAME_STEP:
            return *self._outcome(), self._infos()
        return self._same_step_outcome()

    def _same_step_outcome(self) -> tuple[Float32s, Floats, Bools, Bools, dict[str, Any]]:
        over = self._ended.copy()
        last_infos = self._infos()
        last_seen, rewards, terminated, truncated = self._outcome()
        self._restart(np.flatnonzero(over), {})
        infos = self._infos() | {"final_obs": np.full(self.num_envs, None, dtype=object)}
        for i in np.flatnonzero(over):
            infos["final_obs"][i] = last_seen[i]
        infos |= {"_final_obs": over, "final_info": last_infos, "_final_info": over}
        return self._seen.copy(), rewards, terminated, truncated, infos

    def _outcome(self) -> tuple[Float32s, Floats, Bools, Bools]:
        accounts = self._accounts
        return (
            self._seen.copy(),
            accounts.rewards.copy(),
            accounts.terminated.copy(),
            accounts.truncated.copy(),
        )

    def _restart(self, which: AnyArray, options: dict[str, Any]) -> None:
        for i in which.tolist():
            start, length = self.env.draw_episode(self._generator(i), options)
            kernel.begin(self.env.market, self._accounts, i, start, length, self._seen)
            self._ended[i] = False

    def _generator(self, i: int) -> np.random.Generator:
        generator = self._random[i]
        if generator is None:
            generator = self._random[i] = seeding.np_random(None)[0]
        return generator

    def _seeds(self, seed: int | list[int | None] | None) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int | np.integer):
            return [int(seed) + i for i in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"{len(seed)} seeds for {self.num_envs} accounts")
        return list(seed)

    def _infos(self) -> dict[str, Any]:
        book, prices = self._accounts.book, self.env.market.prices
        row, everyone = self._accounts.clock[:, kernel.ROW], np.ones(self.num_envs, dtype=np.bool_)
        values = dict(zip(ledger.FLOWS, book.flows.T.copy(), strict=True))
        values |= {
            "row": row.copy(),
            "equity": book.account[:, ledger.EQUITY].copy(),
            "cash": book.account[:, ledger.CASH].copy(),
            "units": book.units[:, 0].copy(),
            "fill_price": prices.fill[row, 0],
            "close": prices.mark[row, 0],
        }
        return values | {f"_{key}": everyone for key in values}
