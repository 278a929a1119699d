"""The market as a Gymnasium environment: one account, one symbol or many, every cost charged."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

import gymnasium
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretrade.envs.actions import SHIPPED, ActionName, Actions, InvalidAction
from foretrade.envs.assembly import assemble, clipping_messages, observation_layout
from foretrade.envs.episodes import NO_WISH, Episodes
from foretrade.envs.observation import ClippedColumnWarning
from foretrade.envs.options import (
    as_list,
    bars_list,
    check_choice,
    check_kinds,
    check_numbers,
    symbol_choices,
    view_of,
    wish,
)
from foretrade.envs.parts import make_part
from foretrade.envs.rewards import Reward, RewardName
from foretrade.envs.seat import Seat
from foretrade.markets.arrays import Bools, Floats
from foretrade.markets.bars import Bars
from foretrade.markets.costs import Costs, Rate
from foretrade.markets.exchange import check_trade_rate
from foretrade.markets.features import compute_features
from foretrade.markets.fills import Fill, StaleOpenWarning, stale_open_message
from foretrade.markets.rules import Rules
from foretrade.markets.sources import load
from foretrade.markets.table import Table

Observation: TypeAlias = Any  # float32 [entries], or a dict of such arrays
Action: TypeAlias = Any  # float32 [entries], an int, or ints [entries]

DEFAULT_COSTS, DEFAULT_RULES, DEFAULT_EPISODES = Costs(), Rules(), Episodes()


class MarketEnv(gymnasium.Env[Observation, Action]):
    """Trade on what was known at each close.

    Decision ``k`` is taken at the close of bar ``k`` from row ``k`` of the table and the account.
    Its order fills in bar ``k + 1`` (``fill``), and the reward is a function of the account at the
    close of ``k`` and of ``k + 1``, after costs. The end of an episode's data truncates, ruin and
    margin calls terminate. The order of events within a step stands in ``foretrade.markets.ledger``.

    Args:
        bars: Prices, or the name of a packaged data set; of several, each episode draws one.
        table: Features and forecasts over the same bars (one per bars); default: the standard features.
        symbols: Which to trade; default: the first. ``"each"`` makes a market of every symbol, of
            which each episode draws one.
        observe: Columns to show of the last bar; default: all that are not in ``window``.
        window: Columns to show of the last ``lookback_bars`` bars; default: with a lookback of more
            than one bar, those of ``observe`` (all if that is not given), and ``current`` is empty.
        lookback_bars: Bars that ``window`` reaches back, the last included.
        rows: Rows of the block to play in; default: from the first complete row to the end.
        as_dict: Observations are dicts of ``window`` ([lookback, columns], or [lookback, symbols,
            columns]), ``current`` and ``account`` instead of one vector.
        fill: When orders fill. ``"same_close"`` is an idealisation: it trades at a price that
            the decision has already seen.
        costs: What trades and positions cost.
        rules: Limits, order sizes, margin, accounting.
        actions: What the agent may ask for, or the name of a shipped space.
        reward: What a step earns, or its name.
        episodes: How episodes begin and end.
        initial_equity: In quote currency; also the notional of ``Rules.accounting = "fixed_notional"``.
        halted: Bars in which a symbol may not be traded though it has a price, ``[bars, traded
            symbols]``.
        variance: Of a bar's return, for the mean-variance reward; default: trailing.
        render_mode: ``"rgb_array"`` keeps the episode and lets ``render`` draw it; ``"human"`` prints
            a panel to the terminal after each step.

    ``reset`` takes ``options={"market": number, "start": row, "episode_bars": n, "cost_scale": x}``,
    which override what would be drawn.

    Raises:
        DataError: The table does not match the bars, has a gap inside the block, or holds a
            forecast whose model was fitted on something after the decision it is shown for.
        TypeError: A setting is of another kind.
        ValueError: Settings do not go together.
    """

    _panel: Any = None
    _keyed: bool
    metadata: dict[str, Any] = {  # noqa: RUF012  Gymnasium's declaration
        "render_modes": ["human", "rgb_array"],
        "render_fps": 10,
    }

    def __init__(
        self,
        bars: Bars | str | Sequence[Bars | str] = "sp500",
        table: Table | Sequence[Table] | None = None,
        *,
        symbols: Sequence[str] | str | None = None,
        observe: Sequence[str] | str | None = None,
        window: Sequence[str] | str | None = None,
        lookback_bars: int = 1,
        rows: range | None = None,
        as_dict: bool = False,
        fill: Fill = "next_close",
        costs: Costs = DEFAULT_COSTS,
        rules: Rules = DEFAULT_RULES,
        actions: Actions | ActionName = "weight",
        reward: Reward | RewardName = "log_growth",
        episodes: Episodes = DEFAULT_EPISODES,
        initial_equity: float = 1_000_000.0,
        halted: Bools | None = None,
        variance: Rate | None = None,
        render_mode: Literal["human", "rgb_array"] | None = None,
    ) -> None:
        check_choice("fill", fill, get_args(Fill))
        if isinstance(actions, str):
            check_choice("actions", actions, tuple(SHIPPED))
        check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        check_numbers(initial_equity, lookback_bars)
        panels = bars_list(bars)
        loaded = [load(item) if isinstance(item, str) else item for item in panels]
        tables = [compute_features(item) for item in loaded] if table is None else as_list(table)
        if not loaded or len(tables) != len(loaded):
            raise ValueError(
                f"{len(loaded)} bars and {len(tables)} tables: give one table for each bars"
            )
        self.fill, self.costs, self.rules = fill, costs, rules
        self.actions = SHIPPED[actions] if isinstance(actions, str) else actions
        self.reward = Reward(reward) if isinstance(reward, str) else reward
        check_kinds(
            costs=costs, rules=rules, episodes=episodes, actions=self.actions, reward=self.reward
        )
        self.episodes, self.initial_equity, self.render_mode = episodes, initial_equity, render_mode
        self.view = view_of(tables[0], observe, window, lookback_bars)
        self.parts = [
            make_part(item, its_table, chosen, self.view, rows)
            for item, its_table in zip(loaded, tables, strict=True)
            for chosen in symbol_choices(item, symbols)
        ]
        self._check_parts()
        self.layout = observation_layout(self.parts, self.view, rules)
        self.observation_space = self.layout.space(as_dict=as_dict)
        self.action_space = self.actions.space(len(self.symbols))
        self.as_dict = as_dict
        self.market = assemble(
            self.parts,
            self.view,
            fill=fill,
            costs=costs,
            rules=rules,
            actions=self.actions,
            reward=self.reward,
            episodes=episodes,
            initial_equity=initial_equity,
            halted=halted,
            variance=variance,
        )
        self.offsets = [
            int(first) - part.rows.start
            for first, part in zip(self.market.blocks[:, 0], self.parts, strict=True)
        ]
        self._sit_down()

    @property
    def bars(self) -> Bars:
        """Prices of the market that is played (of several, the one last drawn)."""
        return self.parts[self._part].bars

    @property
    def table(self) -> Table:
        """Its features and forecasts."""
        return self.parts[self._part].table

    @property
    def symbols(self) -> tuple[str, ...]:
        """What is traded there."""
        return self.parts[self._part].symbols

    @property
    def rows(self) -> range:
        """The rows of its block."""
        return self.parts[self._part].rows

    def copy(self) -> MarketEnv:
        """Another account in the same market: arrays are shared, only the account is new."""
        twin = copy.copy(self)
        twin._np_random = None
        twin.observation_space = copy.deepcopy(self.observation_space)  # with generators of their own
        twin.action_space = copy.deepcopy(self.action_space)
        twin._sit_down()
        return twin

    def describe(self) -> pd.DataFrame:
        """Name, unit, bounds and normalisation of every entry of the observation."""
        return pd.DataFrame([vars(entry) for entry in self.layout.entries])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode with cash only; see the class for ``options``."""
        super().reset(seed=seed)
        wish = self.wish(options)
        if seed is not None or not self._keyed:
            self.seat.draw_from(int(self.np_random.integers(2**63)))
            self._keyed = True
        self.seat.begin(wish)
        self._part = self.seat.part
        self._offset = self.offsets[self._part]
        self._over = False
        self._history.clear()
        return self._observation(), self._info()

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Trade to the action's targets, and go on to the next close.

        Raises:
            InvalidAction: The action is outside its space.
            RuntimeError: The episode is over, or has not begun.
        """
        if self._over:
            raise RuntimeError("the episode is over, or has not begun; call reset()")
        seat = self.seat
        self.actions.write(action, seat.action)
        done = seat.advance()
        if done < 0:
            raise InvalidAction(self.actions.complaint(seat.action, -1 - done))
        seen = self._observation() if self.as_dict else seat.seen.copy()
        info = self._info() if self.render_mode is not None else seat.info(self._offset)
        if not done:
            return seen, seat.reward.item(), False, False, info
        self._over = True
        return seen, seat.reward.item(), seat.terminated.item(), seat.truncated.item(), info

    def render(self) -> NDArray[np.uint8] | None:
        """The episode so far: ``[height, width, 3]``, or a panel on the terminal (``"human"``)."""
        if self.render_mode is None or not self._history:
            return None
        from foretrade.envs import render

        title = f"{self.bars.source}: {', '.join(self.symbols)}"
        if self.render_mode == "human":
            self._panel = self._panel or render.TerminalPanel()
            self._panel.show(self._history, title)
            return None
        return render.draw_episode(self._history, title, self.symbols)

    def close(self) -> None:
        """Let go of the terminal."""
        if self._panel is not None:
            self._panel.close()
            self._panel = None

    def wish(self, options: dict[str, Any] | None) -> Floats:
        """Options of ``reset`` as the kernel takes them; see :func:`foretrade.envs.options.wish`."""
        if not options:
            return NO_WISH
        asked = wish(options, [part.rows for part in self.parts], self.offsets, self.episodes.bars)
        check_trade_rate(self.costs, self.rules, options.get("cost_scale") or 1.0)
        return asked

    def __getstate__(self) -> dict[str, Any]:
        """Without the panel: a terminal belongs to one process, and a twin opens its own."""
        return self.__dict__ | {"_panel": None}

    def _check_parts(self) -> None:
        self._part = 0
        if len({len(part.symbols) for part in self.parts}) > 1:
            raise ValueError("several markets must trade the same number of symbols each")
        for part in self.parts:
            if not self.episodes.bars < len(part.rows):
                raise ValueError(
                    f"episodes.bars = {self.episodes.bars} must be from 0 to {len(part.rows) - 1}, "
                    "the decisions in the block"
                )
            for symbol in part.symbols if self.fill == "next_open" else ():
                if message := stale_open_message(part.bars, symbol):
                    warnings.warn(message, StaleOpenWarning, stacklevel=3)
        for message in clipping_messages(self.parts, self.view):
            warnings.warn(message, ClippedColumnWarning, stacklevel=3)

    def _sit_down(self) -> None:
        self.seat = Seat(self.market, len(self.layout.entries))
        self._over, self._keyed, self._part = True, False, 0
        self._history: list[dict[str, Any]] = []
        self._panel = None

    def _observation(self) -> Observation:
        seen = self.seat.seen.copy()
        return self.layout.split(seen) if self.as_dict else seen

    def _info(self) -> dict[str, Any]:
        """State at the close, and this step's flows in quote currency."""
        info = self.seat.info(self._offset)
        if self.render_mode is not None:
            self._record(info)
        return info

    def _record(self, info: dict[str, Any]) -> None:
        before = self._history[-1] if self._history else None
        more = {
            "date": self.bars.dates[info["row"]],
            "carried": self.seat.carried(before) if before else info["units"],
            "exit_price": self.seat.exit_prices(),
        }
        self._history.append(info | more)
        if self.render_mode == "human":
            self.render()
