"""The kinds of array that pass between modules."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Float32s: TypeAlias = NDArray[np.float32]
UInts: TypeAlias = NDArray[np.uint64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
AnyArray: TypeAlias = NDArray[Any]

Index: TypeAlias = int | np.uint64
"""Of compiled code; unsigned where it counts lanes, so that no index is tested for a negative value."""


LINE_BYTES = 64


def in_lines(array: AnyArray) -> AnyArray:
    """A C-contiguous copy that begins at a line of the cache, so that rows as long as one are in one."""
    memory = np.empty(array.nbytes + LINE_BYTES, dtype=np.uint8)
    start = -memory.ctypes.data % LINE_BYTES
    copy: AnyArray = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def read_only(array: AnyArray) -> AnyArray:
    """A C-contiguous copy that nobody can write to."""
    copy = np.array(array, order="C")
    copy.setflags(write=False)
    return copy


def writable(value: Any) -> Any:
    """An array as compiled code may write to it: a copy, if who unpickled it has mapped it read-only.
    What is no array stays as it is."""
    return np.require(value, requirements=["C", "A", "W"]) if isinstance(value, np.ndarray) else value
