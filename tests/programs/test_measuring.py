"""Units of work that keep their results, and what is told of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from io import StringIO

import pytest
from rich.console import Console
from scipy import stats

from foretrade.errors import ForetradeError
from foretrade.measuring import (
    MARKER,
    markdown_table,
    mean_interval,
    measured,
    with_interval,
    write_measured,
)


@dataclass(frozen=True)
class Case:
    number: int


@dataclass(frozen=True)
class Found:
    square: int


def square(case):
    return Found(case.number**2)


def run(folder, numbers, **options):
    settings = {
        "title": "squares",
        "depends_on": ["markets"],
        "workers": 1,
        "console": Console(file=StringIO()),
    }
    return measured(square, [Case(n) for n in numbers], folder=folder, **(settings | options))


def test_what_was_measured_is_kept_by_content(tmp_path, monkeypatch):
    monkeypatch.setattr("foretrade.measuring.run_parallel", lambda do, units, **_: list(map(do, units)))
    assert run(tmp_path, [1, 2, 3], cases_per_unit=2) == [{"square": n} for n in (1, 4, 9)]
    assert len(list(tmp_path.glob("*.json"))) == 2
    (kept,) = (path for path in tmp_path.glob("*.json") if "9" in path.read_text())
    kept.write_text('[{"square": 10}]')
    assert run(tmp_path, [1, 2, 3], cases_per_unit=2)[-1] == {"square": 10}  # read, not computed anew
    assert run(tmp_path, [3], settings="2") == [{"square": 9}]  # on other terms, other results


def test_the_interval_of_a_mean_is_students():
    values = [1.0, 2.0, 4.0, 1.5]
    mean, low, high = mean_interval(values)
    expected = stats.t.interval(0.95, 3, loc=2.125, scale=stats.sem(values))
    assert (mean, low, high) == pytest.approx((2.125, *expected))
    assert math.isnan(mean_interval([1.0])[1])
    assert with_interval([1.0]) == "1.00"
    assert with_interval([1.0, 2.0]).startswith("1.50 (")


def test_documents_keep_what_people_wrote(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Ours\n\n{MARKER}\n\nold\n")
    write_measured(page, markdown_table([["a", "b"], ["1", "2"]]))
    assert page.read_text() == f"# Ours\n\n{MARKER}\n\n| a | b |\n| --- | --: |\n| 1 | 2 |\n"
    with pytest.raises(ForetradeError, match="checkout"):
        write_measured(tmp_path / "none.md", "")
