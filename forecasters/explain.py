"""What a forecast owes to its features, and an ensemble to its members, on out-of-sample rows.

Permutation importance (Breiman 2001; Fisher, Rudin and Dominici 2019, arXiv:1801.01489) asks how much
worse a forecast gets when an input is taken from another row. Here the other row is an earlier one of
the same prediction block, drawn at random. A permutation proper would also draw later rows: their
features hold the very return that is forecast, and trailing returns of a random walk would seem to
matter. So each forecast compared is one that could have been made at the time.

An importance says what a fitted model relies on, which is not what the market offers: of two features
that say the same, each can stand in for the other. Group such features into one block. A feature that
hardly moves within a prediction block cannot show its worth either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats
from scipy.fft import dct

from foretrade.forecasters.base import Forecaster, Observing
from foretrade.forecasters.comparison import MIN_ROWS
from foretrade.forecasters.ensemble import combine
from foretrade.forecasters.fusion import FUSIONS
from foretrade.forecasters.walk import Walk
from foretrade.forecasters.walker import Walker
from foretrade.markets.arrays import Floats, Ints
from foretrade.markets.bars import DataError

INTERVAL = 0.95
CALENDAR = ("weekday", "month")


def permutation_importance(
    walk: Walk,
    blocks: Mapping[str, Sequence[int]],
    *,
    rows: range | None = None,
    repeats: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """How much worse a member forecasts with the features of another row.

    One fit a fold, as in the walk, and ``1 + repeats · len(blocks)`` forecasts a row.

    Args:
        walk: Of the member, refits, updates and guard included; its folder is neither read nor written.
        blocks: Name to columns of ``walk.inputs`` that are taken from the other row together, over the
            whole lookback window.
        rows: Which rows are scored; all with a forecast and a label by default.
        repeats: Draws of the other row; their losses are averaged.

    Returns:
        One row a block, in units of the mean squared label: ``importance``, the increase of the squared
        error; ``std_error``; ``low`` and ``high``, its 95 % interval. Negative: better without.

    Raises:
        ValueError: A block names a column that is not there, or a setting is out of its range.
        DataError: Too few rows can be scored.
    """
    rows = range(len(walk.inputs)) if rows is None else rows
    plain, permuted = permuted_forecasts(walk, blocks, rows=rows, repeats=repeats, seed=seed)
    found = [_increase(plain, other, walk.labels, rows, walk.resolution_bars) for other in permuted]
    return pd.DataFrame(found, index=pd.Index(list(blocks), name="block"))


def permuted_forecasts(
    walk: Walk, blocks: Mapping[str, Sequence[int]], *, rows: range, repeats: int = 5, seed: int = 0
) -> tuple[Floats, Floats]:
    """Means of :func:`run_walk`, ``[bars]``, to the bit, and those with features of another row.

    The latter are ``[blocks, repeats, bars]``, asked of the parameters that gave the plain forecast. Row
    ``t`` depends on what was known at ``t``, and a block's on no other block. NaN in the first row of a
    fold, which has no earlier one, in parts of the walk that do not touch ``rows``, and where the member
    failed. Arguments and errors as in :func:`permutation_importance`.
    """
    _check_settings(rows, len(walk.inputs), repeats)
    for name, columns in blocks.items():
        if not columns or not set(columns) <= set(range(walk.inputs.shape[1])):
            raise ValueError(
                f"block {name!r} = {list(columns)} must name columns of the inputs, "
                f"0 to {walk.inputs.shape[1] - 1}"
            )
    begins = np.arange(len(walk.inputs))
    for fold in walk.folds:
        begins[fold.start : fold.stop] = fold.start
    asking = _Asking(walk, list(blocks.values()), rows, _earlier_rows(begins, repeats, seed))
    for fold in walk.folds:
        asking.take(fold)
    asking.permuted[:, :, begins == np.arange(len(begins))] = np.nan
    return asking.mean, asking.permuted


def feature_blocks(names: Sequence[str]) -> dict[str, list[int]]:
    """Columns of features by their kind: the name without what tells it from others of its kind.

    ``return_lag_0`` and ``return_lag_1`` are ``return_lag``; ``volatility_21`` and ``volatility_ratio``
    are ``volatility``; sines and cosines of weekday and month are ``calendar``.
    """
    blocks: dict[str, list[int]] = {}
    for column, name in enumerate(names):
        kind = re.sub(r"_(\d+|ratio|sin|cos)$", "", name)
        blocks.setdefault("calendar" if kind in CALENDAR else kind, []).append(column)
    return blocks


def member_importance(
    means: Floats,
    names: Sequence[str],
    labels: Floats,
    fusion: str,
    *,
    resolution_bars: int,
    rows: range,
    block_bars: int = 126,
    repeats: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """How much worse an ensemble forecasts without a member. Positive: the member helps.

    ``left_out`` fuses the others anew, from the first row: what the member is worth to those who choose
    members. ``permuted`` keeps the weights, but takes the member's forecast from an earlier row of the
    same block: what it is worth in the ensemble as it stands. Rows without either forecast are left out.

    Args:
        means: Out-of-sample forecasts ``[bars, members]``; NaN where a member has none.
        names: Of the members; labels: ``[bars]``, each known ``resolution_bars`` later.
        fusion: A key of ``FUSIONS``.
        rows: Which rows are scored.
        block_bars: Length of a block, counted from the first of ``rows``.

    Returns:
        One row a member; under ``left_out`` and ``permuted`` the columns of
        :func:`permutation_importance`.

    Raises:
        ValueError: Fewer than two members, an unknown fusion, or a setting out of its range.
        DataError: Too few rows can be scored.
    """
    _check_settings(rows, len(means), repeats)
    if len(names) < 2 or means.ndim != 2 or means.shape[1] != len(names):
        raise ValueError(f"give the means [bars, members] of two members or more, got {means.shape}")
    if fusion not in FUSIONS or block_bars < 2:
        raise ValueError(
            f"fusion must be one of {', '.join(FUSIONS)} and block_bars at least 2, "
            f"got {fusion!r} and {block_bars}"
        )

    def weights(some: Floats) -> Floats:
        return FUSIONS[fusion].weights(some, labels, resolution_bars=resolution_bars)

    in_force = weights(means)
    fused = combine(means, in_force)[0]
    numbers = np.arange(len(means))
    begins = numbers - np.where(numbers < rows.start, 0, (numbers - rows.start) % block_bars)
    sources = _earlier_rows(begins, repeats, seed)
    left_out, permuted = [], []
    for k in range(len(names)):
        others = np.delete(means, k, axis=1)
        without = combine(others, weights(others))[0][None]
        left_out.append(_increase(fused, without, labels, rows, resolution_bars))
        swapped = np.array([_fused_with(means, k, source, in_force) for source in sources])
        swapped[:, begins == numbers] = np.nan
        permuted.append(_increase(fused, swapped, labels, rows, resolution_bars))
    index = pd.Index(list(names), name="member")
    parts = {"left_out": left_out, "permuted": permuted}
    return pd.concat({key: pd.DataFrame(part, index=index) for key, part in parts.items()}, axis=1)


class _Asking(Walker):
    """Walks as the member does, and asks each of its models about windows of another row as well."""

    def __init__(self, walk: Walk, blocks: Sequence[Sequence[int]], rows: range, sources: Ints) -> None:
        super().__init__(replace(walk, folder=None))
        self.blocks = [list(columns) for columns in blocks]
        self.rows = rows
        self.sources = sources
        self.permuted = np.full((len(blocks), *sources.shape), np.nan)

    def _predict(self, start: int, stop: int) -> None:
        # a model with a running state is asked about a row before it is shown the next one
        step = 1 if isinstance(self.model, Observing) else stop - start
        for first in range(start, stop, step):
            super()._predict(first, first + step)
            if self.model is None:
                self.mean[start:stop] = self.std[start:stop] = np.nan
                return
            self._ask(self.model, first, first + step)

    def _ask(self, model: Forecaster, start: int, stop: int) -> None:
        if stop <= self.rows.start or start >= self.rows.stop:
            return
        first = self.walk.lookback_bars - 1
        windows, own = self.walk.rows(first, len(self.walk.inputs)), self.walk.rows(start, stop)
        size = 1 if isinstance(model, Observing) else self.walk.block_rows
        for number, columns in enumerate(self.blocks):
            for repeat, source in enumerate(self.sources[:, start:stop]):
                mixed = own.copy()
                mixed[:, :, columns] = windows[source - first][:, :, columns]
                padded = np.concatenate([mixed, np.repeat(mixed[-1:], size - len(mixed), axis=0)])
                mean = model.predict(padded).mean[: len(mixed)]
                if not np.isfinite(mean).all():
                    raise DataError(
                        f"member {self.walk.name!r} has no finite forecast where columns {columns} are "
                        f"those of an earlier row, in rows {start} to {stop - 1}: clip its inputs"
                    )
                self.permuted[number, repeat, start:stop] = mean


def _earlier_rows(begins: Ints, repeats: int, seed: int) -> Ints:
    """An earlier row of the same block for each row, ``[repeats, bars]``; the first row's is itself.

    ``begins`` is the first row of each row's block. Bars more at the end change nothing before them.
    """
    rows = np.arange(len(begins))
    draws = [np.random.default_rng([seed, repeat]).random(len(rows)) for repeat in range(repeats)]
    earlier: Ints = begins + np.floor(np.array(draws) * (rows - begins)).astype(np.int64)
    return earlier


def _fused_with(means: Floats, member: int, source: Ints, weights: Floats) -> Floats:
    """The ensemble's forecast ``[bars]`` with a member's forecasts of the rows ``source``."""
    swapped = means.copy()
    swapped[:, member] = means[source, member]
    return combine(swapped, weights)[0]


def _increase(
    plain: Floats, others: Floats, labels: Floats, rows: range, resolution_bars: int
) -> dict[str, float]:
    """Increase of the mean squared error from ``plain`` ``[bars]`` to the ``others`` ``[n, bars]``.

    In units of the mean squared label, with the standard error of that ratio. The long-run variance is
    the mean square of the first ``ν`` cosine transforms (type II) of its deviations, and the ratio is
    Student with ``ν`` degrees of freedom: the equal-weighted cosine test of Lazarus, Lewis, Stock and
    Watson (2018, JBES 36(4)) with their ``ν = 0.4 n^(2/3)``. No cosine is kept with a period under four
    times the labels' overlap.
    """
    scored = np.zeros(len(labels), dtype=np.bool_)
    scored[rows.start : rows.stop] = True
    scored &= np.isfinite(labels) & np.isfinite(plain) & np.isfinite(others).all(axis=0)
    n = int(scored.sum())
    size = float((labels[scored] ** 2).mean()) if n >= MIN_ROWS else 0.0
    if size == 0:
        raise DataError(
            f"{n} of the rows {rows.start} to {rows.stop - 1} have a label and forecasts to compare; "
            f"{MIN_ROWS} are needed, and a label other than zero: give more rows, or longer folds or "
            "blocks, or see in the walk's events why the member failed"
        )
    loss = (labels[scored] - plain[scored]) ** 2
    excess = ((labels - others)[:, scored] ** 2 - loss).mean(axis=0)
    share = float(excess.mean()) / size
    deviations = (excess - share * labels[scored] ** 2) / size
    cosines = max(1, int(min(0.4 * n ** (2 / 3), n / (2 * resolution_bars))))
    variance = float((dct(deviations, norm="ortho")[1 : cosines + 1] ** 2).mean())
    error = np.sqrt(variance / n)
    reach = stats.t.ppf((1 + INTERVAL) / 2, cosines) * error
    return {"importance": share, "std_error": error, "low": share - reach, "high": share + reach}


def _check_settings(rows: range, bars: int, repeats: int) -> None:
    if repeats < 1 or rows.step != 1 or not 0 <= rows.start < rows.stop <= bars:
        raise ValueError(
            f"repeats must be at least 1, and rows lie within the {bars} bars; got {repeats} and {rows}"
        )
