"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Target = Annotated[
    Path | None,
    typer.Argument(
        metavar="[CONFIG.toml | RUN_DIR]",
        help="A configuration, or the folder of an existing run; default: S&P 500 daily.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Folder of the run.", show_default="runs/NAME-HASH"),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="First seed.", show_default="0")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be repeated."),
]
Workers = Annotated[
    int, typer.Option("--workers", min=0, help="Processes; 0 is one a core. Same results.")
]
Into = Annotated[
    Path | None,
    typer.Option(help="Markdown file whose block between foretrade markers the table replaces."),
]
