"""The kernel against a plain float64 account that is written from the rules alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import brentq

from foretrade.envs.actions import DeltaActions, UnitActions, WeightActions
from foretrade.envs.market import MarketEnv
from foretrade.markets.costs import Costs
from foretrade.markets.rules import Rules
from foretrade.markets.synthetic import random_walk

PANEL = random_walk(320, symbols=3, volatility=0.05, seed=2)
GAPPY = replace(
    PANEL,
    split=np.where(np.arange(320)[:, None] == [290, 0, 0], 3.0, 1.0),
    dividend=np.where(np.arange(320)[:, None] % 7 == [0, 9, 9], 1.5, 0.0),
    **{
        name: np.where(
            np.isin(np.arange(320), range(280, 284))[:, None] & (np.arange(3) == 1), np.nan, x
        )
        for name, x in ((n, getattr(PANEL, n)) for n in ("open", "high", "low", "close", "volume"))
    },
)


# fmt: off
class Reference:
    """One account in float64 Python: numpy and scipy's root finder instead of lanes and Newton."""

    def __init__(self, bars: Any, costs: Costs, rules: Rules, fill: str, sizing: str) -> None:
        self.bars, self.c, self.rules, self.fill, self.sizing = bars, costs, rules, fill, sizing
        self.cash, self.units, self.last = 1e6, np.zeros(3), pd.DataFrame(bars.close).ffill().to_numpy()

    def cost(self, order: Any, price: Any, volume: Any) -> float:
        size, c = np.abs(order), self.c
        fee = np.maximum(size * price * c.fee_bps * 1e-4 + size * c.fee_per_unit, c.minimum_fee)
        rate = c.half_spread_bps + c.impact_bps * np.sqrt(np.minimum(size / volume, 1))
        return float(np.sum(fee * (size > 0) + size * price * rate * 1e-4 + c.quadratic / 2 * size**2))

    def share(self, asked: Any, frozen: Any) -> float:
        gross, net, fixed, r = np.abs(asked).sum(), asked.sum(), frozen.sum(), self.rules
        room, edge = r.max_leverage - np.abs(frozen).sum(), r.max_net or np.inf
        share = room / max(gross, 1e-300) if gross > room else 1.0
        if abs(fixed + net) > edge and net * (fixed + net) > 0:
            share = min(share, (np.sign(fixed + net) * edge - fixed) / net)
        return max(share, 0.0)

    def trade(self, targets: Any, at: int, price: Any) -> None:
        r, volume, held = self.rules, np.nan_to_num(self.bars.volume[at]), self.units
        able, whole, lot = ~np.isnan(price) & (volume > 0), self.sizing != "deltas", r.lot_size or 1e-300
        price, volume = np.where(able, price, self.value), np.where(able, volume, 1.0)
        equity, goal = self.cash + held @ price, targets + held * (not whole)
        weights = goal if self.sizing == "weights" else goal * price / equity
        now, over = held * price / equity, np.abs(held) @ price > (r.max_leverage + 1e-9) * equity
        shrink = self.share(weights * able, now * ~able) ** whole
        gap, by_weight = np.abs(weights * shrink - now), self.sizing == "weights" or shrink < 1
        go = able & (gap > max(1e-9, 0 if over else max(r.no_trade_band, r.minimum_order / equity)))
        go |= able & (gap < 1e-9) & (weights != 0) & by_weight & go.any() & (over or not r.no_trade_band)
        line = np.array([0 * goal, weights * shrink / price] if by_weight else [goal, 0 * goal])
        cap = np.floor(r.max_participation * volume / lot + 1e-9) * lot

        def missing(e: float) -> float:
            return e + self.cost(go * (line[0] + line[1] * e - held), price, volume) - equity

        for _ in range(12):  # each round cuts orders to the volume, or else to the limits
            low = min(np.linspace(1e-6, equity), key=missing)  # the largest root is above it
            none = missing(low) > 0
            after = equity if none else brentq(missing, low, equity + 1, xtol=1e-9, rtol=1e-15)
            order = go * (line[0] + line[1] * after - held)
            cut = np.abs(order) > cap * (1 + 1e-9)
            go, line = go & (cap > 0), np.where(cut, [held + np.sign(order) * cap, 0 * held], line)
            end, near = held + order, after * (1 + 1e-6)
            kept = np.where(end * held < 0, 0.0, np.where(np.abs(end) < np.abs(held), end, held))
            part, more = (self.share((end - kept) * price / e, kept * price / e) for e in (after, near))
            steep, add = (line[1] == 0) * (0 < part < 1) * (more - part) * 1e6, line[0] - kept
            part = part or self.share((end - kept) * price / equity, kept * price / equity) % 1
            fitted = [kept + (part - steep) * add, part * line[1] + steep * add / after]
            line = np.where(go & (end != kept) & (not cut.any()), fitted, line)
        order = go * (np.sign(end) * np.floor(np.abs(end) / lot + 1e-9) * lot - held)
        order *= ((np.abs(order) * price >= r.minimum_order) | over) & (not none)
        self.cash, self.units = self.cash - order @ price - self.cost(order, price, volume), held + order

    def step(self, row: int, targets: Any) -> float:
        b, c, self.value = self.bars, self.c, self.last[row - 1]
        if self.fill == "same_close":
            self.trade(targets, row - 1, b.close[row - 1])
        self.units, self.value = self.units * b.split[row], self.value / b.split[row]
        self.cash += self.units @ b.dividend[row]
        borrow = np.maximum(-self.units * self.value, 0).sum() * c.borrow_bps_per_year
        own = c.interest_bps_per_year if self.cash > 0 else c.financing_bps_per_year
        self.cash += (self.cash * own - borrow) * (b.stamps[row] - b.stamps[row - 1]) / (365 * 86400e13)
        if self.fill != "same_close":
            targets = targets * (1 if self.sizing == "weights" else b.split[row])
            self.trade(targets, row, b.open[row] if self.fill == "next_open" else b.close[row])
        return self.cash + float(self.units @ self.last[row])
# fmt: on


amounts = st.sampled_from([0.0, 3.0, 40.0])
costs = st.builds(
    Costs, amounts, amounts, amounts, amounts, amounts,
    fee_per_unit=st.sampled_from([0.0, 0.02]),
    minimum_fee=st.sampled_from([0.0, 20.0]),
    impact_bps=amounts,
    quadratic=st.sampled_from([0.0, 1e-3]),
)  # fmt: skip
rules = st.builds(
    Rules,
    st.sampled_from([1.0, 2.0]),
    max_net=st.sampled_from([None, 0.4]),
    no_trade_band=st.sampled_from([0.0, 0.1]),
    lot_size=st.sampled_from([0.0, 10.0]),
    minimum_order=st.sampled_from([0.0, 3e4]),
    max_participation=st.sampled_from([0.005, 1.0]),
    delist_after_bars=st.just(0),
)
spaces = st.sampled_from([WeightActions(-1, 1), UnitActions(-4e3, 4e3), DeltaActions(-2e3, 2e3)])


@settings(max_examples=60)
@given(
    costs, rules, spaces, st.sampled_from(["next_open", "next_close", "same_close"]), st.integers(0, 99)
)
def test_the_environment_agrees_with_the_reference(cost, rule, space, fill, seed):
    env = MarketEnv(
        GAPPY,
        symbols=GAPPY.symbols,
        costs=cost,
        rules=rule,
        actions=space,
        fill=fill,
        reward="simple_return",
    )
    reference = Reference(GAPPY, cost, rule, fill, space.sizing)
    env.action_space.seed(seed)
    _, info = env.reset(seed=0, options={"start": 276})
    for row in range(277, 300):
        action = env.action_space.sample()
        before = info["equity"]
        _, reward, terminated, _, info = env.step(action)
        if terminated or info["equity"] < 2e5:
            return
        equity = reference.step(row, action.astype(float))
        assert_allclose(info["equity"], equity, rtol=1e-9)
        assert_allclose(info["units"], reference.units, rtol=1e-7, atol=1e-6)
        assert_allclose(reward, info["equity"] / before - 1, rtol=1e-9, atol=1e-15)
