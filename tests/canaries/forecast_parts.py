"""Forecasts, observations and actions: planted leaks, and clean ones beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from canaries.trial import (
    FEATURES,
    FIRST_ROW,
    LABEL,
    LOOKBACK_BARS,
    RESOLUTION,
    SCHEDULE,
    data,
    enter,
    folds,
)
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from foretrade.agents.baselines import Constant, FollowForecast, MovingAverageTrend, VolatilityTarget
from foretrade.envs.market import MarketEnv
from foretrade.forecasters.ensemble import EnsembleForecaster
from foretrade.forecasters.fusion import FUSIONS
from foretrade.forecasters.linear import OnlineRidgeForecaster, ridge
from foretrade.forecasters.naive import HistoricalMeanForecaster
from foretrade.forecasters.rolling import rolling_forecasts
from foretrade.forecasters.trees import lightgbm, random_forest
from foretrade.forecasters.updates import Updates
from foretrade.markets.bars import Bars
from foretrade.markets.features import compute_features
from foretrade.markets.nopeek import Compute
from foretrade.markets.splits import Fold
from foretrade.markets.table import Table

PENALTIES = (1.0, 100.0, 10_000.0)
LEAKS: dict[str, Compute] = {}
CLEAN: dict[str, Compute] = {}
leak, clean = enter(LEAKS), enter(CLEAN)


def fit_ridge(X: np.ndarray, y: np.ndarray, penalty: float) -> Callable[[np.ndarray], np.ndarray]:
    """A fitted forecast, whose bits for one row do not depend on how many others are asked for."""
    X, y = X[np.isfinite(y)], y[np.isfinite(y)]
    centre, spread = X.mean(axis=0), X.std(axis=0) + 1e-9
    Z = (X - centre) / spread
    weights = np.linalg.solve(Z.T @ Z + penalty * np.eye(Z.shape[1]), Z.T @ (y - y.mean()))
    return lambda rows: y.mean() + ((rows - centre) / spread * weights).sum(axis=1)


def own_walk(
    bars: Bars,
    learn: Callable[[Fold], range] = lambda fold: fold.train,
    choose: Callable[[np.ndarray, np.ndarray, Fold], float] = lambda X, y, fold: PENALTIES[1],
) -> np.ndarray:
    """Ridge, refitted on the rows that ``learn`` names, with the penalty that ``choose`` finds."""
    X, y = data(bars)
    mean = np.full(len(bars), np.nan)
    for fold in folds(bars):
        rows, block = learn(fold), slice(fold.start, fold.stop)
        mean[block] = fit_ridge(X[rows], y[rows], choose(X, y, fold))(X[block])
    return mean


def best_penalty(X: np.ndarray, y: np.ndarray, train: range, test: range) -> float:
    def error(penalty: float) -> float:
        return float(np.nansum((y[test] - fit_ridge(X[train], y[train], penalty)(X[test])) ** 2))

    return min(PENALTIES, key=error)


def two_members(bars: Bars) -> np.ndarray:
    """A ridge walk, and the last resolved label as the forecast of the next."""
    last = pd.Series(data(bars)[1]).shift(RESOLUTION)
    return np.column_stack([own_walk(bars), last])


def weighted(bars: Bars, scored: Callable[[Fold], slice]) -> np.ndarray:
    """Two members, weighted by the inverse of their squared error in the rows that ``scored`` names."""
    means, y = two_members(bars), data(bars)[1]
    mean = np.full(len(bars), np.nan)
    for fold in folds(bars)[1:]:
        rows, block = scored(fold), slice(fold.start, fold.stop)
        error = np.nansum((y[rows, None] - means[rows]) ** 2, axis=0) + 1e-12
        mean[block] = (means[block] / error).sum(axis=1) / (1 / error).sum()
    return mean


def recursive_least_squares(bars: Bars, maturity_bars: int) -> np.ndarray:
    """Before each forecast an update with the row ``maturity_bars`` ago."""
    X, y = data(bars)
    precision, moment = 100.0 * np.eye(X.shape[1]), np.zeros(X.shape[1])
    mean = np.full(len(bars), np.nan)
    for row in range(FIRST_ROW + maturity_bars, len(bars)):
        x, label = X[row - maturity_bars], y[row - maturity_bars]
        if np.isfinite(label):
            precision, moment = precision + np.outer(x, x), moment + label * x
        mean[row] = (X[row] * np.linalg.solve(precision, moment)).sum()
    return mean


def walk(bars: Bars, members: Mapping[str, object], **options: Any) -> Table:
    """The shipped walk-forward: mean, std and bounds of every member and of the ensemble."""
    return rolling_forecasts(
        bars,
        compute_features(bars, FEATURES),
        members,
        symbol=bars.symbols[0],
        label=LABEL,
        schedule=SCHEDULE,
        lookback_bars=LOOKBACK_BARS,
        **options,
    )


def play(bars: Bars) -> tuple[MarketEnv, np.ndarray]:
    """Observations under actions that were drawn before."""
    env = MarketEnv(bars, compute_features(bars, FEATURES), rows=range(FIRST_ROW, len(bars)))
    actions = np.random.default_rng(0).uniform(-1, 1, (len(bars), 1)).astype(np.float32)
    seen = np.full((len(bars), len(env.layout.entries)), np.nan)
    observation, info = env.reset(seed=0)
    over = False
    while not over:
        seen[info["row"]] = observation
        observation, _, terminated, truncated, info = env.step(actions[info["row"]])
        over = terminated or truncated
    seen[info["row"]] = observation
    return env, seen


@clean
def pca_within_each_fit(bars: Bars) -> Table:
    """Scaling, principal components and regression, refitted as one in the shipped walk."""
    return walk(bars, {"pca": make_pipeline(StandardScaler(), PCA(3), LinearRegression())})


@clean
def selection_within_each_fit(bars: Bars) -> Table:
    """The three best features of each fit's own rows, in the shipped walk."""
    return walk(bars, {"best": make_pipeline(SelectKBest(f_regression, k=3), LinearRegression())})


@leak
def label_overlap_at_the_refit(bars: Bars) -> np.ndarray:
    """Fits on all rows before the refit, labels still open included."""
    return own_walk(bars, learn=lambda fold: range(fold.train.start, fold.start))


@clean
def labels_resolved_at_the_refit(bars: Bars) -> np.ndarray:
    """Fits on rows whose label was resolved one bar before the refit."""
    return own_walk(bars)


@leak
def in_sample_forecasts(bars: Bars) -> np.ndarray:
    """One fit on everything, shown from the first row."""
    X, y = data(bars)
    return fit_ridge(X[FIRST_ROW:], y[FIRST_ROW:], PENALTIES[1])(X)


@leak
def shuffled_cross_validation(bars: Bars) -> np.ndarray:
    """Forecasts out of fold, the folds drawn without regard to time."""
    X, y = data(bars)
    rows, mean = np.arange(FIRST_ROW, len(bars)), np.full(len(bars), np.nan)
    for train, test in KFold(5, shuffle=True, random_state=0).split(rows):
        mean[rows[test]] = fit_ridge(X[rows[train]], y[rows[train]], PENALTIES[1])(X[rows[test]])
    return mean


@leak
def ensemble_weights_of_the_test_block(bars: Bars) -> np.ndarray:
    """Members weighted by their errors in the block that they forecast."""
    return weighted(bars, lambda fold: slice(fold.start, fold.stop))


@clean
def ensemble_weights_of_resolved_errors(bars: Bars) -> np.ndarray:
    """Members weighted by their errors that were resolved at the refit."""
    return weighted(bars, lambda fold: slice(folds(bars)[0].start, fold.train.stop))


@leak
def penalty_chosen_on_the_test_block(bars: Bars) -> np.ndarray:
    """Of three penalties, the one that forecasts the block best."""
    return own_walk(bars, choose=lambda X, y, f: best_penalty(X, y, f.train, range(f.start, f.stop)))


@clean
def penalty_chosen_on_training_rows(bars: Bars) -> np.ndarray:
    """Of three penalties, the one that does best on the last 50 training rows."""
    return own_walk(bars, choose=lambda X, y, f: best_penalty(X, y, f.train[:-52], f.train[-50:]))


@leak
def update_with_an_unmatured_label(bars: Bars) -> np.ndarray:
    """Online regression that learns yesterday's label, which tomorrow decides."""
    return recursive_least_squares(bars, maturity_bars=1)


@clean
def update_with_matured_labels(bars: Bars) -> np.ndarray:
    """Online regression that learns each label on the day it is known."""
    return recursive_least_squares(bars, maturity_bars=RESOLUTION)


def error_bound(bars: Bars, known_after: int) -> np.ndarray:
    error = pd.Series(np.abs(data(bars)[1] - own_walk(bars)))
    return error.shift(known_after).rolling(60, min_periods=20).quantile(0.9).to_numpy()


@leak
def bounds_from_open_errors(bars: Bars) -> np.ndarray:
    """Quantile of the last errors, those not known yet included."""
    return error_bound(bars, 0)


@clean
def bounds_from_resolved_errors(bars: Bars) -> np.ndarray:
    """Quantile of the last errors that are known."""
    return error_bound(bars, RESOLUTION)


@leak
def forecast_scaled_by_its_block(bars: Bars) -> np.ndarray:
    """Forecasts standardised over the block that one fit predicts."""
    mean = own_walk(bars)
    for fold in folds(bars):
        block = slice(fold.start, fold.stop)
        mean[block] = (mean[block] - mean[block].mean()) / (mean[block].std() + 1e-9)
    return mean


@clean
def ridge_walk(bars: Bars) -> Table:
    """Ridge, refitted, with its std and bounds (shipped)."""
    return walk(bars, {"ridge": ridge(alpha=10.0)})


@clean
def forest_walk(bars: Bars) -> Table:
    """Random forest, refitted (shipped)."""
    return walk(bars, {"forest": random_forest(n_estimators=5)})


@clean
def lightgbm_walk(bars: Bars) -> Table:
    """LightGBM, refitted (shipped)."""
    return walk(bars, {"boosted": lightgbm(n_estimators=10, min_child_samples=20)})


@clean
def historical_mean_walk(bars: Bars) -> Table:
    """Historical mean, refitted (shipped)."""
    return walk(bars, {"mean": HistoricalMeanForecaster()})


@clean
def updated_walk(bars: Bars) -> Table:
    """Online ridge, updated every five bars (shipped)."""
    return walk(bars, {"online": OnlineRidgeForecaster(alpha=10.0)}, updates=Updates(every_bars=5))


@clean
def fused_walk(bars: Bars) -> Table:
    """Ridge and historical mean, fused in every shipped way (shipped)."""
    members = {"ridge": ridge(alpha=10.0), "mean": HistoricalMeanForecaster()}
    return walk(bars, members, also_fused_by=[name for name in FUSIONS if name != "mean"])


@clean
def ensemble_walk(bars: Bars) -> Table:
    """An ensemble of two, refitted as one member (shipped)."""
    return walk(bars, {"both": EnsembleForecaster({"ols": LinearRegression(), "ridge": ridge()})})


@clean
def observations(bars: Bars) -> np.ndarray:
    """Every observation of an episode (shipped market)."""
    return play(bars)[1]


@leak
def observations_scaled_by_the_episode(bars: Bars) -> np.ndarray:
    """Observations standardised by the moments of the whole episode."""
    seen = play(bars)[1]
    return (seen - np.nanmean(seen, axis=0)) / (np.nanstd(seen, axis=0) + 1e-9)


@clean
def observations_scaled_by_running_moments(bars: Bars) -> pd.DataFrame:
    """Observations standardised by the moments so far."""
    seen = pd.DataFrame(play(bars)[1])
    return (seen - seen.expanding().mean()) / (seen.expanding().std() + 1e-9)


@clean
def actions_of_the_rules(bars: Bars) -> np.ndarray:
    """What four rules do on these observations (shipped agents)."""
    env, seen = play(bars)
    place = (env.layout, env.actions)
    rules = (
        Constant(*place, weight=1.0),
        MovingAverageTrend(*place, column="trend_10"),
        FollowForecast(*place, column="return_lag_0"),
        VolatilityTarget(*place, column="return_lag_0", volatility_column="volatility_5"),
    )
    shown = np.isfinite(seen).all(axis=1)
    actions = np.full((len(bars), len(rules)), np.nan)
    for k, rule in enumerate(rules):
        actions[shown, k] = rule.decide(seen[shown].astype(np.float32))[:, 0]
    return actions
