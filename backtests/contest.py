"""Trading forecasters by rules, at several levels of costs at once; and whom to compare them with."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from foretrade.agents.base import Agent
from foretrade.agents.baselines import Rule
from foretrade.agents.delayed import Delayed
from foretrade.backtests.engine import run
from foretrade.backtests.returns import returns_of
from foretrade.backtests.sweep import sweep
from foretrade.envs.market import MarketEnv
from foretrade.envs.observation import market_rows
from foretrade.markets.arrays import AnyArray, Bools, Float32s, Floats
from foretrade.markets.labels import LabelConfig, forward_returns
from foretrade.markets.rules import Rules
from foretrade.markets.table import Table
from foretrade.storage import atomic_path, content_hash

SWITCH_STEP = 0.25
"""Switches, up to which their number is searched."""


@dataclass(frozen=True, eq=False)
class Played:
    """What one strategy did at each level of costs.

    Args:
        equity: In quote currency, at the closes, ``[steps + 1, levels]``; stays where it ended in ruin.
        turnover: Traded notional over the equity before, a year, ``[levels]``.
        ruined: Whether the account was lost, to ruin or to a margin call, ``[levels]``.
        later: Equity at costs as configured if every decision had come one bar later, ``[steps + 1]``;
            empty if that was not played.
    """

    equity: Floats
    turnover: Floats
    ruined: Floats
    later: Floats = field(default_factory=lambda: np.zeros(0))

    @property
    def returns(self) -> Floats:
        """After all costs, ``[steps, levels]``; see :func:`foretrade.backtests.returns.returns_of`."""
        return returns_of(self.equity)

    @property
    def called(self) -> Bools:
        """Whether it was lost to a margin call, which leaves something, ``[levels]``."""
        called: Bools = (self.ruined > 0) & (self.equity[-1] > 0)
        return called

    def lived(self, level: int) -> Floats:
        """Returns at a level of costs, of which a ruined account's ends with the bar that lost it."""
        returns: Floats = self.returns[:, level]
        if not self.ruined[level]:
            return returns
        return returns[: int(np.flatnonzero(np.diff(self.equity[:, level]))[-1]) + 1]


def play_targets(
    env: MarketEnv,
    targets: Floats,
    cost_scales: Sequence[float],
    rules: Rules | None = None,
    *,
    delays: bool = False,
) -> list[Played]:
    """Trade target weights on the block of a market of one symbol, at every level of costs.

    Args:
        targets: Decided at the closes of the block's rows but the last, ``[steps, strategies]``.
        cost_scales: Levels of all costs but interest.
        rules: Of the account; default: those of the market.
        delays: Whether to play them one bar later, too, at costs as configured.

    Returns:
        One a strategy.
    """
    levels, strategies = len(cost_scales), targets.shape[1]
    scale = np.tile(np.asarray(cost_scales, dtype=np.float64), strategies)
    everything = np.repeat(targets, levels, axis=1)
    if delays:
        late = np.concatenate([np.zeros_like(targets[:1]), targets[:-1]])
        everything = np.concatenate([everything, late], axis=1)
        scale = np.concatenate([scale, np.ones(strategies)])
    played = sweep(
        env.bars,
        everything,
        rows=decision_rows(env),
        fill=env.fill,
        costs=env.costs,
        rules=env.rules if rules is None else rules,
        cost_scale=scale,
        initial_equity=env.initial_equity,
    )
    columns = [slice(k * levels, (k + 1) * levels) for k in range(strategies)]
    later = played.equity[:, levels * strategies :].T if delays else np.zeros((strategies, 0))
    return [
        Played(
            played.equity[:, part], played.turnover[part], played.ruined[part].astype(np.float64), own
        )
        for part, own in zip(columns, later, strict=True)
    ]


class Relay:
    """Agents that take turns on one account: what one has bought, the next one holds and pays for.

    Each is reset at the beginning, and is asked nothing before its turn.

    Args:
        agents: In the order of their turns.
        starts: Number of the decision with which each begins, rising from 0.
    """

    def __init__(self, agents: Sequence[Agent], starts: Sequence[int]) -> None:
        if len(agents) != len(starts) or list(starts) != sorted({0, *starts}):
            raise ValueError(f"{len(agents)} agents begin at {list(starts)}: one start each, from 0 on")
        self.agents, self.starts, self.decisions = agents, starts, 0

    def reset(self) -> None:
        """Begin with the first."""
        self.decisions = 0
        for agent in self.agents:
            agent.reset()

    def decide(self, observation: Float32s) -> AnyArray:
        """By the one whose turn it is."""
        agent = self.agents[bisect_right(self.starts, self.decisions) - 1]
        self.decisions += 1
        return agent.decide(observation)


def play_agent(agent: Agent, markets: Sequence[MarketEnv], *, delayed_at: int | None = None) -> Played:
    """Let an agent that sees its account play the block of each market once: one a level of costs.

    Args:
        delayed_at: Number of the market in which it plays once more, one bar late.
    """
    equities, turnovers, ruined = zip(*(_play(agent, env) for env in markets), strict=True)
    later = np.zeros(0)
    if delayed_at is not None:
        env = markets[delayed_at]
        later, _, _ = _play(Delayed(agent, env.actions, len(env.symbols)), env)
    return Played(np.column_stack(equities), np.array(turnovers), np.array(ruined), later)


def _play(agent: Agent, env: MarketEnv) -> tuple[Floats, float, float]:
    """Equity, staying where it ended in ruin; turnover a year; whether the account was lost."""
    ledger = run(agent, env).ledger
    equity = np.concatenate([[env.initial_equity], ledger["equity"].to_numpy()])
    years = len(ledger) / env.bars.periods_per_year
    turnover = (ledger["traded"].to_numpy() / equity[:-1]).sum() / years
    missing = np.full(len(env.rows) - len(equity), equity[-1])
    return np.concatenate([equity, missing]), float(turnover), float(ledger["ruined"].any())


def decision_rows(env: MarketEnv) -> range:
    """Rows at whose closes decisions are taken: all of the block but the last."""
    return env.rows[:-1]


def asked_weights(rule: Rule, env: MarketEnv, table: Table | None = None) -> Floats:
    """Target weights of a rule that reads the table alone, at every decision of the block, ``[steps]``.

    Rounded to the actions of the market, as if it had been stepped.

    Args:
        env: Of one symbol, that shows only the last bar.
        table: In place of the market's, with the columns that it shows.

    Raises:
        ValueError: The rule reads the account, which is not known beforehand.
    """
    rows, part = decision_rows(env), env.parts[0]
    every = env.market.current
    if table is not None:
        every = market_rows(table, env.view.current, part.assets, part.known)
    shown = every[rows.start : rows.stop]
    account = np.full((len(shown), len(env.layout.entries) - shown.shape[1]), np.nan, np.float32)
    weights = rule.weights(np.concatenate([shown, account], axis=1))
    if np.isnan(weights).any():
        raise ValueError(f"{type(rule).__name__} reads the account: it has to be run step by step")
    actions = np.empty((len(shown), 1))
    env.actions.write_all(env.actions.encode(weights), actions)
    if env.actions.grid == (0.0,):
        return actions[:, 0]
    return np.asarray(env.actions.grid)[actions[:, 0].astype(np.int64)]


def oracle_weights(env: MarketEnv, low: float, high: float) -> Floats:
    """Whoever knows the next bar's return, ``[steps]``: impossible, and the most a sign can earn.

    ``high`` before a rise from the fill to the same price one bar later, ``low`` before a fall.
    """
    labels = forward_returns(env.bars, LabelConfig(1, env.fill))[:, 0]
    signs = np.sign(np.nan_to_num(labels))[decision_rows(env).start : decision_rows(env).stop]
    return np.where(signs > 0, high, np.where(signs < 0, low, 0.0))


def random_weights(
    steps: int, policies: int, low: float, high: float, *, switches: float, seed: int
) -> Floats:
    """Policies that switch between ``low`` and ``high`` at bars drawn by lot, ``[steps, policies]``.

    Each switches ``switches`` times, rounded up or down by lot, and begins on a side drawn evenly. More
    switches with the same seed are the same ones and some more.
    """
    rng = np.random.default_rng(seed)
    places = np.tile(np.arange(steps - 1.0)[:, None], policies)
    drawn = rng.permuted(places, axis=0) + rng.random(policies) < switches
    begins = rng.random(policies) < 0.5
    return np.where(np.vstack([begins, drawn]).cumsum(axis=0) % 2 == 1, high, low)


def play_chance(
    env: MarketEnv,
    policies: int,
    bounds: tuple[float, float],
    cost_scales: Sequence[float],
    rules: Rules,
    *,
    turnover: float,
    seed: int,
) -> list[Played]:
    """Random policies that trade as much as they are told, one a policy.

    How often they switch is found by halving, on the turnover of the median policy as it is played at
    costs as configured: beside the switches, a position is traded whenever it has drifted out of the
    band, and one of high leverage almost always has. If positions that are never switched already turn
    over more, they are what is played.

    Args:
        turnover: Traded notional over equity, a year.
    """
    steps = len(decision_rows(env))

    def asked(switches: float) -> Floats:
        return random_weights(steps, policies, *bounds, switches=switches, seed=seed)

    def excess(switches: float) -> float:
        played = play_targets(env, asked(switches), (1.0,), rules)
        return float(np.median([one.turnover[0] for one in played])) - turnover

    return play_targets(env, asked(_crossing(excess, 0.0, steps - 1.0)), cost_scales, rules)


def _crossing(excess: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that rises comes nearest to zero: of the points tried, the first one."""
    tried = {low: excess(low), high: excess(high)}
    while tried[low] < 0 < tried[high] and high - low > SWITCH_STEP:
        middle = (low + high) / 2
        tried[middle] = excess(middle)
        low, high = (middle, high) if tried[middle] < 0 else (low, middle)
    return min(tried, key=lambda point: abs(tried[point]))


def write_played(path: Path, played: Mapping[str, Played]) -> None:
    """Strategies by name, atomically."""
    arrays = {
        f"{name}/{k}": np.ascontiguousarray(v) for name, p in played.items() for k, v in vars(p).items()
    }
    with atomic_path(path) as temporary:
        about = {"names": list(played), "hash": content_hash(arrays)}
        save_file(arrays, temporary, {"about": json.dumps(about)})  # one entry: they have no order


def read_played(path: Path) -> dict[str, Played] | None:
    """What :func:`write_played` wrote; None if it is not there, or damaged."""
    try:
        with safe_open(path, "numpy") as stored:
            arrays = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118  no mapping
            about = json.loads(stored.metadata()["about"])
    except (OSError, SafetensorError):
        return None
    if about["hash"] != content_hash(arrays):
        return None
    parts = ("equity", "turnover", "ruined", "later")
    return {name: Played(*(arrays[f"{name}/{part}"] for part in parts)) for name in about["names"]}
