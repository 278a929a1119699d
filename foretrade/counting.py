"""What a run has looked at, entered into the ledger of trials that all runs in its folder share.

Recorded are, with their returns: every checkpoint of every policy, before its score is shown anywhere,
and every variant of an ablation (validation block); every policy, every rule, every forecaster and
every cell of a league (test block). Buy-and-hold, cash, chance and the oracle are yardsticks, nobody's
idea, and not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from foretrade.job import Job
from foretrade.lineup import BENCHMARK_RUNS, agents, forecasters, policy_names
from foretrade.markets.labels import LabelConfig, forward_returns
from foretrade.storage import content_hash, read_json

if TYPE_CHECKING:
    from foretrade.backtests.chain import Head
    from foretrade.backtests.trials import Block, Kind, Ledger, Trials
    from foretrade.markets.arrays import Floats
    from foretrade.rundir import RunDirectory


@dataclass(frozen=True)
class Recorder:
    """Enters what is looked at on one block; can be handed to a worker process.

    Args:
        run: Beside which the ledger lies, and which notes its end.
        config, data, symbol, block, first, after: Of the trials; see
            :class:`~foretrade.backtests.trials.Trial`.
        bars: Returns in the block.
    """

    run: RunDirectory
    config: str
    data: str
    symbol: str
    block: Block
    first: str
    bars: int
    after: int | None = None

    def record(self, found: Mapping[Kind, Mapping[str, Floats]]) -> None:
        """Enter returns ``[bars]`` by kind and name."""
        from foretrade.backtests.trials import Ledger, Trial

        place = (self.run.path.name, self.config, self.data, self.symbol, self.block)
        trials = [
            Trial(kind, name, *place, returns, self.first, self.after)
            for kind, several in found.items()
            for name, returns in several.items()
        ]
        if trials:
            ledger = Ledger.beside(self.run.path)
            whole = not ledger.faults(heads(self.run.path.resolve().parent))
            head = ledger.record(trials)
            if whole:  # of a broken ledger the run keeps the end that it knew: the break stays seen
                self.run.record_trials(vars(head))

    def checkpoint(self, policy: str, steps: int, returns: Floats) -> None:
        """Enter a checkpoint that was just judged; a ruined account earns nothing any more."""
        padded = np.pad(returns, (0, self.bars - len(returns)))
        self.record({"checkpoint": {f"{policy}@{steps}": padded}})

    def policy(self, folder: Path) -> None:
        """Enter all checkpoints of a finished policy: new are those of which the ledger was lost."""
        steps = pd.read_csv(folder / "validation.csv")["steps"]
        returns = np.load(folder / "validation.npy", allow_pickle=False)
        padded = np.pad(returns, ((0, 0), (0, self.bars - returns.shape[1])))
        names = (f"{folder.name}@{step}" for step in steps)
        self.record({"checkpoint": dict(zip(names, padded, strict=True))})


def recorder(job: Job, block: Block, rows: range | None = None) -> Recorder:
    """Of what a run looks at on a block.

    Args:
        rows: Of that block; default: those of the configuration.
    """
    rows = job.config.blocks.rows(job.bars)[block] if rows is None else rows
    place = (job.config.config_hash, job.bars.history_hash, job.symbol, block)
    return Recorder(job.run, *place, str(job.bars.dates[rows.start + 1].date()), len(rows) - 1)


def record_run(job: Job) -> None:
    """Enter everything that a run has looked at, as far as it has got."""
    validation = recorder(job, "validation")
    for name in (name for agent in agents(job) for name in policy_names(job, agent)):
        folder = job.run.path / "policy" / name
        if (folder / "done.json").is_file():
            validation.policy(folder)
    record_strategies(job)


def record_strategies(job: Job) -> None:
    """Enter what was played on the test block, and the forecasters scored there, if that was done.

    A ruined account earns nothing any more, and loses no more than all.
    """
    from foretrade.backtests.engine import read_runs

    ledger = job.run.path / "ledger.parquet"
    if not ledger.is_file():
        return
    runs = read_runs(ledger)
    bars = max(len(run.ledger) for run in runs.values())
    policies = [name for agent in agents(job) for name in policy_names(job, agent)]
    found: dict[Kind, dict[str, Floats]] = {"policy": {}, "rule": {}}
    for name, run in runs.items():
        returns = run.returns.to_numpy()
        if name not in BENCHMARK_RUNS:
            kind: Kind = "policy" if name in policies else "rule"
            found[kind][name] = np.pad(returns, (0, bars - len(returns)))
    _record(job, found, "test")
    record_forecasters(job)


def record_forecasters(job: Job) -> None:
    """Enter the forecasters, whose scores on the test block are shown."""
    means = {name: job.forecasts.column(f"{name}.mean")[:, 0] for name in forecasters(job)}
    _record(job, {"forecaster": _followed(job, means, "test")}, "test")


def record_cells(job: Job, returns: Mapping[str, Floats]) -> None:
    """Enter the cells of a league: each forecaster traded by each rule, on the test block, after costs.

    Args:
        returns: Theirs ``[bars]``, by name.
    """
    _record(job, {"cell": returns}, "test")
    record_forecasters(job)


def record_ablation(job: Job, means: Mapping[str, Floats]) -> None:
    """Enter the variants of a member that were compared on the validation block.

    Args:
        means: Their forecasts ``[bars]``, by name.
    """
    _record(job, {"ablation": _followed(job, means, "validation")}, "validation")


def _followed(job: Job, means: Mapping[str, Floats], block: Block) -> dict[str, Floats]:
    """What following the sign of each forecast for one bar would have earned without costs."""
    label = LabelConfig(1, job.label.fill)
    rows = job.config.blocks.rows(job.bars)[block]
    inside = slice(rows.start, rows.stop - label.resolution_bars)
    earned = np.expm1(forward_returns(job.bars, label)[inside, 0])
    return {name: np.sign(np.nan_to_num(mean[inside])) * earned for name, mean in means.items()}


def _record(job: Job, found: Mapping[Kind, Mapping[str, Floats]], block: Block) -> None:
    if any(found.values()):
        job.record_data()
        recorder(job, block).record(found)


def ledger_of(job: Job) -> Ledger:
    """The ledger of trials beside the run."""
    from foretrade.backtests.trials import Ledger

    return Ledger.beside(job.run.path)


def heads(runs: Path) -> dict[str, Head]:
    """The end of the ledger as each run in a folder has noted it."""
    from foretrade.backtests.chain import Head

    noted = {}
    for path in sorted(runs.glob("*/manifest.json")):
        try:
            noted[f"run {path.parent.name}"] = Head(**read_json(path)["trials"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # no run, or none that has recorded anything
    return noted


def faults(job: Job) -> list[str]:
    """What is wrong with the ledger beside a run, each naming its line."""
    return ledger_of(job).faults(heads(job.run.path.resolve().parent))


def compared(job: Job) -> Trials:
    """The trials against which whatever a run or a league shows on the test block has to stand.

    Those of :func:`foretrade.backtests.trials.count`, and whether their record is whole.
    """
    bars = len(job.config.blocks.rows(job.bars)["test"]) - 1
    counted = ledger_of(job).trials(job.bars.history_hash, bars=bars)
    return replace(counted, whole=not faults(job))


def state(job: Job) -> str:
    """Hash of everything in the ledger on which the report of a run depends."""
    records = ledger_of(job).records(job.bars.history_hash)
    tried = [[record["block"], record["kind"], record["name"], record["series"]] for record in records]
    return content_hash(tried, faults(job))


def summarise(ledger: Ledger) -> Iterator[tuple[str, ...]]:
    """Of each history of prices: number of trials, and of those on validation and on test blocks; bars
    of the longest test block, the best Sharpe ratio a bar there, what the best of as many trials would
    show by luck, and which was the best.
    """
    from foretrade.backtests.deflation import expected_best_sharpe

    for history, symbol in ledger.places().items():
        tested = ledger.records(history, "test")
        bars = max(record["bars"] for record in tested or ledger.records(history))
        found = ledger.trials(history, bars=bars)
        best = max(tested, key=lambda record: record["sharpe"] or 0.0, default=None)
        yield (
            history[:8],
            symbol,
            str(found.count),
            str(found.count - len(tested)),
            str(len(tested)),
            str(bars),
            "–" if best is None else f"{best['sharpe'] or 0.0:.3f}",
            f"{expected_best_sharpe(found.count, found.variance):.3f}",
            "–" if best is None else f"{best['name']} ({best['run']})",
        )
