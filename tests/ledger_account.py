"""One account of the kernel, stepped by hand over made-up prices."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from foretrade.markets import ledger
from foretrade.markets.accounts import new_accounts
from foretrade.markets.costs import FREE, Costs
from foretrade.markets.exchange import (
    EVENT_FIELDS,
    PRICE_FIELDS,
    inverse_volume,
    make_exchange,
    volume_cap,
)
from foretrade.markets.rules import Rules
from foretrade.markets.synthetic import random_walk
from foretrade.markets.trading import QUOTE_FIELDS, WORK_FIELDS, new_workspace

FLOWS = ("fee", "spread", "impact", "borrow", "financing")


@dataclass
class Account:
    """Holds one account, and steps it from one close to the next."""

    symbols: int = 1
    cash: float = 1e6
    costs: Costs = FREE
    rules: Rules = field(default_factory=Rules)
    fill: str = "next_open"
    sizing: str = "weights"
    cost_scale: float = 1.0

    def __post_init__(self) -> None:
        self.books, self.work = new_accounts(1, self.symbols), new_workspace(self.symbols)
        bars = random_walk(2, symbols=self.symbols)
        self.exchange = make_exchange(
            bars,
            fill=self.fill,
            costs=self.costs,
            rules=self.rules,
            sizing=self.sizing,
            exits=True,
            initial_equity=self.cash,
        )
        for flag in ("has_actions", "has_delistings"):
            self.exchange.terms[flag] = True
        ledger.open_accounts(self.books, self.cash, 0)
        self.books.put("cost_scale", self.cost_scale)

    def step(
        self, targets, last, fill, close, *, years=1 / 365, stop=np.inf, take=np.inf, **bar
    ) -> float:
        """From a close ``last`` to ``close``, filling at ``fill`` (NaN: not at all); returns the status.

        ``bar`` may hold other fields of the new bar: high, low, open, volume, split, dividend, delisted.
        """
        opens = np.where(np.isnan(fill), last, fill) if self.fill == "next_open" else last
        opens = bar.get("open", opens)
        values = {
            "mark": close,
            "fill": fill,
            "valued": last,
            "years": years,
            "open": opens,
            "high": np.fmax(opens, close),
            "low": np.fmin(opens, close),
            "volume": 1e9,
            "split": 1.0,
            "dividend": 0.0,
            "delisted": 0.0,
        } | bar
        values["inverse_fill"] = 1.0 / np.asarray(fill)
        values["inverse_volume"] = inverse_volume(values["volume"])
        values["volume_cap"] = volume_cap(np.asarray(values["volume"], dtype=np.float64), self.rules)
        for k, name in enumerate(PRICE_FIELDS):
            self.exchange.prices[1, :, k] = values[name]
        for k, name in enumerate(EVENT_FIELDS):
            self.exchange.events[1, :, k] = values[name]
        for name, value in {"target": targets, "stop_loss": stop, "take_profit": take}.items():
            self.work.view(name)[:, 0] = value
        self.books.put("row", np.uint64(0))
        ledger.step_block(self.books, self.work, self.exchange)
        return self.get("status")

    def get(self, name: str) -> float:
        """A field of the account, or of its only symbol."""
        return float(self.all(name).ravel()[0])

    def all(self, name: str) -> np.ndarray:
        """A field of every symbol, or of the account."""
        if name in (*WORK_FIELDS, *QUOTE_FIELDS):
            return self.work.view(name)[..., 0]
        return self.books.get(name)[0]

    @property
    def equity(self) -> float:
        return self.get("equity")

    @property
    def paid(self) -> float:
        """All costs of the last step."""
        return sum(self.get(name) for name in FLOWS)


moves = st.floats(-0.2, 0.2)
fixed_notional = st.builds(
    Rules,
    accounting=st.just("fixed_notional"),
    lot_size=st.sampled_from([0.0, 10.0]),
    max_participation=st.just(1.0),
)


@st.composite
def histories(draw: st.DrawFn, symbols: int = 1, max_weight: float = 2.0):
    """Steps of (weights, last close, fill price, close), prices from log moves."""
    length = draw(st.integers(1, 8))
    price = np.array(draw(st.lists(st.floats(1, 1000), min_size=symbols, max_size=symbols)))
    steps, last = [], price
    for _ in range(length):
        shape = {"min_size": symbols, "max_size": symbols}
        weights = np.array(draw(st.lists(st.floats(-max_weight, max_weight), **shape)))
        fill = last * np.exp(draw(st.lists(moves, **shape)))
        close = fill * np.exp(draw(st.lists(moves, **shape)))
        steps.append((weights, last, fill, close))
        last = close
    return steps
