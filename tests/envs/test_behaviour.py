"""What a batch sums up is what the infos of as many single accounts add up to."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from foretrade.envs.actions import Actions, PositionActions, SimplexActions, WeightActions
from foretrade.envs.behaviour import cost_share, target_names
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.envs.vector import MarketVectorEnv
from foretrade.markets.costs import Costs
from foretrade.markets.synthetic import random_walk

BARS = random_walk(400, symbols=2, seed=4)
COSTS = Costs(fee_bps=10.0, borrow_bps_per_year=300.0, interest_bps_per_year=200.0, minimum_fee=5.0)
SPACES: dict[str, Actions] = {
    "weight": WeightActions(-1.5, 0.7),
    "position": PositionActions((1.0, -1.0, 0.0, 0.5)),
    "simplex": SimplexActions(),
    "with stops": WeightActions(stop_loss=(0.01, 0.05)),
}


def drawn(env, n, steps, seed):
    """Random actions, some of them at a bound."""
    env.action_space.seed(seed)
    actions = np.array([[env.action_space.sample() for _ in range(n)] for _ in range(steps)])
    if actions.dtype.kind == "f":
        rng = np.random.default_rng(seed)
        low, high = env.action_space.low, env.action_space.high
        actions = np.where(rng.random(actions.shape) < 0.2, low, actions)
        actions = np.where(rng.random(actions.shape) < 0.2, high, actions)
    return actions


@pytest.mark.parametrize("symbols", [1, 2])
@pytest.mark.parametrize("name", SPACES)
def test_sums_are_those_of_the_infos(name, symbols):
    n, steps = 5, 70
    market = MarketEnv(
        BARS,
        symbols=BARS.symbols[:symbols],
        actions=SPACES[name],
        costs=COSTS,
        episodes=Episodes(20, random_start=True),
    )
    batch = MarketVectorEnv(
        n, market=market, autoreset_mode=AutoresetMode.SAME_STEP, infos=False, counts=True
    )
    actions = drawn(market, n, steps, seed=1)
    batch.reset(seed=7)
    for rows in actions:
        batch.step(rows)
    found = batch.behaviour()

    sums = dict.fromkeys(("turnover", "gross", "costs", "held", "net", "size"), 0.0)
    for i in range(n):
        env = market.copy()
        _, info = env.reset(seed=7 + i)
        for action in actions[:, i]:
            before = info["equity"]
            _, _, terminated, truncated, info = env.step(action)
            weights = np.ravel(info["units"] * info["close"]) / info["equity"]
            paid = sum(info[k] for k in ("fee", "spread", "impact", "borrow", "financing"))
            sums["turnover"] += info["traded"] / before
            sums["gross"] += (info["price_pnl"] + info["dividend"]) / before
            sums["costs"] += (paid - info["interest"]) / before
            sums["held"] += np.any(np.ravel(info["units"]) != 0)
            sums["net"] += weights.sum()
            sums["size"] += np.abs(weights).sum()
            if terminated or truncated:
                _, info = env.reset()
    mine = (found.turnover, found.gross, found.costs, found.time_in_market, found.position)
    np.testing.assert_allclose(
        [*mine, found.exposure], np.array(list(sums.values())) / (n * steps), rtol=1e-9, atol=1e-12
    )
    assert found.steps == n * steps
    assert list(found.actions) == target_names(market.actions)
    assert found.actions == pytest.approx(
        shares(market.actions, actions.reshape(n * steps, -1), symbols)
    )


def shares(space, actions, symbols):
    """Of each target or interval, counted one by one."""
    counts = dict.fromkeys(target_names(space), 0)
    for value in actions[:, :symbols].ravel().tolist():
        counts[name_of(space, value)] += 1
    return {name: count / (len(actions) * symbols) for name, count in counts.items()}


def name_of(space, value):
    if isinstance(space, PositionActions):
        return f"{space.weights[value]:g}"
    low, high = space.bounds()
    for bound in (low, high):
        if value == np.float32(bound):
            return f"{bound:g}"
    inside = [name for name in target_names(space) if ".." in name]
    return next(n for n in inside if value < float(n.split("..")[1]) or n == inside[-1])


def test_sums_begin_anew_when_they_were_asked_for():
    market = MarketEnv(BARS, episodes=Episodes(20))
    options = {"autoreset_mode": AutoresetMode.SAME_STEP, "infos": False, "counts": True}
    batch = MarketVectorEnv(200, market=market, **options)
    halves = MarketVectorEnv(200, market=market, threads=2, **options)
    found = []
    for one in (batch, halves):
        one.reset(seed=1)
        one.step(np.ones((200, 1), np.float32))
        first = one.behaviour()
        assert first.actions["1"] == 1.0
        assert first.turnover > 0.9
        one.step(np.full((200, 1), -1.0, np.float32))
        second = one.behaviour()
        assert (second.steps, second.actions["-1"], second.actions["1"]) == (200, 1.0, 0.0)
        found.append((first, second))
        with pytest.raises(ValueError, match="no step was counted"):
            one.behaviour()
    assert found[0] == found[1]


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(ValueError, match="counts needs the autoreset mode SAME_STEP or DISABLED"):
        MarketVectorEnv(2, market=MarketEnv(BARS), counts=True)
    silent = MarketVectorEnv(2, market=MarketEnv(BARS))
    silent.reset(seed=0)
    silent.step(np.zeros((2, 1), np.float32))
    with pytest.raises(ValueError, match="made with counts=True"):
        silent.behaviour()


def test_costs_have_no_share_of_a_loss():
    assert cost_share(0.5, 0.45) == 0.9
    assert math.isnan(cost_share(-0.5, 0.45))
    assert math.isnan(cost_share(0.0, 0.0))
