"""How much was tried before a winner was shown: the ledger of trials.

A trial is anything whose score on validation or test bars was looked at: a checkpoint, a policy, a
rule, a forecaster, a cell of the league. Each is one line of ``trials.jsonl`` beside the runs, a
chain in which nothing can be changed or taken out unseen; its returns lie in ``trials/``, under their
content hash. A program that has looked at scores calls::

    ledger = Ledger.beside(run_directory)
    head = ledger.record([Trial("cell", name, run, config_hash, history_hash, symbol, "test", returns)])

and keeps ``head`` with its results (``RunDirectory.record_trials`` does). What is recorded already is
not recorded again: to repeat or to resume a run adds nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy import stats

from foretrade.backtests.chain import Chain, Head, Record
from foretrade.backtests.deflation import expected_best_sharpe
from foretrade.backtests.significance import sharpe_ratio
from foretrade.errors import ForetradeError
from foretrade.markets.arrays import Floats
from foretrade.storage import atomic_path, content_hash

Kind: TypeAlias = Literal["checkpoint", "policy", "rule", "forecaster", "cell", "ablation"]
Block: TypeAlias = Literal["validation", "test"]
FIELDS = ("kind", "name", "config", "data", "symbol", "block", "series")  # what is recorded once


class TrialsError(ForetradeError, ValueError):
    """A trial that cannot be recorded, or returns that cannot be read."""


@dataclass(frozen=True)
class Trials:
    """What was compared before the winner was shown.

    Args:
        count: Trials whose score was looked at.
        variance: Of their Sharpe ratios per bar, each scaled to the bars of the returns that are
            judged: by luck alone a ratio varies with one over the number of bars.
        whole: Whether their record is unbroken; if not, there may have been more.
    """

    count: int
    variance: float
    whole: bool = True

    def __str__(self) -> str:
        if self.whole:
            return f"{self.count} trials"
        return f"at least {self.count} trials (their record is broken)"


@dataclass(frozen=True)
class Trial:
    """Something whose score was looked at.

    Args:
        kind: What it is.
        name: Of it within its run. A trial of this kind and name with the very same returns under
            another configuration is the same trial: a rule that the changed setting does not touch.
        run: Name of the run that showed it.
        config: Hash of the configuration.
        data: Names the history of prices, as :attr:`Bars.history_hash` does.
        symbol: By which it went.
        block: Bars on which it was scored.
        returns: Simple, per bar, after costs ``[bars]``; of a forecast, which pays none, the sign of
            the forecast times the return that followed.
        first: Date of the first of them; trials with the same can be laid side by side.
        after: Lines of the ledger when the batch of trials that it belongs to was begun (see
            :meth:`Ledger.begun`); None: it belongs to none.
    """

    kind: Kind
    name: str
    run: str
    config: str
    data: str
    symbol: str
    block: Block
    returns: Floats
    first: str = ""
    after: int | None = None


class Ledger:
    """The trials of all runs in a folder.

    Args:
        path: Of ``trials.jsonl``; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.chain = Chain(path)

    @classmethod
    def beside(cls, run: Path) -> Ledger:
        """The one that a run shares with all runs in the same folder."""
        return cls(run.resolve().parent / "trials.jsonl")

    def record(self, trials: Iterable[Trial]) -> Head:
        """Append what is not there yet; returns the end of the ledger, to be kept with the results.

        A trial is there if one of the same configuration, data, symbol, block, kind and name has the
        same returns: where code has changed and results with it, another score was looked at.

        Raises:
            ChainError: A crash has left a part of a line at the end.
            TrialsError: Returns are fewer than two, or not finite.
        """
        records = [self._keep(trial) for trial in trials]
        return self.chain.append(records, lambda record: tuple(str(record.get(f)) for f in FIELDS))

    def places(self) -> dict[str, str]:
        """Histories on which something was tried, and the symbol as which each came first."""
        places: dict[str, str] = {}
        for record in filter(_is_trial, self.chain.records()):
            places.setdefault(record["data"], record["symbol"])
        return places

    def records(self, data: str, block: str = "") -> list[Record]:
        """Trials on these prices, each once, in the order in which they came; of one block, or of any.

        Those of one batch stand where it was begun, by configuration and name: in which order its worker
        processes were done, and whether they were stopped in between, changes nothing.

        The values of a record are those of :class:`Trial`, with ``bars``, ``sharpe`` (a bar), ``skew``
        and ``kurtosis`` (None: the returns do not vary), and the hash of the returns as ``series``.
        """
        place = {"data": data} | ({"block": block} if block else {})
        found: dict[tuple[str, ...], Record] = {}
        for record in sorted(filter(_is_trial, self.chain.records()), key=_order):
            if place.items() <= record.items():
                tried = ("block", "kind", "name", "series")
                found.setdefault(tuple(record[field] for field in tried), record)
        return list(found.values())

    def begun(self, trainings: Collection[tuple[str, str]]) -> int:
        """Where a batch of trainings was begun: the number of lines that came before it.

        Args:
            trainings: Configuration and name of each. The batch is the one that any of them has entered
                a checkpoint for, or else a new one.
        """
        records = self.chain.records()
        known = [
            record["after"]
            for record in filter(_is_trial, records)
            if (record["config"], record["name"].partition("@")[0]) in trainings and _in_batch(record)
        ]
        return min(known, default=len(records))

    def trials(self, data: str, *, bars: int) -> Trials:
        """What returns of so many bars on these prices have to stand against; see :func:`count`."""
        return count(self.records(data), bars=bars)

    def returns(self, record: Record) -> Floats:
        """Of one trial ``[bars]``.

        Raises:
            TrialsError: They are not there, or were changed.
        """
        path = self._path(record["series"])
        command = {"cell": "league", "ablation": "ablate"}.get(record["kind"], "report")
        remedy = f"'foretrade {command}' of run {record['run']} writes them again"
        try:
            returns: Floats = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise TrialsError(f"{path}: no returns of {record['name']} there; {remedy}") from error
        if content_hash(returns) != record["series"]:
            what = f"the returns of {record['name']} were changed"
            raise TrialsError(f"{path}: {what}; delete the file, then {remedy}")
        return returns

    def damaged(self) -> list[str]:
        """What :meth:`returns` raises, trial by trial."""
        found = []
        for record in filter(_is_trial, self.chain.records()):
            try:
                self.returns(record)
            except TrialsError as error:
                found.append(str(error))
        return found

    def faults(self, heads: Mapping[str, Head]) -> list[str]:
        """What is wrong with the chain, each naming its line; see :meth:`Chain.faults`."""
        strays = (r["number"] for r in self.chain.records() if not _is_trial(r))
        return self.chain.faults(heads) + [f"{self.path}: line {n} is no trial" for n in strays]

    def _keep(self, trial: Trial) -> Record:
        """Its record; the returns are written."""
        returns = np.ascontiguousarray(trial.returns, dtype=np.float64)
        if returns.ndim != 1 or len(returns) < 2 or not np.isfinite(returns).all():
            raise TrialsError(f"{trial.kind} {trial.name}: needs two and more returns, all finite")
        record = vars(trial) | _moments(returns) | {"series": content_hash(returns)}
        del record["returns"]
        if trial.after is None:
            del record["after"]
        path = self._path(record["series"])
        if not path.is_file():
            with atomic_path(path) as temporary:
                np.save(temporary, returns, allow_pickle=False)
        return record

    def _path(self, series: str) -> Path:
        return self.path.with_suffix("") / f"{series}.npy"


def count(records: Sequence[Record], *, bars: int) -> Trials:
    """What returns have to stand against: the one definition, of every verdict and every table.

    A strategy that is shown was chosen by the validation block, and its settings perhaps after a look at
    the test block. So every trial on either block of the same prices counts, whichever run made it. The
    variance is that of the trials on validation blocks: those are what was chosen from, while rules that
    lose their costs on the test block spread Sharpe ratios for other reasons than luck. One that never
    traded has a ratio of zero. The variance is at least what luck alone gives, one over the number of
    bars (Lo 2002, FAJ 58(4)): checkpoints that are all alike do not make what else was tried alike.

    What the best would show by luck never falls as trials are added: the variance is at least so large
    that it is what it was after any number of them. Else who adds trials that are all alike would
    make what was found before look better.

    Args:
        records: In the order of :meth:`Ledger.records`.
        bars: Of the returns that are judged, to which the variance is scaled.
    """
    ratios: list[float] = []
    best = 0.0
    for number, record in enumerate(records, 1):
        if record["block"] == "validation":
            ratios.append((record["sharpe"] or 0.0) * math.sqrt(record["bars"] / bars))
        if len(ratios) > 1:
            best = max(best, expected_best_sharpe(number, float(np.var(ratios, ddof=1))))
    unit = expected_best_sharpe(max(len(records), 1), 1.0)
    return Trials(len(records), max((best / unit) ** 2 if unit else 0.0, 1 / bars))


def _is_trial(record: Record) -> bool:
    sharpe, bars = record.get("sharpe"), record.get("bars")
    numbers = isinstance(bars, int) and bars > 1 and (sharpe is None or isinstance(sharpe, float))
    return numbers and all(isinstance(record.get(field), str) for field in FIELDS)


def _in_batch(record: Record) -> bool:
    return isinstance(record.get("after"), int)


def _order(record: Record) -> tuple[int, str, int, str]:
    """Of the trials; longer names come later, so that checkpoints follow each other by their steps."""
    after = record["after"] if _in_batch(record) else record["number"] - 1
    return after, record["config"], len(record["name"]), record["name"]


def _moments(returns: Floats) -> dict[str, Any]:
    sharpe = sharpe_ratio(returns)
    if math.isnan(sharpe):
        return {"bars": len(returns), "sharpe": None, "skew": None, "kurtosis": None}
    return {
        "bars": len(returns),
        "sharpe": sharpe,
        "skew": float(stats.skew(returns)),
        "kurtosis": float(stats.kurtosis(returns, fisher=False)),
    }
