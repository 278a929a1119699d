from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression, Ridge

from foretrade.forecasters.base import Forecast
from foretrade.forecasters.ensemble import combine
from foretrade.forecasters.linear import ridge
from foretrade.forecasters.members import MemberError, build_member
from foretrade.forecasters.naive import HistoricalMeanForecaster, ZeroForecaster
from foretrade.forecasters.rolling import rolling_forecasts
from foretrade.forecasters.walk import Walk
from foretrade.forecasters.walker import run_walk
from foretrade.markets.bars import DataError
from foretrade.markets.features import compute_features
from foretrade.markets.labels import LabelConfig, forward_returns
from foretrade.markets.splits import WalkForward
from foretrade.markets.table import NEVER

LABEL = LabelConfig()
SCHEDULE = WalkForward(refit_every_bars=50, warm_up_bars=100)


def forecast(bars, members, **options):
    arguments = {"symbol": bars.symbols[0], "label": LABEL, "schedule": SCHEDULE, "lookback_bars": 5}
    return rolling_forecasts(bars, compute_features(bars), members, **(arguments | options))


class Spy(BaseEstimator):
    """Remembers what it was shown."""

    fits: list[tuple[int, float]] = []

    def fit(self, X, y, sample_weight=None):
        self.fits.append((len(y), float(y[-1])))
        return self

    def predict(self, X):
        return Forecast(np.zeros(len(X)))


def test_no_fit_sees_a_label_that_was_not_resolved(walk):
    Spy.fits.clear()
    table = forecast(walk, {"spy": Spy()})
    labels = forward_returns(walk, LABEL)[:, 0]
    first = int(np.isfinite(table.column("spy.mean")[:, 0]).argmax())
    for number, (rows, last_label) in enumerate(Spy.fits):
        start = first + 50 * number
        newest = start - 1 - LABEL.resolution_bars
        assert labels[newest] == last_label
        assert table.cutoff[start] == walk.stamps[start - 1]
        assert rows == newest - (first - 100) + 1
    assert (table.cutoff[:first] == NEVER).all()
    assert (table.cutoff[first:] < table.stamps[first:]).all()


def test_each_row_comes_from_the_last_refit_before_it(walk):
    """Against a plain loop that refits scikit-learn by hand."""
    features = compute_features(walk).values[:, 0]
    labels = forward_returns(walk, LABEL)[:, 0]
    mean = forecast(walk, {"ols": LinearRegression()}).column("ols.mean")[:, 0]
    begin = int(np.isfinite(features).all(axis=1).argmax()) + 4
    for start in range(begin + 100, len(walk), 50):
        train = slice(begin, start - 1 - 2 + 1)
        model = LinearRegression().fit(features[train], labels[train])
        stop = min(start + 50, len(walk))
        assert_allclose(mean[start:stop], model.predict(features[start:stop]), rtol=1e-9)


def test_the_ensemble_is_the_mean_of_its_members(walk):
    members = {"ols": LinearRegression(), "ridge": ridge(), "zero": ZeroForecaster()}
    table = forecast(walk, members, in_ensemble=("ols", "ridge"))
    ols, linear = (table.column(f"{name}.mean") for name in ("ols", "ridge"))
    assert_allclose(table.column("ensemble.mean"), (ols + linear) / 2, rtol=1e-12)
    assert_allclose(table.column("ensemble.disagreement"), np.abs(ols - linear) / 2, rtol=1e-9)
    assert np.nanmax(np.abs(table.column("weight.ols") - 0.5)) == 0
    assert "weight.zero" not in table.names


def test_combining():
    mean, disagreement = combine(np.array([[1.0, 3.0], [2.0, 2.0]]), np.array([0.5, 0.5]))
    assert mean.tolist() == [2.0, 2.0]
    assert disagreement.tolist() == [1.0, 0.0]


def test_bounds_cover_what_they_promise_and_the_std_is_that_of_the_errors(sp500):
    table = forecast(sp500, {"mean": HistoricalMeanForecaster()})
    labels = forward_returns(sp500, LABEL)[:, 0]
    lower, upper = table.column("mean.lower")[:, 0], table.column("mean.upper")[:, 0]
    known = np.isfinite(labels) & np.isfinite(lower)
    covered = ((labels >= lower) & (labels <= upper))[known].mean()
    assert 0.885 < covered < 0.915
    errors = (labels - table.column("mean.mean")[:, 0])[np.isfinite(lower)]
    stds = table.column("mean.std")[:, 0][np.isfinite(lower)]
    with np.errstate(invalid="ignore"):
        assert 0.95 < np.nanstd(errors / stds) < 1.15


def test_finished_folds_are_not_computed_again(walk, tmp_path):
    Spy.fits.clear()
    first = forecast(walk, {"spy": Spy()}, cache=tmp_path)
    fits = len(Spy.fits)
    again = forecast(walk, {"spy": Spy()}, cache=tmp_path)
    assert len(Spy.fits) == fits
    assert again.content_hash == first.content_hash
    forecast(walk.rows(0, 599), {"spy": Spy()}, cache=tmp_path)
    assert len(Spy.fits) == 2 * fits  # other data, other address
    kept = sorted(tmp_path.rglob("fold-001.safetensors"))[0]
    kept.write_bytes(kept.read_bytes()[:20])
    repaired = forecast(walk, {"spy": Spy()}, cache=tmp_path)
    assert repaired.content_hash == first.content_hash


def test_an_interrupted_warm_started_walk_goes_on_to_the_same_bits(walk, tmp_path):
    def lstm():
        return build_member("lstm", {"units": (4, 4), "epochs": 1, "refit_epochs": 1}, seed=3)

    bars = walk.rows(0, 520)
    whole = forecast(bars, {"lstm": lstm()})
    walks: list[Walk] = []
    forecast(bars, {"lstm": lstm()}, cache=tmp_path, watch=walks.extend)
    folds = sorted(tmp_path.rglob("fold-*.safetensors"))
    assert len(folds) == walks[0].finished() == len(walks[0].folds) == 4
    for path in folds[1:]:  # as if it had been killed after the first fold
        path.unlink()
    resumed = forecast(bars, {"lstm": lstm()}, cache=tmp_path)
    assert resumed.content_hash == whole.content_hash


def test_processes_give_the_same_bits(walk):
    members = {"ols": LinearRegression(), "forest": build_member("random_forest", {}, seed=1)}
    alone = forecast(walk, members)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        parallel = forecast(walk, members, mapper=pool.map)
    assert parallel.content_hash == alone.content_hash


class Wrong(BaseEstimator):
    def __init__(self, *, kind: str = "nan") -> None:
        self.kind = kind

    def fit(self, X, y, sample_weight=None):
        return self

    def predict(self, X):
        return Forecast(np.full(len(X), np.nan) if self.kind == "nan" else np.zeros(3))


def test_what_is_no_forecast_is_refused(walk):
    with pytest.raises(DataError, match="'bad' failed in every fold.*its forecasts are not finite"):
        forecast(walk, {"bad": Wrong()})
    with pytest.raises(DataError, match=r"mean has shape \(3,\), expected \(\d+,\)"):
        forecast(walk, {"bad": Wrong(kind="shape")})
    with pytest.raises(TypeError, match="neither a forecaster nor a scikit-learn regressor"):
        forecast(walk, {"bad": object()})


def test_too_short_a_history_says_how_long_it_must_be(walk):
    with pytest.raises(DataError, match="300 bars are too few: .*need 370"):
        forecast(walk.rows(0, 300), {"ols": LinearRegression()})
    with pytest.raises(DataError, match="100 bars are too few"):
        forecast(walk.rows(0, 100), {"ols": LinearRegression()})


def test_members_by_name():
    assert isinstance(
        build_member("sklearn.linear_model:Ridge", {"alpha": 2.0}, seed=0).estimator, Ridge
    )
    with pytest.raises(MemberError, match="unknown forecaster 'rigde'; did you mean 'ridge'"):
        build_member("rigde", {}, seed=0)
    with pytest.raises(MemberError, match="no setting 'unit'; did you mean 'units'"):
        build_member("lstm", {"unit": 3}, seed=0)
    with pytest.raises(MemberError, match="cannot be imported"):
        build_member("nowhere:Nothing", {}, seed=0)


def test_a_walk_is_a_pure_function(walk):
    walks: list[Walk] = []
    forecast(walk, {"ridge": ridge()}, watch=walks.extend)
    first, again = run_walk(walks[0]), run_walk(walks[0])
    assert np.array_equal(first.mean, again.mean, equal_nan=True)
