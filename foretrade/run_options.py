"""The options that every command on a run has, declared once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer
from rich.console import Console

if TYPE_CHECKING:
    from foretrade.job import Job

Own = ParamSpec("Own")


@dataclass(frozen=True)
class RunOptions:
    """Which run a command works on, and how."""

    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CONFIG.toml | RUN_DIR]",
            help="A configuration, or the folder of an existing run; default: S&P 500 daily.",
            show_default=False,
        ),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the run.", show_default="runs/NAME-HASH"),
    ] = None
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="First seed.", show_default="0")] = (
        None
    )
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be repeated."),
    ] = None
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Processes; 0 is one a core. Same results.")
    ] = 0

    def job(self, console: Console, tearsheets: str = "default") -> Job:
        """The run, found or begun.

        Raises:
            ConfigError: The settings are impossible, or given to a run that has its own.
            RunError: The folder cannot be used.
        """
        from foretrade.config import ConfigError, read_config
        from foretrade.job import Job
        from foretrade.rundir import RunDirectory

        if self.target is not None and self.target.is_dir():
            if self.out is not None or self.seed is not None or self.set_:
                what = f"{self.target} is a run with its own settings"
                raise ConfigError(f"{what}; give no --out, --seed or --set")
            return Job(RunDirectory.open(self.target), console, self.workers, tearsheets)
        config = read_config(self.target, overrides=self.set_ or [], seed=self.seed)
        folder = self.out or Path("runs") / f"{config.name}-{config.config_hash[:8]}"
        return Job(RunDirectory.create(folder, config), console, self.workers, tearsheets)


def on_a_run(command: Callable[Concatenate[RunOptions, Own], None]) -> Callable[..., None]:
    """Give a command the fields of :class:`RunOptions` as parameters, in place of its first one.

    They stand after its arguments and before its options, as Typer shows them.
    """
    shared = inspect.signature(RunOptions, eval_str=True).parameters
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    arguments = [parameter for parameter in own if parameter.default is parameter.empty]
    options = [parameter for parameter in own if parameter.default is not parameter.empty]

    @functools.wraps(command)
    def merged(**values: Any) -> None:
        found = RunOptions(**{name: values.pop(name) for name in shared})
        command(found, **values)  # type: ignore[call-arg]  # mypy knows not what is left

    parameters = [*arguments, *shared.values(), *options]
    merged.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    merged.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return merged
