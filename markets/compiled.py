"""Compiled functions: numba as the kernels need it, with a cache that cannot be stale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

from foretrade.storage import code_hash, user_cache

Function = TypeVar("Function", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {
    "error_model": "numpy",  # no test for division by zero in the loops
    # Kernels allocate nothing. Counting references to the arrays of a tuple at each access would take
    # ten times as long as the arithmetic.
    "_nrt": False,
}


def compiled(function: Function) -> Function:
    """Compile a function that Python calls; the machine code is kept on disk."""
    return _jit(function, cache=True)


def inlined(function: Function) -> Function:
    """Compile a function into each kernel that uses it."""
    return _jit(function, inline="always")


def _jit(function: Function, **options: Any) -> Function:
    """``numba.njit`` with a cache folder for just this source.

    numba looks at a function's own file alone to see whether its cache is valid; a kernel would keep
    an old ledger inlined in it. The folder is set only while the function is decorated.
    """
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(_cache_folder())
    try:
        wrapped: Function = numba.njit(function, **OPTIONS, **options)
    finally:
        numba.config.CACHE_DIR = before
    return wrapped


def _cache_folder() -> Path:
    return user_cache() / "kernels" / code_hash("markets", "envs")[:16]
