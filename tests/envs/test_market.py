from __future__ import annotations

import copy
import pickle
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import FrameStackObservation, NormalizeObservation, RecordEpisodeStatistics
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import foretrade
from foretrade.envs.actions import InvalidAction, WeightActions
from foretrade.envs.episodes import Episodes
from foretrade.envs.market import MarketEnv
from foretrade.envs.registration import ENVIRONMENTS
from foretrade.markets.bars import Bars, DataError
from foretrade.markets.costs import Costs
from foretrade.markets.exchange import SECONDS_PER_YEAR
from foretrade.markets.features import FeatureConfig, compute_features
from foretrade.markets.fills import StaleOpenWarning
from foretrade.markets.nopeek import PeekError, assert_future_invisible
from foretrade.markets.rules import Rules
from foretrade.markets.synthetic import random_walk
from foretrade.markets.table import Column, Table

SMALL = FeatureConfig(momentum_bars=(5,), trend_bars=20, volatility_bars=(5, 20), zscore_bars=20)


def flat(env: MarketEnv):
    return env.actions.encode(np.zeros(1))[0]


@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("actions", ["weight", "position"])
@pytest.mark.parametrize("fill", ["next_close", "same_close"])
def test_registered_environments_pass_both_checkers(name, actions, fill):
    env = gymnasium.make(name, actions=actions, fill=fill, episodes=Episodes(100, random_start=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(name, actions=actions).unwrapped, skip_render_check=True)
        check_env_sb3(env)


def test_gymnasium_finds_it_and_its_wrappers_work():
    env = gymnasium.make("foretrade/Market-v0", episodes=Episodes(20, random_start=True))
    env = NormalizeObservation(FrameStackObservation(RecordEpisodeStatistics(env), 3))
    env.reset(seed=0)
    over, rewards = False, 0.0
    while not over:
        _, reward, terminated, truncated, info = env.step(np.array([0.5], np.float32))
        rewards += reward
        over = terminated or truncated
    assert info["episode"]["l"] == 20
    assert info["episode"]["r"] == pytest.approx(rewards)
    pair = gymnasium.make_vec("foretrade/Market-v0", num_envs=2, vectorization_mode="sync")
    assert pair.reset(seed=0)[0].shape[0] == 2
    pair.close()


def test_next_open_fills_on_stale_opens_warn_with_their_share(sp500):
    with pytest.warns(StaleOpenWarning, match=r"39.8% of the opens equal the previous close"):
        MarketEnv(sp500, fill="next_open")


@pytest.mark.filterwarnings("ignore::foretrade.envs.observation.ClippedColumnWarning")
def test_the_end_of_data_truncates_and_ruin_terminates(walk):
    env = MarketEnv(walk, rows=range(590, 600))
    env.reset()
    outcomes = [env.step(flat(env))[2:4] for _ in range(9)]
    assert outcomes == [(False, False)] * 8 + [(False, True)]
    with pytest.raises(RuntimeError, match="the episode is over, or has not begun; call reset"):
        env.step(flat(env))

    prices = {name: np.array(getattr(walk, name)) for name in ("open", "high", "low", "close")}
    for values in prices.values():
        values[595:] *= 3.0
    jump = MarketEnv(foretrade.Bars(**(vars_of(walk) | prices)), rows=range(590, 600))
    jump.reset()
    for step in range(5):
        observation, reward, terminated, truncated, info = jump.step(np.array([-1.0], np.float32))
        assert terminated == (step == 4)
    assert not truncated
    assert info["equity"] < 0
    assert reward == pytest.approx(np.log(1e-6))
    assert jump.observation_space.contains(observation)


def vars_of(bars: Bars) -> dict:
    names = ("symbols", "closes_at", "volume", "frequency", "periods_per_year", "timezone", "source")
    return {name: getattr(bars, name) for name in names}


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (np.array([1.5]), r"action\[0\] = 1.5 is not within \[-1.0, 1.0\]"),
        (np.array([np.nan]), "= nan is not within"),
        (np.array([np.inf]), "= inf is not within"),
        (np.zeros(2), r"shape \(2,\), float64 is not numbers of shape \(1,\)"),
        (0.5, r"shape \(\), float64 is not numbers of shape \(1,\)"),
    ],
)
def test_impossible_weights_are_refused(walk, action, message):
    env = MarketEnv(walk)
    env.reset()
    with pytest.raises(InvalidAction, match=message):
        env.step(action)


@pytest.mark.parametrize("action", [3, -1, 1.0, np.array([1])])
def test_impossible_positions_are_refused(walk, action):
    env = MarketEnv(walk, actions="position")
    env.reset()
    with pytest.raises(InvalidAction):
        env.step(action)


def test_bad_arguments_say_what_to_do(walk, sp500):
    features = compute_features(walk)
    cases = {
        "not over the same bars": lambda: MarketEnv(sp500, features),
        "unknown symbol 'X'": lambda: MarketEnv(walk, symbols="X"),
        "no column 'gold'": lambda: MarketEnv(walk, observe=["gold"]),
        r"row 10 \(2000-01-17\) lacks .*momentum_252": lambda: MarketEnv(walk, rows=range(10, 500)),
        "must be two or more consecutive": lambda: MarketEnv(walk, rows=range(500, 900)),
        "the history is too short": lambda: MarketEnv(walk.rows(0, 100)),
    }
    for message, call in cases.items():
        with pytest.raises(DataError, match=message):
            call()
    with pytest.raises(ValueError, match="bars = 9999 must be from 0 to"):
        MarketEnv(walk, episodes=Episodes(9999))
    with pytest.raises(ValueError, match="initial_equity must be positive"):
        MarketEnv(walk, initial_equity=0.0)
    with pytest.raises(ValueError, match="low < high"):
        WeightActions(1.0, -1.0)
    env = MarketEnv(walk)
    with pytest.raises(ValueError, match="unknown reset options: begin"):
        env.reset(options={"begin": 3})
    with pytest.raises(ValueError, match="does not fit into"):
        env.reset(options={"start": 599})


@pytest.mark.parametrize("bound", [0.1, 0.3, 0.6, 0.8])
def test_bounds_that_float32_cannot_hold_are_bounds_all_the_same(walk, bound):
    env = MarketEnv(walk, actions=WeightActions(-bound, bound))
    env.reset()
    for action in (env.action_space.high, env.action_space.low, env.actions.encode(np.array([9.0]))[0]):
        info = env.step(action)[-1]
        assert abs(info["requested"]) == bound
    with pytest.raises(InvalidAction):
        env.step(np.array([bound * 1.001], np.float32))


@pytest.mark.parametrize(
    "options", [{"actions": "weights"}, {"fill": "nextclose"}, {"reward": "profit"}]
)
def test_misspelt_choices_are_refused(walk, options):
    with pytest.raises(ValueError, match="must be one of"):
        MarketEnv(walk, **options)


def test_options_choose_the_episode_and_the_seed_everything_else(walk):
    env = MarketEnv(walk, episodes=Episodes(50, random_start=True))
    starts = [env.reset(seed=seed)[1]["row"] for seed in (1, 1, 2)]
    assert starts[0] == starts[1] != starts[2]
    assert env.reset(options={"start": 300, "episode_bars": 2})[1]["row"] == 300
    env.step(flat(env))
    assert env.step(flat(env))[3]


def test_what_is_asked_and_what_is_got_are_both_told(walk):
    env = MarketEnv(walk, actions=WeightActions(-3.0, 3.0), rules=Rules(1.5))
    env.reset()
    info = env.step(np.array([2.5], np.float32))[-1]
    assert info["requested"] == 2.5
    assert info["achieved"] == pytest.approx(1.5)


def test_every_entry_is_described(walk):
    forecast = Table.from_columns(walk, {Column("f.mean", "log return"): walk.close / 1e4})
    env = MarketEnv(walk, compute_features(walk).join(forecast))
    described = env.describe()
    assert list(described.columns) == ["name", "unit", "low", "high", "normalisation"]
    assert len(described) == env.observation_space.shape[0]
    assert described.set_index("name").loc["f.mean", "unit"] == "rms"


def test_observations_do_not_see_the_future(walk):
    def observations(bars: Bars) -> np.ndarray:
        forecast = Table.from_columns(bars, {Column("f.mean", "log return"): bars.close / 1e4})
        env = MarketEnv(bars, compute_features(bars, SMALL).join(forecast), rows=range(100, len(bars)))
        seen = np.full((len(bars), env.observation_space.shape[0]), np.nan)
        observation, info = env.reset()
        weights = np.random.default_rng(0).uniform(-1, 1, len(bars))
        over = False
        while not over:
            seen[info["row"]] = observation
            action = weights[[info["row"]]].astype(np.float32)
            observation, _, terminated, truncated, info = env.step(action)
            over = terminated or truncated
        seen[info["row"]] = observation
        return seen

    assert_future_invisible(observations, walk, (150, 333, 580))
    with pytest.raises(PeekError):
        assert_future_invisible(lambda bars: np.roll(observations(bars), -1, axis=0), walk, (333,))


def test_environments_travel_between_processes(walk):
    env = MarketEnv(walk, episodes=Episodes(30, random_start=True))
    env.reset(seed=4)
    twin = pickle.loads(pickle.dumps(env))
    for _ in range(10):
        one, two = (e.step(np.array([0.7], np.float32)) for e in (env, twin))
        assert np.array_equal(one[0], two[0])
        assert one[1:] == two[1:]


@pytest.mark.parametrize("twin_of", [lambda env: pickle.loads(pickle.dumps(env)), copy.deepcopy])
def test_a_watched_episode_travels_and_goes_on_to_the_same_bits(walk, capsys, twin_of):
    env = MarketEnv(walk, render_mode="human", episodes=Episodes(30, random_start=True))
    env.reset(seed=4)
    env.step(np.array([0.7], np.float32))
    capsys.readouterr()
    twin = twin_of(env)
    assert capsys.readouterr().out == ""
    for weight in np.linspace(-1, 1, 29, dtype=np.float32)[:, None]:
        one, two = env.step(weight), twin.step(weight)
        assert one[0].tobytes() == two[0].tobytes()
        assert one[1:] == two[1:]
    assert one[3]
    capsys.readouterr()
    env.close()
    assert "equity" in capsys.readouterr().out  # the panel stayed with the first, and each has its own
    twin.close()
    assert env.reset(seed=None)[0].tobytes() == twin.reset(seed=None)[0].tobytes()
    env.close()
    twin.close()


def test_an_episode_can_be_watched(walk):
    chosen = {"bars": walk, "render_mode": "rgb_array", "episodes": Episodes(40)}
    env = gymnasium.make("foretrade/Market-v0", **chosen)
    check_env(gymnasium.make("foretrade/Market-v0", render_mode="rgb_array").unwrapped)
    frames = gymnasium.wrappers.RenderCollection(env)
    frames.reset(seed=0)
    for step in range(40):
        frames.step(np.array([np.sign(step % 14 - 7)], np.float32))
    pictures = frames.render()
    assert len(pictures) == 41
    assert {picture.shape for picture in pictures} == {(400, 640, 3)}
    assert pictures[0].dtype == np.uint8
    assert not np.array_equal(pictures[0], pictures[-1])
    assert MarketEnv(walk).render() is None
    with pytest.raises(ValueError, match="render_mode = 'ansi' must be one of"):
        MarketEnv(walk, render_mode="ansi")


def test_copies_share_the_market_but_not_the_account(walk):
    env = MarketEnv(walk)
    twin = env.copy()
    assert np.shares_memory(env.market.prices, twin.market.prices)
    env.reset(seed=0)
    twin.reset(seed=0)
    env.step(np.array([1.0], np.float32))
    assert twin.seat.accounts.get("units") == 0


def test_costs_that_change_with_the_bar_are_those_of_the_bar_that_fills():
    walk = random_walk(300, symbols=2, seed=1)
    fees = np.random.default_rng(0).uniform(1, 30, (len(walk), 2))
    loans = np.linspace(100, 900, len(walk))[:, None]
    costs = Costs(fee_bps=fees, half_spread_bps=0.0, borrow_bps_per_year=loans)
    env = MarketEnv(walk, symbols=walk.symbols, costs=costs)
    env.reset(seed=0)
    for step in range(30):
        units = env.seat.info(0)["units"]
        action = np.array([0.5 * (step % 2), -0.4 * (step % 3)], np.float32)
        *_, info = env.step(action)
        row = info["row"]
        notional = np.abs(info["units"] - units) * walk.close[row]
        assert info["fee"] == pytest.approx(notional @ fees[row] * 1e-4, rel=1e-12)
        years = (walk.stamps[row] - walk.stamps[row - 1]) / 1e9 / SECONDS_PER_YEAR
        short = np.maximum(-units * walk.close[row - 1], 0).sum()
        assert info["borrow"] == pytest.approx(short * loans[row, 0] * 1e-4 * years, rel=1e-12)
