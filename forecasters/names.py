"""Names of members: ``"package.module:Class"``, ``"wrapper(member)"``, and what tables call them."""

from __future__ import annotations

import re
from collections.abc import Iterator


def member_name(path: str) -> str:
    """What a member is called in tables: its shipped name, or what follows the colon."""
    return re.sub(r"[\w.]+:", "", path)


def wrapped(name: str) -> tuple[str, str] | None:
    """``wrapper(member)`` taken apart; None if it is neither."""
    match = re.fullmatch(r"(\w+)\((.+)\)", name)
    return (match[1], match[2]) if match else None


def settings_names(path: str) -> Iterator[str]:
    """Names under which settings of a member, and of what it wraps, are looked up."""
    yield member_name(path)
    if parts := wrapped(path):
        yield from settings_names(parts[1])


def check_not_reserved(name: str) -> None:
    """Refuse what the columns of the ensemble are called.

    Raises:
        ValueError: The name is taken.
    """
    if name.split("_")[0] == "ensemble":
        raise ValueError(f"a member cannot be called {name!r}: that is the ensemble's name")
