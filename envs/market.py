"""The market as a Gymnasium environment: one asset, one account, every cost charged."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

import gymnasium
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretrade.envs import kernel
from foretrade.envs.actions import PositionActions, WeightActions
from foretrade.envs.observation import ACCOUNT, Layout, market_entries, market_rows
from foretrade.envs.rewards import REWARDS, Reward
from foretrade.markets import ledger
from foretrade.markets.arrays import Float32s
from foretrade.markets.bars import Bars, DataError
from foretrade.markets.costs import Costs
from foretrade.markets.features import compute_features
from foretrade.markets.fills import Fill, StaleOpenWarning, fill_prices, stale_open_message
from foretrade.markets.sources import load
from foretrade.markets.table import Table

Observation: TypeAlias = Float32s
Action: TypeAlias = Any  # ndarray [1] for weights, int for positions

DEFAULT_COSTS = Costs()
PLAYING = np.ones(1, dtype=np.bool_)


class MarketEnv(gymnasium.Env[Observation, Action]):
    """Trade one asset on what was known at each close.

    Decision ``k`` is taken at the close of bar ``k`` from row ``k`` of the table and the account.
    Its order fills in bar ``k + 1`` (``fill``), and the reward is a function of the equity at the
    close of ``k`` and of ``k + 1``, after costs. The end of the data truncates, ruin terminates.

    Args:
        bars: Prices, or the name of a packaged data set.
        table: Features and forecasts over the same bars; default: the standard features.
        symbol: Which asset; default: the first.
        observe: Columns to show; default: all. The account is always shown.
        rows: Rows of the block to play in; default: from the first complete row to the end.
        fill: When orders fill. ``"same_close"`` is an idealisation: it trades at a price that
            the decision has already seen.
        costs: What trades and positions cost.
        actions: ``"weight"`` (a target weight in ``weight_bounds``) or ``"position"`` (one of
            ``positions``).
        max_leverage: Bound of the absolute weight at a fill; a larger target is cut to it, and
            ``info`` tells both.
        no_trade_band: A target this close to the current weight is not traded.
        reward: Name of the reward.
        random_start: Whether ``reset`` draws the first bar (from ``np_random``).
        episode_bars: Decisions in an episode; 0 plays to the end of the block.
        initial_equity: In quote currency.
        render_mode: ``"rgb_array"`` keeps the episode and lets ``render`` draw it.

    ``reset`` takes ``options={"start": row, "episode_bars": n}``, which override both.

    Raises:
        DataError: The table does not match the bars, has a gap inside the block, or holds a
            forecast whose model was fitted on something after the decision it is shown for.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  Gymnasium's declaration
        "render_modes": ["rgb_array"],
        "render_fps": 10,
    }

    def __init__(
        self,
        bars: Bars | str = "sp500",
        table: Table | None = None,
        *,
        symbol: str | None = None,
        observe: Sequence[str] | None = None,
        rows: range | None = None,
        fill: Fill = "next_close",
        costs: Costs = DEFAULT_COSTS,
        actions: Literal["weight", "position"] = "weight",
        weight_bounds: tuple[float, float] = (-1.0, 1.0),
        positions: tuple[float, ...] = (-1.0, 0.0, 1.0),
        max_leverage: float = 1.0,
        no_trade_band: float = 0.0,
        reward: Reward = "log_growth",
        random_start: bool = False,
        episode_bars: int = 0,
        initial_equity: float = 1_000_000.0,
        render_mode: Literal["rgb_array"] | None = None,
    ) -> None:
        _check_choice("fill", fill, get_args(Fill))
        _check_choice("actions", actions, ("weight", "position"))
        _check_choice("reward", reward, tuple(REWARDS))
        if render_mode is not None:
            _check_choice("render_mode", render_mode, tuple(self.metadata["render_modes"]))
        self.bars = load(bars) if isinstance(bars, str) else bars
        self.table = compute_features(self.bars) if table is None else table
        self.symbol = symbol or self.bars.symbols[0]
        self.fill = fill
        self.costs = costs
        self.random_start = random_start
        self.episode_bars = episode_bars
        self.initial_equity = initial_equity
        self.render_mode = render_mode
        self.actions = (
            WeightActions(*weight_bounds) if actions == "weight" else PositionActions(positions)
        )
        self.action_space = self.actions.space
        self._reward = REWARDS[reward]
        self._terms = ledger.terms(costs, max_leverage=max_leverage, no_trade_band=no_trade_band)
        self._prepare_market(tuple(observe or self.table.names), rows)
        self._prepare_account()

    def copy(self) -> MarketEnv:
        """Another account in the same market: arrays are shared, only the account is new."""
        twin = copy.copy(self)
        twin._np_random = None
        twin._prepare_account()
        return twin

    def describe(self) -> pd.DataFrame:
        """Name, unit, bounds and normalisation of every entry of the observation."""
        return pd.DataFrame([vars(entry) for entry in self.layout.entries])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode with cash only; see the class for ``options``."""
        super().reset(seed=seed)
        start, length = self.draw_episode(self.np_random, options)
        observation = self._new_observation()
        kernel.begin(self.market, self._accounts, 0, start, length, observation)
        self._over = False
        self._history.clear()
        return observation[0], self._info()

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Trade to the action's target weight, and go on to the next close.

        Raises:
            InvalidAction: The action is outside its space.
            RuntimeError: The episode is over, or has not begun.
        """
        if self._over:
            raise RuntimeError("the episode is over; call reset()")
        accounts, observation = self._accounts, self._new_observation()
        accounts.book.targets[0, 0] = self.actions.decode(action)
        kernel.advance(self.market, accounts, PLAYING, observation)
        terminated, truncated = bool(accounts.terminated[0]), bool(accounts.truncated[0])
        self._over = terminated or truncated
        return observation[0], float(accounts.rewards[0]), terminated, truncated, self._info()

    def render(self) -> NDArray[np.uint8] | None:
        """Price with trades, weight and equity of the episode so far, ``[height, width, 3]``."""
        if self.render_mode is None or not self._history:
            return None
        from foretrade.envs.render import draw_episode

        return draw_episode(self._history, f"{self.bars.source}: {self.symbol}")

    def draw_episode(
        self, np_random: np.random.Generator, options: dict[str, Any] | None = None
    ) -> tuple[int, int]:
        """First row and number of decisions of an episode, drawn as ``reset`` draws them.

        Raises:
            ValueError: An option is unknown, or the episode does not fit into the block.
        """
        chosen = dict(options or {})
        length = int(chosen.pop("episode_bars", self.episode_bars))
        start = chosen.pop("start", None)
        if chosen:
            raise ValueError(f"unknown reset options: {', '.join(chosen)}")
        last = self.rows.stop - 1
        if start is None and self.random_start:
            latest = last - length if length else last - 1
            start = np_random.integers(self.rows.start, latest + 1)
        first = self.rows.start if start is None else int(start)
        length = length or last - first
        if first not in self.rows or length < 1 or first + length > last:
            raise ValueError(
                f"an episode of {length} decisions from row {first} does not fit into {self.rows}"
            )
        return first, length

    def _prepare_market(self, observe: tuple[str, ...], rows: range | None) -> None:
        table, bars = self.table, self.bars
        if not table.closes_at.equals(bars.closes_at) or table.symbols != bars.symbols:
            raise DataError("the table is not over the same bars and symbols as the prices")
        asset = bars.column(self.symbol)
        complete = table.complete(observe, asset) & bars.present[:, asset]
        if not complete.any():
            raise DataError(f"no row has all of: {', '.join(observe)}; the history is too short")
        self.rows = rows if rows is not None else range(int(complete.argmax()), len(bars))
        self._check_rows(observe, complete, asset)
        if self.fill == "next_open" and (message := stale_open_message(bars, self.symbol)):
            warnings.warn(message, StaleOpenWarning, stacklevel=3)
        self.layout = Layout(market_entries(table, observe) + ACCOUNT)
        low, high = self.layout.low, self.layout.high
        self.observation_space = gymnasium.spaces.Box(low, high)
        close, fill = (x[:, [asset]] for x in (bars.close, fill_prices(bars, self.fill)))
        same_close = self.fill == "same_close"
        self.market = kernel.Market(
            rows=market_rows(table, observe, asset),
            low=low,
            high=high,
            prices=ledger.Prices(
                mark=close,
                fill=np.concatenate([fill[:1], fill[:-1]]) if same_close else fill,
                years=np.diff(bars.stamps, prepend=bars.stamps[:1]) / 1e9 / ledger.SECONDS_PER_YEAR,
                fills_first=same_close,
            ),
            terms=self._terms,
            reward=self._reward,
            initial_equity=float(self.initial_equity),
        )

    def _check_rows(self, observe: tuple[str, ...], complete: Any, asset: int) -> None:
        table, bars, rows = self.table, self.bars, self.rows
        if rows.step != 1 or rows.start < 0 or rows.stop > len(bars) or len(rows) < 2:
            raise DataError(f"rows {rows} must be two or more consecutive rows of {len(bars)} bars")
        gaps = [row for row in rows if not complete[row]]
        if gaps:
            row = gaps[0]
            missing = [n for n in observe if not np.isfinite(table.column(n)[row, asset])]
            what = ", ".join(missing) or "the bar itself"
            raise DataError(
                f"{bars.source}: {self.symbol}: row {row} ({bars.dates[row].date()}) lacks {what}; "
                "start later, or leave the column out"
            )
        late = table.cutoff[rows.start : rows.stop] > table.stamps[rows.start : rows.stop]
        if late.any():
            row = rows.start + int(late.argmax())
            raise DataError(
                f"row {row}: its forecast comes from a model fitted up to "
                f"{pd.Timestamp(table.cutoff[row], tz='UTC')}, after the decision at "
                f"{table.closes_at[row]}; use walk-forward forecasts"
            )

    def _prepare_account(self) -> None:
        self._accounts = kernel.new_accounts(1)
        self._over = True
        self._history: list[dict[str, Any]] = []
        if not (math.isfinite(self.initial_equity) and self.initial_equity > 0):
            raise ValueError(f"initial_equity must be positive, got {self.initial_equity}")
        if not 0 <= self.episode_bars < len(self.rows):
            raise ValueError(
                f"episode_bars = {self.episode_bars} must be from 0 to {len(self.rows) - 1}, "
                "the decisions in the block"
            )

    def _new_observation(self) -> Observation:
        return np.empty((1, self.market.low.size), dtype=np.float32)

    def _info(self) -> dict[str, Any]:
        """State at the close, and this step's flows in quote currency."""
        book, row = self._accounts.book, int(self._accounts.clock[0, kernel.ROW])
        info: dict[str, Any] = dict(zip(ledger.FLOWS, book.flows[0].tolist(), strict=True))
        info["row"] = row
        info["equity"] = float(book.account[0, ledger.EQUITY])
        info["cash"] = float(book.account[0, ledger.CASH])
        info["units"] = float(book.units[0, 0])
        info["fill_price"] = float(self.market.prices.fill[row, 0])
        info["close"] = float(self.market.prices.mark[row, 0])
        if self.render_mode is not None:
            self._history.append(info | {"date": self.bars.dates[row]})
        return info


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} = {value!r} must be one of {', '.join(map(repr, known))}")
