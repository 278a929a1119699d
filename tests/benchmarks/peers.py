"""Steps per second of rival trading environments: ``peers.py NAME BARS.npy``, one peer a process.

The file holds float64 ``[bars, 6]``: epoch seconds of the day, open, high, low, close, volume. The first
line printed describes the peer; each number of seconds read from stdin is answered with the rate of that
long a run, random actions drawn beforehand and resets included. Everything else goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Any, TextIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Play = Callable[[int], tuple[Sequence[Any], Any]]  # calls → parts of the last observation, last rewards

TIME, OPEN, HIGH, LOW, CLOSE, VOLUME = range(6)
WINDOW = 20
FEE = 0.001
DRAWS = 1024  # actions drawn beforehand, then repeated
BURST = 32  # calls between two looks at the clock
SHELLS = "; imported without its package's __init__, which asks for brokers' clients"


@dataclass(frozen=True)
class Peer:
    """An environment, or a batch of them, that is ready to play."""

    package: str
    play: Play
    accounts: int = 1
    remark: str = ""


def load_bars(path: Path) -> Floats:
    bars = np.load(path)
    if bars.dtype != np.float64 or bars.ndim != 2 or bars.shape[1] != 6 or len(bars) < 300:
        raise ValueError(f"{path} must hold float64 [bars, 6] with 300 bars or more")
    if not np.isfinite(bars).all() or (bars[:, OPEN:VOLUME] <= 0).any():
        raise ValueError(f"{path} must hold finite numbers and prices above zero")
    return bars


def price_frame(bars: Floats) -> pd.DataFrame:
    frame = pd.DataFrame(bars[:, OPEN:], columns=["open", "high", "low", "close", "volume"])
    return frame.set_index(pd.to_datetime(bars[:, TIME], unit="s"))


def simple_features(bars: Floats) -> Floats:
    """Ten columns: log returns over eight spans, the bar's range and its body."""
    logs = np.log(bars[:, CLOSE])
    spans = [
        logs - np.concatenate([np.full(n, logs[0]), logs[:-n]]) for n in (1, 2, 3, 5, 10, 20, 40, 60)
    ]
    span, body = np.log(bars[:, HIGH] / bars[:, LOW]), np.log(bars[:, CLOSE] / bars[:, OPEN])
    return np.column_stack([*spans, span, body])


def many_assets(bars: Floats, n: int) -> list[Floats]:
    """The bars themselves, or ``n`` assets that follow them: prices of a stock's size, own noise."""
    if n == 1:
        return [bars]
    rng, assets = np.random.default_rng(0), []
    for scale in rng.uniform(0.02, 0.2, n):
        asset = bars.copy()
        asset[:, OPEN:VOLUME] *= scale * np.exp(np.cumsum(rng.normal(0, 0.005, (len(bars), 1)), axis=0))
        assets.append(asset)
    return assets


def play_single(env: Any, actions: Sequence[Any], reset: Callable[[], Any] | None = None) -> Play:
    """One Gymnasium environment, begun anew at each episode's end."""
    draws, step, begin = cycle(actions), env.step, reset or env.reset
    begin()

    def play(calls: int) -> tuple[Sequence[Any], Any]:
        for action in islice(draws, calls):
            seen, reward, terminated, truncated, _ = step(action)
            if terminated or truncated:
                seen, _ = begin()
        return (seen,), reward

    return play


def play_batch(env: Any, actions: Sequence[Any]) -> Play:
    """A stable-baselines3 vector environment, which resets by itself."""
    draws, step = cycle(actions), env.step
    env.reset()

    def play(calls: int) -> tuple[Sequence[Any], Any]:
        for action in islice(draws, calls):
            seen, rewards, _, _ = step(action)
        return (seen,), rewards

    return play


def play_tensors(env: Any, actions: Sequence[Any]) -> Play:
    """A TorchRL environment with a batch size; it resets finished accounts within the step."""
    draws, step, state = cycle(actions), env.step_and_maybe_reset, env.reset()
    keys = list(env.observation_spec.keys())

    def play(calls: int) -> tuple[Sequence[Any], Any]:
        nonlocal state
        for action in islice(draws, calls):
            state["action"] = action
            done, state = step(state)
        return [state[key].numpy() for key in keys], done["next", "reward"].numpy()

    return play


def stand_in(*packages: str) -> None:
    """Put empty packages over installed ones, so that their modules load but not their ``__init__``."""
    for name in packages:
        spec = find_spec(name)
        if spec is None or spec.submodule_search_locations is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__path__ = list(spec.submodule_search_locations)


def batch_or_single(package: str, make: Callable[[], Any], choices: int, n: int, remark: str) -> Peer:
    rng = np.random.default_rng(0)
    if n == 1:
        return Peer(package, play_single(make(), rng.integers(choices, size=DRAWS).tolist()), 1, remark)
    from stable_baselines3.common.vec_env import DummyVecEnv

    play = play_batch(DummyVecEnv([make] * n), list(rng.integers(choices, size=(DRAWS, n))))
    return Peer(package, play, n, f"{remark}; DummyVecEnv")


def gym_anytrading(bars: Floats, n: int) -> Peer:
    from gym_anytrading.envs import StocksEnv

    frame = price_frame(bars).rename(columns=str.capitalize)
    make = partial(StocksEnv, df=frame, window_size=WINDOW, frame_bound=(WINDOW, len(frame)))
    return batch_or_single("gym-anytrading", make, 2, n, "no cost in the reward, position not observed")


def trading_env_maker(bars: Floats) -> Callable[[], Any]:
    from gym_trading_env.environments import TradingEnv

    frame = price_frame(bars)
    for i, values in enumerate(simple_features(bars).T):
        frame[f"feature_{i}"] = values
    options = {"positions": [-1, 0, 1], "windows": WINDOW, "trading_fees": FEE, "verbose": 0}
    return partial(TradingEnv, df=frame, borrow_interest_rate=0.0001, **options)


def gym_trading_env(bars: Floats, n: int) -> Peer:
    return batch_or_single("gym-trading-env", trading_env_maker(bars), 3, n, "fee and borrowing on")


def orders(n: int) -> list[NDArray[np.float32]]:
    return list(np.random.default_rng(0).uniform(-1, 1, (DRAWS, n)).astype(np.float32))


def finrl_maker(bars: Floats, n: int) -> Callable[[], Any]:
    stand_in("finrl")
    from finrl.meta.env_stock_trading.env_stocktrading import StockTradingEnv

    names, frames = [f"feature_{i}" for i in range(10)], []
    for i, asset in enumerate(many_assets(bars, n)):
        frame = pd.DataFrame(simple_features(asset), columns=names)
        frame.insert(0, "date", price_frame(asset).index.strftime("%Y-%m-%d"))
        frames.append(frame.assign(tic=f"S{i:02}", close=asset[:, CLOSE]))
    options: dict[str, Any] = {"hmax": 100, "initial_amount": 1_000_000, "reward_scaling": 1e-4}
    options |= {"stock_dim": n, "action_space": n, "state_space": 1 + (2 + len(names)) * n}
    options |= {"num_stock_shares": [0] * n, "buy_cost_pct": [FEE] * n, "sell_cost_pct": [FEE] * n}
    frame = pd.concat(frames).sort_index(kind="stable")
    return partial(StockTradingEnv, frame, tech_indicator_list=names, **options)


def finrl(bars: Floats, n: int) -> Peer:
    env = finrl_maker(bars, n)()

    def reset() -> Any:
        env.state_memory.clear()  # its own reset keeps every state of every episode
        return env.reset()

    play = play_single(env, orders(n), reset)
    return Peer("finrl", play, 1, "state_memory emptied at each reset" + SHELLS)


def finrl_numpy(bars: Floats, n: int) -> Peer:
    stand_in("finrl")
    from finrl.meta.env_stock_trading.env_stocktrading_np import StockTradingEnv

    assets = many_assets(bars, n)
    config = {
        "price_array": np.column_stack([asset[:, CLOSE] for asset in assets]),
        "tech_array": np.hstack([simple_features(asset) for asset in assets]),
        "turbulence_array": np.zeros(len(bars)),
        "if_train": True,
    }
    play = play_single(StockTradingEnv(config), orders(n))
    return Peer("finrl", play, 1, "env_stocktrading_np, no turbulence" + SHELLS)


def torchtrade(bars: Floats, n: int) -> Peer:
    stand_in("torchtrade", "torchtrade.envs")
    import torch
    from torchtrade.envs.offline import vectorized_sequential as source

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    names = [f"features_{i}" for i in range(10)]
    # A bar each calendar day: weekends would be filled with stale prices.
    days = pd.date_range("2000-01-01", periods=len(bars), name="timestamp")
    frame = price_frame(bars).set_index(days).reset_index()
    features = pd.DataFrame(simple_features(bars), columns=names, index=days)
    daily = {"time_frames": "1Day", "execute_on": "1Day", "window_sizes": WINDOW, "max_traj_length": 252}
    config = source.VectorizedSequentialTradingEnvConfig(num_envs=n, transaction_fee=FEE, **daily)
    env = source.VectorizedSequentialTradingEnv(
        frame, config, lambda rows: features.loc[rows.index].reset_index()
    )
    actions = list(torch.from_numpy(np.random.default_rng(0).integers(3, size=(DRAWS, n))))
    remark = "long only (leverage 1, its default), 252-bar episodes from random starts"
    return Peer("torchtrade", play_tensors(env, actions), n, remark + SHELLS)


PEERS: dict[str, Callable[[Floats], Peer]] = {
    "gym-anytrading": partial(gym_anytrading, n=1),
    "gym-anytrading x64": partial(gym_anytrading, n=64),
    "gym-trading-env": partial(gym_trading_env, n=1),
    "gym-trading-env x8": partial(gym_trading_env, n=8),
    "finrl": partial(finrl, n=1),
    "finrl 30": partial(finrl, n=30),
    "finrl-numpy": partial(finrl_numpy, n=1),
    "finrl-numpy 30": partial(finrl_numpy, n=30),
    "torchtrade x256": partial(torchtrade, n=256),
    "torchtrade x1024": partial(torchtrade, n=1024),
    "torchtrade x4096": partial(torchtrade, n=4096),
}


def count_entries(peer: Peer) -> int:
    """Play a few steps, check what comes back, and count the floats that one account observes."""
    observations, rewards = [], []
    for _ in range(BURST):
        parts, reward = peer.play(1)
        observations.append(np.concatenate([np.array(part, dtype=np.float64).ravel() for part in parts]))
        rewards.append(np.array(reward, dtype=np.float64).ravel())
    if not (np.isfinite(observations).all() and np.isfinite(rewards).all()):
        raise ValueError("it returned numbers that are not finite")
    if not np.ptp(observations, axis=0).any() or not np.any(rewards):
        raise ValueError("its observations or rewards stay the same over all steps")
    entries, rest = divmod(observations[0].size, peer.accounts)
    if rest or rewards[0].size != peer.accounts:
        raise ValueError(f"it returned other shapes than {peer.accounts} accounts have")
    return entries


def rate(peer: Peer, seconds: float) -> float:
    """Environment steps a second."""
    start, calls = perf_counter(), 0
    while (elapsed := perf_counter() - start) < seconds:
        peer.play(BURST)
        calls += BURST
    return calls * peer.accounts / elapsed


def serve(name: str, path: Path, out: TextIO) -> None:
    peer = PEERS[name](load_bars(path))
    about = {"name": name, "version": metadata.version(peer.package), "accounts": peer.accounts}
    out.write(json.dumps(about | {"entries": count_entries(peer), "remark": peer.remark}) + "\n")
    for line in sys.stdin:
        out.write(json.dumps(rate(peer, float(line))) + "\n")


def main() -> None:
    if len(sys.argv) != 3 or sys.argv[1] not in PEERS:
        sys.exit(f"usage: peers.py NAME BARS.npy, where NAME is one of: {', '.join(PEERS)}")
    name, path = sys.argv[1], Path(sys.argv[2])
    with os.fdopen(os.dup(1), "w", buffering=1) as out:
        os.dup2(2, 1)  # whatever the peer prints
        try:
            serve(name, path, out)
        except ModuleNotFoundError as error:
            raise SystemExit(f"{name}: module {error.name} is missing; install peers.txt.") from error
        except Exception as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise SystemExit(f"{name} failed with {type(error).__name__}: {reason}.") from error


if __name__ == "__main__":
    main()
