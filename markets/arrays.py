"""The kinds of array that pass between modules."""

import math
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


LINE = 64  # bytes of the cache that come and go together


def aligned(*shape: int, dtype: Any = np.float64) -> AnyArray:
    """Zeros that begin with a line of the cache: no vector and no row as long is in two."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.zeros(size + LINE, dtype=np.uint8)
    skipped = -memory.ctypes.data % LINE
    array: AnyArray = memory[skipped : skipped + size].view(dtype).reshape(shape)
    return array


def read_only(array: AnyArray) -> AnyArray:
    """A C-contiguous copy that nobody can write to."""
    copy = np.array(array, order="C")
    copy.setflags(write=False)
    return copy


def writable(value: Any) -> Any:
    """An array as compiled code may write to it: a copy, if who unpickled it has mapped it read-only.
    What is no array stays as it is."""
    return np.require(value, requirements=["C", "A", "W"]) if isinstance(value, np.ndarray) else value
