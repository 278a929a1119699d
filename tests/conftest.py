"""Shared fixtures: real bars, made-up bars, and a cache of their own for the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # whichever test imports tensorflow first

import pytest
from hypothesis import HealthCheck, settings

from foretrade.markets.bars import Bars
from foretrade.markets.sources import load
from foretrade.markets.synthetic import random_walk

settings.register_profile(
    "foretrade",
    deadline=None,
    derandomize="CI" in os.environ,  # as Hypothesis's own profile for CI: a run can be repeated
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("foretrade")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Forecasts that the tests compute stay out of the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["FORETRADE_CACHE"] = str(folder)
    yield folder
    del os.environ["FORETRADE_CACHE"]


@pytest.fixture(scope="session")
def sp500() -> Bars:
    return load("sp500")


@pytest.fixture(scope="session")
def walk() -> Bars:
    return random_walk(600, seed=3)
