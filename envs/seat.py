"""One account at the compiled step: its memory, bound once, so that a step costs one small call."""

from __future__ import annotations

from typing import Any

import numpy as np

from foretrade.envs import kernel
from foretrade.envs.kernel import NOBODY, Market
from foretrade.envs.writing import TOLD, TOLD_PER_SYMBOL
from foretrade.markets.accounts import new_accounts
from foretrade.markets.arrays import Float32s, Floats, Ints
from foretrade.markets.compiled import bound
from foretrade.markets.trading import new_workspace

FIRST: Ints = np.zeros(1, dtype=np.int64)
INFO = (*TOLD, *TOLD_PER_SYMBOL)


class Seat:
    """One account in a market.

    Args:
        market: Shared, read-only.
        entries: Of an observation.
    """

    def __init__(self, market: Market, entries: int) -> None:
        self.market, self.shape = market, (1, entries)
        self.accounts = new_accounts(1, market.prices.shape[1])
        self._bind()

    def _bind(self) -> None:
        symbols = self.market.prices.shape[1]
        self.actions = np.zeros((1, symbols * len(self.market.limits)))
        outcome, work = kernel.new_outcome(1, symbols, tells=True), new_workspace(symbols)
        self.reward, self.terminated, self.truncated, self.told = outcome[:4]
        self._memory = (tuple(self.market), tuple(self.accounts), tuple(work), tuple(outcome))
        self.action = self.actions[0]
        self._row, self._blank = self.told[0], np.zeros(self.shape, dtype=np.float32)
        seen = self._blank.copy()
        self._advance = bound(kernel.advance, *self._memory, self.actions, NOBODY, seen, 0, 1)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process binds memory of its own and takes the books over."""
        return _restored, (self.market, self.shape[1], self.accounts[:3])

    def draw_from(self, key: int) -> None:
        """Let ``key`` decide all that is drawn from now on."""
        self.accounts.put("key", np.uint64(key))
        self.accounts.put("episode", np.uint64(0))

    def begin(self, wish: Floats) -> Float32s:
        """Begin the next episode; the observation ``[entries]``."""
        seen = np.empty(self.shape, dtype=np.float32)
        kernel.begin(*self._memory, FIRST, wish, seen)
        first: Float32s = seen[0]
        return first

    def advance(self) -> tuple[int, Float32s]:
        """One step by ``action``; see :func:`foretrade.envs.kernel.advance`."""
        seen = self._blank.copy()
        return self._advance(*self._memory, self.actions, NOBODY, seen, 0, 1), seen[0]

    def info(self) -> dict[str, Any]:
        """What infos tell; of several symbols as arrays ``[symbols]``."""
        told = self._row.tolist()
        if len(told) == len(INFO):
            return _labelled(told)
        shared = dict(zip(TOLD, told, strict=False))
        each = np.reshape(told[len(TOLD) :], (-1, len(TOLD_PER_SYMBOL)))
        return shared | dict(zip(TOLD_PER_SYMBOL, each.T.copy(), strict=True))


def _labelled(told: list[float]) -> dict[str, Any]:
    """``dict(zip(INFO, told))``, spelt out because it is half of a step's Python."""
    (
        row, market, cash, equity, cost_scale, fill_equity, price_pnl, dividend, fee, spread, impact,
        borrow, financing, interest, traded, units, requested, achieved, reason, close, fill_price,
    ) = told  # fmt: skip
    return {
        "row": row, "market": market, "cash": cash, "equity": equity, "cost_scale": cost_scale,
        "fill_equity": fill_equity, "price_pnl": price_pnl, "dividend": dividend, "fee": fee,
        "spread": spread, "impact": impact, "borrow": borrow, "financing": financing,
        "interest": interest, "traded": traded, "units": units, "requested": requested,
        "achieved": achieved, "reason": reason, "close": close, "fill_price": fill_price,
    }  # fmt: skip


def _restored(market: Market, entries: int, books: tuple[Any, ...]) -> Seat:
    seat = Seat(market, entries)
    for mine, theirs in zip(seat.accounts[:3], books, strict=True):
        mine[...] = theirs
    return seat
