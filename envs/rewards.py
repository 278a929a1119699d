"""Rewards: functions of the account before and after a step, for a block of accounts at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from foretrade.markets.accounts import ALIVE, EQUITY, MEMORY, MEMORY2, PEAK, ROW, STATUS, STEPS, UNITS
from foretrade.markets.arrays import Floats, Index, UInts
from foretrade.markets.compiled import choose, compiled_phase, inlined
from foretrade.markets.trading import BASE, BEFORE, COST, MARK, NET, REWARD, TRADED

RewardName: TypeAlias = Literal[
    "log_growth", "simple_return", "differential_sharpe", "mean_variance", "drawdown", "cvar", "excess"
]
LOG_GROWTH, _, DIFFERENTIAL_SHARPE, MEAN_VARIANCE, DRAWDOWN, CVAR, EXCESS = range(7)
CODES: Mapping[RewardName, int] = MappingProxyType(
    {name: code for code, name in enumerate(get_args(RewardName))}
)
OF_LOGARITHMS = ("log_growth", "drawdown", "excess")

RUIN_LEVEL = 1e-6
"""Share of equity at which log growth counts a ruined account, whose true logarithm is −∞."""


@dataclass(frozen=True)
class Reward:
    """What a step earns. ``g`` is ``log(equity / equity before)``, ``r`` the simple return.

    - ``log_growth``: ``g``; an episode's rewards sum to the log of final over initial equity.
    - ``simple_return``: ``r``; under fixed notional the profit and loss over the notional.
    - ``differential_sharpe``: ``(B ΔA − ½ A ΔB) / (B − A²)^{3/2}`` with ``A, B`` the exponential
      averages (rate ``adaptation``) of ``r`` and ``r²`` (Moody and Saffell 2001,
      doi:10.1109/72.935097, eq. 10); 0 for the first ``1 / adaptation`` steps of an episode, in which
      the averages mean nothing yet. In the step that loses the account no more than ``r``.
    - ``mean_variance``: ``r − ½ risk_aversion Σ w² v``, ``w`` the positions carried out of the step over
      the equity before it (or the notional), ``v`` the variance of a bar's return known at its close
      (Gârleanu and Pedersen 2013, doi:10.1111/jofi.12080, eq. 4, with their quadratic cost in
      ``Costs.quadratic``).
    - ``drawdown``: ``g − risk_aversion × max(0, ΔD)``, ``D`` the drawdown from the episode's peak.
    - ``cvar``: ``r − risk_aversion × (q + max(−r − q, 0) / (1 − tail))``, whose mean is least at the
      ``tail`` quantile ``q`` of losses, and is then their conditional value at risk (Rockafellar and
      Uryasev 2000, doi:10.21314/JOR.2000.038, eq. 4); ``q`` follows the losses by steps of
      ``adaptation`` times their mean size.
    - ``excess``: ``g`` less the log return of holding all listed symbols in equal parts, without costs.

    Args:
        name: One of the above.
        risk_aversion: Price of risk.
        adaptation: Weight of the newest bar in the averages, 0 to 1.
        tail: Confidence level, 0 to 1.
        turnover_penalty: Times traded notional over equity, taken from any of them.

    Raises:
        ValueError: A setting is impossible.
    """

    name: RewardName = "log_growth"
    risk_aversion: float = 1.0
    adaptation: float = 0.04
    tail: float = 0.95
    turnover_penalty: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in CODES:
            raise ValueError(f"reward {self.name!r} must be one of {', '.join(map(repr, CODES))}")
        for name in ("risk_aversion", "turnover_penalty"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("adaptation", "tail"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")

    def constants(self) -> dict[str, float]:
        """The constants of the kernel."""
        names = ("risk_aversion", "adaptation", "tail", "turnover_penalty")
        return {"reward": CODES[self.name], **{name: getattr(self, name) for name in names}}


@compiled_phase
def pay(
    a: Floats, hs: Floats, clock: UInts, s: Floats, ms: Floats, lanes: Index, reference: Floats,
    terms: Any,
) -> None:  # fmt: skip
    """Put the reward of the step into the accounts; the ledger has left ``s[BEFORE]``.

    ``reference`` holds, per bar, the log return of the benchmark and the variance of each symbol.
    """
    code = terms.reward
    if (code != LOG_GROWTH) | (terms.turnover_penalty > 0.0):
        _simple_return(a, s, lanes, terms.compounds, terms.notional)
    if (code == LOG_GROWTH) | (code == DRAWDOWN) | (code == EXCESS):
        _log_growth(a, s, lanes)
    if code == DIFFERENTIAL_SHARPE:
        _differential_sharpe(a, clock, s, lanes, terms.adaptation)
    elif code == MEAN_VARIANCE:
        _mean_variance(a, hs, clock, s, ms, lanes, reference, terms.risk_aversion)
    elif code == DRAWDOWN:
        _drawdown(a, s, lanes, terms.risk_aversion)
    elif code == CVAR:
        _cvar(a, s, lanes, terms.risk_aversion, terms.adaptation, terms.tail)
    elif code == EXCESS:
        for j in range(lanes):
            s[REWARD + j] -= reference[clock[ROW + j], np.uint64(0)]
    if terms.turnover_penalty > 0.0:
        _punish_turnover(s, lanes, terms.turnover_penalty)


@inlined
def _simple_return(a: Floats, s: Floats, lanes: Index, compounds: bool, notional: float) -> None:
    for j in range(lanes):
        s[BASE + j] = choose(compounds, s[BEFORE + j], notional)
        s[NET + j] = (a[EQUITY + j] - s[BEFORE + j]) / s[BASE + j]
        s[REWARD + j] = s[NET + j]


@inlined
def _punish_turnover(s: Floats, lanes: Index, penalty: float) -> None:
    for j in range(lanes):
        s[REWARD + j] -= penalty * s[TRADED + j] / s[BASE + j]


@inlined
def _log_growth(a: Floats, s: Floats, lanes: Index) -> None:
    """``log`` by the series of ``2 artanh(z)`` near 1, where it is exact to the last bits."""
    far = 0
    for j in range(lanes):
        z = (a[EQUITY + j] - s[BEFORE + j]) / (a[EQUITY + j] + s[BEFORE + j])
        zz = z * z
        series = 1 / 9 + zz * (1 / 11 + zz * (1 / 13 + zz * (1 / 15)))
        s[REWARD + j] = 2.0 * (z + z * zz * (1 / 3 + zz * (1 / 5 + zz * (1 / 7 + zz * series))))
        far += not abs(z) < 0.1
    if far > 0:
        for j in range(lanes):
            if not abs((a[EQUITY + j] - s[BEFORE + j]) / (a[EQUITY + j] + s[BEFORE + j])) < 0.1:
                s[REWARD + j] = math.log(max(a[EQUITY + j] / s[BEFORE + j], RUIN_LEVEL))


@inlined
def _differential_sharpe(a: Floats, clock: UInts, s: Floats, lanes: Index, rate: float) -> None:
    for j in range(lanes):
        mean, square, r = a[MEMORY + j], a[MEMORY2 + j], s[NET + j]
        variance = square - mean * mean
        up, wide = r - mean, r * r - square
        defined = (variance > 1e-12 * square) & (clock[STEPS + j] >= np.uint64(1.0 / rate))
        safe = variance if defined else 1.0
        reward = (square * up - 0.5 * mean * wide) / (safe * math.sqrt(safe)) if defined else 0.0
        lost = a[STATUS + j] != ALIVE  # its formula, of the first order, may call a great loss a gain
        s[REWARD + j] = min(reward, r) if lost else reward
        a[MEMORY + j] = mean + rate * up
        a[MEMORY2 + j] = square + rate * wide


@inlined
def _mean_variance(
    a: Floats, hs: Floats, clock: UInts, s: Floats, ms: Floats, lanes: Index, reference: Floats,
    risk_aversion: float,
) -> None:  # fmt: skip
    for j in range(lanes):
        s[COST + j] = 0.0
    for i in range(len(hs)):
        h, m = hs[i], ms[i]
        for j in range(lanes):
            weight = h[UNITS + j] * m[MARK + j] / s[BASE + j]
            s[COST + j] += weight * weight * reference[clock[ROW + j], i + 1]
    for j in range(lanes):
        s[REWARD + j] = s[NET + j] - 0.5 * risk_aversion * s[COST + j]


@inlined
def _drawdown(a: Floats, s: Floats, lanes: Index, risk_aversion: float) -> None:
    for j in range(lanes):
        drawdown = 1.0 - a[EQUITY + j] / a[PEAK + j]
        deeper = drawdown - a[MEMORY + j]
        s[REWARD + j] -= risk_aversion * (deeper if deeper > 0.0 else 0.0)
        a[MEMORY + j] = drawdown


@inlined
def _cvar(a: Floats, s: Floats, lanes: Index, risk_aversion: float, rate: float, tail: float) -> None:
    for j in range(lanes):
        loss, quantile = -s[NET + j], a[MEMORY + j]
        beyond = loss - quantile
        shortfall = quantile + (beyond if beyond > 0.0 else 0.0) / (1.0 - tail)
        s[REWARD + j] = s[NET + j] - risk_aversion * shortfall
        size = a[MEMORY2 + j] + rate * (abs(loss) - a[MEMORY2 + j])
        a[MEMORY2 + j] = size
        a[MEMORY + j] = quantile + rate * size * ((1.0 if beyond > 0.0 else 0.0) - (1.0 - tail))
