"""Many accounts in one market, stepped by one compiled call; bit-equal to as many single ones."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, TypeAlias

import gymnasium
import numpy as np
import pandas as pd
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from foretrade.envs import kernel
from foretrade.envs.actions import InvalidAction
from foretrade.envs.behaviour import Behaviour, behaviour_of, target_bins
from foretrade.envs.episodes import NO_WISH, check_places
from foretrade.envs.market import MarketEnv
from foretrade.envs.options import seed_list
from foretrade.envs.screens import LastSeen, Screens, sliding_entries
from foretrade.envs.stage import NOBODY, STAGE, Outcome, Stage, new_outcome
from foretrade.envs.writing import TOLD, TOLD_PER_SYMBOL
from foretrade.markets.accounts import Accounts, new_accounts
from foretrade.markets.arrays import AnyArray, Bools, Float32s, Floats, aligned, writable
from foretrade.markets.compiled import Packed, bound
from foretrade.markets.trading import new_workspace

MOST_ENDS = 64  # of episodes in a step, for the compiled call to begin the next ones
Observations: TypeAlias = Any  # float32 [accounts, entries], or a dict of such arrays
Step: TypeAlias = tuple[Observations, Floats, Bools, Bools, dict[str, Any]]


class MarketVectorEnv(gymnasium.vector.VectorEnv[Observations, AnyArray, AnyArray]):
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
        copy: Whether each step returns new arrays. Without it observations are the environment's own
            memory, two arrays in turn that nobody else may write to: those of a step last until the
            step after the next; rewards, flags and final observations last until the next.
        infos: Whether ``infos`` hold an array per key of the single environment's info; without it
            they hold the last observations of ended episodes (``SAME_STEP``) and empty ``final_info``.
        threads: How many threads step the accounts; the bits do not depend on it.
        buffers: Two arrays ``[num_envs, entries]``, float32, to write observations into. What the
            caller may write to is written whole at each step, the environment's own arrays get only
            the newest bars of a window (``foretrade.envs.screens``).
        counts: Whether to sum up what the accounts do, for :meth:`behaviour`; not with ``NEXT_STEP``,
            of which some steps are none.
    """

    _pool: ThreadPoolExecutor | None

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode = AutoresetMode.NEXT_STEP,
        market: MarketEnv | None = None,
        copy: bool = True,
        infos: bool = True,
        threads: int = 1,
        buffers: tuple[Float32s, Float32s] | None = None,
        counts: bool = False,
        **arguments: Any,
    ) -> None:
        if arguments.get("render_mode") is not None:
            raise ValueError("a batch is not rendered; render a single MarketEnv")
        if num_envs < 1 or threads < 1:
            raise ValueError(f"num_envs and threads must be at least 1, got {num_envs} and {threads}")
        if market is not None and arguments:
            raise ValueError("give a market or its arguments, not both")
        if counts and AutoresetMode(autoreset_mode) is AutoresetMode.NEXT_STEP:
            raise ValueError("counts needs the autoreset mode SAME_STEP or DISABLED")
        self.env = MarketEnv(**arguments) if market is None else market
        self.num_envs, self.copy, self.infos = num_envs, copy, infos
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = self.env.metadata | {"autoreset_mode": self.autoreset_mode}
        self.render_mode = None
        self.single_observation_space = self.env.observation_space
        self.single_action_space = self.env.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._symbols = len(self.env.symbols)
        self._accounts = new_accounts(num_envs, self._symbols)
        bins = len(target_bins(self.env.actions)) if counts else 0
        each = sliding_entries(self.env.market) if buffers is None else 0
        shape = (num_envs, len(self.env.layout.entries))
        lean = self.autoreset_mode is AutoresetMode.SAME_STEP and threads == 1 and not infos
        last = (min(num_envs, MOST_ENDS) if lean else 0, shape[1])
        self._outcome = new_outcome(
            num_envs, self._symbols, tells=infos, bins=bins, slides=each > 0, last=last
        )
        self._screens = Screens(shape, each, self._outcome.shown, buffers)
        self._idle = np.repeat(self.env.market.limits[:, 0], self._symbols)
        self._ended, self._waiting = np.ones(num_envs, dtype=np.bool_), True
        split = self.env.layout.split if self.env.as_dict else None
        self._last = LastSeen(shape, split, anew=copy)
        self.begun = False  # becomes true with the first reset, which is everybody's
        self._share_out(threads)

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observations, dict[str, Any]]:
        """Begin new episodes; account ``i`` is seeded with ``seed + i``, or with ``seed[i]``.

        ``options`` are those of the single environment, and ``reset_mask`` (bool, ``[num_envs]``),
        which leaves the other accounts where they are.
        """
        if self.closed:
            raise RuntimeError("the environment is closed")
        chosen = dict(options or {})
        mask = np.asarray(chosen.pop("reset_mask", np.ones(self.num_envs, dtype=np.bool_)))
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise ValueError(f"reset_mask must hold {self.num_envs} booleans, one at least true")
        if not self.begun and not mask.all():
            raise ValueError("the first reset must reset every account")
        wish = self.env.wish(chosen)
        self._seed(mask, seed_list(seed, self.num_envs))
        self._begin(np.flatnonzero(mask), wish)
        self.begun = True
        return self._shown(), self._infos()

    def step(self, actions: AnyArray) -> Step:
        """Advance every account by one bar.

        Raises:
            InvalidAction: An action is outside its space; the message names the account.
            RuntimeError: Nothing was reset yet, or an ended episode was not (``DISABLED``).
        """
        if not self.begun or self.closed:
            raise RuntimeError(
                "the environment is closed" if self.closed else "call reset() before step()"
            )
        waiting = self._waiting
        if waiting and self.autoreset_mode is AutoresetMode.DISABLED:
            over = np.flatnonzero(self._ended)
            raise RuntimeError(f"the episodes of accounts {over.tolist()} are over; reset them")
        rows = self._rows
        self.env.actions.write_all(actions, rows)
        if waiting:  # NEXT_STEP begins them anew, whatever their action says
            np.copyto(rows, self._idle, where=self._ended[:, None])
        self._screens.turn()
        ended = self._advance(rows, self._ended if waiting else NOBODY)
        same_step = self.autoreset_mode is AutoresetMode.SAME_STEP
        if waiting or (ended and not same_step):
            np.logical_or(self._outcome.terminated, self._outcome.truncated, out=self._ended)
            self._waiting = ended > 0
        if ended and same_step:
            return self._same_step_outcome(0 if waiting else ended)
        return *self._results(), self._infos()

    def describe(self) -> pd.DataFrame:
        """Name, unit, bounds and normalisation of every entry of an account's observation."""
        return self.env.describe()

    def state(self) -> dict[str, AnyArray]:
        """Copies of all that the next step depends on, between steps: accounts, and what they see."""
        accounts = self._accounts._asdict()
        arrays = {name: accounts[name].copy() for name in ("account", "holdings", "clock")}
        return arrays | {"seen": self._screens.seen.copy(), "ended": self._ended.copy()}

    def set_state(self, state: Mapping[str, AnyArray]) -> Observations:
        """Go on from a :meth:`state` of as many accounts in the same market; returns what they see.

        Raises:
            ValueError: It is of another number of accounts, or stands nowhere in this market.
        """
        mine = self.state()
        for name, values in mine.items():
            given = state[name]
            if given.shape != values.shape or given.itemsize != values.itemsize:
                raise ValueError(f"{name} has shape {given.shape}, expected {values.shape}")
        accounts = self._accounts._replace(clock=state["clock"].view(np.uint64))
        check_places(accounts, self.env.market.blocks)
        for name in ("account", "holdings", "clock"):
            array = getattr(self._accounts, name)
            array[...] = state[name].view(array.dtype)
        self._screens.show(state["seen"])
        self._ended[...] = state["ended"]
        self._waiting, self.begun = bool(self._ended.any()), True
        return self._shown()

    def behaviour(self) -> Behaviour:
        """What the accounts did since it was last asked.

        Raises:
            ValueError: They took no step, or nothing is counted.
        """
        found = behaviour_of(self._outcome.sums, self._outcome.asked, self.env.actions)
        self._outcome.sums[...] = 0.0
        self._outcome.asked[...] = 0
        return found

    def close_extras(self, **kwargs: Any) -> None:
        """Let the threads go."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _advance(self, rows: Floats, restart: Bools) -> int:
        seen, side = self._screens.seen, self._screens.side
        if self._pool is None:
            stage, (first, last) = self._stages[0], self._shares[0]
            done: int = self._advances(stage.address, rows, restart, seen, side, first, last)
            if done < 0:
                self._refuse(rows, done)
            return done
        self._refuse(rows, -1 - kernel.first_outside(rows, self.env.market.limits, self._symbols))
        jobs = [
            self._pool.submit(self._advances, stage.address, rows, restart, seen, side, first, last)
            for stage, (first, last) in zip(self._stages, self._shares, strict=True)
        ]
        return sum(int(job.result()) for job in jobs)

    def _refuse(self, rows: Floats, done: int) -> None:
        if done < 0:
            self._screens.turn_back()
            account, entry = divmod(-1 - done, rows.shape[1])
            raise InvalidAction(f"account {account}: {self.env.actions.complaint(rows[account], entry)}")

    def _same_step_outcome(self, begun: int) -> Step:
        done = self._outcome
        over, last_infos = done.terminated | done.truncated, self._infos()
        last_infos |= {key: over for key in last_infos if key.startswith("_")}
        if 0 < begun <= len(done.over):  # the kernel has begun their next episodes
            which, last_seen = done.over[:begun], done.last[:begun]
        else:
            which = over.nonzero()[0]
            last_seen = self._screens.seen.take(which, 0)
            self._begin(which, NO_WISH)
        final, infos = self._last.told(which, last_seen), self._infos()
        infos |= {"final_obs": final, "_final_obs": over, "final_info": last_infos, "_final_info": over}
        return *self._results(), infos

    def _results(self) -> tuple[Observations, Floats, Bools, Bools]:
        done = self._outcome
        if self.copy:
            return self._shown(), done.rewards.copy(), done.terminated.copy(), done.truncated.copy()
        return self._shown(), done.rewards, done.terminated, done.truncated

    def _shown(self) -> Observations:
        seen = self._screens.seen.copy() if self.copy else self._screens.view()
        return self.env.layout.split(seen) if self.env.as_dict else seen

    def _begin(self, which: AnyArray, wish: Floats) -> None:
        self._begins(self._stages[0].address, which, wish, self._screens.seen, self._screens.side)
        self._ended[which] = False
        self._waiting = bool(self._ended.any())

    def _seed(self, mask: Bools, seeds: list[int | None]) -> None:
        keys, episodes = self._accounts.get("key"), self._accounts.get("episode")
        for i in np.flatnonzero(mask):
            if seeds[i] is not None or not self.begun:
                keys[i] = seeding.np_random(seeds[i])[0].integers(2**63)
                episodes[i] = 0
        self._accounts.put("key", keys)
        self._accounts.put("episode", episodes)

    def _infos(self) -> dict[str, Any]:
        if not self.infos:
            return {}
        told, names = self._outcome.told, len(TOLD)
        values: dict[str, Any] = dict(zip(TOLD, told[:, :names].T.copy(), strict=True))
        each = told[:, names:].reshape(self.num_envs, self._symbols, -1)
        each = each[:, 0] if self._symbols == 1 else each
        values |= dict(zip(TOLD_PER_SYMBOL, np.moveaxis(each, -1, 0).copy(), strict=True))
        market = values["market"].astype(np.int64)
        values["row"] = values["row"].astype(np.int64) - np.array(self.env.offsets)[market]
        values["market"] = market
        everyone = np.ones(self.num_envs, dtype=np.bool_)
        return values | {f"_{key}": everyone for key in values}

    def _share_out(self, threads: int) -> None:
        blocks = len(self._accounts.account)
        edges = np.linspace(0, blocks, min(threads, blocks) + 1).astype(int).tolist()
        self._threads = threads
        self._shares = list(pairwise(edges))
        many = len(self._shares) > 1
        self._pool = ThreadPoolExecutor(len(self._shares)) if many else None
        self._rows = aligned(self.num_envs, self._symbols * len(self.env.market.limits))
        self._stages = [
            Packed(
                STAGE,
                Stage(self.env.market, self._accounts, new_workspace(self._symbols), self._outcome),
            )
            for _ in self._shares
        ]
        one = self._symbols == 1
        self._begins = bound(kernel.begin, *kernel.BEGIN)
        told = self.infos or self._outcome.sums.size > 0 or self.env.reward.turnover_penalty > 0
        advance = kernel.advance_symbol if told else kernel.advance_symbol_untold
        self._advances = bound(advance if one else kernel.advance, *kernel.ADVANCE)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in ("_pool", "_shares", "_stages", "_rows", "_begins", "_advances"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._accounts = Accounts(*map(writable, self._accounts))
        self._outcome = Outcome(*map(writable, self._outcome))
        self._screens.shown, self._ended = self._outcome.shown, writable(self._ended)
        self._share_out(self._threads)
