"""Local worker processes: one thread each, the same bits as in sequence, watched while they work."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from foretrade.errors import ForetradeError

Item = TypeVar("Item")
Result = TypeVar("Result")

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "CUDA_VISIBLE_DEVICES": "-1",
}
TICK_SECONDS = 0.25


class WorkerError(ForetradeError, RuntimeError):
    """A worker process ended without a result."""


def run_parallel(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int,
    log: Path,
    tick: Callable[[], None] = lambda: None,
) -> list[Result]:
    """``[function(item) for item in items]`` in spawned processes, longest first if so ordered.

    Args:
        workers: Number of processes; 0 takes one a core.
        log: File that collects what the workers write to standard error.
        tick: Called a few times a second while they work, to show progress.

    Raises:
        Exception: The first one that a worker raised; the others are stopped.
        WorkerError: A worker died.
    """
    if not items:
        return []
    log.parent.mkdir(parents=True, exist_ok=True)
    count = min(workers or os.cpu_count() or 1, len(items))
    spawn = multiprocessing.get_context("spawn")
    with _environment(ONE_THREAD), ProcessPoolExecutor(count, spawn, _start, (log,)) as pool:
        futures = [pool.submit(function, item) for item in items]
        try:
            pending = set(futures)
            while pending:
                done, pending = wait(pending, TICK_SECONDS, FIRST_EXCEPTION)
                for future in done:
                    future.result()
                tick()
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            if isinstance(error, BrokenProcessPool):
                raise WorkerError(
                    f"a worker process died (out of memory, or killed?); {log} may say why; what was "
                    "finished is kept: run the same command again"
                ) from error
            raise
        return [future.result() for future in futures]


def _start(log: Path) -> None:
    """In a fresh worker: leave Ctrl-C to the parent, and standard error to the log; end with the
    parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent cannot stop its workers, and whoever goes on must not meet them."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Environment variables that processes started inside inherit."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
