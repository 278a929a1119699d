"""What the no-peek check catches: tries the whole catalogue and writes the tables of docs/no_peeking.md.

``cd tests && python -m canaries.detection --write``; without ``--write`` it only prints them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

from canaries.leaks import CLEAN, LEAKS, MOVED_BARS, peeks, peeks_if_moved
from canaries.trial import BARS, RANDOM_CUTS, REFIT_CUTS
from rich.console import Console

from foretrade.markets.nopeek import Compute, Probe

PAGE = Path(__file__).parents[2] / "docs" / "no_peeking.md"
MARKER = "<!-- measured -->"
PROBES: tuple[Probe, ...] = get_args(Probe)


def seen(part: Compute, probe: Probe, cuts: Sequence[int]) -> int:
    """At how many of the cuts a probe changed the past."""
    return sum(peek.probe == probe and peek.cut in cuts for peek in peeks(part))


def leak_rows() -> Iterable[list[str]]:
    numbers = [f"{probe}, {cuts}" for cuts in ("random", "refits") for probe in PROBES]
    yield ["leak", "what it does", "caught first by", *numbers]
    for name, part in LEAKS.items():
        first = peeks(part)[0].probe if peeks(part) else "nothing"
        counts = [str(seen(part, probe, cuts)) for cuts in (RANDOM_CUTS, REFIT_CUTS) for probe in PROBES]
        yield [name, part.__doc__ or "", first, *counts]


def clean_rows() -> Iterable[list[str]]:
    yield ["part", "what it does", "alarms", "caught if moved"]
    for name, part in CLEAN.items():
        yield [name, part.__doc__ or "", str(len(peeks(part))), str(len(peeks_if_moved(part)))]


def table(rows: Iterable[list[str]]) -> str:
    head, *body = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body))


def missed(probes: Sequence[Probe], cuts: Sequence[int]) -> str:
    """Leaks that would have passed with these probes and cuts alone."""
    names = (
        name for name, part in LEAKS.items() if not any(seen(part, probe, cuts) for probe in probes)
    )
    return ", ".join(names) or "none"


def page() -> str:
    """The tables in Markdown."""
    cuts = [*RANDOM_CUTS, *REFIT_CUTS]
    caught = sum(bool(peeks(part)) for part in LEAKS.values())
    alarms = sum(len(peeks(part)) for part in CLEAN.values())
    return "\n\n".join(
        [
            f"{len(BARS)} bars of a random walk that pays dividends; {len(RANDOM_CUTS)} random cuts and "
            f"{len(REFIT_CUTS)} at rows of refits, each with both probes. The columns count the cuts.",
            f"### Planted leaks: {caught} of {len(LEAKS)} caught",
            table(leak_rows()),
            "What would have passed\n\n"
            f"* if the future were only cut off: {missed(PROBES[:1], cuts)};\n"
            f"* if it were only replaced by noise: {missed(PROBES[1:], cuts)};\n"
            f"* if only the random cuts were tried: {missed(PROBES, RANDOM_CUTS)}.",
            f"### Clean parts: {alarms} alarms in {len(CLEAN) * len(cuts) * len(PROBES):,} probes",
            f"*If moved*: each row replaced by the one {MOVED_BARS} bars later, which makes any part "
            f"a leak; probed with noise alone at the {len(REFIT_CUTS)} refits.",
            table(clean_rows()),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.name}")
    chosen = parser.parse_args()
    text = page()
    Console().print(text, markup=False, highlight=False, soft_wrap=True)
    if chosen.write:
        head = PAGE.read_text(encoding="utf-8").partition(MARKER)[0]
        PAGE.write_text(f"{head}{MARKER}\n\n{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
