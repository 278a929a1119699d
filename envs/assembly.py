"""From bars and tables to the arrays that the environment's kernel works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from foretrade.envs.actions import Actions
from foretrade.envs.episodes import Episodes
from foretrade.envs.observation import BOUND, RMS_WINDOW_BARS, Layout, clipped_rows, layout, market_rows
from foretrade.envs.rewards import OF_LOGARITHMS, Reward
from foretrade.envs.stage import TERMS, Market
from foretrade.markets.arrays import AnyArray, Bools, Float32s, Floats, Ints, aligned
from foretrade.markets.bars import Bars, DataError
from foretrade.markets.costs import Costs, Rate
from foretrade.markets.exchange import Exchange, last_closes, make_exchange
from foretrade.markets.fills import Fill
from foretrade.markets.rules import Rules
from foretrade.markets.table import Table


@dataclass(frozen=True)
class View:
    """Which columns of the table an observation shows.

    Args:
        current: Shown of the last bar.
        window: Shown of the last ``lookback_bars`` bars.
        lookback_bars: At least 1.
    """

    current: tuple[str, ...]
    window: tuple[str, ...] = ()
    lookback_bars: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.window, *self.current)


@dataclass(frozen=True)
class Part:
    """One market: bars, their table, the symbols that are traded, and the rows to play in."""

    bars: Bars
    table: Table
    symbols: tuple[str, ...]
    rows: range
    known: Bools

    @property
    def assets(self) -> list[int]:
        return [self.table.symbols.index(symbol) for symbol in self.symbols]


def make_part(
    bars: Bars, table: Table, symbols: tuple[str, ...], view: View, rows: range | None
) -> Part:
    """One market, checked.

    Raises:
        DataError: The table does not match the bars, has a gap inside the rows, or holds a forecast
            whose model was fitted on something after the decision it is shown for.
    """
    if not table.closes_at.equals(bars.closes_at) or table.symbols != bars.symbols:
        raise DataError("the table is not over the same bars and symbols as the prices")
    if len(set(symbols)) != len(symbols) or not symbols:
        raise DataError(f"symbols must be one or more different ones, got {symbols}")
    traded = bars.pick(symbols)
    assets = [table.symbols.index(symbol) for symbol in symbols]
    known = np.column_stack([table.complete(view.names, asset) for asset in assets]) & traded.present
    shown: Bools = np.asarray(known.any(axis=1))
    enough = _run_lengths(shown) >= view.lookback_bars
    if rows is None:
        if not enough.any():
            raise DataError(
                f"{bars.source}: {', '.join(symbols)}: no row has all of: {', '.join(view.names)} "
                f"(over {view.lookback_bars} bars); the history is too short"
            )
        rows = range(int(enough.argmax()), len(bars))
    part = Part(traded, table, symbols, rows, known)
    _check_rows(part, view, enough)
    return part


def _run_lengths(good: Bools) -> Ints:
    """How many rows in a row, up to this one, are good."""
    rows = np.arange(len(good))
    return rows - np.maximum.accumulate(np.where(good, -1, rows))


def _check_rows(part: Part, view: View, enough: Bools) -> None:
    bars, table, rows = part.bars, part.table, part.rows
    if not isinstance(rows, range):
        raise ValueError(f"rows must be a range such as range(100, 500), got {rows!r}")
    if rows.step != 1 or rows.start < 0 or rows.stop > len(bars) or len(rows) < 2:
        raise DataError(f"rows {rows} must be two or more consecutive rows of {len(bars)} bars")
    gaps = [row for row in rows if not enough[row]]
    if gaps:
        row = gaps[0]
        raise DataError(
            f"{bars.source}: {', '.join(part.symbols)}: row {row} ({bars.dates[row].date()}) "
            f"{_what_lacks(part, view, row)}; start later, leave the column out, or drop the bar's row"
        )
    first = rows.start - view.lookback_bars + 1  # the window of the first decision shows it already
    late = table.cutoff[first : rows.stop] > table.stamps[first : rows.stop]
    if late.any():
        row = first + int(late.argmax())
        raise DataError(
            f"row {row}: its forecast comes from a model fitted up to "
            f"{pd.Timestamp(table.cutoff[row], tz='UTC')}, after the decision at "
            f"{table.closes_at[row]}; use walk-forward forecasts"
        )


def _what_lacks(part: Part, view: View, row: int) -> str:
    asset = part.assets[0]
    if not part.bars.present[row].any():
        return "has no bar"
    lacking = [n for n in view.names if not np.isfinite(part.table.column(n)[row, asset])]
    if lacking:
        return f"lacks {', '.join(lacking)}"
    return f"has no {view.lookback_bars} complete rows up to it, which the lookback needs"


def clipping_messages(parts: Sequence[Part], view: View) -> list[str]:
    """What to tell a user about columns that are cut at the bounds of the observation."""
    messages = []
    for name in view.names:
        shown = [_shown(part, view.lookback_bars if name in view.window else 1) for part in parts]
        cut = sum(
            clipped_rows(p.table, name, p.assets, rows) for p, rows in zip(parts, shown, strict=True)
        )
        if cut:
            share = cut / sum(int(rows.sum()) for rows in shown)
            messages.append(
                f"{parts[0].bars.source}: {share:.2%} of the values of column {name!r} lie beyond "
                f"±{BOUND:g} and are cut there, as its unit says that it needs no scale; of a price, an "
                'index or the like give the real unit, such as "USD" or "index points": then it is '
                "normalised"
            )
    return messages


def _shown(part: Part, lookback_bars: int) -> Bools:
    """Where a column that is shown over so many bars is seen in the block, ``[bars, symbols]``."""
    shown = np.zeros_like(part.known)
    seen = slice(part.rows.start - lookback_bars + 1, part.rows.stop)
    shown[seen] = part.known[seen]
    return shown


def observation_layout(parts: Sequence[Part], view: View, rules: Rules) -> Layout:
    """Names and bounds of what the environment shows."""
    first = parts[0]
    symbols = first.symbols if len(parts) == 1 or len(first.symbols) == 1 else _numbered(first.symbols)
    return layout(
        first.table,
        symbols,
        view.window,
        view.current,
        view.lookback_bars if view.window else 1,
        shows_pending=rules.unfilled == "carry",
        compounds=rules.accounting == "equity",
    )


def _numbered(symbols: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"symbol{i}" for i in range(len(symbols)))


def assemble(
    parts: Sequence[Part],
    view: View,
    *,
    fill: Fill,
    costs: Costs,
    rules: Rules,
    actions: Actions,
    reward: Reward,
    episodes: Episodes,
    initial_equity: float,
    halted: Bools | None,
    variance: Rate | None,
) -> Market:
    """The kernel's arrays: the markets stand one after the other in time.

    Raises:
        ValueError: Settings do not go together; the message says which.
    """
    if rules.accounting == "fixed_notional" and reward.name in OF_LOGARITHMS:
        raise ValueError(f"reward {reward.name!r} needs equity that compounds; use 'simple_return'")
    exchanges = [
        make_exchange(
            part.bars,
            fill=fill,
            costs=costs,
            rules=rules,
            sizing=actions.sizing,
            exits=actions.has_exits,
            initial_equity=initial_equity,
            halted=halted,
        )
        for part in parts
    ]
    exchange = _joined(exchanges)
    offsets = np.cumsum([0, *(len(part.bars) for part in parts)])
    landings = [_landings(part, bool(episodes.bootstrap_bars)) for part in parts]
    edges = np.cumsum([0, *map(len, landings)])
    constants = reward.constants() | episodes.constants() | actions.constants()
    return Market(
        window=np.concatenate([market_rows(p.table, view.window, p.assets, p.known) for p in parts]),
        current=np.concatenate([_current(part, view) for part in parts]),
        lookback_bars=view.lookback_bars if view.window else 1,
        prices=exchange.prices,
        events=exchange.events,
        rates=exchange.rates,
        terms=_terms(exchange, constants),
        reference=np.concatenate([_reference(part.bars, variance) for part in parts]),
        levels=actions.levels(),
        limits=actions.limits(),
        blocks=np.array(
            [
                (part.rows.start + offset, part.rows.stop + offset, edges[k], edges[k + 1])
                for k, (part, offset) in enumerate(zip(parts, offsets, strict=False))
            ]
        ),
        landings=np.concatenate(
            [landing + offset for landing, offset in zip(landings, offsets, strict=False)]
        ),
        cost_levels=np.array(episodes.cost_levels, dtype=np.float64),
    )


def _landings(part: Part, needed: bool) -> Ints:
    """Rows of the block, but its last, at which every symbol has a bar."""
    rows: Ints = np.arange(part.rows.start, part.rows.stop - 1)
    whole = rows[part.bars.present[rows].all(axis=1)]
    if needed and not len(whole):
        raise DataError(
            f"{part.bars.source}: no row of {part.rows} has a bar of every symbol, where a bootstrapped "
            "path could go on; leave symbols out, or bootstrap_bars at 0"
        )
    return whole


def _terms(exchange: Exchange, constants: dict[str, float]) -> AnyArray:
    terms = np.zeros(1, dtype=TERMS)
    for name in exchange.terms.dtype.names or ():
        terms[name] = exchange.terms[name]
    for name, value in constants.items():
        terms[name] = value
    return terms


def _current(part: Part, view: View) -> Float32s:
    rows = market_rows(part.table, view.current, part.assets, part.known)
    if len(part.symbols) == 1:
        return rows
    return np.concatenate([rows, part.known.astype(np.float32)], axis=1)


def _joined(exchanges: Sequence[Exchange]) -> Exchange:
    first = exchanges[0]
    if len(exchanges) == 1:
        return first
    if len(first.rates) > 1:
        raise ValueError("costs that change with the bar cannot serve several markets; give constants")
    terms = first.terms.copy()
    for flag in ("has_actions", "has_delistings"):
        terms[flag] = any(exchange.terms[flag][0] for exchange in exchanges)
    bars, fields = sum(len(e.prices) for e in exchanges), first.prices.shape[1:]
    prices = np.concatenate([e.prices for e in exchanges], out=aligned(bars, *fields))
    events = np.concatenate([e.events for e in exchanges])
    return Exchange(prices, events, first.rates, terms)


def _reference(bars: Bars, variance: Rate | None) -> Floats:
    """Log return of holding all symbols in equal parts, and variance of each symbol's return.

    The variance is the mean square over the last year's bars, unless one is given.
    """
    value = last_closes(bars) * bars.total_return
    returns = np.diff(value, axis=0, prepend=value[:1]) / np.concatenate([value[:1], value[:-1]])
    listed = np.maximum.accumulate(bars.present, axis=0)
    returns[1:][~listed[:-1]] = 0.0  # a symbol's first bar has no return
    if variance is None:
        squares = pd.DataFrame(returns**2).rolling(RMS_WINDOW_BARS, min_periods=1)
        variance = np.maximum(squares.mean().to_numpy(), 0.0)
    given = np.asarray(variance, dtype=np.float64)
    bars_count, symbols = returns.shape
    if given.shape not in ((), (symbols,), (bars_count, 1), (bars_count, symbols)):
        raise ValueError(
            f"variance has shape {given.shape}; give a number or an array of ({symbols},), "
            f"({bars_count}, 1) or ({bars_count}, {symbols})"
        )
    every = np.broadcast_to(given, returns.shape)
    if not (np.isfinite(every).all() and (every >= 0).all()):
        raise ValueError("variance must be finite and not negative")
    return np.ascontiguousarray(np.column_stack([np.log1p(returns.mean(axis=1)), every]))
