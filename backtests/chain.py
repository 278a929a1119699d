"""An append-only file of records, each line holding the hash of the line before.

No line can be changed, taken out, put in or moved without a fault that names it. The chain alone
cannot show that its end is missing: who appends keeps the :class:`Head` that it is given.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from foretrade.errors import ForetradeError

Record: TypeAlias = dict[str, Any]
START = "0" * 64  # what the first line follows


class ChainError(ForetradeError, ValueError):
    """A file to which nothing can be appended."""


@dataclass(frozen=True)
class Head:
    """The end of a chain: how many lines it has, and the SHA-256 of the last."""

    length: int
    line: str


class Chain:
    """Records in a file, one JSON object a line.

    ``number`` (from 1) and ``previous`` (SHA-256 of the line before, without its line feed) stand
    before the record's own values. Many processes may append at the same time (a lock of the
    operating system, which ends with its process; on network file systems it may not hold).

    Args:
        path: Of the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, records: Iterable[Record], key: Callable[[Record], Hashable]) -> Head:
        """Append the records whose key is not there yet, in one write; returns the new end.

        Raises:
            ChainError: A crash has left a part of a line at the end.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file, _locked(file, fcntl.LOCK_EX):
            file.seek(0)
            lines = file.read().split(b"\n")
            if lines.pop():
                raise ChainError(
                    f"{self._place(len(lines) + 1)} is torn: a crash cut its writing short, and it "
                    "counts for nothing; delete this last line, and run the same command again"
                )
            known = {key(record) for record in _readable(lines)}
            head, new = _head(lines), b""
            for record in records:
                if key(record) not in known:
                    known.add(key(record))
                    line = _line(record, head)
                    new, head = new + line + b"\n", Head(head.length + 1, _sha256(line))
            if new:
                file.write(new)
                file.flush()
                os.fsync(file.fileno())
        return head

    def records(self) -> list[Record]:
        """Those that can be read, of a broken chain too; ``faults`` says whether it is one."""
        return list(_readable(self._lines()[0]))

    def faults(self, heads: Mapping[str, Head]) -> list[str]:
        """What is wrong, each naming its line; empty if the chain is whole.

        Args:
            heads: Ends that were once returned by ``append``, by who keeps them.
        """
        lines, torn = self._lines()
        found = []
        before = START
        for number, line in enumerate(lines, 1):
            fault = _fault(line, number, before)
            if fault:
                found.append(f"{self._place(number)} {fault}")
            before = _sha256(line)
        if torn:
            found.append(f"{self._place(len(lines) + 1)} is torn: a crash cut its writing short")
        for keeper, head in heads.items():
            if head.length > len(lines):
                found.append(
                    f"{self._place(len(lines) + 1)} is missing: there were {head.length} lines when "
                    f"{keeper} was recorded"
                )
            elif _head(lines[: head.length]) != head:
                found.append(f"{self._place(head.length)} is not the one that {keeper} has noted")
        return found

    def _lines(self) -> tuple[list[bytes], bytes]:
        """Whole lines, and what comes after the last line feed."""
        if not self.path.is_file():
            return [], b""
        with self.path.open("rb") as file, _locked(file, fcntl.LOCK_SH):
            *lines, rest = file.read().split(b"\n")
        return lines, rest

    def _place(self, number: int) -> str:
        return f"{self.path}: line {number}"


@contextmanager
def _locked(file: BinaryIO, mode: int) -> Iterator[None]:
    fcntl.flock(file, mode)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _line(record: Record, head: Head) -> bytes:
    numbered = {"number": head.length + 1, "previous": head.line, **record}
    return json.dumps(numbered, allow_nan=False, ensure_ascii=False).encode()


def _head(lines: list[bytes]) -> Head:
    return Head(len(lines), _sha256(lines[-1]) if lines else START)


def _sha256(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _readable(lines: list[bytes]) -> Iterator[Record]:
    for line in lines:
        record = _parsed(line)
        if record is not None:
            yield record


def _parsed(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "number" in record else None


def _fault(line: bytes, number: int, before: str) -> str:
    record = _parsed(line)
    if record is None:
        return "is no record"
    if record.get("previous") != before:
        what = (
            f"does not follow line {number - 1}: one of them" if number > 1 else "begins no record: it"
        )
        return f"{what} was changed, moved, put in or taken out"
    if record.get("number") != number:
        return f"has the number {record.get('number')!r}"
    return ""
