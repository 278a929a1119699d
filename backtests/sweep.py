"""Many strategies at once: target weights over bars and strategies, through the environment's ledger.

A sweep has the bits of as many runs of the environment with the same targets: it is the same ledger.
Where weights are not known beforehand, because a strategy looks at its account, use
:func:`foretrade.backtests.engine.run`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from foretrade.markets.accounts import ALIVE, LANES, new_accounts
from foretrade.markets.arrays import Bools, Floats, Ints
from foretrade.markets.bars import Bars, DataError
from foretrade.markets.costs import Costs
from foretrade.markets.exchange import FILLS, Exchange, check_trade_rate, make_exchange
from foretrade.markets.fills import Fill
from foretrade.markets.fused import can_fuse, new_group, replay_fused
from foretrade.markets.reasons import REASONS
from foretrade.markets.replay import replay
from foretrade.markets.rules import Rules
from foretrade.markets.tally import TALLY_FIELDS, Record
from foretrade.markets.trading import new_workspace


@dataclass(frozen=True, eq=False)
class Outcome:
    """What is known of each strategy, kept equity or not; arrays are ``[strategies]``.

    A strategy is over at the step in which its equity is not positive (ruin) or below the maintenance
    margin: all is sold at cost, its equity stays at what is left, and nothing is counted from then on.

    Args:
        rows: Bars at whose closes targets were decided.
        fill: Where they were filled.
        initial_equity: In quote currency.
        final_equity: At the last close.
        steps: Until the end, or the step in which it was over, that one included.
        turnover: Traded notional over the equity before, a year; NaN if not asked for.
        cost: All costs less interest, over the equity before, a year; NaN if not asked for.
        ruined: Whether it was over before the end.
        reasons: How often each of ``foretrade.markets.reasons.REASONS`` gave a symbol another weight
            than was asked for.
    """

    rows: range
    fill: Fill
    initial_equity: float
    final_equity: Floats
    steps: Ints
    turnover: Floats
    cost: Floats
    ruined: Bools
    reasons: dict[str, Ints]

    @property
    def idealised(self) -> bool:
        """Whether orders filled at the price that their decision had just seen."""
        return self.fill == "same_close"


@dataclass(frozen=True, eq=False)
class Sweep(Outcome):
    """Equity curves of strategies.

    Args:
        equity: At the closes, ``[steps + 1, strategies]``; the first row is the initial equity.
    """

    equity: Floats


@dataclass(frozen=True, eq=False)
class Moments(Outcome):
    """Moments of the simple returns of each strategy over its ``steps``; NaN where undefined.

    Args:
        mean: Of a step's return.
        variance: With ``steps - 1`` in the denominator.
        skew: Third central moment over the standard deviation cubed (both with ``steps``).
        kurtosis: Fourth likewise; 3 is normal.
        max_drawdown: Of the closes and the initial equity; a fraction, not positive.
    """

    mean: Floats
    variance: Floats
    skew: Floats
    kurtosis: Floats
    max_drawdown: Floats


def sweep(
    bars: Bars,
    targets: Floats,
    *,
    rows: range | None = None,
    fill: Fill = "next_close",
    costs: Costs = Costs(),
    rules: Rules = Rules(),
    cost_scale: float | Floats = 1.0,
    initial_equity: float = 1_000_000.0,
    threads: int = 1,
    out: Floats | None = None,
    flows: bool = True,
) -> Sweep:
    """Equity curves of target-weight strategies.

    Args:
        bars: All of their symbols are traded.
        targets: Target weights, ``[steps, strategies]``, or ``[steps, symbols, strategies]``. Those of
            step ``k`` are decided at the close of bar ``rows[k]`` and filled on the way to the next bar.
        rows: Consecutive bars; default: all but the last.
        fill: ``same_close`` is an idealisation; :attr:`Outcome.idealised` tells.
        cost_scale: Level of all costs but interest, a number or ``[strategies]``.
        threads: Share the strategies out; the bits do not depend on it.
        out: Where to write the equity, ``[steps + 1, strategies]``; memory fresh from the system takes
            longer to map than to fill. It holds nothing of worth after an error.
        flows: Whether to sum up turnover and cost; without, a sweep takes less time, and both are NaN.

    Raises:
        ValueError: A shape, row or number is impossible; the message names it.
    """
    play = _plan(bars, targets, rows, fill, costs, rules, cost_scale, initial_equity, threads)
    record = play(_checked_out(out, play.targets), flows=flows)
    return Sweep(**_outcome(bars, play, record), equity=record.equity)


def sweep_moments(
    bars: Bars,
    targets: Floats,
    *,
    rows: range | None = None,
    fill: Fill = "next_close",
    costs: Costs = Costs(),
    rules: Rules = Rules(),
    cost_scale: float | Floats = 1.0,
    initial_equity: float = 1_000_000.0,
    threads: int = 1,
    flows: bool = True,
) -> Moments:
    """As :func:`sweep`, without keeping equity: memory does not grow with the bars."""
    play = _plan(bars, targets, rows, fill, costs, rules, cost_scale, initial_equity, threads)
    record = play(np.empty((2, play.targets.shape[2])), moments=True, flows=flows)
    return Moments(**_outcome(bars, play, record), **_moments(record))


@dataclass(frozen=True)
class _Play:
    """A checked sweep, ready to be played."""

    targets: Floats
    rows: range
    fill: Fill
    cost_scale: Floats
    initial_equity: float
    exchange: Exchange
    threads: int
    fuses: bool

    def __call__(self, equity: Floats, *, moments: bool = False, flows: bool = True) -> Record:
        _, symbols, strategies = self.targets.shape
        record = Record(equity, np.empty((len(TALLY_FIELDS), strategies)), moments, flows)

        def play(first: int, last: int) -> None:
            given = (self.targets, self.cost_scale, self.rows.start, self.initial_equity, self.exchange)
            if self.fuses:
                if replay_fused(*given, new_group(last - first), record, first, last):
                    _check_finite(self.targets)
                part = slice(first * LANES, last * LANES)
                if np.isfinite(equity[len(self.targets) % len(equity), part]).all():
                    return
            _check_finite(self.targets)  # or money was out of a number's range
            accounts, work = new_accounts(LANES, symbols), new_workspace(symbols)
            tally = np.empty(len(TALLY_FIELDS) * LANES)
            replay(*given, accounts, work, tally, record, first, last)

        _share_out(play, -(-strategies // LANES), self.threads)
        return record


def _share_out(play: Callable[[int, int], None], blocks: int, threads: int) -> None:
    parts = min(threads, blocks)
    if parts == 1:
        play(0, blocks)
        return
    edges = np.linspace(0, blocks, parts + 1).astype(int).tolist()
    with ThreadPoolExecutor(parts) as pool:
        for job in [pool.submit(play, first, last) for first, last in pairwise(edges)]:
            job.result()


def _plan(
    bars: Bars, targets: Floats, rows: range | None, fill: Fill, costs: Costs, rules: Rules,
    cost_scale: float | Floats, initial_equity: float, threads: int,
) -> _Play:  # fmt: skip
    if fill not in FILLS:
        raise ValueError(f"fill = {fill!r} must be one of {', '.join(FILLS)}")
    panel = _checked_targets(bars, targets)
    rows = range(len(bars) - 1) if rows is None else rows
    _check_rows(bars, rows, len(panel))
    scale = np.asarray(cost_scale, dtype=np.float64)
    if scale.shape not in ((), (panel.shape[2],)) or not (np.isfinite(scale) & (scale >= 0)).all():
        raise ValueError(
            "cost_scale must be a finite number of at least 0, or one for each of the "
            f"{panel.shape[2]} strategies"
        )
    if not (np.isfinite(initial_equity) and initial_equity > 0):
        raise ValueError(f"initial_equity must be positive and finite, got {initial_equity}")
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    check_trade_rate(costs, rules, float(scale.max()))
    exchange = make_exchange(bars, fill=fill, costs=costs, rules=rules, initial_equity=initial_equity)
    scales = np.ascontiguousarray(np.broadcast_to(scale, panel.shape[2:]))
    fuses = can_fuse(exchange, rows)
    return _Play(panel, rows, fill, scales, float(initial_equity), exchange, threads, fuses)


def _checked_out(out: Floats | None, targets: Floats) -> Floats:
    shape = (len(targets) + 1, targets.shape[2])
    if out is None:
        return np.empty(shape)
    if out.shape != shape or out.dtype != np.float64 or not out.flags.carray:
        raise ValueError(
            f"out must be a writable contiguous float64 array of shape {shape}, got {out.shape}"
        )
    if np.may_share_memory(out, targets):
        raise ValueError("out must not share its memory with the targets")
    return out


def _checked_targets(bars: Bars, targets: Floats) -> Floats:
    """``[steps, symbols, strategies]``."""
    if isinstance(targets, np.ma.MaskedArray):
        raise ValueError("targets are masked; fill them: 0 stays out of the market")
    if (kind := np.asarray(targets).dtype).kind not in "fiub":
        raise ValueError(f"targets must be real numbers, got {kind}")
    panel = np.ascontiguousarray(targets, dtype=np.float64)
    panel = panel[:, None, :] if panel.ndim == 2 else panel
    if panel.ndim != 3 or panel.shape[1] != len(bars.symbols) or 0 in panel.shape:
        expected = "[steps, symbols, strategies]"
        expected += " or [steps, strategies]" if len(bars.symbols) == 1 else ""
        raise ValueError(
            f"targets have shape {np.shape(targets)}, expected {expected} of the {len(bars.symbols)} "
            "symbols of the bars; bars.select picks symbols"
        )
    return panel


def _check_finite(targets: Floats) -> None:
    if not np.isfinite(targets).all():
        step, symbol, strategy = np.argwhere(~np.isfinite(targets))[0].tolist()
        raise ValueError(
            f"the target of step {step}, symbol {symbol}, strategy {strategy} is "
            f"{targets[step, symbol, strategy]}; 0 stays out of the market"
        )


def _check_rows(bars: Bars, rows: range, steps: int) -> None:
    if len(rows) != steps:
        raise ValueError(
            f"{steps} rows of targets for {len(rows)} decisions; give rows, or targets for all bars but "
            f"the last of {len(bars)}"
        )
    if rows.step != 1 or rows.start < 0 or rows.stop >= len(bars):
        raise DataError(
            f"{bars.source}: rows = {rows} must be consecutive, and end before the last of {len(bars)} "
            "bars, in which the last order is filled"
        )


def _outcome(bars: Bars, play: _Play, record: Record) -> dict[str, Any]:
    tallies = dict(zip(TALLY_FIELDS, record.tallies, strict=True))
    years = tallies["steps"] / (bars.periods_per_year if record.flows else np.nan)
    return {
        "rows": play.rows,
        "fill": play.fill,
        "initial_equity": play.initial_equity,
        "final_equity": record.equity[len(play.rows) % len(record.equity)].copy(),
        "steps": tallies["steps"].astype(np.int64),
        "turnover": tallies["turnover"] / years,
        "cost": tallies["cost"] / years,
        "ruined": tallies["over"] != ALIVE,
        "reasons": {name: tallies[name].astype(np.int64) for name in REASONS},
    }


def _moments(record: Record) -> dict[str, Any]:
    tallies = dict(zip(TALLY_FIELDS, record.tallies, strict=True))
    steps, second = tallies["steps"], tallies["second"]
    many, varied = np.where(steps > 1, steps, np.nan), np.where(second > 0, second, np.nan)
    return {
        "mean": tallies["mean"],
        "variance": second / (many - 1),
        "skew": np.sqrt(steps) * tallies["third"] / varied**1.5,
        "kurtosis": steps * tallies["fourth"] / varied**2,
        "max_drawdown": tallies["low"] / tallies["high"] - 1.0,
    }
