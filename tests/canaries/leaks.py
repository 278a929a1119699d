"""The catalogue: planted leaks that the no-peek check must catch, clean parts on which it stays silent.

Most leaks have a clean relative that does the same thing rightly with the same helpers: what is caught
is the leak and nothing else. A part is a function of bars, or of bars and releases; its docstring says
what it does, for the table in docs/no_peeking.md that ``detection.py`` writes.
"""

from __future__ import annotations

import inspect
from functools import cache

import numpy as np
import pandas as pd
from canaries import feature_parts, forecast_parts
from canaries.trial import BARS, RANDOM_CUTS, REFIT_CUTS, RELEASES

from foretrade.markets.bars import Bars
from foretrade.markets.nopeek import Compute, Peek, find_peeks
from foretrade.markets.table import Table

LEAKS = feature_parts.LEAKS | forecast_parts.LEAKS
CLEAN = feature_parts.CLEAN | forecast_parts.CLEAN
CUTS = [*RANDOM_CUTS, *REFIT_CUTS]
MOVED_BARS = 30


@cache
def peeks(part: Compute) -> tuple[Peek, ...]:
    """What the check finds in a part, at random cuts and then at refits."""
    return tuple(find_peeks(part, BARS, CUTS, releases=_releases(part)))


@cache
def peeks_if_moved(part: Compute) -> tuple[Peek, ...]:
    """What noise shows at refits if every row is replaced by the one ``MOVED_BARS`` later.

    A clean part becomes a leak by that; if it is not caught, there was nothing in it to catch.
    """

    def moved(*world: Bars | pd.DataFrame) -> np.ndarray:
        return np.roll(values(part(*world)), -MOVED_BARS, axis=0)

    found = find_peeks(moved, BARS, REFIT_CUTS, releases=_releases(part))
    return tuple(peek for peek in found if peek.probe == "replaced by noise")


def output(part: Compute) -> np.ndarray:
    """What a part gives on the unchanged bars."""
    return values(part(BARS) if _releases(part) is None else part(BARS, RELEASES))


def values(rows: Table | np.ndarray) -> np.ndarray:
    return rows.values if isinstance(rows, Table) else np.asarray(rows)


def _releases(part: Compute) -> pd.DataFrame | None:
    return RELEASES if len(inspect.signature(part).parameters) == 2 else None
