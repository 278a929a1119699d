"""The command line. Exit codes: 0 done, 1 failed, 2 bad usage, 130 interrupted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from foretrade.run_options import RunOptions, on_a_run
from foretrade.studies import studies

if TYPE_CHECKING:
    from foretrade.job import Job

app = typer.Typer(
    name="foretrade",
    help="What are forecasts worth when traded? Forecast, train, backtest, report.",
    epilog="Example: foretrade run --out runs/first --set costs.fee_bps=5",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.add_typer(studies)
output, errors = Console(), Console(stderr=True)

Into = Annotated[
    Path | None,
    typer.Option(help="Markdown file whose block between foretrade markers the table replaces."),
]


@app.command(epilog="Example: foretrade run my.toml --seed 7 --set forecast.lookback_bars=42")
@on_a_run
def run(options: RunOptions) -> None:
    """The main job, from prices to report; goes on where it was interrupted."""
    from foretrade.experiment import STEPS

    _do(STEPS, options, show_table=True)


def _single_step(step: str, text: str) -> None:
    """Add the command that does one step of a run."""

    @app.command(step, help=text, epilog=f"Example: foretrade {step} runs/first")
    @on_a_run
    def command(options: RunOptions) -> None:
        _do((step,), options)


@app.command(epilog="Example: foretrade forecast runs/first --report")
@on_a_run
def forecast(
    options: RunOptions,
    page: Annotated[
        bool, typer.Option("--report", help="Write a page of scores, weights, calibration, importance.")
    ] = False,
) -> None:
    """Walk-forward forecasts of every member and of the ensemble."""
    job = _do(("forecast",), options)
    if page:
        from foretrade.forecast_page import write_forecast_page

        for path in write_forecast_page(job):
            output.print(f"{path.name}: {path}", markup=False, highlight=False, soft_wrap=True)


@app.command(epilog="Example: foretrade ablate ridge --methods jitter,bootstrap")
@on_a_run
def ablate(
    options: RunOptions,
    member: Annotated[str, typer.Argument(help="A member of the experiment.")],
    methods: Annotated[
        str, typer.Option(help="Comma-separated: bootstrap, jitter, magnitude_warp, window_slice.")
    ] = "bootstrap,jitter,magnitude_warp,window_slice",
) -> None:
    """One member with and without data augmentation, out of sample, on the validation block."""
    from foretrade.ablation import ablate as run_ablation
    from foretrade.terminal import print_ablation

    job = options.job(output)
    job.check()
    rows = run_ablation(job, member, [name.strip() for name in methods.split(",")])
    print_ablation(output, member, rows)


_single_step("train", "The agent with and without forecasts, on the forecasts of a run.")
_single_step("backtest", "Every strategy of a run, once, through its test block.")


@app.command(epilog="Example: foretrade report runs/first --into README.md")
@on_a_run
def report(
    options: RunOptions,
    into: Into = None,
    tearsheets: Annotated[
        str,
        typer.Option(
            metavar="all|none|NAME,…",
            help="Strategies that get a quantstats tear sheet.",
            show_default="agent, benchmark, best of the others",
        ),
    ] = "default",
    open_: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
) -> None:
    """Table, pictures and tear sheets of a run."""
    job = _do(("report",), options, show_table=True, tearsheets=tearsheets)
    if open_:
        from foretrade.pages import open_in_browser

        page = job.run.path / "report.html"
        if not open_in_browser(page):
            errors.print(f"no browser to open here; the page is {page}", markup=False, soft_wrap=True)
    if into is not None:
        from foretrade.terminal import splice

        splice(into, (job.run.path / "report.md").read_text(encoding="utf-8"))


@app.command(epilog="Example: foretrade league runs/first")
@on_a_run
def league(options: RunOptions, into: Into = None) -> None:
    """Every forecaster traded by the same rules: what each earns after costs, what members are worth."""
    from foretrade.league import league as play
    from foretrade.terminal import print_league, splice

    job = options.job(output)
    output.print(f"run: {job.run.path}", highlight=False)
    with _says_how_to_go_on(job):
        folder = play(job)
    print_league(output, folder)
    if into is not None:
        splice(into, (folder / "league.md").read_text(encoding="utf-8"))


@app.command(epilog="Example: foretrade tune --set 'tune.grid.ppo.learning_rate=[3e-4, 1e-3]'")
@on_a_run
def tune(options: RunOptions) -> None:
    """Try settings, a grid or a search, and keep the best by the validation block alone."""
    from foretrade.terminal import print_tuning
    from foretrade.tuning import tune as try_all

    job = options.job(output)
    output.print(f"run: {job.run.path}", highlight=False)
    with _says_how_to_go_on(job):
        page = try_all(job)
    print_tuning(output, job.run.path / "tune", page)


@app.command(epilog='Example: foretrade data prices.csv --timezone "America/New_York"')
def data(
    source: Annotated[str | None, typer.Argument(help="A packaged name, a file or a folder.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the packaged data sets.")] = False,
    timezone: Annotated[str, typer.Option(help="Of naive timestamps; IANA name.")] = "",
    frequency: Annotated[str, typer.Option(help="1D, 1W, 1M, 1h, 5min, …")] = "1D",
    session_close: Annotated[str, typer.Option(help="For rows with a date only.")] = "16:00",
    stamps: Annotated[str, typer.Option(help="What intraday times mark: close or open.")] = "close",
    adjust: Annotated[bool, typer.Option(help="Scale by Adj Close / Close.")] = False,
    periods_per_year: Annotated[
        float, typer.Option(help="Bars in a year; 0 takes the usual number.")
    ] = 0.0,
) -> None:
    """What is in a data set, and what is wrong with it."""
    from foretrade.markets.sources import PACKAGED, DataConfig, load_bars
    from foretrade.terminal import print_bars

    if list_:
        for name, packaged in PACKAGED.items():
            output.print(f"{name:<8} {packaged.description}", highlight=False)
        return
    if stamps not in ("close", "open"):
        raise typer.BadParameter("--stamps is close or open")
    if source is None:
        raise typer.BadParameter("name a data set or a file, or give --list")
    config = DataConfig(
        source=source,
        timezone=timezone,
        frequency=frequency,
        session_close=session_close,
        stamps="open" if stamps == "open" else "close",
        adjust=adjust,
        periods_per_year=periods_per_year,
    )
    print_bars(output, load_bars(config))


@app.command(epilog="Example: foretrade trials runs")
def trials(
    runs: Annotated[Path, typer.Argument(metavar="[RUNS_FOLDER]", help="Where the runs are.")] = Path(
        "runs"
    ),
) -> None:
    """What was tried on which data, and whether its record is whole (exit code 1 if not)."""
    from foretrade.backtests.trials import Ledger
    from foretrade.counting import heads
    from foretrade.rundir import RunError
    from foretrade.terminal import print_trials

    ledger, noted = Ledger(runs / "trials.jsonl"), heads(runs)
    if not (noted or ledger.path.is_file()):
        raise RunError(f"{ledger.path}: no trials there; name the folder that holds the runs")
    print_trials(output, ledger)
    faults = ledger.faults(noted) + ledger.damaged()
    for fault in faults:
        errors.print(f"broken: {fault}", markup=False, highlight=False, soft_wrap=True)
    if faults:
        from foretrade.backtests.alarms import MENDING

        errors.print(MENDING, markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1)
    output.print(f"{ledger.path}: whole", markup=False, highlight=False, soft_wrap=True)


@app.command(epilog="Example: foretrade check my_package.models:MyForecaster")
def check(
    part: Annotated[
        str,
        typer.Argument(metavar="MODULE:OBJECT", help="Forecaster, features, agent or environment."),
    ],
) -> None:
    """Try a part of your own against the contracts: no peeking, same bits, right shapes."""
    from foretrade.envs.market import MarketEnv
    from foretrade.markets.synthetic import random_walk
    from foretrade.terminal import print_checks
    from foretrade.testing import check as run_checks
    from foretrade.testing import load_part

    env = MarketEnv(random_walk(500))
    if not print_checks(output, run_checks(load_part(part, env), env)):
        raise typer.Exit(1)


def main() -> None:
    """Entry point: errors that a user can mend become one line and an exit code."""
    from foretrade.errors import ForetradeError

    sys.path.insert(0, str(Path.cwd()))  # where a user's own forecasters are, as with python -m
    try:
        app()
    except ForetradeError as error:
        errors.print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2 if type(error).__name__ == "ConfigError" else 1)


def _do(
    steps: tuple[str, ...],
    options: RunOptions,
    *,
    show_table: bool = False,
    tearsheets: str = "default",
) -> Job:
    from foretrade.experiment import run_steps
    from foretrade.results import build_report
    from foretrade.terminal import print_report

    job = options.job(output, tearsheets)
    output.print(f"run: {job.run.path}", highlight=False)
    with _says_how_to_go_on(job):
        run_steps(job, steps)
    if show_table:
        print_report(output, job.run.path, build_report(job))
    return job


@contextmanager
def _says_how_to_go_on(job: Job) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        resume = f"interrupted; go on with: foretrade {sys.argv[1]} {job.run.path}"
        errors.print(resume, markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(130) from None
