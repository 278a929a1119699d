"""Measurements over many cases: units of work that keep their results, and pages that show them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from rich.console import Console
from scipy import stats

from foretrade.backtests.cells import markdown
from foretrade.errors import ForetradeError
from foretrade.progress import progress
from foretrade.rundir import LIBRARIES
from foretrade.storage import (
    code_hash,
    content_hash,
    file_hash,
    library_versions,
    read_json,
    write_json,
    write_text,
)
from foretrade.workers import run_parallel

MARKER = "<!-- measured -->"
"""What stands before it in a document is written by people, what follows by a program."""

Case = TypeVar("Case")


@dataclass(frozen=True)
class Unit(Generic[Case]):
    """Some cases, and the file that keeps what came out of them.

    Args:
        function: Measures one case: a function of a module, for the sake of other processes, that gives
            a dataclass of numbers.
    """

    function: Callable[[Case], Any]
    cases: tuple[Case, ...]
    path: Path


def run_unit(unit: Unit[Any]) -> None:
    """Measure the cases of a unit, and keep what comes out."""
    write_json(unit.path, [asdict(unit.function(case)) for case in unit.cases])


def measured(
    function: Callable[[Case], Any],
    cases: Sequence[Case],
    *,
    title: str,
    depends_on: Sequence[str],
    settings: str = "",
    folder: Path,
    workers: int,
    console: Console,
    cases_per_unit: int = 1,
) -> list[dict[str, Any]]:
    """What ``function`` finds of each case, in processes; goes on where it was interrupted.

    Args:
        title: Of the bar of progress.
        depends_on: Folders of the package whose code the results depend on, beside the module of
            ``function`` and the libraries.
        settings: What else they depend on.
        folder: Keeps what is finished, under the hash of all this and of the cases.
    """
    own = file_hash(Path(inspect.getfile(function)))
    code = [own, code_hash(*depends_on), *library_versions(*LIBRARIES), settings]
    steps = range(0, len(cases), cases_per_unit)
    units = []
    for part in (tuple(cases[k : k + cases_per_unit]) for k in steps):
        key = content_hash([asdict(case) for case in part], code)  # type: ignore[call-overload]
        units.append(Unit(function, part, folder / f"{key[:32]}.json"))

    def finished() -> dict[str, int]:
        return {"cases": sum(len(unit.cases) for unit in units if unit.path.is_file())}

    with progress(console, title, {"cases": len(cases)}) as show:
        run_parallel(
            run_unit,
            [unit for unit in units if not unit.path.is_file()],
            workers=workers,
            log=folder / f"{title}.log",
            tick=lambda: show(finished()),
        )
    return [found for unit in units for found in read_json(unit.path)]


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Mean of independent values, such as one a seed, and its interval (Student 1908); NaN for one."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, math.nan, math.nan
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    reach = error * float(stats.t.ppf((1 + level) / 2, len(values) - 1))
    return mean, mean - reach, mean + reach


def with_interval(values: Sequence[float]) -> str:
    """Mean and interval, as a table shows them."""
    mean, low, high = mean_interval(values)
    return f"{mean:.2f}" if math.isnan(low) else f"{mean:.2f} ({low:.2f} to {high:.2f})"


def markdown_table(rows: Iterable[Sequence[str]]) -> str:
    """The first row is the head."""
    head, *body = rows
    return markdown(head, body).rstrip()


def write_measured(document: Path, text: str) -> None:
    """Put what was measured behind the marker of a document.

    Raises:
        ForetradeError: The document is not there: this is no checkout of the repository.
    """
    if not document.is_file():
        raise ForetradeError(f"{document} is not there; write from a checkout of the repository")
    head = document.read_text(encoding="utf-8").partition(MARKER)[0]
    write_text(document, f"{head}{MARKER}\n\n{text}\n")
