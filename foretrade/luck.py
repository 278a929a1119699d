"""What luck explains of a run: everything that was tried on its data, laid side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foretrade.counting import compared, ledger_of
from foretrade.job import Job
from foretrade.lineup import BENCHMARK_RUN

if TYPE_CHECKING:
    from foretrade.backtests.trials import Block
    from foretrade.markets.arrays import Floats

CHOSEN_FROM = ("checkpoint",)
TRADED = ("policy", "rule", "cell")


def luck(job: Job) -> dict[str, Any]:
    """Ready for JSON; an entry holds ``undefined`` and why, where there is too little to compare.

    ``trials`` are those of :func:`compared`, with the number of independent ones that the checkpoints
    are as many as (to be read beside, never instead). ``overfitting`` is the probability that the
    checkpoint that is best on one half of the validation block ranks in the lower half on the other;
    ``superior_ability`` the probability that the best of all that was traded on the test block beats
    buy-and-hold by so much without being better.
    """
    from foretrade.backtests.trials import TrialsError

    trials = compared(job)
    try:
        checkpoints = beside_each_other(job, "validation", CHOSEN_FROM)
        traded = beside_each_other(job, "test", TRADED)
    except TrialsError as error:
        lost = {"undefined": str(error)}
        number = {"count": trials.count, "variance": trials.variance, "whole": trials.whole}
        return {"trials": number, "overfitting": lost, "superior_ability": lost}
    return {
        "trials": {
            "count": trials.count,
            "variance": trials.variance,
            "whole": trials.whole,
            "checkpoints": len(checkpoints),
            "effective_checkpoints": _effective(checkpoints),
        },
        "overfitting": _overfitting(checkpoints),
        "superior_ability": _superior_ability(traded, _benchmark(job)),
    }


def beside_each_other(job: Job, block: Block, kinds: tuple[str, ...]) -> dict[str, Floats]:
    """Returns of all trials of some kinds on just the bars of this run's block, whichever run made them.

    Returns:
        Place in the ledger and name to returns ``[bars]``.
    """
    ledger = ledger_of(job)
    rows = job.config.blocks.rows(job.bars)[block]
    bars = {"bars": len(rows) - 1, "first": str(job.bars.dates[rows.start + 1].date())}
    return {
        f"{record['number']}: {record['name']}": ledger.returns(record)
        for record in ledger.records(job.bars.history_hash, block)
        if record["kind"] in kinds and bars.items() <= record.items()
    }


def _benchmark(job: Job) -> Floats:
    from foretrade.backtests.engine import read_runs

    returns: Floats = read_runs(job.run.path / "ledger.parquet")[BENCHMARK_RUN].returns.to_numpy()
    return returns


def _effective(returns: dict[str, Floats]) -> int:
    import numpy as np

    from foretrade.backtests.deflation import effective_trials

    return (
        effective_trials(np.column_stack(list(returns.values()))) if len(returns) > 1 else len(returns)
    )


def _overfitting(returns: dict[str, Floats]) -> dict[str, Any]:
    from foretrade.backtests.candidates import distinct
    from foretrade.backtests.overfitting import overfitting

    different = distinct(returns)
    try:
        found = overfitting(different)
    except ValueError as error:
        return {"undefined": str(error)}
    return {
        "probability": found.probability,
        "probability_of_loss": found.probability_of_loss,
        "strategies": len(different),
        "blocks": found.blocks,
    }


def _superior_ability(returns: dict[str, Floats], benchmark: Floats) -> dict[str, Any]:
    from foretrade.backtests.candidates import distinct
    from foretrade.backtests.superiority import superior_ability

    different = distinct(returns, benchmark)
    try:
        found = superior_ability(different, benchmark)
    except ValueError as error:
        return {"undefined": str(error)}
    p_values = {name: getattr(found, name) for name in ("lower", "consistent", "upper")}
    return {
        "p_values": p_values,
        "reality_check": found.reality_check,
        "best": found.best,
        "strategies": len(different),
    }
