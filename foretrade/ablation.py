"""Does augmentation help? One member with and without it, out of sample, on the validation block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foretrade.config import ConfigError
from foretrade.counting import record_ablation
from foretrade.forecasters.names import member_name
from foretrade.forecasting import members_of, run_walks, walk_settings
from foretrade.job import Job
from foretrade.markets.labels import forward_returns

PLAIN = "as it is"


@dataclass(frozen=True)
class Ablation:
    """Out-of-sample scores of one variant of a member on the validation block.

    Args:
        variant: What was done to its training rows.
        ic, ic_t, r2_os, rmse: See :class:`ForecastScores`.
        diebold_mariano_p: Of squared errors as large as without augmentation; two-sided, see
            :func:`diebold_mariano`. NaN for the member as it is.
        incidents: Refits that were rolled back or failed, and other events of its walk.
    """

    variant: str
    ic: float
    ic_t: float
    r2_os: float
    rmse: float
    diebold_mariano_p: float
    incidents: int


def ablate(job: Job, member: str, methods: Sequence[str]) -> list[Ablation]:
    """Walk a member of the experiment forward as it is, and with each method of augmentation.

    Raises:
        ConfigError: The experiment has no such member, or a method is unknown.
    """
    from foretrade.forecasters.augmentation import METHODS, augmented
    from foretrade.forecasters.comparison import diebold_mariano
    from foretrade.forecasters.rolling import cache_folder, plan_walks
    from foretrade.forecasters.scores import resolved_mean, score_forecast

    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods:
        raise ConfigError(f"methods must be some of {', '.join(METHODS)}, got {', '.join(methods)!r}")
    members = members_of(job)
    if member_name(member) not in members:
        raise ConfigError(f"{member!r} is no member of this experiment; it has {', '.join(members)}")
    plain = members[member_name(member)]
    variants = {PLAIN: plain} | {
        method: augmented(plain, methods=(method,), seed=job.config.seed) for method in methods
    }
    walks = plan_walks(job.bars, job.features, variants, cache=cache_folder(), **walk_settings(job))
    walked = dict(zip(variants, run_walks(job, walks), strict=True))
    record_ablation(job, {f"{member} {name}": one.mean for name, one in walked.items()})
    rows = job.config.blocks.rows(job.bars)["validation"]
    block = slice(rows.start, rows.stop - job.label.resolution_bars)
    labels = forward_returns(job.bars, job.label)[:, 0]
    benchmark, horizon = resolved_mean(labels, job.label.resolution_bars), job.label.horizon_bars
    losses = {name: ((labels - one.mean) ** 2)[block] for name, one in walked.items()}
    found = []
    for name, one in walked.items():
        bounds = one.mean[block], one.mean[block]  # of no interest here
        scores = score_forecast(
            one.mean[block], labels[block], benchmark[block], *bounds, horizon_bars=horizon
        )
        both = np.isfinite(losses[name]) & np.isfinite(losses[PLAIN])
        test = diebold_mariano(losses[name][both], losses[PLAIN][both], horizon)
        numbers = (scores.ic, scores.ic_t, scores.r2_os, scores.rmse, test.p_value)
        found.append(Ablation(name, *numbers, incidents=len(one.events)))
    return found
