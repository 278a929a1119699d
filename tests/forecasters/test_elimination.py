"""The model confidence set is that of arch."""

from __future__ import annotations

import numpy as np
from arch.bootstrap import MCS
from hypothesis import given, settings
from hypothesis import strategies as st

from foretrade.forecasters.elimination import elimination_p_values


@settings(max_examples=20)
@given(st.integers(2, 12), st.integers(1, 9), st.integers(0, 10_000), st.sampled_from([0.0, 0.1, 1.0]))
def test_p_values_are_those_of_arch(forecasts, block, seed, spread):
    rng = np.random.default_rng(seed)
    losses = rng.normal(size=(80, forecasts)) + rng.normal(size=(80, 1))
    losses += spread * rng.normal(size=forecasts)
    reference = MCS(losses, 0.1, reps=200, block_size=block, seed=seed)
    reference.compute()
    expected = reference.pvalues["Pvalue"].sort_index().to_numpy()
    assert np.array_equal(elimination_p_values(losses, block, 200, seed), expected)
