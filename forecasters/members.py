"""The shipped forecasters by name; each is imported only when it is asked for."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from foretrade.errors import ForetradeError
from foretrade.forecasters.base import Forecaster, as_forecaster
from foretrade.forecasters.names import member_name, wrapped

MEMBERS: Mapping[str, str] = {
    "ar1": "foretrade.forecasters.naive:ARForecaster",
    "drift": "foretrade.forecasters.naive:DriftForecaster",
    "elastic_net": "foretrade.forecasters.linear:elastic_net",
    "ewma": "foretrade.forecasters.naive:EWMAForecaster",
    "ewma_volatility": "foretrade.forecasters.volatility:EWMAVolatilityForecaster",
    "extra_trees": "foretrade.forecasters.trees:extra_trees",
    "garch": "foretrade.forecasters.volatility:GARCHForecaster",
    "gru": "foretrade.forecasters.keras_nets:GRUForecaster",
    "historical_mean": "foretrade.forecasters.naive:HistoricalMeanForecaster",
    "huber": "foretrade.forecasters.linear:huber",
    "hybrid": "foretrade.forecasters.hybrid:HybridForecaster",
    "lightgbm": "foretrade.forecasters.trees:lightgbm",
    "lightgbm_quantile": "foretrade.forecasters.trees:LightGBMQuantileForecaster",
    "lstm": "foretrade.forecasters.keras_nets:LSTMForecaster",
    "online_ridge": "foretrade.forecasters.linear:OnlineRidgeForecaster",
    "random_forest": "foretrade.forecasters.trees:random_forest",
    "ridge": "foretrade.forecasters.linear:ridge",
    "tcn": "foretrade.forecasters.keras_nets:TCNForecaster",
    "transformer": "foretrade.forecasters.keras_nets:TransformerForecaster",
    "zero": "foretrade.forecasters.naive:ZeroForecaster",
}
WRAPPERS: Mapping[str, str] = {
    "augmented": "foretrade.forecasters.augmentation:augmented",
    "bagged": "foretrade.forecasters.bagging:BaggedForecaster",
    "boosted": "foretrade.forecasters.boosting:StagewiseForecaster",
    "scaled": "foretrade.forecasters.scaling:ScaledForecaster",
}


class MemberError(ForetradeError, ValueError):
    """A forecaster that was asked for by a wrong name or setting."""


def build_member(
    name: str,
    settings: Mapping[str, Any],
    *,
    seed: int,
    horizon_bars: int = 1,
    inner: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> Forecaster:
    """A forecaster by its shipped name, or a user's own as ``"package.module:Factory"``.

    ``"bagged(ridge)"`` puts a wrapper around a member, ``"bagged(augmented(lstm))"`` two.

    Args:
        settings: Keyword arguments of its factory (of a wrapper, not of what it wraps).
        seed, horizon_bars: Given to factories that take them, unless the settings do.
        inner: Settings of what is wrapped, by its name in tables.

    Raises:
        MemberError: The name or a setting is unknown, or the module cannot be imported.
    """
    factory = member_factory(name)
    try:
        known = inspect.signature(factory).parameters
    except ValueError as error:  # of builtins
        raise MemberError(f"forecaster {name!r}: {error}; give a class or function of Python") from error
    unknown = [key for key in settings if key not in known]
    if unknown:
        hint = difflib.get_close_matches(unknown[0], known, n=1)
        meant = f"; did you mean {hint[0]!r}?" if hint else f"; it takes {', '.join(known) or 'none'}"
        raise MemberError(f"forecaster {name!r} has no setting {unknown[0]!r}{meant}")
    given: dict[str, Any] = {"seed": seed, "horizon_bars": horizon_bars}
    told = {key: value for key, value in given.items() if key in known}
    if parts := wrapped(name):
        own = inner.get(member_name(parts[1]), {})
        told["member"] = build_member(parts[1], own, seed=seed, horizon_bars=horizon_bars, inner=inner)
    try:
        return as_forecaster(factory(**(told | dict(settings))))
    except TypeError as error:
        raise MemberError(f"forecaster {name!r}: {error}") from error


def member_factory(name: str) -> Any:
    """The class or function that makes a member.

    Raises:
        MemberError: The name is unknown, or the module cannot be imported.
    """
    if parts := wrapped(name):
        if parts[0] not in WRAPPERS:
            known = ", ".join(WRAPPERS)
            raise MemberError(f"unknown wrapper {parts[0]!r} in {name!r}; there are {known}")
        path = WRAPPERS[parts[0]]
    else:
        path = MEMBERS.get(name, name)
    module, _, attribute = path.partition(":")
    if not attribute:
        hint = difflib.get_close_matches(name, MEMBERS, n=1)
        meant = f"did you mean {hint[0]!r}?" if hint else f"shipped are {', '.join(MEMBERS)}"
        raise MemberError(f"unknown forecaster {name!r}; {meant} (your own: 'package.module:Class')")
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise MemberError(f"forecaster {name!r} cannot be imported: {error}") from error
    if not callable(factory):
        raise MemberError(f"forecaster {name!r} is a {type(factory).__name__}, no class or function")
    return factory
