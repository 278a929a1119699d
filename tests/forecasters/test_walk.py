"""What a member goes through between the first row and the last."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression

from foretrade.forecasters.base import Forecast, SklearnForecaster
from foretrade.forecasters.linear import OnlineRidgeForecaster, ridge
from foretrade.forecasters.naive import HistoricalMeanForecaster
from foretrade.forecasters.scaling import ScaledForecaster
from foretrade.forecasters.updates import Updates, is_worse
from foretrade.forecasters.walk import Walk
from foretrade.forecasters.walker import run_walk
from foretrade.markets.bars import DataError
from foretrade.markets.splits import WalkForward

BARS, RESOLUTION = 700, 2
SCHEDULE = WalkForward(refit_every_bars=100, warm_up_bars=200)


def data(*, break_at: int = BARS, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Features, and labels that depend on the first of them; from ``break_at`` on reversed."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(BARS, 3))
    slope = np.where(np.arange(BARS) < break_at, 1.0, -1.0)
    labels = 0.01 * (slope * inputs[:, 0] + noise * rng.normal(size=BARS))
    labels[-RESOLUTION:] = np.nan
    return inputs, labels


def walk_of(
    member, *, schedule=SCHEDULE, updates=None, folder=None, inputs=None, labels=None, length=BARS
) -> Walk:
    made = [values[:length] for values in data()]
    inputs, labels = made[0] if inputs is None else inputs, made[1] if labels is None else labels
    return Walk(
        name="member",
        member=member,
        inputs=inputs,
        labels=labels,
        folds=tuple(schedule.folds(4, len(inputs), RESOLUTION)),
        schedule=schedule,
        resolution_bars=RESOLUTION,
        lookback_bars=5,
        updates=updates or Updates(),
        folder=folder,
    )


class Recorder(BaseEstimator):
    """Predicts the number of its fits and updates; remembers the last label of each."""

    update_mode = "warm"
    log: list[tuple[str, int, float]] = []

    def fit(self, X, y, sample_weight=None):
        self.count_ = 1.0
        self.log.append(("fit", len(y), y[-1]))
        return self

    def update(self, X, y):
        self.count_ += 1
        self.log.append(("update", len(y), y[-1]))
        return self

    def predict(self, X):
        return Forecast(np.full(len(X), 1e-6 * self.count_))

    def state(self):
        return {"count": np.array([self.count_])}

    def set_state(self, state, X):
        self.count_ = float(state["count"][0])
        return self


class Faulty(BaseEstimator):
    """Least squares that goes wrong at fits on just so many rows."""

    def __init__(self, wrong_at=(), how="raise"):
        self.wrong_at = wrong_at
        self.how = how

    def fit(self, X, y, sample_weight=None):
        self.model_ = LinearRegression().fit(X[:, -1], y)
        self.wrong_ = len(y) in self.wrong_at
        if self.wrong_ and self.how == "raise":
            raise FloatingPointError("singular")
        return self

    def predict(self, X):
        mean = self.model_.predict(X[:, -1])
        if self.wrong_:
            mean = {"nan": mean * np.nan, "diverge": 1e6 * mean, "shape": mean[:-1]}[self.how]
        return Forecast(mean)


def test_an_exact_update_with_every_bar_is_a_refit_with_every_bar():
    updated = run_walk(walk_of(OnlineRidgeForecaster(alpha=10.0), updates=Updates(1, guard=False)))
    every_bar = WalkForward(refit_every_bars=1, warm_up_bars=200)
    refitted = run_walk(walk_of(ridge(alpha=10.0), schedule=every_bar, updates=Updates(guard=False)))
    assert_allclose(updated.mean, refitted.mean, rtol=1e-9, atol=1e-15)
    assert_array_equal(updated.cutoff, refitted.cutoff)


def test_updates_see_each_label_once_when_it_has_matured():
    Recorder.log.clear()
    walk = walk_of(Recorder(), updates=Updates(20, guard=False))
    cutoff = run_walk(walk).cutoff
    row, seen = 204, 0
    for kind, rows, last in Recorder.log:
        newest = row - 1 - RESOLUTION  # a bar of embargo
        assert last == walk.labels[newest]
        assert cutoff[row] == row - 1
        seen = rows if kind == "fit" else seen + rows
        assert seen == newest - 4 + 1
        row += 20
    assert row >= BARS


def test_drift_brings_a_refit_forward():
    inputs, labels = data(break_at=480, noise=0.3)
    schedule = WalkForward(refit_every_bars=250, warm_up_bars=200, window_bars=100)
    member = SklearnForecaster(LinearRegression())
    late = run_walk(walk_of(member, schedule=schedule, inputs=inputs, labels=labels))
    soon = run_walk(
        walk_of(member, schedule=schedule, inputs=inputs, labels=labels, updates=Updates(on_drift=True))
    )
    (first, *_) = (event for event in soon.events if event.kind == "drift")
    assert 482 < first.row < 560
    assert_array_equal(soon.mean[: first.row], late.mean[: first.row])
    assert soon.cutoff[first.row] == first.row - 1
    errors = [np.nanmean((labels - walked.mean)[600:] ** 2) for walked in (soon, late)]
    assert errors[0] < 0.8 * errors[1]


def test_no_drift_is_found_where_there_is_none():
    walked = run_walk(walk_of(SklearnForecaster(LinearRegression()), updates=Updates(on_drift=True)))
    assert walked.events == ()


@pytest.mark.parametrize("how", ["raise", "nan", "diverge", "shape"])
def test_a_refit_that_goes_wrong_is_rolled_back_and_recorded(how):
    good = run_walk(walk_of(Faulty()))
    third = SCHEDULE.training_rows(4, 404, RESOLUTION)
    walked = run_walk(walk_of(Faulty((len(third),), how)))
    assert [(event.row, event.kind) for event in walked.events] == [(404, "rolled back")]
    assert_array_equal(walked.mean[:404], good.mean[:404])
    assert_array_equal(walked.mean[504:], good.mean[504:])
    inputs, labels = data()
    second = SCHEDULE.training_rows(4, 304, RESOLUTION)
    before = LinearRegression().fit(inputs[second], labels[second])
    assert_allclose(walked.mean[404:504], before.predict(inputs[404:504]), rtol=1e-9)


def test_a_member_that_fails_at_its_first_fit_begins_with_the_next():
    first = SCHEDULE.training_rows(4, 204, RESOLUTION)
    walked = run_walk(walk_of(Faulty((len(first),))))
    assert np.isnan(walked.mean[204:304]).all()
    assert np.isfinite(walked.mean[304:]).all()
    assert [(e.row, e.kind, e.message) for e in walked.events] == [
        (204, "failed", "FloatingPointError: singular")
    ]


def test_a_member_that_always_fails_is_an_error_that_names_it():
    every = tuple(len(SCHEDULE.training_rows(4, row, RESOLUTION)) for row in range(204, BARS, 100))
    with pytest.raises(DataError, match="'member' failed in every fold.*singular"):
        run_walk(walk_of(Faulty(every)))


def test_a_constant_forecast_is_recorded_unless_it_is_meant():
    class Stuck(HistoricalMeanForecaster):
        is_constant = False

    assert {event.kind for event in run_walk(walk_of(Stuck())).events} == {"constant"}
    assert run_walk(walk_of(HistoricalMeanForecaster())).events == ()


class ScaledFaulty(ScaledForecaster):
    """Observes, and goes wrong at fits on so many rows."""

    def __init__(self, member, *, span_bars=50, wrong_from=10**9, wrong_to=10**9):
        super().__init__(member, span_bars=span_bars)
        self.wrong_from = wrong_from
        self.wrong_to = wrong_to

    def fit(self, X, y, sample_weight=None):
        if self.wrong_from <= len(y) < self.wrong_to:
            raise FloatingPointError("singular")
        return super().fit(X, y, sample_weight)


class CountingRidge(OnlineRidgeForecaster):
    """Some of whose refits raise, and whose rows are counted."""

    rows: list[int] = []

    def fit(self, X, y, sample_weight=None):
        if 380 < len(y) < 480:
            raise FloatingPointError("singular")
        self.rows[:] = [len(y)]
        return super().fit(X, y, sample_weight)

    def update(self, X, y):
        self.rows.append(len(y))
        return super().update(X, y)


def test_what_matured_before_a_rolled_back_refit_is_learnt_after_it():
    schedule = WalkForward(refit_every_bars=100, warm_up_bars=200)
    walk = walk_of(CountingRidge(), schedule=schedule, updates=Updates(7), length=500)
    walked = run_walk(walk)
    assert [event.kind for event in walked.events] == ["rolled back"]
    last = walk.folds[-1].start
    known = walk.training_rows(last + (499 - last) // 7 * 7)
    assert sum(CountingRidge.rows) == len(known)


def test_a_std_that_is_none_is_told_and_left_out():
    class Certain(HistoricalMeanForecaster):
        def predict(self, X):
            return Forecast(super().predict(X).mean, np.zeros(len(X)))

    walked = run_walk(walk_of(Certain()))
    assert np.isnan(walked.std).all()
    assert {event.kind for event in walked.events} == {"no std"}


MEMBERS = {
    "plain": (SklearnForecaster(LinearRegression()), Updates()),
    "rolled back": (Faulty((len(SCHEDULE.training_rows(4, 404, RESOLUTION)),), "diverge"), Updates()),
    "updated": (OnlineRidgeForecaster(forgetting=0.99), Updates(7)),
    "drifting": (SklearnForecaster(LinearRegression()), Updates(on_drift=True)),
    "observing": (ScaledForecaster(LinearRegression(), span_bars=50), Updates()),
    "updated and drifting": (OnlineRidgeForecaster(), Updates(7, on_drift=True)),
    "observing, drifting, rolled back": (
        ScaledFaulty(LinearRegression(), wrong_from=450, wrong_to=460),
        Updates(on_drift=True),
    ),
    "observing, drifting, failed": (
        ScaledFaulty(LinearRegression(), wrong_from=280, wrong_to=320),
        Updates(on_drift=True, guard=False),
    ),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_a_walk_that_was_interrupted_goes_on_to_the_same_bits(name, tmp_path):
    member, updates = MEMBERS[name]
    inputs, labels = data(break_at=520, noise=0.3)
    walk = walk_of(member, updates=updates, folder=tmp_path, inputs=inputs, labels=labels)
    whole = run_walk(walk)
    kinds = {"rolled back": "rolled back", "drifting": "drift", "failed": "failed"}
    expected = {kind for word, kind in kinds.items() if word in name}
    assert expected <= {event.kind for event in whole.events}  # so that there is something to find
    for kept in range(len(walk.folds)):
        for fold in walk.folds[kept:]:
            walk.fold_path(fold).unlink()
        again = run_walk(walk)
        for part in ("mean", "std", "cutoff"):
            assert_array_equal(getattr(again, part), getattr(whole, part))
        assert again.events == whole.events


@pytest.mark.parametrize("name", MEMBERS)
def test_the_future_is_invisible_also_to_updates_and_detectors(name):
    member, updates = MEMBERS[name]
    inputs, labels = data(break_at=520, noise=0.3)
    whole = run_walk(walk_of(member, updates=updates, inputs=inputs, labels=labels))
    rng = np.random.default_rng(1)
    for cut in (350, 455, 463, 470, 555, 640):
        changed, later = inputs.copy(), labels.copy()
        changed[cut + 1 :] = rng.normal(size=changed[cut + 1 :].shape)
        later[cut + 1 - RESOLUTION :] = rng.normal(size=len(later) - cut - 1 + RESOLUTION)
        for seen, known in ((changed, later), (inputs[: cut + 1], later[: cut + 1])):
            walked = run_walk(walk_of(member, updates=updates, inputs=seen, labels=known))
            assert_array_equal(walked.mean[: cut + 1], whole.mean[: cut + 1])


def test_a_running_state_is_shown_each_row_once_and_in_order():
    class Counting(ScaledForecaster):
        rows: list[float] = []

        def observe(self, X):
            self.rows.extend(X[:, -1, 0])
            return super().observe(X)

    walk = walk_of(Counting(LinearRegression()), updates=Updates(guard=False))
    run_walk(walk)
    last = 0
    for fold in walk.folds:
        shown = walk.inputs[fold.train.stop : fold.stop, 0]
        assert_array_equal(Counting.rows[last : last + len(shown)], shown)
        last += len(shown)
    assert last == len(Counting.rows)


def test_the_guard_lets_chance_pass_and_stops_what_is_worse():
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(500, 126))
    passed = [is_worse(errors[i], rng.normal(size=126), 2.326) for i in range(500)]
    assert np.mean(passed) < 0.03
    assert is_worse(errors[0], 2 * rng.normal(size=126), 2.326)
