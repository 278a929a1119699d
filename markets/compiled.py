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
    """Compile a function that Python calls, and several threads at once; the code is kept on disk."""
    return _jit(function, cache=True, nogil=True)


def compiled_part(function: Function) -> Function:
    """Compile a phase that kernels call; it is kept on disk as a part of them."""
    return _jit(function)


def inlined(function: Function) -> Function:
    """Compile a function into each kernel that uses it."""
    return _jit(function, inline="always")


def bound(function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """The machine code of a compiled function for arguments of just these types.

    It skips the look-up by type, which takes half of a small call's time; the caller sees to the types.
    """
    signature = tuple(numba.typeof(argument) for argument in arguments)
    compiled_function: Any = function
    compiled_function.compile(signature)
    code: Callable[..., Any] = compiled_function.get_overload(signature)
    return code


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
