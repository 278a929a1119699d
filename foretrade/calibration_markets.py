"""Markets whose truth is known, from the making to the verdict.

Each is forecast walk-forward and traded by many rules; the best rule is chosen on the validation block,
plays the test block and is judged with its trials counted. On a market of pure noise an "edge" is an
error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np

from foretrade.backtests.candidates import distinct
from foretrade.backtests.deflation import deflated_sharpe
from foretrade.backtests.significance import probabilistic_sharpe, sharpe_ratio
from foretrade.backtests.superiority import superior_ability
from foretrade.backtests.sweep import sweep
from foretrade.backtests.trials import count
from foretrade.backtests.verdict import CONFIDENCE, judge
from foretrade.forecasters.linear import ridge
from foretrade.forecasters.naive import ARForecaster, HistoricalMeanForecaster
from foretrade.forecasters.rolling import rolling_forecasts
from foretrade.markets.arrays import Floats
from foretrade.markets.bars import Bars
from foretrade.markets.costs import Costs
from foretrade.markets.features import FeatureConfig, compute_features
from foretrade.markets.labels import LabelConfig
from foretrade.markets.splits import WalkForward
from foretrade.markets.synthetic import Noise, market_of, shocks
from foretrade.markets.table import Column, Table

YEAR = 252
WARM_UP_BARS, VALIDATION_BARS, TEST_BARS = 620, 2 * YEAR, 5 * YEAR
BARS = WARM_UP_BARS + VALIDATION_BARS + TEST_BARS
VOLATILITY = 0.01  # of a bar
FLIPS = 0.05  # chance that the planted drift changes its sign at a bar
BLUR = 0.5  # noise in what is seen of it, whose sign is ±1
LABEL = LabelConfig()
FEATURES = FeatureConfig(
    return_lags=(0, 1, 2), momentum_bars=(5, 21, 63), trend_bars=100, volatility_bars=(21, 63),
    zscore_bars=63, calendar=False,
)  # fmt: skip
MEMBERS = {
    "ridge": ridge(), "ar1": ARForecaster(), "historical_mean": HistoricalMeanForecaster(),
}  # fmt: skip
FREE = Costs(fee_bps=0.0, half_spread_bps=0.0, borrow_bps_per_year=0.0, financing_bps_per_year=0.0)
NOISES: tuple[Noise, ...] = get_args(Noise)
TRENDS = (20, 50, 100, 200)
BANDS = (0.0, 0.5, 1.0)  # of the typical size of the forecast


@dataclass(frozen=True)
class Case:
    """A market to be made, and the terms on which it is traded.

    Args:
        number: Seeds the market.
        noise: What it is made of.
        sharpe: Annual Sharpe ratio of who knows the planted drift; 0 plants none.
        pays: Whether trades cost what they cost by default, or nothing.
    """

    number: int
    noise: Noise
    sharpe: float = 0.0
    pays: bool = False


@dataclass(frozen=True)
class Decisions:
    """What each rule of decision says of a market.

    Args:
        verdict: :attr:`Verdict.edge`, of the rule chosen on validation.
        interval: Its interval lies above zero.
        interval_excludes_zero: On either side.
        psr: Its probabilistic Sharpe ratio is above .95.
        deflated: Its deflated one is.
        beats_benchmark: Its difference to buy-and-hold lies above zero.
        difference_excludes_zero: On either side.
        superior_ability: Hansen's p-value of all rules on the test block, against cash, is below .05.
        best_on_test: The probabilistic Sharpe ratio of the best of all on the test block is above .95:
            what who does not count believes.
        best_on_test_deflated: The same, counted.
        sharpe: Annual, of the chosen rule on the test block.
    """

    verdict: bool
    interval: bool
    interval_excludes_zero: bool
    psr: bool
    deflated: bool
    beats_benchmark: bool
    difference_excludes_zero: bool
    superior_ability: bool
    best_on_test: bool
    best_on_test_deflated: bool
    sharpe: float


def run_case(case: Case) -> Decisions:
    """Make the market, forecast, choose, test and judge."""
    bars, seen = made_market(case)
    forecasts = rolling_forecasts(
        bars,
        compute_features(bars, FEATURES).join(seen),
        MEMBERS,
        symbol=bars.symbols[0],
        label=LABEL,
        schedule=WalkForward(refit_every_bars=YEAR),
    )
    targets, costs = rules(bars, forecasts), Costs() if case.pays else FREE
    first = len(bars) - 1 - TEST_BARS
    validation = net_returns(bars, targets, range(first - VALIDATION_BARS, first), costs)
    test = net_returns(bars, targets, range(first, len(bars) - 1), costs)
    return decide(validation[:, 1:], test[:, 1:], benchmark=test[:, 0])


def made_market(case: Case) -> tuple[Bars, Table]:
    """Its bars, and what may be seen of the planted drift.

    The drift of the return that an order earns, decided at the close of bar ``t``, has a sign that is
    known then; the column ``seen`` shows it blurred.
    """
    rng = np.random.default_rng([case.number, NOISES.index(case.noise)])
    sign = np.where(rng.random() < 0.5, 1.0, -1.0) * np.cumprod(1 - 2 * (rng.random(BARS) < FLIPS))
    drift = np.roll(sign, LABEL.resolution_bars)[1:] * case.sharpe / np.sqrt(YEAR)
    moves = VOLATILITY * (shocks(case.noise, BARS - 1, rng) + drift)
    bars = market_of(moves, rng, source=f"{case.noise} {case.number}, Sharpe ratio {case.sharpe:g}")
    seen = (sign + BLUR * rng.normal(size=BARS))[:, None]
    return bars, Table.from_columns(bars, {Column("seen", "ratio"): seen})


def rules(bars: Bars, forecasts: Table) -> Floats:
    """Target weights ``[bars, rules]``: first buy-and-hold, then by forecasts, then by trends."""
    columns = [np.ones(len(bars))]
    for name in ("ensemble", *MEMBERS):
        mean = np.nan_to_num(forecasts.column(f"{name}.mean")[:, 0])
        size = np.abs(mean[WARM_UP_BARS:-TEST_BARS]).mean()  # nothing from the test block
        columns += [np.sign(mean) * (np.abs(mean) > band * size) for band in BANDS]
        columns += [np.maximum(np.sign(mean), 0.0), np.clip(mean / (2 * size), -1, 1)]
    close = bars.close[:, 0]
    for window in TRENDS:
        trailing = np.convolve(close, np.ones(window) / window)[: len(close)]
        columns.append(np.sign(close - trailing))
    return np.column_stack(columns)


def net_returns(bars: Bars, targets: Floats, rows: range, costs: Costs) -> Floats:
    """Simple returns of each rule over the rows ``[steps, rules]``."""
    equity = sweep(bars, targets[rows.start : rows.stop], rows=rows, costs=costs, flows=False).equity
    return equity[1:] / equity[:-1] - 1.0


def decide(validation: Floats, test: Floats, benchmark: Floats) -> Decisions:
    """Choose on one block, judge on the other.

    Args:
        validation, test: Simple returns of all rules, ``[bars, rules]`` each.
        benchmark: Those of buy-and-hold on the test block ``[bars]``.
    """
    on_validation, on_test = ratios(validation), ratios(test)
    chosen, best = test[:, on_validation.argmax()], test[:, on_test.argmax()]
    looked_at = [{"sharpe": r, "bars": len(validation), "block": "validation"} for r in on_validation]
    trials = count(looked_at, bars=len(test))
    found = judge(chosen, benchmark, trials, YEAR)
    spread = float(on_test.var(ddof=1))
    return Decisions(
        verdict=found.edge,
        interval=found.low > 0,
        interval_excludes_zero=found.low > 0 or found.high < 0,
        psr=probabilistic_sharpe(chosen) > CONFIDENCE,
        deflated=found.deflated > CONFIDENCE,
        beats_benchmark=found.beats_benchmark,
        difference_excludes_zero=found.difference_low > 0 or found.difference_high < 0,
        superior_ability=superior(test) < 1 - CONFIDENCE,
        best_on_test=probabilistic_sharpe(best) > CONFIDENCE,
        best_on_test_deflated=deflated_sharpe(best, len(on_test), spread) > CONFIDENCE,
        sharpe=float(np.nan_to_num(found.sharpe)),
    )


def ratios(returns: Floats) -> Floats:
    """Sharpe ratio a bar of each rule; zero for one that never traded."""
    return np.nan_to_num([sharpe_ratio(column) for column in returns.T])


def superior(returns: Floats) -> float:
    """Hansen's p-value against cash, of the rules that differ and traded."""
    different = distinct({str(number): column for number, column in enumerate(returns.T)})
    return superior_ability(different, np.zeros(len(returns))).consistent
