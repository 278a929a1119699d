"""Numbers and tables as text, the same in HTML, Markdown and terminals; a dash is undefined."""

from __future__ import annotations

import math
from collections.abc import Sequence

UNDEFINED = "–"


def number(value: float, form: str = ".2f", *, unit: str = "") -> str:
    """In the given format, its unit behind it; a dash for what is undefined or without bound."""
    return format(value, form) + unit if math.isfinite(value) else UNDEFINED


def percent(value: float, digits: int = 1) -> str:
    """A fraction in per cent."""
    return number(value, f".{digits}%")


def interval(low: float, high: float, form: str = ".2f") -> str:
    """Two numbers, or one dash."""
    return UNDEFINED if math.isnan(low) else f"{number(low, form)} … {number(high, form)}"


def p_value(value: float) -> str:
    """A probability found by a thousand resamples: that none of them was such does not make it zero."""
    if value < 0.001:
        return "< 0.001"
    return number(value, ".3f" if value < 0.01 else ".2f")


def listed(names: Sequence[str]) -> str:
    """One, two and three: as a sentence has them."""
    return " and ".join([*filter(None, [", ".join(names[:-1])]), *names[-1:]])


def harmless(text: str) -> str:
    """A text that Markdown shows as it is: a tag in a name of a user's own would be HTML."""
    return text.replace("<", "&lt;")


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in GitHub's Markdown, the first column to the left; tags in it are shown, not obeyed."""
    ruler = ["---", *["--:"] * (len(header) - 1)]
    lines = [header, ruler, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(map(harmless, line)) + " |" for line in lines) + "\n"
