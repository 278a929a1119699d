"""Splits: which rows a model may learn from, and the dated blocks of an experiment."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from foretrade.markets.arrays import Ints
from foretrade.markets.bars import Bars, DataError


@dataclass(frozen=True)
class Fold:
    """One refit: learn from ``train`` rows, predict the rows ``start … stop - 1``.

    ``cutoff`` is the last row whose close the fit has seen, labels included.
    """

    number: int
    train: range
    cutoff: int
    start: int
    stop: int


@dataclass(frozen=True)
class WalkForward:
    """When to refit, and on what.

    Args:
        refit_every_bars: Length of the block that one fit predicts.
        warm_up_bars: Rows, counted from the first complete one, before the first refit.
        embargo_bars: Bars between the resolution of the last training label and the refit.
        window_bars: Longest training window; 0 lets it grow from the start.
    """

    refit_every_bars: int = 126
    warm_up_bars: int = 504
    embargo_bars: int = 1
    window_bars: int = 0

    def __post_init__(self) -> None:
        if self.refit_every_bars < 1 or self.warm_up_bars < 1:
            raise ValueError("refit_every_bars and warm_up_bars must be at least 1")
        if self.embargo_bars < 0 or self.window_bars < 0:
            raise ValueError("embargo_bars and window_bars must not be negative")

    def folds(self, first_row: int, rows: int, resolution_bars: int) -> Iterator[Fold]:
        """Folds over rows ``first_row … rows - 1``; the calendar hangs on the start alone.

        The fit before row ``r`` uses row ``i`` only if its label was resolved
        ``embargo_bars`` before, that is ``i + resolution_bars <= r - embargo_bars``.
        """
        starts = range(first_row + self.warm_up_bars, rows, self.refit_every_bars)
        for number, start in enumerate(starts):
            train = self.training_rows(first_row, start, resolution_bars)
            if len(train) < 2:
                raise DataError(
                    f"warm_up_bars = {self.warm_up_bars} leaves {len(train)} rows to learn from; "
                    "raise it"
                )
            stop = min(start + self.refit_every_bars, rows)
            yield Fold(number, train, start - self.embargo_bars, start, stop)

    def training_rows(self, first_row: int, row: int, resolution_bars: int) -> range:
        """Rows that a fit before ``row`` may learn from: resolved ``embargo_bars`` before it."""
        stop = max(first_row, row - self.embargo_bars - resolution_bars + 1)
        oldest = max(first_row, stop - self.window_bars) if self.window_bars else first_row
        return range(oldest, stop)


def purge(train: Ints, test: range, *, resolution_bars: int, embargo_bars: int) -> Ints:
    """Training rows that share nothing with a test block.

    Drops rows whose label interval ``[row, row + resolution_bars]`` touches the test block, and
    those within ``embargo_bars`` after the last test label (López de Prado 2018, ch. 7).
    """
    before = train + resolution_bars < test.start
    after = train > test.stop - 1 + resolution_bars + embargo_bars
    return train[before | after]


@dataclass(frozen=True)
class Blocks:
    """Dated blocks of one experiment; each runs to the day before the next begins.

    Args:
        train: First day of policy training (ISO date, exchange calendar).
        validation: First day of the block that chooses checkpoints and settings.
        test: First day of the block that is scored once.
        end: Last day of the test block; empty runs to the end of the data.
    """

    train: str = "2003-01-01"
    validation: str = "2012-01-01"
    test: str = "2014-01-01"
    end: str = ""

    def rows(self, bars: Bars) -> dict[str, range]:
        """Rows of each block.

        Rewards of a block end at the close of its last bar, and the first decision of the next
        is taken at the close of its own first bar: blocks share no return.

        Raises:
            DataError: A date is not a date, or a block holds fewer than two bars.
        """
        edges = [self._row(bars, name) for name in ("train", "validation", "test")]
        end = bars.dates.searchsorted(_date("end", self.end), side="right") if self.end else len(bars)
        edges.append(int(end))
        blocks: dict[str, range] = {}
        for name, start, stop in zip(("train", "validation", "test"), edges, edges[1:], strict=False):
            if stop - start < 2:
                raise DataError(
                    f"{bars.source}: block {name!r} holds {max(0, stop - start)} bars between "
                    f"{bars.dates[0].date()} and {bars.dates[-1].date()}; move the dates under [blocks]"
                )
            blocks[name] = range(start, stop)
        return blocks

    def rolled(self, bars: Bars, folds: int) -> list[dict[str, range]]:
        """The blocks as they stand before each of so many consecutive folds of the test block.

        A fold is its share of the test block's decisions; its last return ends at the close at which the
        next fold takes its first decision. Training begins where it always does; validation keeps its
        length and ends right before the fold. So the first fold learns from the blocks themselves, and
        no fold from a bar at or after the close of its own first decision.

        Raises:
            DataError: As :meth:`rows`; or a fold would hold no decision.
        """
        blocks = self.rows(bars)
        decisions, held_out = blocks["test"][:-1], len(blocks["validation"])
        if not 1 <= folds <= len(decisions):
            raise DataError(
                f"{bars.source}: {len(decisions)} decisions of the test block cannot be split into "
                f"{folds} folds; begin it earlier (blocks.test), or lower league.folds"
            )
        starts = [decisions[int(part[0])] for part in np.array_split(np.arange(len(decisions)), folds)]
        return [
            {
                "train": range(blocks["train"].start, start - held_out),
                "validation": range(start - held_out, start),
                "test": range(start, stop + 1),
            }
            for start, stop in pairwise([*starts, decisions.stop])
        ]

    def _row(self, bars: Bars, name: str) -> int:
        return int(bars.dates.searchsorted(_date(name, getattr(self, name))))


def _date(name: str, text: str) -> pd.Timestamp:
    try:
        return pd.Timestamp(datetime.date.fromisoformat(text))
    except ValueError as error:
        raise DataError(f"blocks.{name} = {text!r} is not a date such as 2014-01-01") from error
