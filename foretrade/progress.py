"""Progress bars of long work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def progress(
    console: Console, title: str, totals: Mapping[str, int]
) -> Iterator[Callable[[Mapping[str, int]], None]]:
    """A progress bar a part; yields the function that moves them."""
    columns = (
        TextColumn("{task.description:<32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as bars:
        tasks = {name: bars.add_task(f"{title}: {name}", total=n) for name, n in totals.items()}

        def show(completed: Mapping[str, int]) -> None:
            for name, done in completed.items():
                if name in tasks:
                    bars.update(tasks[name], completed=done)

        yield show
        show(totals)
