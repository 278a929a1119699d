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
PAGE = 4096  # bytes


def aligned(*shape: int, dtype: Any = np.float64, page_offset: int | None = None) -> AnyArray:
    """Zeros that begin with a line of the cache: no vector and no row as long is in two.

    Args:
        page_offset: Where in a page they begin, in bytes. A processor takes a load for one of what was
            stored just before at the same place of another page, and waits.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    unit, offset = (LINE, 0) if page_offset is None else (PAGE, page_offset)
    memory = np.zeros(size + unit, dtype=np.uint8)
    skipped = (offset - memory.ctypes.data) % unit
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
