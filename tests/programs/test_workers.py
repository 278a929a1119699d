from __future__ import annotations

import operator
import os
import time
from functools import partial
from pathlib import Path

import pytest

from foretrade.workers import WorkerError, run_parallel


def test_results_come_in_order_and_progress_is_shown(tmp_path):
    ticks: list[int] = []
    log = tmp_path / "log"
    results = run_parallel(operator.neg, range(7), workers=2, log=log, tick=lambda: ticks.append(1))
    assert results == [-x for x in range(7)]
    assert ticks
    assert run_parallel(operator.neg, [], workers=2, log=log) == []


def test_workers_have_one_thread_and_leave_no_trace_in_the_parent(tmp_path):
    before = dict(os.environ)
    names = ["OMP_NUM_THREADS", "TF_ENABLE_ONEDNN_OPTS"]
    assert run_parallel(os.getenv, names, workers=1, log=tmp_path / "log") == ["1", "0"]
    assert dict(os.environ) == before


def test_the_first_failure_stops_the_others(tmp_path):
    start = time.monotonic()
    with pytest.raises(ValueError, match="must be non-negative"):
        run_parallel(time.sleep, [60, -1], workers=2, log=tmp_path / "log")
    assert time.monotonic() - start < 30


def test_a_worker_that_dies_points_to_its_log(tmp_path):
    with pytest.raises(WorkerError, match=r"worker process died.*log"):
        run_parallel(os._exit, [3], workers=1, log=tmp_path / "log")


def test_standard_error_goes_to_the_log(tmp_path):
    log: Path = tmp_path / "logs" / "work.log"
    run_parallel(partial(os.write, 2), [b"one ", b"two "], workers=2, log=log)
    assert sorted(log.read_text().split()) == ["one", "two"]
