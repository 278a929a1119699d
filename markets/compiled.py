"""Compiled functions: numba as the kernels need it, with a cache that cannot be stale."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba.core.cpu import CPUTargetOptions
from numba.core.options import TargetOptions
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype

from foretrade.storage import code_hash, user_cache

Function = TypeVar("Function", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {
    "error_model": "numpy",  # no test for division by zero in the loops
    # Kernels allocate nothing. Counting references to the arrays of a tuple at each access would take
    # ten times as long as the arithmetic.
    "_nrt": False,
}


CPUTargetOptions.noalias = TargetOptions.Mapping("noalias")  # numba has it, but not for its users
UNSEEN: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Of functions that Python never calls; without a way in from there they compile faster."""
DISTINCT: dict[str, Any] = UNSEEN | {"noalias": True}
"""Of those that are never given two arrays which share memory: no loop has to see whether they do."""


def compiled(function: Function) -> Function:
    """Compile a function that Python calls, and several threads at once; the code is kept on disk."""
    return _jit(function, cache=True, nogil=True)


def compiled_part(function: Function) -> Function:
    """Compile a function that kernels call; it is kept on disk as a part of them."""
    return _jit(function, **DISTINCT)


def compiled_apart(function: Function) -> Function:
    """The same for a long loop, which begins with :func:`stand_alone`: what a kernel holds in registers
    would leave none to it."""
    return _jit(function, forceinline=False, **UNSEEN)


def compiled_phase(function: Function) -> Function:
    """The same for the phases of a step by the default settings: each kernel gets a copy of the machine
    code, in that for one account without the loops over accounts."""
    return _jit(function, forceinline=True, **DISTINCT)


def inlined(function: Function) -> Function:
    """Compile a function as if its source stood where it is used."""
    return _jit(function, inline="always")


@cache
def bound(function: Callable[..., Any], *kinds: Any) -> Callable[..., Any]:
    """The machine code of a compiled function for arguments of just these types of numba's.

    It skips the look-up by type, which takes half of a small call's time. Nothing but the size of an
    array's items and its dimensions is looked at: the caller sees to the rest.
    """
    compiled_function: Any = function
    with _without_collection():
        compiled_function.compile(kinds)
    code: Callable[..., Any] = compiled_function.get_overload(kinds)
    return code


@contextmanager
def _without_collection() -> Iterator[None]:
    """Nothing that is made meanwhile is looked at to see whether it is garbage: to compile makes much
    that is not."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class Packed:
    """Values that compiled code finds at an ``address``, for as long as this object lives.

    numba unpacks arrays at each call anew, which for two dozen takes half as long as one account's step.

    Args:
        kind: numba's type of the values, a tuple.
        values: Arrays and whole numbers, nested as ``kind`` is; the arrays themselves are written to.

    Raises:
        TypeError: The values are of other types, or an array is not laid out as the type says.
    """

    def __init__(self, kind: Any, values: Any) -> None:
        _check_kind(values, kind)
        self._memory = np.array(list(_words(values)), dtype=np.int64)
        if self._memory.nbytes != _size(kind):
            raise TypeError(f"{kind} is not laid out as expected of this version of numba")
        self._values = values  # their arrays are what the memory points to
        self.address = self._memory.ctypes.data


def _words(value: Any) -> Iterator[int]:
    """What numba keeps of whole numbers and arrays, nested in tuples: of an array its owner, size,
    place, shape and strides."""
    if isinstance(value, tuple):
        for one in value:
            yield from _words(one)
    elif isinstance(value, np.ndarray):
        yield from (0, 0, value.size, value.itemsize, value.ctypes.data, *value.shape, *value.strides)
    else:
        yield int(value)


def _check_kind(value: Any, kind: Any) -> None:
    if isinstance(kind, numba.types.BaseTuple):
        for one, its_kind in zip(value, kind, strict=True):
            _check_kind(one, its_kind)
        return
    fits = isinstance(value, int | np.integer)
    if isinstance(kind, numba.types.Array):
        fits = (
            isinstance(value, np.ndarray)
            and value.dtype == _dtype(kind.dtype)
            and value.ndim == kind.ndim
            and value.flags.c_contiguous
            and value.flags.aligned
            and (value.flags.writeable or not kind.mutable)
        )
    if not fits:
        raise TypeError(f"{numba.typeof(value)} cannot serve as {kind}")


@cache
def _dtype(kind: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = as_dtype(kind)
    return dtype


@cache
def _size(kind: Any) -> int:
    target = cpu_target.target_context
    size: int = target.get_abi_sizeof(target.get_value_type(kind))
    return size


def loader(kind: Any) -> Callable[[int], Any]:
    """A compiled function: address of :class:`Packed` values of a type → the values."""

    @intrinsic  # type: ignore[untyped-decorator]
    def load(_context: Any, address: Any) -> Any:
        def build(target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            pointer = target.get_value_type(kind).as_pointer()
            return builder.load(builder.inttoptr(arguments[0], pointer))

        return kind(address), build

    function: Callable[[int], Any] = load
    return function


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


@intrinsic  # type: ignore[untyped-decorator]
def choose(_context: Any, condition: Any, one: Any, other: Any) -> Any:
    """In compiled code: ``one if condition else other``, both of them computed, without a branch.

    LLVM makes of ``x[j] = y if c else x[j]`` a store that happens only if ``c``; on some processors a
    loop with a vector of these takes several times as long as without.
    """

    def build(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.select(*arguments)

    return numba.float64(numba.boolean, numba.float64, numba.float64), build


@intrinsic  # type: ignore[untyped-decorator]
def turn(_context: Any, value: Any, side: Any) -> Any:
    """In compiled code: ``value``, or ``-value`` if ``side`` is negative (−0 is), by one operation."""

    def build(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        number, sign = (builder.bitcast(one, word) for one in arguments)
        turned = builder.xor(number, builder.and_(sign, word(1 << 63)))
        return builder.bitcast(turned, ir.DoubleType())

    return numba.float64(numba.float64, numba.float64), build


@intrinsic  # type: ignore[untyped-decorator]
def stand_alone(_context: Any) -> Any:
    """In compiled code: keep the function that calls this out of those that call it."""

    def build(context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return numba.void(), build
