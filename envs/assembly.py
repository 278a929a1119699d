"""From bars and tables to the arrays that the environment's kernel works on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from foretrade.envs.actions import Actions
from foretrade.envs.episodes import Episodes
from foretrade.envs.observation import BOUND, RMS_WINDOW_BARS, Layout, clipped_rows, layout, market_rows
from foretrade.envs.parts import Part, View
from foretrade.envs.rewards import OF_LOGARITHMS, Reward
from foretrade.envs.stage import TERMS, Market
from foretrade.markets.arrays import AnyArray, Bools, Float32s, Floats, Ints, aligned
from foretrade.markets.bars import Bars, DataError
from foretrade.markets.costs import Costs, Rate
from foretrade.markets.exchange import (
    Exchange,
    check_trade_rate,
    last_closes,
    listed_symbols,
    make_exchange,
)
from foretrade.markets.fills import Fill
from foretrade.markets.rules import Rules


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
    """Names and bounds of what the environment shows.

    Raises:
        DataError: A column has another unit in one market than in another.
    """
    first = parts[0]
    _check_units(parts, view)
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


def _check_units(parts: Sequence[Part], view: View) -> None:
    units = [{column.name: column.unit for column in part.table.columns} for part in parts]
    for name in view.names:
        for part, its in zip(parts, units, strict=True):
            if its.get(name) != units[0][name]:
                raise DataError(
                    f"{part.bars.source}: column {name!r} is in {its.get(name)!r}, but in "
                    f"{units[0][name]!r} in {parts[0].bars.source}; several markets show one observation"
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
    check_trade_rate(costs, rules, max(episodes.cost_levels) * episodes.cost_range[1])
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
        reference=np.concatenate([_reference(part.bars, rules, variance) for part in parts]),
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


def _reference(bars: Bars, rules: Rules, variance: Rate | None) -> Floats:
    """Log return of holding all symbols that are listed in equal parts, and variance of each symbol's
    return. It is listed from its first bar until it counts as delisted.

    The variance is the mean square over the last year's bars, unless one is given.
    """
    value = last_closes(bars) * bars.total_return
    returns = np.diff(value, axis=0, prepend=value[:1]) / np.concatenate([value[:1], value[:-1]])
    listed = listed_symbols(bars, rules)
    listed[1:] &= listed[:-1]  # a symbol's first bar has no return
    returns[~listed] = 0.0
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
    benchmark = returns.sum(axis=1) / np.maximum(listed.sum(axis=1), 1)
    every = np.broadcast_to(given, returns.shape)
    if not (np.isfinite(every).all() and (every >= 0).all()):
        raise ValueError("variance must be finite and not negative")
    return np.ascontiguousarray(np.column_stack([np.log1p(benchmark), every]))
