"""The one decision: an edge, or luck."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from foretrade.backtests.candidates import MIN_BARS, ROUNDING
from foretrade.backtests.deflation import deflated_sharpe
from foretrade.backtests.returns import defined_sharpe
from foretrade.backtests.significance import (
    minimum_track_record,
    sharpe_difference,
    sharpe_error,
    sharpe_interval,
)
from foretrade.backtests.trials import Trials
from foretrade.markets.arrays import Floats

CONFIDENCE = 0.95
MIN_ACTIVE = 50
"""Bars that gain or lose, below which no edge is declared: with few the tests err too often.

The interval of noise lies above zero in 4 to 6 % of samples with 5 to 20 such bars, in 3 % with 50.
"""


@dataclass(frozen=True)
class Verdict:
    """What the returns of a strategy after costs show.

    NaN is "undefined": the returns do not vary, or they are fewer than a test needs.

    Args:
        gain: The interval of the Sharpe ratio lies above zero, the deflated Sharpe ratio above
            ``CONFIDENCE``, and ``MIN_ACTIVE`` bars or more show it.
        edge: Such a gain, and the record of trials is whole: luck does not explain it.
        beats_benchmark: The interval of the difference to the benchmark lies above zero, and
            ``MIN_ACTIVE`` bars or more show it.
        active, apart: Bars whose return differs from zero, and from the benchmark's.
        sharpe, low, high: Annualised Sharpe ratio with its 95 % interval.
        error: Standard error of the ratio, autocorrelation included: Lo's.
        needed_bars: Minimum track record of such a ratio: infinite if it is not above zero.
        deflated: Probability that the true ratio exceeds what the best of the trials shows by luck.
        trials: Compared before this one was shown.
        difference_low, difference_high: 95 % interval of the annualised Sharpe ratio less that of
            the benchmark.
    """

    gain: bool
    edge: bool
    beats_benchmark: bool
    active: int
    apart: int
    sharpe: float
    low: float
    high: float
    error: float
    needed_bars: float
    deflated: float
    trials: Trials
    difference_low: float
    difference_high: float

    def finding(self, doubt: str = "") -> str:
        """In words.

        Args:
            doubt: Why the returns are not to be believed; it takes the place of whatever gain they show.
        """
        if not self.gain:
            few = f", as {bars_of(self.active, 'gain or lose')}" if self.active < MIN_ACTIVE else ""
            return f"{doubt}. No edge after costs{few}" if doubt else f"No edge after costs{few}"
        if doubt:
            return doubt
        if not self.edge:
            return "A gain after costs, but the record of trials is broken: luck is not ruled out"
        if not self.beats_benchmark:
            few = f", as {bars_of(self.apart, 'differ from it')}" if 0 < self.apart < MIN_ACTIVE else ""
            said = "A gain after costs that luck does not explain, but no proven edge over the benchmark"
            return f"{said}{few}"
        return "An edge over the benchmark, after costs, that luck does not explain"


def bars_of(number: int, do: str) -> str:
    """That there are too few bars to tell skill from luck."""
    return f"too few bars {do} to tell ({number}; {MIN_ACTIVE} are needed)"


def judge(returns: Floats, benchmark: Floats, trials: Trials, periods_per_year: float) -> Verdict:
    """Decide whether a strategy has an edge.

    Args:
        returns: Simple returns a bar after all costs ``[bars]``.
        benchmark: Of buy-and-hold over the same bars.
        trials: Everything that was compared before these returns were shown; none at all is one.
        periods_per_year: Bars a year.

    Raises:
        ValueError: A return is not finite, or the two have not the same number of bars.
    """
    low = high = error = needed_bars = deflated = difference_low = difference_high = math.nan
    if len(returns) >= MIN_BARS:
        low, high = sharpe_interval(returns, periods_per_year)
        error = sharpe_error(returns, periods_per_year)
        needed_bars = minimum_track_record(returns)
        deflated = deflated_sharpe(returns, max(trials.count, 1), trials.variance)
        difference = sharpe_difference(returns, benchmark, periods_per_year)
        difference_low, difference_high = difference.low, difference.high
    active, apart = _differing(returns, 0.0), _differing(returns, benchmark)
    gain = low > 0 and deflated > CONFIDENCE and active >= MIN_ACTIVE
    return Verdict(
        gain=gain,
        edge=gain and trials.whole,
        beats_benchmark=difference_low > 0 and apart >= MIN_ACTIVE,
        active=active,
        apart=apart,
        sharpe=defined_sharpe(returns, periods_per_year),
        low=low,
        high=high,
        error=error,
        needed_bars=needed_bars,
        deflated=deflated,
        trials=trials,
        difference_low=difference_low,
        difference_high=difference_high,
    )


def _differing(returns: Floats, other: Floats | float) -> int:
    """Bars in which the two are not the same, beyond rounding."""
    return int(np.count_nonzero(np.abs(np.asarray(returns) - other) > ROUNDING))
