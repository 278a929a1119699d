"""Content hashes and atomic files: what makes long work repeatable and resumable."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from foretrade.errors import ForetradeError


class NoIdentityError(ForetradeError, TypeError):
    """A value that cannot be hashed to the same number tomorrow."""


def content_hash(*parts: Any) -> str:
    """SHA-256 (hex) of values made of scalars, strings, bytes, arrays, sequences and mappings.

    Arrays hash their dtype, shape and bytes; objects with ``get_params`` (scikit-learn's
    convention) hash their class, its source and their parameters.

    Raises:
        NoIdentityError: A value has no stable identity, such as a function defined in a notebook cell.
    """
    digest = hashlib.sha256()
    for part in parts:
        _feed(digest, part)
    return digest.hexdigest()


def _feed(digest: hashlib._Hash, value: Any) -> None:
    if value is None or isinstance(value, bool | int | float | str | np.generic):
        digest.update(f"{type(value).__name__}:{value!r};".encode())
    elif isinstance(value, bytes):
        digest.update(b"bytes:%d:" % len(value) + value)
    elif isinstance(value, np.ndarray):
        digest.update(f"array:{value.dtype.str}:{value.shape}:".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Mapping):
        digest.update(b"{")
        for key in sorted(value, key=str):
            _feed(digest, str(key))
            _feed(digest, value[key])
        digest.update(b"}")
    elif isinstance(value, Sequence):
        digest.update(b"[")
        for item in value:
            _feed(digest, item)
        digest.update(b"]")
    elif hasattr(value, "get_params") and not isinstance(value, type):
        _feed(digest, [_source(type(value)), value.get_params(deep=False)])
    elif isinstance(value, type) or inspect.isroutine(value):
        _feed(digest, _source(value))
    else:
        raise NoIdentityError(
            f"{type(value).__name__} {value!r} has no stable identity to hash; use numbers, texts, "
            "arrays or objects with get_params"
        )


def _source(thing: Any) -> list[str | bytes]:
    """What a class or function is: its name, and its library's version or the source around it.

    A user's own code is hashed with every module in its folder, because it may import them.
    """
    name = f"{thing.__module__}:{thing.__qualname__}"
    package = thing.__module__.partition(".")[0]
    file = getattr(sys.modules.get(thing.__module__), "__file__", None)
    if package == "__main__" or file is None:
        if package in sys.builtin_module_names or package in sys.stdlib_module_names:
            return [name]
        raise NoIdentityError(
            f"{name} has no source file to hash; define it in a module, or switch the cache off"
        )
    distributions = _distributions().get(package, [])
    if package != "foretrade" and distributions:
        return [name, *(f"{item}=={importlib.metadata.version(item)}" for item in distributions)]
    return [name, *_sources(Path(file).parent)]


@cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _sources(folder: Path) -> list[str | bytes]:
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".py", ".jinja", ".js"))
    return [part for path in paths for part in (path.name, path.read_bytes())]


@cache
def code_hash(*folders: str) -> str:
    """Hash of the source and templates in the named folders of the package; ``""`` is its own."""
    package = Path(__file__).parent
    return content_hash(*([folder, *_sources(package / folder)] for folder in folders))


@cache
def library_versions(*names: str) -> tuple[str, ...]:
    """``name==version`` of installed libraries, and the kind of processor."""
    versions = (f"{name}=={importlib.metadata.version(name)}" for name in names)
    return (*versions, f"{platform.machine()} {platform.processor()}")


def user_cache() -> Path:
    """``foretrade`` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "foretrade"


def file_hash(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of ``path`` that replaces it only if the block succeeds.

    The sibling may be written as a file or made a directory. A reader sees the old content or
    the new, never a part; a block that fails leaves nothing behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    temporary = holder / path.name
    try:
        yield temporary
        _fsync(temporary)
        if temporary.is_dir() and path.is_dir():
            path.rename(holder / "replaced")
        temporary.replace(path)
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def clear_partial(folder: Path) -> None:
    """Remove what writers that were killed have left of :func:`atomic_path` in a folder of one's own."""
    for left in folder.glob(".*.????????"):
        if left.is_dir():
            shutil.rmtree(left)


def _fsync(path: Path) -> None:
    for item in (path, *path.rglob("*")) if path.is_dir() else (path,):
        if item.is_file():
            descriptor = os.open(item, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON (no NaN) atomically, keys in the order given."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        ValueError: The file is not JSON; the message names it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); delete it to start anew") from error
