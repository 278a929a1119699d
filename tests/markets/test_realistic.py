"""Moments against their closed forms, and a resampled history against the one that it came from."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from arch import arch_model
from arch.univariate import GARCH
from numpy.testing import assert_allclose
from scipy import stats

from foretrade.markets.bars import DataError
from foretrade.markets.realistic.days import OVERNIGHT
from foretrade.markets.realistic.garch import GJRGarch
from foretrade.markets.realistic.history import resampled
from foretrade.markets.realistic.jumps import JumpDiffusion
from foretrade.markets.realistic.switching import RegimeSwitching
from foretrade.markets.resampling import stationary_rows
from foretrade.markets.sources import PACKAGED, DataConfig, load, load_bars
from foretrade.markets.synthetic import random_walk

MODELS = [GJRGarch(), RegimeSwitching(), JumpDiffusion()]
DRAWN, LONGEST = 200_000, 60_000  # shocks, and daily bars of one draw
MILD = GJRGarch(alpha=0.03, gamma=0.06, beta=0.85, freedom=math.inf)  # its eighth moment exists
JUMPY = JumpDiffusion(0.0, 0.01, 0.05, -0.03, 0.02)


def log_returns(bars):
    return np.diff(np.log(bars.close), axis=0, prepend=math.log(100.0))[:, 0]


def close_to_mean(values, expected, blocks=200):
    """Within four standard errors, which allow for what persists."""
    means = np.mean(np.reshape(values[: len(values) // blocks * blocks], (blocks, -1)), axis=1)
    error = means.std(ddof=1) / math.sqrt(blocks)
    assert abs(means.mean() - expected) < 4 * error, (means.mean(), expected, error)
    return error


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_the_same_seed_gives_the_same_bits_and_another_other_ones(model):
    first, again, other = (model.draw(300, seed=seed) for seed in (1, 1, 2))
    assert first.content_hash == again.content_hash != other.content_hash


@pytest.mark.parametrize("model", [MILD, *MODELS[1:]], ids=lambda m: type(m).__name__)
def test_days_are_brownian_between_open_and_close(model):
    """Opens tell nothing of the move to come, and highs and lows measure its variance."""
    bars = model.draw(LONGEST, seed=3)
    open_, high, low, close = (np.log(getattr(bars, n)[:, 0]) for n in ("open", "high", "low", "close"))
    gap, move = open_[1:] - close[:-1], (close - open_)[1:]
    returns = log_returns(bars)[1:]
    close_to_mean((gap - gap.mean()) * (move - move.mean()), 0.0)
    rogers_satchell = (high - open_) * (high - close) + (low - open_) * (low - close)
    within = {
        "GJRGarch": (1 - OVERNIGHT) * MILD.volatility**2,
        "RegimeSwitching": float(
            (1 - OVERNIGHT) * RegimeSwitching().stationary @ np.square(RegimeSwitching().volatility)
        ),
        "JumpDiffusion": (1 - OVERNIGHT) * JumpDiffusion().volatility ** 2,
    }[type(model).__name__]
    error = close_to_mean(rogers_satchell, within)
    assert error < 0.1 * within
    assert_allclose(gap + move, returns, atol=1e-12)


@pytest.mark.parametrize("model", [MILD, GJRGarch(gamma=0.1, freedom=8.0)], ids=["mild", "fat"])
def test_garch_has_its_variance_and_falls_raise_the_next_one(model):
    """``E[ε ε'²] = γ E[σ³] E[z³; z < 0] = −(γ/2) E|ε|³``."""
    shocks, known = model.shocks(5 * DRAWN, np.random.default_rng(4))
    error = close_to_mean(shocks**2, model.volatility**2)
    assert error < 0.05 * model.volatility**2
    close_to_mean(shocks, 0.0)
    close_to_mean(shocks**2 - known**2, 0.0)  # what was known was its variance
    leverage = shocks[:-1] * shocks[1:] ** 2
    close_to_mean(leverage + model.gamma / 2 * np.abs(shocks[:-1]) ** 3, 0.0)
    assert leverage.mean() < 0
    assert np.corrcoef(shocks[:-1], shocks[1:] ** 2)[0, 1] < -0.02


def test_garch_has_its_kurtosis():
    shocks, _ = MILD.shocks(10 * DRAWN, np.random.default_rng(5))
    assert MILD.kurtosis > 3.1
    error = close_to_mean((shocks / MILD.volatility) ** 4, MILD.kurtosis)
    assert error < 0.1
    assert GJRGarch(gamma=0, beta=0.0, freedom=math.inf).kurtosis == 3.0
    assert_allclose(GJRGarch(alpha=0.1, gamma=0, beta=0.8, freedom=math.inf).kurtosis, 0.57 / 0.17)
    assert_allclose(GJRGarch(gamma=0, beta=0.0, freedom=6.0).kurtosis, 6.0)
    assert GJRGarch(freedom=4.0).kurtosis == math.inf == GJRGarch().kurtosis


def test_garch_variances_are_those_of_arch():
    shocks, known = GJRGarch().shocks(1000, np.random.default_rng(0))
    model = GJRGarch()
    omega = model.volatility**2 * (1 - model.persistence)
    parameters = np.array([omega, model.alpha, model.gamma, model.beta])
    found, bounds = np.empty(1000), np.tile([0.0, 1.0], (1000, 1))
    GARCH(p=1, o=1, q=1).compute_variance(parameters, shocks, found, model.volatility**2, bounds)
    before = known[0] ** 2 - found[0]  # arch begins elsewhere; that fades by β a bar, as all shocks do
    assert_allclose(known**2 - found, before * model.beta ** np.arange(1000), atol=1e-16)


def test_defaults_are_what_arch_finds_for_the_index():
    returns = np.diff(np.log(load("sp500").close[:, 0]))
    found = arch_model(100 * returns, vol="GARCH", p=1, o=1, q=1, dist="t").fit(disp="off").params
    model = GJRGarch()
    ours = [model.alpha, model.gamma, model.beta, model.freedom, 100 * model.drift]
    theirs = found[["alpha[1]", "gamma[1]", "beta[1]", "nu", "mu"]]
    assert_allclose(ours, theirs, rtol=0.01, atol=1e-3)
    persistence = found["alpha[1]"] + found["gamma[1]"] / 2 + found["beta[1]"]
    assert_allclose(100 * model.volatility, math.sqrt(found["omega"] / (1 - persistence)), rtol=0.01)


def test_regimes_last_and_return_as_the_chain_says():
    model = RegimeSwitching((1e-3, -2e-3, 0.0), (0.005, 0.02, 0.01),
                            ((0.95, 0.04, 0.01), (0.1, 0.85, 0.05), (0.0, 0.2, 0.8)))  # fmt: skip
    chain = np.array(model.transitions)
    assert_allclose(model.stationary @ chain, model.stationary)
    assert_allclose(model.stationary.sum(), 1.0)
    path, returns = model.regimes(LONGEST, seed=6), log_returns(model.draw(LONGEST, seed=6))
    for regime in range(3):
        inside = path == regime
        close_to_mean(inside, model.stationary[regime])
        starts = np.sum(inside[1:] & ~inside[:-1])
        assert_allclose(inside.sum() / starts, model.dwell_bars[regime], rtol=0.05)
        drawn = returns[inside]  # the path is that of the draw
        spread = model.volatility[regime]
        assert abs(drawn.mean() - model.drift[regime]) < 4 * spread / math.sqrt(len(drawn))
        assert_allclose(drawn.std(), spread, rtol=0.03)
    close_to_mean(returns, model.mean)
    close_to_mean((returns - model.mean) ** 2, model.variance)
    for lag in (1, 5):
        centred = returns - model.mean
        close_to_mean(centred[lag:] * centred[:-lag], model.autocovariance(lag))
    assert model.autocovariance(1) > 10 * model.autocovariance(50) > 0


def test_default_regimes_are_what_statsmodels_finds_for_the_index():
    import statsmodels.api as sm

    returns = 100 * np.diff(np.log(load("sp500").close[:, 0]))
    found = sm.tsa.MarkovRegression(returns, k_regimes=2, switching_variance=True).fit().params
    model = RegimeSwitching()
    ours = [model.transitions[0][0], model.transitions[1][0], *(100 * x for x in model.drift)]
    ours += [(100 * x) ** 2 for x in model.volatility]
    assert_allclose(ours, found, rtol=0.015, atol=5e-4)


@pytest.mark.parametrize("model", [JumpDiffusion(), JUMPY], ids=["sp500", "rare"])
def test_jumps_have_their_moments(model):
    returns = np.concatenate([log_returns(model.draw(LONGEST, seed=seed)) for seed in range(6)])
    spread = math.sqrt(model.variance)
    z = (returns - model.mean) / spread
    assert close_to_mean(returns, model.mean) < 0.01 * spread
    assert close_to_mean(z**2, 1.0) < 0.02
    assert close_to_mean(z**3, model.skewness) < 0.1
    assert close_to_mean(z**4, model.kurtosis) < 0.5
    assert model.skewness < -0.05


def test_no_other_jumps_near_the_defaults_are_as_likely_for_the_index():
    returns = np.diff(np.log(load("sp500").close[:, 0]))

    def log_likelihood(model):
        n = np.arange(20)
        spread = np.sqrt(model.volatility**2 + n * model.jump_std**2)
        density = stats.norm.pdf(returns[:, None], model.drift + n * model.jump_mean, spread)
        return np.log(density @ stats.poisson.pmf(n, model.intensity)).sum()

    best = log_likelihood(JumpDiffusion())
    for name, value in vars(JumpDiffusion()).items():
        for factor in (0.9, 1.1):
            assert log_likelihood(replace(JumpDiffusion(), **{name: factor * value})) < best


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: GJRGarch(beta=0.95), "explodes"),
        (lambda: GJRGarch(alpha=-0.01), "not be negative"),
        (lambda: GJRGarch(freedom=2.0), "freedom"),
        (lambda: GJRGarch(volatility=0.0), "volatility"),
        (lambda: RegimeSwitching(drift=(0.0,)), "a regime"),
        (lambda: RegimeSwitching(volatility=(0.01, 0.0)), "volatility"),
        (lambda: RegimeSwitching(transitions=((0.9, 0.2), (0.5, 0.5))), "sum to 1"),
        (lambda: RegimeSwitching(transitions=((1.0, 0.0), (0.5, 0.5))), "every other"),
        (lambda: JumpDiffusion(volatility=0.0), "volatility"),
        (lambda: JumpDiffusion(intensity=-1.0), "intensity"),
        (lambda: JumpDiffusion(drift=math.nan), "finite"),
        (lambda: resampled(random_walk(10), 0.5), "at least 1"),
        (lambda: GJRGarch().draw(70_000), "at most 68,000"),
    ],
)
def test_impossible_parameters_are_named(make, word):
    with pytest.raises(ValueError, match=word):
        make()


def test_made_markets_are_data_sets_with_a_seed():
    assert load("garch").content_hash == load("garch:0").content_hash != load("garch:1").content_hash
    for name in ("garch", "jumps", "regimes"):
        assert len(load(f"{name}:3")) == 5000
        assert f"{name}:SEED" in PACKAGED[name].description
    with pytest.raises(DataError, match="garch:7"):
        load("garch:x")
    with pytest.raises(DataError, match="no such file"):
        load_bars(DataConfig(source="sp500:1"))


# History drawn anew.


def with_gaps(bars):
    """A symbol that is listed late, and has no bar now and then."""
    fields = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close", "volume")}
    absent = np.zeros(len(bars), dtype=bool)
    absent[:40] = absent[100:110] = absent[200:201] = True
    for array in fields.values():
        array[absent, 1] = np.nan
    return replace(bars, **fields)


def test_a_bar_travels_with_all_its_prices_and_symbols():
    bars = with_gaps(random_walk(400, symbols=3, seed=1))
    new = resampled(bars, 20, seed=2)
    rows = next(stationary_rows(len(bars), 20, 1, 2))[0]
    assert np.array_equal(new.present, bars.present[rows])
    assert np.array_equal(new.volume, bars.volume[rows], equal_nan=True)
    for name in ("open", "high", "low"):
        ours, theirs = getattr(new, name) / new.close, (getattr(bars, name) / bars.close)[rows]
        assert_allclose(ours, theirs, rtol=1e-12)
    inside = (np.diff(rows) == 1) & np.ones(len(rows) - 1, dtype=bool)
    both = (new.present[1:] & new.present[:-1])[:, [0, 2]].all(axis=1) & inside
    old = (bars.close[1:] / bars.close[:-1])[:, [0, 2]]
    now = (new.close[1:] / new.close[:-1])[:, [0, 2]]
    assert_allclose(now[both], old[rows[1:][both] - 1], rtol=1e-12)  # inside blocks and at their seams
    assert_allclose(new.open[0, 0] / bars.open[0, 0], (bars.open[rows[0]] / bars.close[rows[0] - 1])[0])


def test_gaps_in_time_keep_the_return_over_them():
    """A symbol's growth over its whole new history is that of the bars drawn."""
    bars = with_gaps(random_walk(400, symbols=2, seed=1))
    new = resampled(bars, 15, seed=4)
    rows = next(stationary_rows(len(bars), 15, 1, 4))[0]
    close = bars.close[:, 1]
    growth = {}
    last = bars.open[40, 1]
    for row in range(len(bars)):
        growth[row] = close[row] / last if np.isfinite(close[row]) else 1.0
        last = close[row] if np.isfinite(close[row]) else last
    final = new.close[np.isfinite(new.close[:, 1]), 1][-1]
    assert_allclose(final, bars.open[40, 1] * np.prod([growth[row] for row in rows]), rtol=1e-10)


def test_symbols_stay_together_and_blocks_have_their_length():
    bars = load("stocks")
    returns = np.diff(np.log(bars.close), axis=0)
    theirs = np.corrcoef(returns[np.isfinite(returns).all(axis=1)].T)
    found, lengths = [], []
    for seed in range(20):
        new = np.diff(np.log(resampled(bars, 25, seed=seed).close), axis=0)
        found.append(np.corrcoef(new[np.isfinite(new).all(axis=1)].T))
        rows = next(stationary_rows(len(bars), 25, 1, seed))[0]
        lengths.append(len(rows) / (1 + np.sum(np.diff(rows) % len(bars) != 1)))
    error = np.std(found, axis=0, ddof=1) / math.sqrt(20)
    assert (np.abs(np.mean(found, axis=0) - theirs) <= 4 * error + 0.01).all()
    assert_allclose(np.mean(lengths), 25, rtol=0.1)
    assert resampled(bars, 25, seed=3).content_hash == resampled(bars, 25, seed=3).content_hash


def test_volatility_clusters_within_blocks_and_not_without():
    bars = load("sp500")

    def clustering(new):
        size = np.abs(np.diff(np.log(new.close[:, 0])))
        return np.corrcoef(size[5:], size[:-5])[0, 1]

    assert clustering(resampled(bars, 140)) > 0.8 * clustering(bars) > 0.2
    assert abs(clustering(resampled(bars, 1.0))) < 0.05


def test_splits_and_dividends_are_reinvested():
    bars = random_walk(50, seed=0)
    split = np.ones((50, 1))
    split[20] = 2.0
    halved = {n: np.where(np.arange(50)[:, None] < 20, 2, 1) * getattr(bars, n) for n in
              ("open", "high", "low", "close")}  # fmt: skip
    new = resampled(replace(bars, **halved, split=split), 10, seed=1)
    assert_allclose(new.close, 2 * resampled(bars, 10, seed=1).close, rtol=1e-12)
    assert not new.has_corporate_actions
