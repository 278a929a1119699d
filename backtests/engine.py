"""Run an agent through a market once, and keep everything it did."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from foretrade.agents.base import Agent
from foretrade.envs.actions import InvalidAction
from foretrade.envs.market import MarketEnv
from foretrade.envs.writing import TOLD_PER_SYMBOL
from foretrade.markets.arrays import Floats
from foretrade.markets.bars import DataError
from foretrade.markets.fills import Fill
from foretrade.markets.reasons import reasons
from foretrade.storage import atomic_path

COSTS = ("fee", "spread", "impact", "borrow", "financing", "interest")
LEDGER_COLUMNS = (
    "decided_at", "closes_at", "date", "requested", "achieved", "reason", "fill_price", "close",
    "split", "traded", "units", "cash", "price_pnl", "dividend", *COSTS, "equity", "reward", "ruined",
)  # fmt: skip
ACCOUNT_COLUMNS = tuple(name for name in LEDGER_COLUMNS if name not in (*TOLD_PER_SYMBOL, "split"))
HOLDING_COLUMNS = (
    "decided_at", "closes_at", "date", "symbol",
    "requested", "achieved", "reason", "fill_price", "close", "split", "units",
)  # fmt: skip
IN_WORDS = {
    "leverage": "cut to the limit on leverage or net weight",
    "band": "left alone inside the no-trade band",
    "no_bar": "no bar to trade in, or halted",
    "volume": "cut to the share of the volume that one may take",
    "lot": "rounded to whole lots",
    "minimum_order": "smaller than the least order",
    "costs": "refused: the account cannot pay the costs",
    "stop_loss": "closed by the stop",
    "take_profit": "closed at the profit target",
    "margin": "liquidated by a margin call",
    "ruin": "liquidated: the account is ruined",
    "delisted": "closed: the symbol was delisted",
}
"""What each of ``foretrade.markets.reasons.REASONS`` means to a reader."""


@dataclass(frozen=True)
class Run:
    """One strategy over one block.

    Args:
        name: Of the strategy.
        initial_equity: In quote currency, at the close of the first decision.
        ledger: One row a step. ``decided_at`` and ``closes_at`` (UTC) bound it, ``date`` is the
            exchange's calendar day of the latter. Amounts are in quote currency: costs positive
            when paid, ``interest`` positive when earned, ``traded`` the notional of the step's
            fills. ``requested`` and ``achieved`` are weights at the fill, ``reason`` holds the flags of
            ``foretrade.markets.reasons.REASONS``; ``split`` is how many units one became in the
            bar; ``units``, ``cash`` and ``equity`` are at the close.
            Of several symbols it holds what the account has and pays as a whole
            (``ACCOUNT_COLUMNS``), and ``panel`` the rest.
        fill: When orders filled.
        symbols: What was traded.
        panel: Of several symbols, one row a step and symbol, with ``HOLDING_COLUMNS``.
    """

    name: str
    initial_equity: float
    ledger: pd.DataFrame
    fill: Fill = "next_close"
    symbols: tuple[str, ...] = ("",)
    panel: pd.DataFrame | None = None

    @property
    def idealised(self) -> bool:
        """Whether orders filled at the very close on which they were decided; to be shown in red."""
        return self.fill == "same_close"

    @property
    def holdings(self) -> pd.DataFrame:
        """One row a step and symbol: what was asked for, got and held; ``HOLDING_COLUMNS``."""
        if self.panel is not None:
            return self.panel
        return self.ledger.assign(symbol=self.symbols[0])[list(HOLDING_COLUMNS)]

    @property
    def refusals(self) -> pd.DataFrame:
        """Every order that was refused, cut, rounded or overruled, and why, in words."""
        rows = self.holdings[self.holdings["reason"] != 0]
        words = {
            code: "; ".join(IN_WORDS[name] for name in reasons(code)) for code in set(rows["reason"])
        }
        kept = rows[["decided_at", "symbol", "requested", "achieved"]].reset_index(drop=True)
        return kept.assign(why=rows["reason"].map(words).to_numpy(dtype=object))

    @property
    def decisions(self) -> pd.DataFrame:
        """When, and which target weight; of several symbols one row a symbol."""
        if self.panel is not None:
            return self.panel[["decided_at", "symbol", "requested", "achieved"]]
        return self.ledger[["decided_at", "requested", "achieved", "reward"]]

    @property
    def fills(self) -> pd.DataFrame:
        """Steps in which something was traded."""
        columns = ["closes_at", "fill_price", "traded", "fee", "spread", "impact"]
        return self.ledger.loc[self.ledger["traded"] > 0, [c for c in columns if c in self.ledger]]

    @property
    def costs(self) -> pd.DataFrame:
        """Every cost of every step."""
        return self.ledger[["closes_at", *COSTS]]

    @property
    def positions(self) -> pd.DataFrame:
        """Units (of several symbols, see ``holdings``), cash and weight at each close."""
        columns = [name for name in ("closes_at", "units", "cash") if name in self.ledger]
        frame = self.ledger[columns].copy()
        frame["weight"] = self.weights.to_numpy()
        return frame

    @property
    def equity(self) -> pd.Series:
        """Equity at each close, by date."""
        return pd.Series(self.ledger["equity"].to_numpy(), self._dates, name=self.name)

    @property
    def returns(self) -> pd.Series:
        """Simple return of each step after all costs, by date; ends with a ruined account's last.

        A loss of all and more counts as −100 %; what is owed then stands in the ledger's equity.
        """
        equity = self.ledger["equity"].to_numpy()
        before = np.concatenate([[self.initial_equity], equity[:-1]])
        return pd.Series(np.maximum(equity / before - 1.0, -1.0), self._dates, name=self.name)

    @property
    def invested(self) -> pd.Series:
        """Whether there is a position in anything at each close, by date."""
        held = (self.holdings["units"] != 0).to_numpy().reshape(len(self.ledger), -1)
        return pd.Series(held.any(axis=1), self._dates, name=self.name)

    @property
    def symbol_weights(self) -> pd.DataFrame:
        """Position value over equity at each close, by date and symbol; zero once ruined."""
        rows = self.holdings
        shape = (len(self.ledger), len(self.symbols))
        units, close = (rows[name].to_numpy().reshape(shape) for name in ("units", "close"))
        value = np.where(units == 0, 0.0, units * close)  # what has no price yet cannot be held
        equity = self.ledger["equity"].where(~self.ledger["ruined"], np.inf)
        return pd.DataFrame(value / equity.to_numpy()[:, None], self._dates, columns=list(self.symbols))

    @property
    def weights(self) -> pd.Series:
        """Net position value over equity at each close, by date."""
        return self.symbol_weights.sum(axis=1).rename(self.name)

    @property
    def _dates(self) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(self.ledger["date"], name="date")


def run(agent: Agent, env: gymnasium.Env[Any, Any], *, name: str = "agent") -> Run:
    """Play the first episode of an environment to its end, or to ruin.

    That is its whole block, unless its ``Episodes`` say otherwise.

    Args:
        env: A :class:`MarketEnv` of one symbol or many, wrapped or not.

    Raises:
        InvalidAction: The agent gave no valid action; the message names bar and symbol.
        TypeError: It is another kind of environment.
    """
    market = env.unwrapped
    if not isinstance(market, MarketEnv):
        raise TypeError(f"a backtest needs a MarketEnv, got {type(market).__name__}")
    agent.reset()
    observation, info = env.reset(seed=0)
    infos, rewards, over, terminated = [info], [], False, False
    while not over:
        action = agent.decide(_batch_of_one(observation))[0]
        try:
            observation, reward, terminated, truncated, info = env.step(action)
        except InvalidAction as error:
            bar = market.bars.closes_at[info["row"]]
            raise InvalidAction(f"{name}, decision of {bar}: {error}{_at(market, action)}") from error
        over = terminated or truncated
        infos.append(info)
        rewards.append(float(reward))
    return _made_run(name, market, infos, rewards, ruined=terminated)


def _batch_of_one(observation: Any) -> Any:
    if isinstance(observation, dict):
        return {key: value[None] for key, value in observation.items()}
    return observation[None]


def _at(market: MarketEnv, action: Any) -> str:
    """Which symbol the first entry outside its limits belongs to."""
    values, limits = np.ravel(action), market.actions.limits()
    if values.dtype.kind not in "fiu" or len(values) != len(limits) * len(market.symbols):
        return ""
    low, high = np.repeat(limits, len(market.symbols), axis=0).T
    wrong = np.flatnonzero(~((values >= low) & (values <= high)))  # also what is NaN
    return f", for {market.symbols[int(wrong[0]) % len(market.symbols)]}" if len(wrong) else ""


def _made_run(
    name: str, market: MarketEnv, infos: list[dict[str, Any]], rewards: list[float], *, ruined: bool
) -> Run:
    bars, symbols = market.bars, market.symbols
    rows, steps = [info["row"] for info in infos], infos[1:]
    splits = bars.split[rows[1:]][:, [bars.symbols.index(symbol) for symbol in symbols]]
    frame = pd.DataFrame(
        {
            "decided_at": bars.closes_at[rows[:-1]],
            "closes_at": bars.closes_at[rows[1:]],
            "date": bars.dates[rows[1:]],
            "reward": rewards,
            "ruined": [False] * (len(steps) - 1) + [ruined],
        }
        | {key: [info[key] for info in steps] for key in LEDGER_COLUMNS if key in infos[0]}
    )
    if len(symbols) == 1:
        ledger = frame.assign(split=splits[:, 0])[list(LEDGER_COLUMNS)]
        return Run(name, infos[0]["equity"], ledger, market.fill, symbols)
    stamps = frame[["decided_at", "closes_at", "date"]]
    panel = stamps.loc[stamps.index.repeat(len(symbols))].reset_index(drop=True)
    panel["symbol"] = np.tile(symbols, len(steps))
    for key in TOLD_PER_SYMBOL:
        values: Floats = np.array([info[key] for info in steps])
        panel[key] = values.ravel()
    panel["split"] = splits.ravel()
    account, holdings = frame[list(ACCOUNT_COLUMNS)], panel[list(HOLDING_COLUMNS)]
    return Run(name, infos[0]["equity"], account, market.fill, symbols, holdings)


def write_runs(runs: Sequence[Run], path: Path) -> list[Path]:
    """All ledgers in one long Parquet file with the column ``strategy``, atomically.

    Holdings of several symbols go beside it (``ledger.parquet`` → ``ledger.holdings.parquet``).
    What was written.
    """
    facts = {
        item.name: json.dumps([item.initial_equity, item.fill, list(item.symbols)]) for item in runs
    }
    parts = [item.ledger.assign(strategy=item.name) for item in runs]
    panels = [item.panel.assign(strategy=item.name) for item in runs if item.panel is not None]
    beside = _beside(path)
    beside.unlink(missing_ok=True)  # it would belong to other runs
    if panels:
        _write(pd.concat(panels, ignore_index=True), {}, beside)
    _write(pd.concat(parts, ignore_index=True), facts, path)
    return [path, beside] if panels else [path]


def _write(frame: pd.DataFrame, facts: dict[str, str], path: Path) -> None:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    with atomic_path(path) as temporary:
        pq.write_table(table.replace_schema_metadata(facts), temporary, compression="zstd")


def _beside(path: Path) -> Path:
    return path.with_suffix(".holdings" + path.suffix)


def read_runs(path: Path) -> dict[str, Run]:
    """Runs by strategy, in the order in which they were written.

    Raises:
        DataError: A file is damaged or no ledger.
    """
    try:
        table = pq.read_table(path)
        facts = {key.decode(): json.loads(text) for key, text in (table.schema.metadata or {}).items()}
        panels = _by_strategy(pd.read_parquet(_beside(path))) if _beside(path).exists() else {}
        return {
            name: _read_run(name, part, facts[name], panels)
            for name, part in _by_strategy(table.to_pandas()).items()
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a readable ledger ({error}); run the backtest again") from error


def _by_strategy(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {str(name): part for name, part in frame.groupby("strategy", sort=False)}


def _read_run(
    name: str, part: pd.DataFrame, facts: tuple[float, Fill, list[str]], panels: dict[str, pd.DataFrame]
) -> Run:
    initial, fill, symbols = facts
    if len(symbols) == 1:
        ledger = part[list(LEDGER_COLUMNS)].reset_index(drop=True)
        return Run(name, initial, ledger, fill, tuple(symbols))
    panel = panels[name][list(HOLDING_COLUMNS)].reset_index(drop=True)
    account = part[list(ACCOUNT_COLUMNS)].reset_index(drop=True)
    return Run(name, initial, account, fill, tuple(symbols), panel)
