"""Where a batch shows what its accounts see: two arrays in turn, along which windows slide.

The window of a step is that of the step before less its oldest bar, and one bar more. So an array is
used again some entries further on in its memory: the bars that a window keeps stand where they have
to, and only its newest are written. What comes behind an account's window then stands on the oldest
bars of the next account's, which are seen no more; so the arrays stay contiguous, and no account needs
more room.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from foretrade.envs.stage import NOWHERE, Market
from foretrade.envs.writing import SLIDE
from foretrade.markets.arrays import AnyArray, Float32s, Ints, UInts, writable

PLACES = 64  # of an array in its memory; then it begins again at the first, and writes windows whole


class Screens:
    """Two arrays ``[accounts, entries]`` to write observations into, in turn.

    Args:
        shape: Of each.
        each: Entries of a bar of the window, if windows slide; 0 has them written whole.
        shown: For the kernel: which windows stand in the arrays (``Outcome.shown``).
        buffers: Arrays of the caller's instead, in which nothing slides.

    Raises:
        ValueError: The buffers do not serve.

    Attributes:
        side: Number of the array whose turn it is.
        seen: That array, for the kernel.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        each: int,
        shown: UInts,
        buffers: tuple[Float32s, Float32s] | None = None,
    ) -> None:
        self.shown, self._shape, self._step = shown, shape, each * int(SLIDE)
        self._places, self._are_callers = PLACES if each else 1, buffers is not None
        length = shape[0] * shape[1] + (self._places - 1) * self._step
        if buffers is not None:
            _check(buffers, shape)
        own = (np.zeros(length, dtype=np.float32), np.zeros(length, dtype=np.float32))
        self._memory = own if buffers is None else buffers
        self.side, self._at = 0, [0, 0]
        self._lay_out()

    def turn(self) -> None:
        """Go on to the other array; what this one shows stays until it is its turn again."""
        side = 1 - self.side
        at = (self._at[side] + 1) % self._places
        if at == 0:
            self.shown[side] = NOWHERE
        self._go_to(side, at)

    def turn_back(self) -> None:
        """Undo :meth:`turn`; nothing was written since."""
        self._at[self.side] = (self._at[self.side] - 1) % self._places
        self._go_to(1 - self.side, self._at[1 - self.side])

    def show(self, seen: Float32s) -> None:
        """Show what was seen elsewhere."""
        self.seen[...] = seen
        self.shown[self.side] = NOWHERE

    def view(self) -> Float32s:
        """What is seen; unless the array is the caller's, it cannot be written to: windows to come begin
        with it."""
        return self._views[self.side][self._at[self.side]]

    def _go_to(self, side: int, at: int) -> None:
        self.side, self._at[side] = side, at
        self.seen = self._arrays[side][at]

    def _lay_out(self) -> None:
        size = self._shape[0] * self._shape[1]
        self._arrays = [
            [
                memory.reshape(-1)[start : start + size].reshape(self._shape)
                for start in (self._step * k for k in range(self._places))
            ]
            for memory in self._memory
        ]
        if self._are_callers:
            self._views = [[buffer] for buffer in self._memory]
        else:
            self._views = [[_shielded(array) for array in arrays] for arrays in self._arrays]
        self._go_to(self.side, self._at[self.side])

    def __getstate__(self) -> dict[str, Any]:
        views = ("_arrays", "_views", "seen")
        return {name: value for name, value in self.__dict__.items() if name not in views}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        first, second = self._memory
        self._memory = writable(first), writable(second)
        self._lay_out()


class LastSeen:
    """What accounts that ended saw last, as Gymnasium tells it: an array with ``None`` for the others.

    Args:
        shape: Accounts, and entries of what each sees.
        split: Makes of an account's entries what is told of it, if that is not an array.
        anew: Whether all is made anew each time, which takes as long as some steps of those accounts.
    """

    def __init__(
        self, shape: tuple[int, int], split: Callable[[Float32s], Any] | None, *, anew: bool
    ) -> None:
        self._shape, self._split, self._anew = shape, split, anew
        self._told: AnyArray = np.empty(shape[0], dtype=object)
        self._which = np.zeros(0, dtype=np.int64)
        self._rows: AnyArray | None = None

    def told(self, which: Ints, shown: Float32s) -> AnyArray:
        """The array, for what is ``shown`` of the accounts ``which``, ``[len(which), entries]``."""
        if self._anew:
            self._told = np.empty(self._shape[0], dtype=object)
        else:
            self._told[self._which] = None
            self._which = which.copy()
        if self._anew or self._split is not None:
            each = shown.copy() if self._split is None else map(self._split, shown.copy())
            self._told[which] = np.fromiter(each, dtype=object, count=len(which))
        else:
            self._told[which] = self._kept(which, shown)
        return self._told

    def _kept(self, which: Ints, shown: Float32s) -> AnyArray:
        """The accounts' own rows of one array, made when first somebody ends."""
        if self._rows is None:
            self._memory = np.zeros(self._shape, dtype=np.float32)
            self._rows = np.fromiter(self._memory, dtype=object, count=self._shape[0])
        self._memory[which] = shown
        rows: AnyArray = self._rows[which]
        return rows

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_rows": None, "_memory": None}


def sliding_entries(market: Market) -> int:
    """Entries of a bar of the window, if it is long enough for a part of it to stay; else 0."""
    return market.window.shape[1] if market.lookback_bars > SLIDE else 0


def _check(buffers: tuple[Float32s, Float32s], shape: tuple[int, int]) -> None:
    fit = [b.shape == shape and b.dtype == np.float32 and b.flags.carray for b in buffers]
    if fit != [True, True] or np.shares_memory(*buffers):
        raise ValueError(
            f"buffers must be two different writable contiguous float32 arrays of shape {shape}"
        )


def _shielded(array: Float32s) -> Float32s:
    view = array.view()
    view.setflags(write=False)
    return view
