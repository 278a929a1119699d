"""Run an agent through a market once, and keep everything it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from foretrade.agents.base import Agent
from foretrade.envs.market import MarketEnv
from foretrade.markets.bars import DataError
from foretrade.storage import atomic_path

COSTS = ("fee", "spread", "impact", "borrow", "financing", "interest")
LEDGER_COLUMNS = (
    "decided_at", "closes_at", "date", "requested", "achieved", "reason", "fill_price", "close",
    "traded", "units", "cash", "price_pnl", "dividend", *COSTS, "equity", "reward", "ruined",
)  # fmt: skip


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
            ``foretrade.markets.orders.REASONS``; ``units``, ``cash`` and ``equity`` are at the close.
    """

    name: str
    initial_equity: float
    ledger: pd.DataFrame

    @property
    def decisions(self) -> pd.DataFrame:
        """When, and which target weight."""
        return self.ledger[["decided_at", "requested", "achieved", "reward"]]

    @property
    def fills(self) -> pd.DataFrame:
        """Steps in which something was traded."""
        traded = self.ledger["traded"] > 0
        return self.ledger.loc[traded, ["closes_at", "fill_price", "traded", "fee", "spread", "impact"]]

    @property
    def costs(self) -> pd.DataFrame:
        """Every cost of every step."""
        return self.ledger[["closes_at", *COSTS]]

    @property
    def positions(self) -> pd.DataFrame:
        """Units, cash and weight at each close."""
        frame = self.ledger[["closes_at", "units", "cash"]].copy()
        frame["weight"] = self.weights.to_numpy()
        return frame

    @property
    def equity(self) -> pd.Series:
        """Equity at each close, by date."""
        return pd.Series(self.ledger["equity"].to_numpy(), self._dates, name=self.name)

    @property
    def returns(self) -> pd.Series:
        """Simple return of each step after all costs, by date; ends with a ruined account's last."""
        equity = self.ledger["equity"].to_numpy()
        before = np.concatenate([[self.initial_equity], equity[:-1]])
        return pd.Series(equity / before - 1.0, self._dates, name=self.name)

    @property
    def weights(self) -> pd.Series:
        """Position value over equity at each close, by date."""
        value = self.ledger["units"] * self.ledger["close"]
        equity = self.ledger["equity"].where(~self.ledger["ruined"], np.inf)
        return pd.Series((value / equity).to_numpy(), self._dates, name=self.name)

    @property
    def _dates(self) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(self.ledger["date"], name="date")


def run(agent: Agent, env: MarketEnv, *, name: str = "agent") -> Run:
    """Play one episode from the start of the environment's block to its end, or to ruin."""
    agent.reset()
    observation, info = env.reset(seed=0)
    initial, decided_at = info["equity"], env.bars.closes_at[info["row"]]
    rows: list[dict[str, Any]] = []
    over = False
    while not over:
        action = agent.decide(observation[None])[0]
        observation, reward, terminated, truncated, info = env.step(action)
        over = terminated or truncated
        closes_at, date = env.bars.closes_at[info["row"]], env.bars.dates[info["row"]]
        step = {"decided_at": decided_at, "closes_at": closes_at, "date": date, "reward": reward}
        rows.append(step | info | {"ruined": terminated})
        decided_at = closes_at
    return Run(name, initial, pd.DataFrame(rows)[list(LEDGER_COLUMNS)])


def write_runs(runs: Sequence[Run], path: Path) -> None:
    """All ledgers in one long Parquet file with the column ``strategy``, atomically."""
    parts = [item.ledger.assign(strategy=item.name) for item in runs]
    initial = {item.name: repr(item.initial_equity) for item in runs}
    table = pa.Table.from_pandas(pd.concat(parts, ignore_index=True), preserve_index=False)
    with atomic_path(path) as temporary:
        pq.write_table(table.replace_schema_metadata(initial), temporary, compression="zstd")


def read_runs(path: Path) -> dict[str, Run]:
    """Runs by strategy, in the order in which they were written.

    Raises:
        DataError: The file is damaged or no ledger.
    """
    try:
        table = pq.read_table(path)
        metadata: Mapping[bytes, bytes] = table.schema.metadata or {}
        frame = table.to_pandas()
        runs = {}
        for name, part in frame.groupby("strategy", sort=False):
            ledger = part[list(LEDGER_COLUMNS)].reset_index(drop=True)
            runs[str(name)] = Run(str(name), float(metadata[str(name).encode()]), ledger)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: not a readable ledger ({error}); run the backtest again") from error
    return runs
