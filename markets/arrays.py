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


def aligned(*shape: int) -> Floats:
    """An array that begins with a line of the cache: no vector and no row as long is in two."""
    count, line = math.prod(shape), 64 // 8
    memory = np.empty(count + line)
    skipped = -(memory.ctypes.data // 8) % line
    return memory[skipped : skipped + count].reshape(shape)


def read_only(array: AnyArray) -> AnyArray:
    """A C-contiguous copy that nobody can write to."""
    copy = np.array(array, order="C")
    copy.setflags(write=False)
    return copy


def writable(value: Any) -> Any:
    """An array as compiled code may write to it: a copy, if who unpickled it has mapped it read-only.
    What is no array stays as it is."""
    return np.require(value, requirements=["C", "A", "W"]) if isinstance(value, np.ndarray) else value
