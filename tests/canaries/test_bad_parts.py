"""Parts that break their contract: each check must name the one that breaks it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from foretrade.agents.baselines import Constant
from foretrade.envs.market import MarketEnv
from foretrade.forecasters.base import Forecast
from foretrade.testing import PartError, check, checks_for, load_part


class Honest(BaseEstimator):
    """The mean of the labels, plus a bit of the last feature."""

    def __init__(self, *, scale: float = 1.0) -> None:
        self.scale = scale

    def fit(self, X, y, sample_weight=None):
        self.mean_ = float(y.mean())
        return self

    def predict(self, X):
        return Forecast(self.mean_ + self.scale * X[:, -1, 0])


class ScalesByTheBlock(Honest):
    """Standardises the rows it is asked about, which reach into the future of the first."""

    def predict(self, X):
        return Forecast((X[:, -1, 0] - X[:, -1, 0].mean()) / X[:, -1, 0].std())


class Unseeded(Honest):
    def fit(self, X, y, sample_weight=None):
        self.mean_ = float(np.random.default_rng().normal())
        return self


class WritesToItsInput(Honest):
    def fit(self, X, y, sample_weight=None):
        X[:, 0] = 0.0
        return super().fit(X, y)


class ForgetsAParameter(Honest):
    def __init__(self, *, scale: float = 1.0) -> None:
        super().__init__(scale=scale)

    def get_params(self, deep=True):
        return {"scale": 1.0}


class Learns(Honest):
    """Everything that a forecaster may do, and all of it right."""

    update_mode = "exact"

    def fit(self, X, y, sample_weight=None):
        self.sum_, self.count_, self.seen_ = float(y.sum()), len(y), 0.0
        return self

    def refit(self, X, y):
        return self.fit(X, y)

    def update(self, X, y):
        self.sum_, self.count_ = self.sum_ + float(y.sum()), self.count_ + len(y)
        return self

    def observe(self, X):
        for value in X[:, -1, 0]:
            self.seen_ = 0.9 * self.seen_ + 0.1 * value
        return self

    def predict(self, X):
        return Forecast(self.sum_ / self.count_ + X[:, -1, 0] + self.seen_)

    def state(self):
        return {"sums": np.array([self.sum_, self.count_, self.seen_])}

    def set_state(self, state, X):
        self.sum_, self.count_, self.seen_ = state["sums"]
        return self


class ForgetsItsState(Learns):
    """Goes on from the live fit, but not from the written state."""

    def state(self):
        return {"sums": np.array([0.0, 1.0, 0.0])}


class ClaimsExactness(Learns):
    """Weighs a new row as much as ten old ones."""

    def update(self, X, y):
        self.sum_, self.count_ = self.sum_ + 10 * float(y.sum()), self.count_ + 10 * len(y)
        return self


class ObservesWhenAsked(Learns):
    """Moves its running state by forecasting."""

    def predict(self, X):
        forecast = super().predict(X)
        self.observe(X)
        return forecast


class GivesNaN(Honest):
    def predict(self, X):
        return Forecast(np.full(len(X), np.nan))


class GivesANegativeStd(Honest):
    def predict(self, X):
        return Forecast(super().predict(X).mean, np.full(len(X), -0.01))


class GivesAnArray(Honest):
    def predict(self, X):
        return np.zeros(len(X))


FORECASTERS = {
    "check_future_is_invisible": ScalesByTheBlock(),
    "check_fits_the_same_bits_twice": Unseeded(),
    "check_leaves_its_input_alone": WritesToItsInput(),
    "check_gives_one_finite_mean_a_row": GivesNaN(),
    "check_clone_forecasts_the_same": ForgetsAParameter(scale=3.0),
    "check_refits_from_its_state": ForgetsItsState(),
    "check_updates_from_its_state": ForgetsItsState(),
    "check_an_update_is_a_fit_on_everything": ClaimsExactness(),
    "check_observing_leaves_parameters_alone": ObservesWhenAsked(),
}


@pytest.mark.parametrize("name", FORECASTERS)
def test_each_forecaster_check_catches_its_cheat(name):
    assert check(FORECASTERS[name])[name] != "passed"


def test_an_honest_forecaster_passes():
    assert set(check(Honest()).values()) == {"passed"}
    for bad, words in (
        (GivesAnArray(), "not Forecast"),
        (GivesANegativeStd(), "std is -0.01 somewhere"),
    ):
        assert words in check(bad)["check_gives_one_finite_mean_a_row"]


class FreeTrading(MarketEnv):
    """Hands the fee back after every step."""

    def step(self, action):
        result = super().step(action)
        self.seat.accounts.view("cash")[:] += result[-1]["fee"]
        self.seat.accounts.view("equity")[:] += result[-1]["fee"]
        result[-1]["equity"] += result[-1]["fee"]
        return result


class LeakyReset(MarketEnv):
    """Shows at the first bar whatever the episode before left behind."""

    def reset(self, **arguments):
        left = int(self.seat.accounts.get("row")[0])
        observation, info = super().reset(**arguments)
        observation[-3] = left / 600
        return observation, info


class Unbounded(MarketEnv):
    def step(self, action):
        observation, *rest = super().step(action)
        return observation * 1e6, *rest


class ChargesForNothing(MarketEnv):
    """A fee for being there."""

    def step(self, action):
        result = super().step(action)
        self.seat.accounts.view("cash")[:] -= 1.0
        self.seat.accounts.view("equity")[:] -= 1.0
        result[-1]["equity"] -= 1.0
        result[-1]["fee"] += 1.0
        return result


class OldStep(MarketEnv):
    """Returns four values, as before Gymnasium."""

    def step(self, action):
        observation, reward, terminated, _, info = super().step(action)
        return observation, reward, terminated, info


ENVIRONMENTS = {
    "check_doing_nothing_costs_nothing": ChargesForNothing,
    "check_keeps_gymnasiums_contract": OldStep,
    "check_equity_is_accounted_for": FreeTrading,
    "check_same_seed_same_bits": LeakyReset,
    "check_observations_stay_in_bounds": Unbounded,
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_each_environment_check_catches_its_cheat(walk, name):
    assert check(ENVIRONMENTS[name](walk))[name] != "passed"


class Remembers(Constant):
    """Decides by how often it was asked."""

    calls = [0]

    def weights(self, observation):
        self.calls[0] += 1
        return np.full(len(observation), (self.calls[0] % 10) / 10)


class LooksAtItsNeighbours(Constant):
    def weights(self, observation):
        return np.clip(observation[:, 0] - observation[:, 0].mean(), -1, 1)


class TooFewActions(Constant):
    def weights(self, observation):
        return np.zeros(1)


class MixesMemories(Constant):
    """Decides by what all accounts saw one bar before."""

    past = [0.0]

    def reset(self):
        self.past[0] = 0.0

    def weights(self, observation):
        before, self.past[0] = self.past[0], float(observation[:, 0].mean())
        return np.full(len(observation), np.clip(before, -1, 1))


AGENTS = {
    "check_remembers_each_account_apart": MixesMemories,
    "check_decides_the_same_again": Remembers,
    "check_decides_many_as_one_by_one": LooksAtItsNeighbours,
    "check_decides_within_the_action_space": TooFewActions,
}


def test_a_forecaster_that_does_it_all_right_passes():
    assert set(check(Learns()).values()) == {"passed"}


@pytest.mark.parametrize("name", AGENTS)
def test_each_agent_check_catches_its_cheat(walk, name):
    env = MarketEnv(walk)
    assert check(AGENTS[name](env.layout, env.actions), env)[name] != "passed"


def test_every_check_has_its_cheat(walk):
    env = MarketEnv(walk)
    parts = (
        (Learns(), FORECASTERS),
        (env, ENVIRONMENTS),
        (Remembers(env.layout, env.actions), AGENTS),
    )
    for part, cheats in parts:
        assert {name for name, _ in checks_for(part, env)} == set(cheats)


def test_what_is_no_part_is_refused(walk):
    with pytest.raises(PartError, match="neither an environment nor an agent"):
        check(object())
    env = MarketEnv(walk)
    with pytest.raises(PartError, match="give env="):
        check(Constant(env.layout, env.actions))
    with pytest.raises(PartError, match="cannot be imported"):
        load_part("nowhere:Nothing", env)
