"""One account at the compiled step: its memory, bound once, so that a step costs one small call."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from foretrade.envs import kernel
from foretrade.envs.stage import STAGE, Market, Stage, new_outcome
from foretrade.envs.writing import TOLD, TOLD_PER_SYMBOL
from foretrade.markets.accounts import new_accounts
from foretrade.markets.arrays import Float32s, Floats, Ints
from foretrade.markets.compiled import Packed, bound
from foretrade.markets.exchange import AT_SPLIT, AT_VALUED, asks_seldom
from foretrade.markets.trading import new_workspace

FIRST: Ints = np.zeros(1, dtype=np.int64)


class Seat:
    """One account in a market.

    Args:
        market: Shared, read-only.
        entries: Of an observation.

    Attributes:
        part: The market that is played, by number.
        seen: What the last step or :meth:`begin` showed, ``[entries]``; overwritten by the next.
    """

    def __init__(self, market: Market, entries: int) -> None:
        self.market, self.shape = market, (1, entries)
        self.accounts = new_accounts(1, market.prices.shape[1])
        self.part = 0
        symbols = market.prices.shape[1]
        self.actions = np.zeros((1, symbols * len(market.limits)))
        outcome, work = new_outcome(1, symbols, tells=True), new_workspace(symbols)
        self.reward, self.terminated, self.truncated, self.told = outcome[:4]
        self._work = work
        self._stage = Packed(STAGE, Stage(self.market, self.accounts, work, outcome))
        self.action, self._row, self._alone = self.actions[0], self.told[0], symbols == 1
        self._seen = np.zeros(self.shape, dtype=np.float32)
        self.seen: Float32s = self._seen[0]
        self._begin = bound(kernel.begin, *kernel.BEGIN)
        step = bound(_shortest(market), *kernel.ADVANCE_ONE)
        advance = partial(step, self._stage.address, self.actions, self._seen)
        advance.__dict__["stage"] = self._stage  # whoever holds the function keeps what it works on
        self.advance: Callable[[], int] = advance
        """One step by ``action``; see :func:`foretrade.envs.kernel.advance_one`."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process binds memory of its own and takes the books over."""
        return _restored, (self.market, self.shape[1], self.accounts[:3])

    def draw_from(self, key: int) -> None:
        """Let ``key`` decide all that is drawn from now on."""
        self.accounts.put("key", np.uint64(key))
        self.accounts.put("episode", np.uint64(0))

    def begin(self, wish: Floats) -> None:
        """Begin the next episode."""
        self._begin(self._stage.address, FIRST, wish, self._seen, 0)
        self.part = int(self.told[0, 1])

    def info(self, offset: int) -> dict[str, Any]:
        """What infos tell, rows counted from ``offset``; of several symbols as arrays ``[symbols]``."""
        told = self._row.tolist()
        if self._alone:  # spelt out because it is a quarter of a step's time
            (
                row, _, cash, equity, cost_scale, fill_equity, price_pnl, dividend, fee, spread,
                impact, borrow, financing, interest, traded, units, requested, achieved, reason, close,
                fill_price,
            ) = told  # fmt: skip
            return {
                "row": int(row) - offset, "market": self.part, "cash": cash, "equity": equity,
                "cost_scale": cost_scale, "fill_equity": fill_equity, "price_pnl": price_pnl,
                "dividend": dividend, "fee": fee, "spread": spread, "impact": impact, "borrow": borrow,
                "financing": financing, "interest": interest, "traded": traded, "units": units,
                "requested": requested, "achieved": achieved, "reason": reason, "close": close,
                "fill_price": fill_price,
            }  # fmt: skip
        shared = dict(zip(TOLD, told, strict=False))
        shared["row"], shared["market"] = int(told[0]) - offset, self.part
        each = np.reshape(told[len(TOLD) :], (-1, len(TOLD_PER_SYMBOL)))
        return shared | dict(zip(TOLD_PER_SYMBOL, each.T.copy(), strict=True))

    def carried(self, before: dict[str, Any]) -> Floats:
        """Units that were brought into the bar by the account of the info ``before``, ``[symbols]``.

        They keep their value over the seam of a bootstrapped path, and a split multiplies them.
        """
        row, market = int(self._row[0]), self.market
        seam = before["close"] / market.prices[row, :, AT_VALUED]
        units: Floats = before["units"] * seam * market.events[row, :, AT_SPLIT]
        return units

    def exit_prices(self) -> Floats:
        """Where stops and profit targets filled in the last step, ``[symbols]``; only where one did."""
        levels: Floats = self._work.view("exit")[:, 0].copy()
        return levels


def _shortest(market: Market) -> Callable[..., Any]:
    """The kernel with the least code that takes all steps in this market."""
    terms = market.terms[0]
    if market.prices.shape[1] > 1:
        return kernel.advance_one
    if asks_seldom(terms) or terms["jump"] > 0:
        return kernel.advance_one_symbol
    return kernel.advance_one_plainly


def _restored(market: Market, entries: int, books: tuple[Any, ...]) -> Seat:
    seat = Seat(market, entries)
    for mine, theirs in zip(seat.accounts[:3], books, strict=True):
        mine[...] = theirs
    seat.part = int(seat.accounts.get("market")[0])
    return seat
