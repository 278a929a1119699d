"""What the accounts of a market share: prices to fill and mark at, costs, and the terms of trade."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from foretrade.markets.arithmetic import ROUNDING
from foretrade.markets.arrays import AnyArray, Bools, Floats, Ints, aligned
from foretrade.markets.bars import Bars, DataError
from foretrade.markets.costs import Costs, cost_rates
from foretrade.markets.fills import Fill
from foretrade.markets.rules import Rules

SECONDS_PER_YEAR = 365 * 24 * 3600.0

SAME_CLOSE, NEXT_OPEN, NEXT_CLOSE = range(3)  # in the order in which a step comes to them
FILLS: dict[Fill, int] = {"same_close": SAME_CLOSE, "next_open": NEXT_OPEN, "next_close": NEXT_CLOSE}

Sizing: TypeAlias = Literal["weights", "units", "deltas"]
"""What a target means: fractions of equity, numbers of units held, or units to trade."""
WEIGHTS, UNIT_TARGETS, DELTAS = range(3)
SIZINGS: dict[Sizing, int] = {"weights": WEIGHTS, "units": UNIT_TARGETS, "deltas": DELTAS}

PRICE_FIELDS = (
    "mark", "fill", "valued", "years", "open", "inverse_fill", "inverse_volume", "volume_cap",
)  # fmt: skip
(
    AT_MARK, AT_FILL, AT_VALUED, AT_YEARS, AT_OPEN, AT_INVERSE_FILL, AT_INVERSE_VOLUME, AT_VOLUME_CAP,
) = (np.uint64(k) for k in range(len(PRICE_FIELDS)))  # fmt: skip
EVENT_FIELDS = ("split", "dividend", "delisted", "high", "low")
AT_SPLIT, AT_DIVIDEND, AT_DELISTING, AT_HIGH, AT_LOW = (np.uint64(k) for k in range(len(EVENT_FIELDS)))
KEPT = 8  # panels of the same bars
TINY = 1e-300  # stands for a volume of nothing where something is divided by it

NUMBERS = (
    "max_leverage", "max_net", "no_trade_band", "lot_size", "minimum_order", "max_participation",
    "maintenance_margin", "notional",
)  # fmt: skip
CODES = ("fills", "sizing")
FLAGS = (
    "carries", "compounds", "proportional", "inside_margin", "has_exits", "has_actions",
    "has_delistings",
)  # fmt: skip
TERMS = np.dtype(
    [(name, np.float64) for name in NUMBERS]
    + [(name, np.int64) for name in CODES]
    + [(name, np.bool_) for name in FLAGS],
    align=True,
)
"""Constants of the kernel: the rules, what a target means, and which phases a step needs."""


class Exchange(NamedTuple):
    """Arrays that the kernel reads. Exchanges over the same bars share them: nobody writes to them.

    Args:
        prices: ``[bars, symbols, len(PRICE_FIELDS)]``. ``mark`` is the last close, ``valued`` the one
            before; ``fill`` the price at which the step to a bar trades, NaN where a symbol cannot be
            traded; ``open`` is NaN there too; ``years`` is the calendar time since the close before,
            ``volume_cap`` how many units may trade in the bar.
        events: ``[bars, symbols, len(EVENT_FIELDS)]``.
        rates: Costs as fractions, ``[bars or 1, symbols, len(RATES)]``.
        terms: One record of :data:`TERMS`.
    """

    prices: Floats
    events: Floats
    rates: Floats
    terms: AnyArray


def make_exchange(
    bars: Bars,
    *,
    fill: Fill = "next_close",
    costs: Costs | None = None,
    rules: Rules | None = None,
    sizing: Sizing = "weights",
    exits: bool = False,
    initial_equity: float = 1_000_000.0,
    halted: Bools | None = None,
) -> Exchange:
    """The terms on which all symbols of ``bars`` are traded.

    Args:
        exits: Whether decisions carry stops or profit targets.
        halted: ``[bars, symbols]``, true where a symbol has a price but nobody may trade it.

    Raises:
        ValueError: Costs, rules and data do not go together; the message says which.
    """
    costs, rules = costs or Costs(), rules or Rules()
    check_trade_rate(costs, rules)
    _check_impact(costs, rules, bars)
    prices, events = _panels(bars, fill, rules, halted)
    terms = np.zeros(1, dtype=TERMS)
    for name in NUMBERS[:-1]:
        limit = getattr(rules, name)
        terms[name] = math.inf if limit is None else limit
    terms["notional"] = initial_equity
    terms["fills"], terms["sizing"] = FILLS[fill], SIZINGS[sizing]
    terms["carries"] = rules.unfilled == "carry"
    terms["compounds"] = compounds = rules.accounting == "equity"
    terms["proportional"] = costs.is_proportional
    terms["inside_margin"] = rules.margin_check == "high_low" and compounds
    terms["has_exits"] = exits
    terms["has_actions"] = bars.has_corporate_actions
    terms["has_delistings"] = bool(events[:, :, AT_DELISTING].any())
    return Exchange(prices, events, cost_rates(costs, len(bars), len(bars.symbols)), terms)


def check_trade_rate(costs: Costs, rules: Rules, level: float = 1.0) -> None:
    """Refuse costs that leave a position at the limit nothing to be closed with.

    Raises:
        ValueError: Fee and half-spread at that level, times ``max_leverage``, reach 1.
    """
    if costs.trade_rate * level * rules.max_leverage >= 1:
        raise ValueError(
            f"fee and half-spread are {costs.trade_rate:.4g} of the notional, at a level of costs of "
            f"{level:.4g}; times max_leverage = {rules.max_leverage:.4g} they must stay below 1"
        )


def asks_seldom(terms: AnyArray) -> bool:
    """Whether a record of :data:`TERMS` asks for fills at the close of the decision, targets that are no
    weights, exits, margins inside the bar, corporate actions, or delistings.

    Most markets do not, and a step without their phases is compiled in four fifths of the time.
    """
    phases = ("inside_margin", "has_exits", "has_actions", "has_delistings")
    fills_first = terms["fills"] == SAME_CLOSE
    return bool(fills_first or terms["sizing"] != WEIGHTS or any(terms[name] for name in phases))


def last_closes(bars: Bars) -> Floats:
    """Close of each bar or the last one before, ``[bars, symbols]``; 1 before a symbol's first bar."""
    if bars.present.all():
        return bars.close
    rows = np.where(bars.present, np.arange(len(bars))[:, None], -1)
    latest = np.maximum.accumulate(rows, axis=0)
    closes = np.take_along_axis(bars.close, np.maximum(latest, 0), axis=0)
    return np.where(latest >= 0, closes, 1.0)


def listed_symbols(bars: Bars, rules: Rules) -> Bools:
    """Which symbols have had a bar and do not count as delisted, ``[bars, symbols]``."""
    missing = _missing_bars(bars.present)
    listed: Bools = (missing >= 0) & (missing < (rules.delist_after_bars or np.inf))
    return listed


def inverse_volume(volume: Floats) -> Floats:
    """Inverse of the volume of bars: finite, so that nothing of it is nothing."""
    inverse: Floats = 1.0 / np.maximum(volume, TINY)
    return inverse


def volume_cap(volume: Floats, rules: Rules) -> Floats:
    """How many units bars of that volume let trade; whole lots, if there are lots."""
    if rules.max_participation is None:
        return np.full_like(volume, np.inf)
    cap, lot = rules.max_participation * volume, rules.lot_size
    return np.floor(cap / lot + ROUNDING) * lot if lot else cap


def _check_impact(costs: Costs, rules: Rules, bars: Bars) -> None:
    if np.any(costs.impact_bps) and not (rules.max_participation or 2) <= 1:
        raise ValueError(
            "impact_bps needs Rules.max_participation of at most 1: the square-root law says nothing "
            "of orders larger than the bar's volume"
        )
    if rules.max_participation is None:
        return
    traded = np.nan_to_num(bars.volume).any(axis=0)
    if not traded.all():
        silent = bars.symbols[int((~traded).argmax())]
        raise DataError(
            f"{bars.source}: {silent} has no volume in any bar, so that max_participation would let "
            "nothing trade; leave it out, and impact_bps at 0"
        )


def _panels(bars: Bars, fill: Fill, rules: Rules, halted: Bools | None) -> tuple[Floats, Floats]:
    """Prices and events; the same arrays for all exchanges on the same terms, if nobody is halted."""
    key = ("panels", fill, rules.max_participation, rules.lot_size, rules.delist_after_bars)
    found: tuple[Floats, Floats] | None = bars.derived.get(key) if halted is None else None
    if found is not None:
        return found
    mark = last_closes(bars)
    made = _price_panel(bars, mark, fill, rules, halted), _event_panel(bars, mark, rules)
    if halted is None:
        if len(bars.derived) >= KEPT:  # a grid over terms: none of them will come again soon
            bars.derived.clear()
        bars.derived[key] = made
    return made


def _price_panel(bars: Bars, mark: Floats, fill: Fill, rules: Rules, halted: Bools | None) -> Floats:
    present, volume = bars.present, np.where(np.isnan(bars.volume), 0.0, bars.volume)
    panel = aligned(*mark.shape, len(PRICE_FIELDS))  # so that each row is one line
    panel[:, :, AT_MARK] = mark
    panel[:, :, AT_VALUED] = np.concatenate([mark[:1], mark[:-1]])
    years = np.diff(bars.stamps, prepend=bars.stamps[:1]) / 1e9 / SECONDS_PER_YEAR
    panel[:, :, AT_YEARS] = years[:, None]
    panel[:, :, AT_INVERSE_VOLUME] = inverse_volume(volume)
    panel[:, :, AT_VOLUME_CAP] = volume_cap(volume, rules)
    tradable = present if halted is None else present & ~_checked_mask(halted, present)
    panel[:, :, AT_OPEN] = np.where(tradable, bars.open, np.nan)
    if rules.max_participation is not None:
        tradable = tradable & (volume > 0)
    prices = np.where(tradable, bars.open if fill == "next_open" else bars.close, np.nan)
    if fill == "same_close":  # the step to a bar trades in the bar before it
        prices = np.concatenate([prices[:1], prices[:-1]])
    panel[:, :, AT_FILL] = prices
    panel[:, :, AT_INVERSE_FILL] = 1.0 / prices
    return panel


def _event_panel(bars: Bars, mark: Floats, rules: Rules) -> Floats:
    present = bars.present
    extremes = (np.where(present, values, mark) for values in (bars.high, bars.low))
    delisted = _delisted(present, rules.delist_after_bars)
    return np.stack([bars.split, bars.dividend, delisted.astype(np.float64), *extremes], axis=2)


def _checked_mask(halted: Bools, present: Bools) -> Bools:
    mask = np.asarray(halted)
    if mask.shape != present.shape or mask.dtype != np.bool_:
        raise ValueError(
            f"halted has shape {mask.shape} and type {mask.dtype}, expected bool {present.shape}: one "
            "column for each traded symbol"
        )
    return mask


def _delisted(present: Bools, after_bars: int) -> Bools:
    """Bars at which a symbol has just been missing ``after_bars`` times in a row."""
    if not after_bars or present.all():
        return np.zeros_like(present)
    gone: Bools = _missing_bars(present) == after_bars
    return gone


def _missing_bars(present: Bools) -> Ints:
    """How many bars ago each symbol had its last bar, ``[bars, symbols]``; −1 before the first."""
    rows = np.arange(len(present))[:, None]
    latest = np.maximum.accumulate(np.where(present, rows, -1), axis=0)
    return np.where(latest >= 0, rows - latest, -1)
