"""Every warning has a planted training that must set it off, and a healthy one sets off none."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from stable_baselines3 import A2C, SAC, TD3
from stable_baselines3.common.logger import configure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_training import TINY, markets

from foretrade.agents.baselines import Constant
from foretrade.agents.diagnostics import collapsed, costs_eat, value_loss_explodes, warnings_of
from foretrade.agents.ppo_config import PPOConfig
from foretrade.agents.training import train
from foretrade.agents.training_record import DONE, LOGGED, TrainingRecord
from foretrade.agents.validation import play
from foretrade.agents.vector import MarketVecEnv
from foretrade.envs.actions import PositionActions
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.markets.costs import Costs
from foretrade.markets.synthetic import random_walk
from foretrade.markets.table import Column, Table

SHORT = PPOConfig(
    steps=16_384, environments=16, rollout_bars=64, batch_size=256, episode_bars=100, checkpoints=4,
    epochs=5, learning_rate=1e-3, gamma=0.9, gae_lambda=0.95, activation="tanh", averaged_share=0.0,
    reward_scale=100.0, log_std_init=-0.5,
)  # fmt: skip
FREE = Costs(fee_bps=0.0, half_spread_bps=0.0)


def drifting(walk, drift):
    """The same market with a log drift a bar."""
    grows = np.exp(drift * np.arange(len(walk)))[:, None]
    prices = {name: getattr(walk, name) * grows for name in ("open", "high", "low", "close")}
    return replace(walk, **prices)


def leaked(walk):
    """The sign of the return that the next trade earns."""
    returns = np.zeros_like(walk.close)
    returns[:-2] = np.sign(np.log(walk.close[2:] / walk.close[1:-1]))
    return returns


def noise(walk):
    return np.random.default_rng(0).normal(size=walk.close.shape)


@dataclass(frozen=True)
class Plant:
    """A training, and what it must be warned of: the beginnings of the sentences."""

    warned: tuple[str, ...]
    column: object = leaked
    drift: float = 0.0
    config: PPOConfig = SHORT
    training: object = Costs()
    validation: object = Costs()
    actions: object = "weight"


PLANTS = {
    "healthy": Plant(()),
    "healthy positions": Plant((), actions="position"),
    "nothing to be had at huge costs": Plant(
        ("the agent never trades",), noise, -0.01, training=Costs(500.0), validation=Costs(500.0),
        actions=PositionActions((0.0, 1.0, 0.5)),
    ),
    "strong drift": Plant(("always long: equal to",), noise, 0.01, actions=PositionActions((1.0, -1.0))),
    "strong fall": Plant(("always short: the reverse",), noise, -0.01, actions="position"),
    "costs that training did not know": Plant(
        ("costs eat 2",), training=FREE, validation=Costs(200.0), actions="position"
    ),
    "a steep drift and nothing to explore for": Plant(  # so with each of five seeds
        ("policy has collapsed to its bound", "always long: equal to"), noise, 0.05,
        config=replace(SHORT, learning_rate=3e-3, entropy_coefficient=0.0),
        actions=PositionActions((1.0, 0.5, -1.0)),
    ),
    "absurd reward scale": Plant(
        ("value loss explodes",), config=replace(SHORT, reward_scale=1e6)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_training_is_warned_of(walk, tmp_path, name):
    plant = PLANTS[name]
    bars = drifting(walk, plant.drift)
    table = Table.from_columns(bars, {Column("column", "ratio"): plant.column(walk)})
    training, validation = (
        MarketEnv(bars, table, rows=rows, actions=plant.actions, episodes=episodes, costs=costs)
        for rows, episodes, costs in (
            (range(400), Episodes(100, random_start=True), plant.training),
            (range(400, 600), Episodes(), plant.validation),
        )
    )
    train(training, validation, plant.config, seed=0, folder=tmp_path, tensorboard=False)
    found = json.loads((tmp_path / "warnings.json").read_text())["warnings"]
    for beginning in plant.warned:
        assert any(text.startswith(beginning) for text in found), found
    if not plant.warned:
        assert found == []
    others = {"the agent never trades", "costs eat", "value loss explodes"}
    for other in others - {b for w in plant.warned for b in others if w.startswith(b)}:
        assert not any(text.startswith(other) for text in found), found


QUIET = {
    "exposure": 0.5, "market_correlation": 0.5, "time_in_market": 1.0, "position": 0.5,
    "cost_share": 0.2, "turnover": 0.1,
}  # fmt: skip


def updates(**columns):
    """Twenty updates; a column is one value, or one a row."""
    plain = {"value_loss": 1.0, "explained_variance": 0.1, "action -1": 0.3, "action 1": 0.3}
    return pd.DataFrame({"update": range(1, 21)} | plain | columns)


def test_thresholds_are_where_the_docstrings_put_them():
    assert warnings_of(updates(), QUIET) == []
    undefined = dict.fromkeys(QUIET, math.nan)
    assert warnings_of(updates(value_loss=np.nan), undefined) == []
    for change, beginning in (
        ({"exposure": 0.019}, "the agent never trades: on average 1.9 %"),
        ({"market_correlation": 0.991}, "always long: equal to buy-and-hold"),
        ({"market_correlation": -0.991}, "always short: the reverse of buy-and-hold"),
        ({"cost_share": 0.9}, "costs eat 90 % of gross"),
    ):
        (text,) = warnings_of(updates(), QUIET | change)
        assert text.startswith(beginning)
    assert not costs_eat(QUIET | {"cost_share": 0.89})
    assert warnings_of(updates(), QUIET | {"market_correlation": 0.995, "time_in_market": 0.9}) == []


def test_only_the_last_updates_count():
    growth = [1.0] * 18 + [11.0] * 2
    assert not value_loss_explodes(updates(value_loss=growth))
    assert value_loss_explodes(updates(value_loss=growth, explained_variance=-0.5))
    assert not value_loss_explodes(updates(value_loss=[1e6] * 18 + [50.0] * 2))
    assert value_loss_explodes(updates(value_loss=2e4))
    assert not collapsed(updates(**{"action 1": [1.0] * 18 + [0.9] * 2}))
    assert "ask for 1," in collapsed(updates(**{"action 1": [0.3] * 18 + [0.96] * 2}))
    assert "ask for -1," in collapsed(updates(**{"action -1": 0.96}))


def test_a_play_tells_what_a_rule_did(walk):
    env = MarketEnv(walk, costs=FREE)
    flat, whole, half = (
        play(Constant(env.layout, env.actions, weight), env) for weight in (0.0, 1.0, -0.5)
    )
    assert flat.figures() == {
        "turnover": 0.0, "cost_share": None, "time_in_market": 0.0, "position": 0.0, "exposure": 0.0,
        "market_correlation": None,
    }  # fmt: skip
    start = walk.close[env.rows.start + 1 : env.rows.stop, 0]  # the first order fills at the next close
    assert whole.growth.sum() == pytest.approx(np.log(start[-1] / start[0]), abs=1e-12)
    np.testing.assert_allclose(whole.market[1:], start[1:] / start[:-1] - 1, rtol=1e-12)
    figures = whole.figures()
    assert figures["turnover"] == pytest.approx(1 / len(whole.growth))  # it buys once
    assert figures["market_correlation"] > 0.99
    assert (figures["time_in_market"], figures["position"]) == (1.0, pytest.approx(1.0))
    brief = play(Constant(env.layout, env.actions, 1.0), short(walk))
    assert brief.figures()["market_correlation"] is None  # two steps have no correlation
    assert half.figures()["market_correlation"] < -0.99
    assert half.figures()["exposure"] == pytest.approx(-half.figures()["position"])


def short(walk):
    """A block of two decisions."""
    return MarketEnv(walk, rows=range(300, 303), costs=FREE)


def test_a_play_of_two_symbols_beside_the_mean_of_both():
    bars = random_walk(300, symbols=2, seed=1)
    env = MarketEnv(bars, symbols=bars.symbols, actions="simplex", costs=FREE)
    played = play(Equal(env), env)
    assert played.weights.shape == (len(played.growth), 2)
    assert played.figures()["market_correlation"] > 0.999
    assert played.figures()["exposure"] == pytest.approx(1.0, abs=0.02)


class Equal:
    """Half in each."""

    def __init__(self, env):
        self.actions = env.actions

    def reset(self):
        pass

    def decide(self, observation):
        return self.actions.encode(np.full((len(observation), 2), 0.5))


def test_every_update_leaves_a_row_and_a_point_in_tensorboard(walk, tmp_path):
    train(*markets(walk, actions="position"), TINY, seed=1, folder=tmp_path)
    rows = pd.read_csv(tmp_path / "training.csv")
    assert rows["update"].tolist() == [1, 2, 3, 4]
    assert rows["steps"].tolist() == [128, 256, 384, 512]
    actions = ["action -1", "action 0", "action 1"]
    assert list(rows) == ["update", "steps", *LOGGED, *DONE, *actions]
    assert rows["std"].isna().all()  # there is none of choices
    np.testing.assert_allclose(rows[actions].sum(axis=1), 1.0)
    # what is asked for is what is held, but for the bar on which it fills
    np.testing.assert_allclose(rows["time_in_market"], 1 - rows["action 0"], atol=0.1)
    assert 0 < rows["entropy"].iloc[0] <= math.log(3) + 1e-6
    chosen = pd.read_csv(tmp_path / "validation.csv")
    board = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"histograms": 0})
    board.Reload()
    for tag, frame, column in (
        ("behaviour/turnover", rows, "turnover"),
        ("train/explained_variance", rows, "explained_variance"),
        ("validation/log_growth", chosen, "log_growth"),
        ("validation/exposure", chosen, "exposure"),
    ):
        points = board.Scalars(tag)
        assert [point.step for point in points] == frame["steps"].tolist()
        np.testing.assert_allclose([p.value for p in points], frame[column], rtol=1e-5)
    shown = board.Histograms("behaviour/actions")
    assert [point.step for point in shown] == rows["steps"].tolist()
    buckets = np.array(shown[0].histogram_value.bucket)
    np.testing.assert_allclose(buckets[-3:], 128 * rows.loc[0, actions].to_numpy())


@pytest.mark.parametrize("algorithm", [A2C, SAC, TD3])
def test_other_algorithms_leave_empty_what_they_do_not_log(walk, tmp_path, algorithm):
    environments = MarketVecEnv(markets(walk)[0], 4)
    record = TrainingRecord(environments, tmp_path)
    options = {"learning_starts": 90, "batch_size": 16, "train_freq": 10, "gradient_steps": 2}
    options = {"n_steps": 10} if algorithm is A2C else options
    model = algorithm("MlpPolicy", environments, seed=0, device="cpu", **options)
    model.set_logger(configure(str(tmp_path), []))
    model.learn(200, callback=record)
    rows = pd.read_csv(tmp_path / "training.csv")
    first = 40 if algorithm is A2C else 120
    assert rows["steps"].tolist() == list(range(first, 201, 40))
    assert rows["update"].tolist() == list(range(1, len(rows) + 1))
    assert rows[["value_loss", "policy_loss", "turnover", "exposure"]].notna().all(axis=None)
    assert rows["explained_variance"].notna().all() == (algorithm is A2C)
    assert rows[["approx_kl", "clip_fraction"]].isna().all(axis=None)
    assert all(isinstance(text, str) for text in warnings_of(rows, QUIET))
