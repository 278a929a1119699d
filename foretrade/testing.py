"""Conformance: try a forecaster, a feature function, an environment or an agent against its contract.

``check(part)`` runs every check and reports; ``parametrize_with_checks([...])`` makes pytest
tests of them; ``foretrade check module:object`` does it from the command line.
``assert_future_invisible`` tries anything else that is computed from bars.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from foretrade.agents import checks as agent_checks
from foretrade.agents.base import Agent
from foretrade.envs import checks as env_checks
from foretrade.envs.market import MarketEnv
from foretrade.errors import ForetradeError
from foretrade.forecasters import checks as forecaster_checks
from foretrade.forecasters.base import as_forecaster
from foretrade.markets import checks as feature_checks
from foretrade.markets.nopeek import Peek, PeekError, assert_future_invisible, find_peeks, random_cuts

__all__ = [
    "PartError",
    "Peek",
    "PeekError",
    "assert_future_invisible",
    "check",
    "checks_for",
    "find_peeks",
    "load_part",
    "parametrize_with_checks",
    "random_cuts",
]


class PartError(ForetradeError):
    """Something that is no part of Foretrade, or cannot be found."""


def checks_for(part: Any, env: MarketEnv | None = None) -> Iterator[tuple[str, Callable[[], None]]]:
    """Names and checks of a part.

    A part is a forecaster or regressor, a function of bars that gives features, a MarketEnv, or an
    agent with its market.

    Raises:
        PartError: The part is none of them, or an agent came without ``env``.
    """
    if isinstance(part, MarketEnv):
        for env_check in env_checks.yield_checks(part):
            yield env_check.__name__, partial(env_check, part)
    elif isinstance(part, Agent):
        if env is None:
            raise PartError("an agent is tried on a market: give env=MarketEnv(...)")
        for agent_check in agent_checks.yield_checks(part, env):
            yield agent_check.__name__, partial(agent_check, part, env)
    elif feature_checks.is_feature_function(part):
        for feature_check in feature_checks.yield_checks(part):
            yield feature_check.__name__, partial(feature_check, part)
    else:
        try:
            forecaster = as_forecaster(part)
        except TypeError as error:
            raise PartError(
                f"neither an environment nor an agent nor a function of bars; as a forecaster: {error}"
            ) from error
        for forecaster_check in forecaster_checks.yield_checks(forecaster):
            yield forecaster_check.__name__, partial(forecaster_check, forecaster)


def check(part: Any, env: MarketEnv | None = None) -> dict[str, str]:
    """Run all checks of a part; each is ``"passed"`` or says what went wrong."""
    results = {}
    for name, run in checks_for(part, env):
        try:
            run()
        except Exception as error:  # noqa: BLE001  whatever a part does wrong is its result
            results[name] = f"{type(error).__name__}: {error}"
        else:
            results[name] = "passed"
    return results


def parametrize_with_checks(
    parts: Sequence[Any],
    *,
    env: MarketEnv | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> Any:
    """Decorator for a pytest function with one argument ``check``, to be called without arguments.

    Args:
        expected_failures: Name of a check to the reason why it must fail; if it does not, the
            test fails.
    """
    import pytest

    reasons = expected_failures or {}
    parameters = [
        pytest.param(
            run,
            id=f"{getattr(part, '__name__', type(part).__name__)}-{name}",
            marks=[pytest.mark.xfail(strict=True, reason=reasons[name])] if name in reasons else [],
        )
        for part in parts
        for name, run in checks_for(part, env)
    ]
    return pytest.mark.parametrize("check", parameters)


def load_part(path: str, env: MarketEnv) -> Any:
    """The object at ``module:object``; a class or function is called, but for a function of bars.

    It is called without arguments, or as an agent of ``env`` with ``layout`` and ``actions`` if it
    takes those.

    Raises:
        PartError: It cannot be imported, or not be called like that.
    """
    module, _, name = path.partition(":")
    try:
        part = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise PartError(f"{path}: cannot be imported as module:object ({error})") from error
    is_factory = isinstance(part, type) or (callable(part) and not hasattr(part, "predict"))
    if not is_factory or feature_checks.is_feature_function(part):
        return part
    agent = {"layout", "actions"} <= set(inspect.signature(part).parameters)
    try:
        return part(layout=env.layout, actions=env.actions) if agent else part()
    except TypeError as error:
        raise PartError(f"{path}: cannot be made ({error}); give its arguments defaults") from error
