"""How often is the verdict wrong, and how often does it see what is there? Measured.

``python -m foretrade.calibration`` prints the shares of markets on which each rule of decision declares
an edge; ``--write`` puts them into docs/calibration.md and draws examples/power.svg. What an interrupted
measurement has done is kept in the cache of forecasts.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TypeAlias

import numpy as np
from rich.console import Console
from scipy import stats

from foretrade.calibration_markets import NOISES, Case, Decisions, run_case
from foretrade.forecasters.rolling import cache_folder
from foretrade.measuring import markdown_table, measured, write_measured
from foretrade.pages import COLOURS, axes_of, svg
from foretrade.storage import write_text

DOCUMENT = Path(__file__).parents[1] / "docs" / "calibration.md"
PICTURE = Path(__file__).parents[1] / "examples" / "power.svg"
NULL_MARKETS, PAYING_MARKETS, POWER_MARKETS = 300, 100, 60  # of each noise
SHARPES = (0.5, 1.0, 1.5, 2.0, 3.0)
TASK_CASES = 20
DECISIONS = {  # field of Decisions: what it is, its nominal rate on noise
    "verdict": ("verdict: *edge* (interval above 0, deflated > .95)", "≤ 2.5 %"),
    "interval": ("interval of the Sharpe ratio above 0", "2.5 %"),
    "interval_excludes_zero": ("interval excludes 0, on either side", "5 %"),
    "psr": ("probabilistic Sharpe ratio > .95", "5 %"),
    "deflated": ("deflated Sharpe ratio > .95", "≤ 5 %"),
    "beats_benchmark": ("difference to buy-and-hold above 0", "2.5 %"),
    "difference_excludes_zero": ("difference excludes 0, on either side", "5 %"),
    "superior_ability": ("superior ability of all rules on the test block, p < .05", "5 %"),
    "best_on_test_deflated": ("*best on test*, deflated by all rules, > .95", "≤ 5 %"),
    "best_on_test": ("*best on test*, not counted: probabilistic > .95", "none"),
}
DRAWN = ("interval", "psr", "verdict", "superior_ability")

Result: TypeAlias = tuple[Case, Decisions]


def measure(cases: Sequence[Case], *, folder: Path, workers: int, console: Console) -> list[Result]:
    """Judge all markets, in processes; goes on where it was interrupted.

    Args:
        folder: Keeps what is finished, under the hash of everything that it depends on.
    """
    found = measured(
        run_case,
        cases,
        title="calibrate",
        depends_on=("markets", "forecasters", "backtests"),
        folder=folder,
        workers=workers,
        console=console,
        cases_per_unit=TASK_CASES,
    )
    return [(case, Decisions(**values)) for case, values in zip(cases, found, strict=True)]


def null_cases(free: int, paying: int) -> list[Case]:
    """Pure noise, so many markets of each kind: where trades cost nothing, and where they do."""
    return [
        Case(number, noise, pays=pays)
        for pays, markets in ((False, free), (True, paying))
        for noise in NOISES
        for number in range(markets)
    ]


def power_cases(markets: int) -> list[Case]:
    """Planted drifts, so many markets of each kind and size."""
    return [Case(10_000 + k, n, sharpe) for sharpe in SHARPES for n in NOISES for k in range(markets)]


def rate(decided: Sequence[bool]) -> tuple[float, float, float]:
    """Share of true, and its 95 % interval (Clopper and Pearson 1934, Biometrika 26(4))."""
    test = stats.binomtest(sum(decided), len(decided))
    interval = test.proportion_ci(0.95, method="exact")
    return sum(decided) / len(decided), float(interval.low), float(interval.high)


def null_rows(results: Sequence[Result]) -> Iterator[list[str]]:
    """Share of noise on which each rule of decision is wrong."""
    yield ["declares an edge", "nominal", "measured (95 %)", *NOISES, "with costs (95 %)"]
    free = [(case, decided) for case, decided in results if not case.pays]
    paid = [decided for case, decided in results if case.pays]
    for field, (label, nominal) in DECISIONS.items():
        kinds = ([d for case, d in free if case.noise == noise] for noise in NOISES)
        yield [
            label,
            nominal,
            _with_interval([decided for _, decided in free], field),
            *(f"{_share(kind, field):.1%}" for kind in kinds),
            _with_interval(paid, field),
        ]


def power_rows(results: Sequence[Result]) -> Iterator[list[str]]:
    """Share of markets with a planted drift on which each rule of decision sees an edge."""
    by_sharpe = {
        s: [d for case, d in results if case.sharpe == s and not case.pays] for s in (0.0, *SHARPES)
    }
    yield ["declares an edge", *(f"{sharpe:g}" for sharpe in by_sharpe)]
    reached = (f"{np.mean([d.sharpe for d in several]):.2f}" for several in by_sharpe.values())
    yield ["*mean Sharpe ratio of the chosen rule on test*", *reached]
    for field, (label, _) in DECISIONS.items():
        yield [label, *(f"{_share(several, field):.0%}" for several in by_sharpe.values())]


def power_picture(results: Sequence[Result]) -> str:
    """The table of power as curves, with their intervals."""
    figure, axes = axes_of(4.0)
    sharpes = (0.0, *SHARPES)
    for field, colour in zip(DRAWN, COLOURS, strict=False):
        rates = np.array(
            [
                rate([getattr(d, field) for c, d in results if c.sharpe == s and not c.pays])
                for s in sharpes
            ]
        )
        label = DECISIONS[field][0].replace("*", "")
        axes.plot(sharpes, rates[:, 0], marker="o", markersize=3, color=colour, label=label)
        axes.fill_between(sharpes, rates[:, 1], rates[:, 2], color=colour, alpha=0.15, linewidth=0)
    axes.axhline(0.05, color="black", linewidth=0.6, linestyle="--")
    axes.set_xlabel("annual Sharpe ratio of who knows the planted drift")
    axes.set_ylabel("share of markets with a declared edge")
    axes.legend(loc="upper left", frameon=False)
    return svg(figure)


def report(results: Sequence[Result]) -> str:
    """Both tables in Markdown."""
    null = [result for result in results if not result[0].sharpe]
    free = sum(not case.pays for case, _ in null)
    planted = sum(case.sharpe == SHARPES[0] for case, _ in results)
    return "\n\n".join(
        [
            f"### On noise: {free} markets without costs, {len(null) - free} with",
            markdown_table(null_rows(null)),
            f"### On a planted drift: {planted} markets of each size, without costs",
            markdown_table(power_rows(results)),
        ]
    )


def _share(decided: Sequence[Decisions], field: str) -> float:
    return rate([getattr(one, field) for one in decided])[0]


def _with_interval(decided: Sequence[Decisions], field: str) -> str:
    share, low, high = rate([getattr(one, field) for one in decided])
    return f"{share:.1%} ({low:.1%} to {high:.1%})"


def main() -> None:
    """Print the tables; write them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"put the tables into {DOCUMENT.name}")
    parser.add_argument("--workers", type=int, default=0, help="processes; 0 is one a core")
    parser.add_argument("--quick", action="store_true", help="a tenth of the markets; never written")
    chosen = parser.parse_args()
    if chosen.quick and chosen.write:
        parser.error("--quick measures too few markets for the document; give --write alone")
    assert {field.name for field in fields(Decisions)} == {*DECISIONS, "sharpe"}
    console = Console()
    part = 10 if chosen.quick else 1
    cases = null_cases(NULL_MARKETS // part, PAYING_MARKETS // part) + power_cases(POWER_MARKETS // part)
    folder = cache_folder() / "calibration"
    results = measure(cases, folder=folder, workers=chosen.workers, console=console)
    text = report(results)
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    if chosen.write:
        write_measured(DOCUMENT, text)
        write_text(PICTURE, power_picture(results))


if __name__ == "__main__":
    main()
