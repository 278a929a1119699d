from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import softmax

from foretrade.forecasters.experts import BOA, EWA

EXPERTS = {"ewa": EWA(minimum_bars=0), "boa": BOA(minimum_bars=0)}


def regrets(means, labels, weights):
    """Of the weighted forecast against each member, in squared error."""
    mean = (weights * means).sum(axis=1)
    return ((mean - labels) ** 2).sum() - ((means - labels[:, None]) ** 2).sum(axis=0)


def ewa_bound(means, labels, delay_bars):
    """``sqrt(A ln K)``, and once more for what the rate does not know yet."""
    r = np.ptp((means - labels[:, None]) ** 2, axis=1)
    open_rows = sum(np.concatenate([np.zeros(d), r[:-d]]) for d in range(1, delay_bars))
    total = (r * (r + 2 * open_rows)).sum()
    return 2 * np.sqrt(total * np.log(means.shape[1])) + 2 * delay_bars * r.max()


def boa_bounds(means, labels, weights):
    """Second-order bound against each member; see the class, with the constants of its proof."""
    mean = (weights * means).sum(axis=1)
    r = 2 * (mean - labels)[:, None] * (mean[:, None] - means)
    second, largest, log_k = (r**2).sum(axis=0), np.abs(r).max(), np.log(means.shape[1])
    slow = log_k + np.log(1 + np.log(len(means)))
    return np.sqrt(second) * (2 * np.sqrt(2 * log_k) + slow / np.sqrt(log_k)) + (2 * slow + 1) * largest


def random_data(seed=0, bars=2000, members=6):
    rng = np.random.default_rng(seed)
    labels = 0.01 * rng.standard_t(4, size=bars)
    return 0.003 * rng.normal(size=(bars, members)), labels


def switching_data(delay_bars, bars=3000):
    """The leader that is known is the wrong one in every row; forecasts close, so that nothing is won
    by lying between them."""
    labels = np.full(bars, 0.5)
    for row in range(1, bars):
        labels[row] = -np.sign(labels[: max(1, row - delay_bars + 1)].sum())
    return np.tile([-0.01, 0.01], (bars, 1)), labels


@pytest.mark.parametrize("delay_bars", [1, 2, 5])
def test_ewa_has_less_regret_than_its_bound(delay_bars):
    for means, labels in (random_data(), random_data(1, members=20), switching_data(delay_bars)):
        weights = EXPERTS["ewa"].weights(means, labels, resolution_bars=delay_bars)
        assert regrets(means, labels, weights).max() < ewa_bound(means, labels, delay_bars)


@pytest.mark.parametrize("delay_bars", [1, 2, 5])
def test_following_the_leader_breaks_the_bound(delay_bars):
    means, labels = switching_data(delay_bars)
    leader = EWA(learning_rate=1e6, minimum_bars=0)
    weights = leader.weights(means, labels, resolution_bars=delay_bars)
    assert regrets(means, labels, weights).max() > 3 * ewa_bound(means, labels, delay_bars)


def test_boa_has_less_regret_than_its_bound_against_every_member():
    for means, labels in (random_data(), random_data(1, members=20), switching_data(1)):
        weights = EXPERTS["boa"].weights(means, labels, resolution_bars=1)
        assert (regrets(means, labels, weights) < boa_bounds(means, labels, weights)).all()


def test_ewa_without_delay_is_the_textbook_formula():
    means, labels = random_data()
    weights = EXPERTS["ewa"].weights(means, labels, resolution_bars=1)
    losses = (means - labels[:, None]) ** 2
    squares = (np.ptp(losses, axis=1) ** 2).cumsum()
    rates = 2 * np.sqrt(np.log(means.shape[1]) / squares)
    expected = softmax(-rates[:-1, None] * losses.cumsum(axis=0)[:-1], axis=1)
    assert_allclose(weights[1:], expected, rtol=1e-6)
    assert_allclose(weights[0], 1 / 6)


def test_delayed_feedback_is_the_same_feedback_later():
    """The regret learnt from is that of the weights without a delay; only the rate differs."""
    means, labels = random_data()
    late = EXPERTS["ewa"].weights(means, labels, resolution_bars=4)
    losses = (means - labels[:, None]) ** 2
    r = np.ptp(losses, axis=1)
    open_rows = sum(np.concatenate([np.zeros(d), r[:-d]]) for d in (1, 2, 3))
    rates = 2 * np.sqrt(np.log(6) / (r * (r + 2 * open_rows)).cumsum())
    expected = softmax(-rates[:-4, None] * losses.cumsum(axis=0)[:-4], axis=1)
    assert_allclose(late[4:], expected, rtol=1e-6)
    assert_allclose(late[:4], 1 / 6)


def test_boa_is_a_plain_loop_over_members():
    means, labels = random_data(bars=300, members=3)
    weights = EXPERTS["boa"].weights(means, labels, resolution_bars=1)
    surrogate, squares, largest = [0.0] * 3, [0.0] * 3, 0.0
    for t in range(300):
        rates = [1.0] * 3
        if largest:
            rates = [min(1 / (2 * largest), np.sqrt(np.log(3) / max(v, 1e-99))) for v in squares]
        raw = [rate * np.exp(rate * sum_) for rate, sum_ in zip(rates, surrogate, strict=True)]
        assert_allclose(weights[t], np.array(raw) / sum(raw), rtol=1e-9)
        mean = sum(w * f for w, f in zip(weights[t], means[t], strict=True))
        r = [2 * (mean - labels[t]) * (mean - f) for f in means[t]]
        before, largest = largest, max(largest, *map(abs, r))
        for k in range(3):
            clipped = r[k] * before / largest if largest > before else r[k]
            surrogate[k] += clipped - rates[k] * clipped**2
            squares[k] += clipped**2


def test_boa_finds_a_mixture_where_ewa_finds_a_member():
    """On the gradient of the loss, Jensen's gap is a gain too."""
    rng = np.random.default_rng(4)
    labels, noise = rng.normal(size=(2, 5000))
    means = np.column_stack([labels + noise, labels - 1.1 * noise, rng.normal(size=5000)])
    for name, wanted in (("boa", [0.52, 0.48, 0]), ("ewa", [1, 0, 0])):
        weights = EXPERTS[name].weights(means, labels, resolution_bars=1)
        assert_allclose(weights[-1], wanted, atol=0.05)


def test_a_sleeping_member_keeps_its_standing():
    means, labels = random_data()
    means[:, 0] = labels + 0.001
    means[800:900, 0] = np.nan
    for fusion in EXPERTS.values():
        weights = fusion.weights(means, labels, resolution_bars=2)
        assert (weights[800:900, 0] == 0).all()
        assert weights[799, 0] > 0.95
        assert weights[900, 0] > 0.9
        alone = np.full_like(means, np.nan)
        alone[:, 3] = means[:, 3]
        assert (fusion.weights(alone, labels, resolution_bars=2)[:, 3] == 1).all()


def test_one_member_has_all_the_weight():
    means, labels = random_data(members=1)
    for fusion in EXPERTS.values():
        assert (fusion.weights(means, labels, resolution_bars=2) == 1).all()


def test_one_crash_is_no_overflow():
    means, labels = random_data()
    labels[1000] = -5.0
    means[1500, 2] = 1e6
    for fusion in EXPERTS.values():
        weights = fusion.weights(means, labels, resolution_bars=2)
        assert np.isfinite(weights).all()
        assert_allclose(weights.sum(axis=1), 1, rtol=1e-12)


def test_a_learning_rate_of_zero_is_refused():
    with pytest.raises(ValueError, match="learning_rate must be above 0"):
        EWA(learning_rate=0.0)
