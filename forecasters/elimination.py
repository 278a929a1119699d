"""Model confidence set: the worst forecast leaves, until those left cannot be told apart."""

from __future__ import annotations

import numpy as np

from foretrade.markets.arrays import Floats
from foretrade.markets.resampling import resampled_means


def elimination_p_values(losses: Floats, block_rows: float, resamples: int, seed: int) -> Floats:
    """p-value of each column of ``[rows, k]``: it stays in the set at each smaller size.

    Hansen, Lunde and Nason (2011, Econometrica 79(2)), range statistic, with the draws and so the values
    of ``arch.bootstrap.MCS``. Who leaves next hangs on the observed losses alone, so that the sets are
    nested and known beforehand: going through them from the smallest, the largest resampled statistic of
    each takes one comparison with the forecast that joins.
    """
    observed = losses.mean(axis=0)
    moved = resampled_means(losses, block_rows, resamples, seed) - observed
    errors = np.sqrt([((moved - moved[:, [i]]) ** 2).mean(axis=0) for i in range(len(observed))])
    np.fill_diagonal(errors, 1.0)
    statistics = (observed[:, None] - observed) / errors
    worst_first = _elimination_order(statistics)
    p_values = np.ones(len(observed))
    largest = np.zeros(resamples)
    for position in range(len(worst_first) - 2, -1, -1):
        leaving, staying = worst_first[position], worst_first[position + 1 :]
        against = np.abs(moved[:, [leaving]] - moved[:, staying]) / errors[leaving, staying]
        largest = np.maximum(largest, against.max(axis=1))
        together = worst_first[position:]
        p_values[leaving] = (statistics[np.ix_(together, together)].max() < largest).mean()
    p_values[worst_first] = np.maximum.accumulate(p_values[worst_first])
    return p_values


def _elimination_order(statistics: Floats) -> list[int]:
    """Who leaves first: the one that is most significantly worse than another; the best comes last."""
    left, order = np.arange(len(statistics)), []
    while len(left) > 1:
        worst = int(statistics[np.ix_(left, left)].max(axis=1).argmax())
        order.append(int(left[worst]))
        left = np.delete(left, worst)
    return [*order, int(left[0])]
