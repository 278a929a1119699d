"""Values as TOML, which the standard library reads but does not write."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any


def toml_lines(values: Mapping[str, Any]) -> str:
    """One line ``key = value`` each; dots in a key part tables.

    Raises:
        ValueError: A value is none of TOML's: text, numbers, truth values, lists and tables of them.
    """
    return "".join(f"{key} = {toml_value(value)}\n" for key, value in values.items())


def toml_value(value: Any) -> str:
    """On one line; see :func:`toml_lines`."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # inf, -inf, nan
    if isinstance(value, bool | int | float | str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        inside = (f"{toml_value(key)} = {toml_value(item)}" for key, item in value.items())
        return "{ " + ", ".join(inside) + " }" if value else "{}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    raise ValueError(f"{value!r} cannot be written as TOML")
