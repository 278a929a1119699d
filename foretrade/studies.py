"""Commands that measure something on many markets, and print tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from foretrade.backtests.vega import Chart

studies = typer.Typer()
output = Console()
ROOT = Path(__file__).parents[1]

Quick = Annotated[
    bool, typer.Option("--quick", help="Few seeds and little training: seconds, not minutes.")
]
Write = Annotated[
    bool, typer.Option("--write", help="Put the tables and the picture into docs/ of a checkout.")
]
Workers = Annotated[int, typer.Option(min=0, help="Processes; 0 is one a core. Same results.")]


@studies.command(epilog="Example: foretrade peek --quick")
def peek(quick: Quick = False, write: Write = False, workers: Workers = 0) -> None:
    """The price of peeking: an agent trained on in-sample forecasts, and what it believes."""
    from foretrade import peeking

    results = peeking.measure(peeking.cases(quick=quick), workers=workers, console=output)
    _show("peeking", peeking.report(results), lambda: peeking.chart(results), write)


@studies.command(epilog="Example: foretrade skill --ppo")
def skill(
    quick: Quick = False,
    ppo: Annotated[bool, typer.Option("--ppo", help="Train agents too: minutes.")] = False,
    write: Write = False,
    workers: Workers = 0,
) -> None:
    """From the skill of a forecast to profit, beside the most that can be had at that skill."""
    from foretrade import skill as study

    results = study.measure(study.cases(quick=quick, ppo=ppo), workers=workers, console=output)
    _show("skill", study.report(results), lambda: study.chart(results), write)


@studies.command(epilog="Example: foretrade prove --quick")
def prove(
    quick: Quick = False,
    write: Write = False,
    workers: Workers = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the results.", show_default="runs/proof[-quick]"),
    ] = None,
) -> None:
    """Does PPO learn? Trained where the best policy is known; exit code 1 if it falls short."""
    from foretrade import proof, proof_page
    from foretrade.measuring import write_measured
    from foretrade.storage import write_text
    from foretrade.terminal import print_proof

    if quick and write:
        raise typer.BadParameter("--quick proves too little for the docs; give --write alone")
    cases, seeds = (proof.QUICK_CASES, proof.QUICK_SEEDS) if quick else (proof.CASES, proof.SEEDS)
    results = proof.prove(cases, seeds, workers=workers, console=output)
    folder = out or Path("runs") / ("proof-quick" if quick else "proof")
    proof_page.write(results, folder, quick=quick)
    print_proof(output, results, quick=quick)
    output.print(f"results: {folder}", markup=False, highlight=False, soft_wrap=True)
    if write:
        write_measured(ROOT / "docs" / "proof.md", proof_page.report(results))
        write_text(ROOT / "examples" / "proof.svg", proof_page.chart(results).svg())
    if not all(proof.reached(*result) for result in results):
        raise typer.Exit(1)


def _show(name: str, text: str, picture: Callable[[], Chart], write: bool) -> None:
    from foretrade.measuring import write_measured
    from foretrade.storage import write_text

    output.print(text, markup=False, highlight=False, soft_wrap=True)
    if write:
        write_measured(ROOT / "docs" / f"{name}.md", text)
        write_text(ROOT / "examples" / f"{name}.svg", picture().svg())
