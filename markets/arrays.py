"""The kinds of array that pass between modules."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Float32s: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
AnyArray: TypeAlias = NDArray[Any]


def read_only(array: AnyArray) -> AnyArray:
    """A C-contiguous copy that nobody can write to."""
    copy = np.array(array, order="C")
    copy.setflags(write=False)
    return copy
