"""Accounts in blocks: how the ledger keeps the books of many accounts in memory.

A block holds ``LANES`` accounts in flat arrays: the values of a field stand side by side, an account is
one lane of each. The distances between fields are constants of the program, and what the account has,
what it holds of a symbol, and the workspace are separate arrays; so the compiler sees that loops over
the lanes do not interfere, and computes several accounts with each instruction. In the kernels
``a[CASH + j]`` is the cash of lane ``j``, and ``h[UNITS + j]`` its units of a symbol.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foretrade.markets.arrays import AnyArray, Floats, UInts, aligned

LANES = 128

ACCOUNT_FIELDS = ("cash", "equity", "cost_scale", "peak", "status", "memory", "memory2")
HOLDING_FIELDS = ("units", "entry", "held_bars", "pending")
CLOCK_FIELDS = ("row", "steps", "length", "market", "episode", "key")


def offsets(count: int) -> tuple[np.uint64, ...]:
    """Where the lanes of so many fields begin; unsigned, so that no index is tested for its sign."""
    return tuple(np.uint64(k * LANES) for k in range(count))


CASH, EQUITY, COST_SCALE, PEAK, STATUS, MEMORY, MEMORY2 = offsets(len(ACCOUNT_FIELDS))
UNITS, ENTRY, HELD_BARS, PENDING = offsets(len(HOLDING_FIELDS))
ROW, STEPS, LENGTH, MARKET, EPISODE, KEY = offsets(len(CLOCK_FIELDS))

ALIVE, RUINED, CALLED = 0.0, 1.0, 2.0
"""Status: solvent; equity was not positive; equity was below the maintenance margin."""


class Accounts(NamedTuple):
    """State of ``total`` accounts.

    Args:
        account: In quote currency, ``[blocks, ACCOUNT_FIELDS × LANES]``.
        holdings: Per symbol, ``[blocks, symbols, HOLDING_FIELDS × LANES]``.
        clock: ``[blocks, CLOCK_FIELDS × LANES]``: row, decisions taken and to be taken in the episode,
            which market, number of the episode, key of all that is drawn at random.
        total: Accounts; the last block may have lanes to spare.
    """

    account: Floats
    holdings: Floats
    clock: UInts
    total: int

    def view(self, name: str) -> AnyArray:
        """A field of every lane, to read and write: ``[blocks (, symbols), lanes]``."""
        for fields, array in (
            (ACCOUNT_FIELDS, self.account),
            (HOLDING_FIELDS, self.holdings),
            (CLOCK_FIELDS, self.clock),
        ):
            if name in fields:
                lanes: AnyArray = array.reshape(*array.shape[:-1], len(fields), LANES)
                return lanes[..., fields.index(name), :]
        raise KeyError(name)

    def get(self, name: str) -> AnyArray:
        """A copy of a field, ``[total]``, or ``[total, symbols]``."""
        view = self.view(name)
        rows = view if view.ndim == 2 else view.transpose(0, 2, 1)
        return rows.reshape(-1, *rows.shape[2:])[: self.total].copy()

    def put(self, name: str, values: AnyArray | float | np.uint64) -> None:
        """Set a field of every account; shaped as :meth:`get` returns it, or one value for all."""
        view = self.view(name)
        rows = np.zeros((view.shape[0] * LANES, *view.shape[1:-1]), dtype=view.dtype)
        rows[: self.total] = values
        rows = rows.reshape(view.shape[0], LANES, *view.shape[1:-1])
        view[...] = rows if view.ndim == 2 else rows.transpose(0, 2, 1)


def new_accounts(count: int, symbols: int = 1) -> Accounts:
    """Accounts without money."""
    blocks = -(-count // LANES)
    return Accounts(
        aligned(blocks, len(ACCOUNT_FIELDS) * LANES, page_offset=0),
        aligned(blocks, symbols, len(HOLDING_FIELDS) * LANES, page_offset=256),
        aligned(blocks, len(CLOCK_FIELDS) * LANES, dtype=np.uint64),
        count,
    )
