"""Attributions that add up, name the entries a policy is known to read, and stand the deletion test."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foretrade.agents.attribution import attribute, deletion_by_group, deletion_test, target_of
from foretrade.agents.store import PolicyAgent, PolicySpec

ENTRIES = tuple(f"x{k}" for k in range(8))
SEEN = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)


def policy(actions: dict, net_arch: tuple[int, ...], activation: str = "tanh") -> PolicyAgent:
    torch.manual_seed(0)
    spec = PolicySpec(ENTRIES, (-10.0,) * 8, (10.0,) * 8, actions, net_arch, activation)
    agent = PolicyAgent(spec, spec.build())
    agent.policy.set_training_mode(False)
    return agent


def linear() -> PolicyAgent:
    """Target 0.5 x2 − 0.2 x5, and nothing else."""
    agent = policy({"low": [-1.0], "high": [1.0]}, ())
    with torch.no_grad():
        agent.policy.action_net.weight.zero_()
        agent.policy.action_net.weight[0, [2, 5]] = torch.tensor([0.5, -0.2])
        agent.policy.action_net.bias.zero_()
    return agent


def test_of_a_linear_policy_they_are_weight_times_distance():
    found = attribute(linear(), SEEN)
    distance = SEEN.astype(np.float64) - SEEN.astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(found.values[:, 2], 0.5 * distance[:, 2], atol=1e-7)
    np.testing.assert_allclose(found.values[:, 5], -0.2 * distance[:, 5], atol=1e-7)
    assert list(found.sizes.index[:2]) == ["x2", "x5"]
    assert (found.sizes.iloc[2:] == 0).all()


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_they_add_up_to_what_they_explain(activation):
    agent = policy({"low": [-1.0], "high": [1.0]}, (16, 16), activation)
    with torch.no_grad():
        agent.policy.action_net.weight.mul_(100)
    found = attribute(agent, SEEN)
    with torch.no_grad():
        mean = torch.as_tensor(SEEN.astype(np.float64)).mean(dim=0, keepdim=True)
        base = float(target_of(agent)(mean))
    gap = np.abs(found.values.sum(axis=1) - (found.targets - base)).max()
    assert gap <= 5e-3 * found.targets.std()
    assert found.gap == pytest.approx(gap)
    groups = {entry: "even" if k % 2 == 0 else "odd" for k, entry in enumerate(ENTRIES)}
    np.testing.assert_allclose(found.by_group(groups).sum(axis=1), found.values.sum(axis=1))


def test_what_is_explained_is_what_the_policy_does():
    agent = policy({"low": [-10.0], "high": [10.0]}, (16,))
    np.testing.assert_allclose(attribute(agent, SEEN).targets, agent.decide(SEEN)[:, 0], atol=1e-6)


def test_deleting_what_a_policy_reads_changes_it_and_deleting_the_rest_does_not():
    agent = linear()
    tested = deletion_test(agent, SEEN, attribute(agent, SEEN), sizes=(1, 2))
    assert (tested["top"] > tested["random"]).all()
    assert tested["top"].iloc[1] >= tested["random_high"].iloc[1]
    groups = dict.fromkeys(ENTRIES, "idle") | {"x2": "read", "x5": "read"}
    removed = deletion_by_group(agent, SEEN, groups)
    assert removed["idle"] == 0.0
    assert removed["read"] == pytest.approx(tested["top"].iloc[1])


def test_a_discrete_policy_is_explained_by_the_targets_of_its_choices():
    agent = policy({"n": 3}, (16,))
    found = attribute(agent, SEEN, choices=(-1.0, 0.0, 1.0))
    assert np.abs(found.targets).max() <= 1.0
    with pytest.raises(ValueError, match="give choices"):
        attribute(agent, SEEN)
    with pytest.raises(ValueError, match="2 choices"):
        attribute(agent, SEEN, choices=(0.0, 1.0))
