"""Combinatorial purged cross-validation: many paths through one history."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from foretrade.markets.arrays import Floats, Ints
from foretrade.markets.splits import purge


@dataclass(frozen=True)
class CombinatorialPurged:
    """Each choice of ``test_blocks`` among ``blocks`` of neighbouring rows is a test set once.

    López de Prado (2018, Advances in Financial Machine Learning, ch. 12). From the training rows those
    are purged whose labels touch a test block, on both sides, and those within the embargo after it
    (:func:`~foretrade.markets.splits.purge`). Every block is tested in several splits; put together they
    are :attr:`number_of_paths` forecasts of the whole history. Training rows also follow the test rows:
    it asks how much a result hangs on the course that history took, and is no substitute for a walk
    forward.

    It has the shape of a scikit-learn splitter, for ``cross_val_score`` and ``GridSearchCV``. If the
    number of blocks does not divide the rows, the first blocks have one row more.

    Args:
        blocks: That the rows are cut into.
        test_blocks: Of each split.
        resolution_bars: Bars after which a label is known: fill lag plus horizon.
        embargo_bars: Rows left out after the last label of a test block, on top of the purge; give what
            the features look back if that is what may leak.
    """

    blocks: int = 6
    test_blocks: int = 2
    resolution_bars: int = 1
    embargo_bars: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.test_blocks < self.blocks:
            raise ValueError(
                f"test_blocks must lie between 1 and blocks - 1, got {self.test_blocks} of {self.blocks}"
            )
        if self.resolution_bars < 0 or self.embargo_bars < 0:
            raise ValueError("resolution_bars and embargo_bars must not be negative")

    @property
    def number_of_paths(self) -> int:
        """How often each block is tested."""
        return math.comb(self.blocks - 1, self.test_blocks - 1)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of splits; the arguments are those of scikit-learn and do not matter."""
        return math.comb(self.blocks, self.test_blocks)

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Ints, Ints]]:
        """Training and test rows of each split, ascending; ``X`` has a length, ``y`` does not matter.

        Raises:
            ValueError: Fewer rows than blocks, or a split without a training row.
        """
        edges = self._edges(len(X))
        rows = np.arange(len(X), dtype=np.int64)
        for tested in self._choices():
            train = rows
            for block in tested:
                train = purge(
                    train,
                    range(edges[block], edges[block + 1]),
                    resolution_bars=self.resolution_bars,
                    embargo_bars=self.embargo_bars,
                )
            if not len(train):
                raise ValueError(
                    f"the split that tests the blocks {tested} of {len(X)} rows has nothing to learn "
                    "from: lower blocks, test_blocks or embargo_bars"
                )
            yield train, np.concatenate([rows[edges[b] : edges[b + 1]] for b in tested])

    def paths(self, forecasts: Sequence[Floats]) -> Floats:
        """The forecasts of all splits, put together: ``[paths, rows]``.

        Path ``p`` takes each block from the ``p``-th split that tests it.

        Args:
            forecasts: Of each split, in the order of :meth:`split`, one value for each of its test rows.

        Raises:
            ValueError: The forecasts are not those of the splits.
        """
        choices = list(self._choices())
        if len(forecasts) != len(choices):
            raise ValueError(f"{len(choices)} splits need as many forecasts, got {len(forecasts)}")
        rows = sum(map(len, forecasts)) // self.number_of_paths
        edges = self._edges(rows)
        paths, taken = np.empty((self.number_of_paths, rows)), [0] * self.blocks
        for tested, forecast in zip(choices, forecasts, strict=True):
            lengths = [edges[block + 1] - edges[block] for block in tested]
            if len(forecast) != sum(lengths):
                raise ValueError(
                    f"the split that tests the blocks {tested} has {sum(lengths)} test rows, "
                    f"got {len(forecast)} forecasts"
                )
            parts = np.split(np.asarray(forecast, dtype=np.float64), np.cumsum(lengths)[:-1])
            for block, part in zip(tested, parts, strict=True):
                paths[taken[block], edges[block] : edges[block + 1]] = part
                taken[block] += 1
        return paths

    def _choices(self) -> Iterator[tuple[int, ...]]:
        return combinations(range(self.blocks), self.test_blocks)

    def _edges(self, rows: int) -> list[int]:
        if rows < self.blocks:
            raise ValueError(f"{rows} rows cannot be cut into {self.blocks} blocks")
        longer = np.arange(self.blocks) < rows % self.blocks
        return [0, *np.cumsum(rows // self.blocks + longer).tolist()]
