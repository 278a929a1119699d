"""The shipped forecasters by name; each is imported only when it is asked for."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from foretrade.errors import ForetradeError
from foretrade.forecasters.base import Forecaster, as_forecaster

MEMBERS: Mapping[str, str] = {
    "historical_mean": "foretrade.forecasters.naive:HistoricalMeanForecaster",
    "hybrid": "foretrade.forecasters.hybrid:HybridForecaster",
    "lightgbm": "foretrade.forecasters.trees:lightgbm",
    "lstm": "foretrade.forecasters.keras_nets:LSTMForecaster",
    "random_forest": "foretrade.forecasters.trees:random_forest",
    "ridge": "foretrade.forecasters.linear:ridge",
    "zero": "foretrade.forecasters.naive:ZeroForecaster",
}


class MemberError(ForetradeError, ValueError):
    """A forecaster that was asked for by a wrong name or setting."""


def build_member(name: str, settings: Mapping[str, Any], *, seed: int) -> Forecaster:
    """A forecaster by its shipped name, or a user's own as ``"package.module:Factory"``.

    Args:
        settings: Keyword arguments of its factory.
        seed: Given to factories that take one, unless the settings do.

    Raises:
        MemberError: The name or a setting is unknown, or the module cannot be imported.
    """
    factory = member_factory(name)
    known = inspect.signature(factory).parameters
    unknown = [key for key in settings if key not in known]
    if unknown:
        hint = difflib.get_close_matches(unknown[0], known, n=1)
        meant = f"; did you mean {hint[0]!r}?" if hint else f"; it takes {', '.join(known) or 'none'}"
        raise MemberError(f"forecaster {name!r} has no setting {unknown[0]!r}{meant}")
    seeded = {"seed": seed} if "seed" in known else {}
    return as_forecaster(factory(**(seeded | dict(settings))))


def member_factory(name: str) -> Any:
    """The class or function that makes a member.

    Raises:
        MemberError: The name is unknown, or the module cannot be imported.
    """
    path = MEMBERS.get(name, name)
    module, _, attribute = path.partition(":")
    if not attribute:
        hint = difflib.get_close_matches(name, MEMBERS, n=1)
        meant = f"did you mean {hint[0]!r}?" if hint else f"shipped are {', '.join(MEMBERS)}"
        raise MemberError(f"unknown forecaster {name!r}; {meant} (your own: 'package.module:Class')")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise MemberError(f"forecaster {name!r} cannot be imported: {error}") from error
