"""The configuration of an experiment: one frozen dataclass a part, read from TOML."""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import tomllib
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import TypeAdapter, ValidationError

from foretrade.agents.algorithm_configs import A2CConfig, RecurrentPPOConfig, SACConfig, TD3Config
from foretrade.agents.ppo_config import PPOConfig
from foretrade.agents.training_config import AlgorithmName, TrainingConfig
from foretrade.envs.actions import PositionActions, WeightActions
from foretrade.envs.rewards import RewardName
from foretrade.errors import ForetradeError
from foretrade.forecasters.names import check_not_reserved, member_name, settings_names
from foretrade.forecasters.updates import Updates
from foretrade.markets.costs import Costs
from foretrade.markets.features import FeatureConfig
from foretrade.markets.fills import Fill
from foretrade.markets.rules import Rules
from foretrade.markets.sources import DataConfig
from foretrade.markets.splits import Blocks, WalkForward
from foretrade.search_space import TuneConfig
from foretrade.storage import content_hash

FusionName: TypeAlias = Literal[
    "mean", "median", "trimmed_mean", "inverse_mse", "stacking", "greedy", "ewa", "boa"
]


class ConfigError(ForetradeError, ValueError):
    """A configuration that cannot be used; the message names the key and the remedy."""


@dataclass(frozen=True)
class ForecastConfig:
    """Who forecasts, and when they are refitted.

    Args:
        members: Forecasters that the ensemble averages; the agent sees each of them too. Shipped
            ones by name, one's own as ``"package.module:Class"``, known by the name after the colon.
        baselines: Forecasters that are only scored and traded beside them.
        settings: Member name to its keyword arguments.
        horizon_bars: Bars over which the forecast return runs, from the fill of the decision.
        lookback_bars: Bars that a member sees, unless it says so itself.
        schedule: Refits.
        updates: What happens between them.
        fusion: How the ensemble weighs its members: mean, median, trimmed_mean, inverse_mse, stacking,
            greedy, ewa or boa.
        also_fused_by: Further fusions, scored and traded beside it as ``ensemble_<fusion>``.
    """

    members: tuple[str, ...] = ("ridge", "random_forest", "lightgbm", "lstm", "hybrid")
    baselines: tuple[str, ...] = ("zero", "historical_mean")
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    horizon_bars: int = 1
    lookback_bars: int = 21
    schedule: WalkForward = WalkForward()
    updates: Updates = Updates()
    fusion: FusionName = "mean"
    also_fused_by: tuple[FusionName, ...] = ()

    def __post_init__(self) -> None:
        names = (*map(member_name, self.members), *map(member_name, self.baselines))
        if not self.members or len(set(names)) != len(names):
            raise ValueError("members and baselines must name at least one member, each name once")
        if len({self.fusion, *self.also_fused_by}) != 1 + len(self.also_fused_by):
            raise ValueError("fusion and also_fused_by must name each fusion once")
        for name in names:
            check_not_reserved(name)
        paths = (*self.members, *self.baselines)
        known = [name for path in paths for name in settings_names(path)]
        strays = [name for name in self.settings if name not in known]
        if strays:
            raise ValueError(f"settings for {strays[0]!r}; they may be for {', '.join(known)}")
        if self.lookback_bars < 1:
            raise ValueError("lookback_bars must be at least 1")


@dataclass(frozen=True)
class MarketConfig:
    """How the agent trades; see ``MarketEnv``. ``symbol`` may be empty: the first one."""

    symbol: str = ""
    fill: Fill = "next_close"
    actions: Literal["weight", "position"] = "weight"
    weight_bounds: tuple[float, float] = (-1.0, 1.0)
    positions: tuple[float, ...] = (-1.0, 0.0, 1.0)
    reward: RewardName = "log_growth"
    rules: Rules = Rules()

    def __post_init__(self) -> None:
        WeightActions(*self.weight_bounds)
        PositionActions(self.positions)

    @property
    def action_space(self) -> WeightActions | PositionActions:
        """What the agent may ask for."""
        if self.actions == "weight":
            return WeightActions(*self.weight_bounds)
        return PositionActions(self.positions)


RuleName: TypeAlias = Literal["mean_variance", "sign", "volatility_target", "ppo"]


@dataclass(frozen=True)
class LeagueConfig:
    """How forecasters compete for profit; see ``foretrade league``.

    Args:
        rules: Each trades every forecaster. ``mean_variance`` sizes by forecast and its std and does not
            trade small differences; ``sign`` and ``volatility_target`` turn with the sign; ``ppo`` is
            trained for each forecaster, seed and fold on its columns alone and on the bars before the
            fold, and takes over the account of the fold before. The first one that needs no training is
            that of the members' worth and of the comparison of forecast scores with profits.
        cost_scales: Levels of all costs but interest; 0 (gross) and 1 (as configured) among them.
        folds: Consecutive parts of the test block, in each of which the forecasters are ranked, and
            before each of which the policies are trained anew.
        seeds: Policies trained for each forecaster and fold, if ``ppo`` is among the rules.
        forecast_seeds: Seeds with which the forecasters are fitted, the first of which is the run's: a
            row shows the median one by Sharpe ratio, and the range. Each costs a walk of all members.
        random_policies: Policies that trade at random as often as the median forecaster.
        risk_aversion: Of ``mean_variance``; 1 is Kelly's rule.
        no_trade_band: Of ``mean_variance``: a target whose weight is this close to the position's is not
            traded. The cube-root law for small costs ``κ`` (Janeček and Shreve 2004, doi:10.1007/
            s00780-003-0113-4; Martin and Schöneborn 2011 for targets that move), half a width of
            ``(3 κ ν² / (2 γ σ²))^⅓``, gives 0.2 at 3 bp, a volatility ``σ`` of 1 % a bar, a target that
            moves by ``ν`` = 0.1 a bar and a risk aversion ``γ`` of 5.
    """

    rules: tuple[RuleName, ...] = ("mean_variance",)
    cost_scales: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 4.0)
    folds: int = 4
    seeds: int = 3
    forecast_seeds: int = 1
    random_policies: int = 100
    risk_aversion: float = 5.0
    no_trade_band: float = 0.2

    def __post_init__(self) -> None:
        if not self.rules or len(set(self.rules)) != len(self.rules):
            raise ValueError("rules must name at least one rule, each once")
        scales = self.cost_scales
        if list(scales) != sorted(set(scales)) or not {0.0, 1.0} <= set(scales) or scales[0] < 0:
            raise ValueError("cost_scales must rise from 0, and 1 must be among them")
        if min(self.folds, self.seeds, self.forecast_seeds, self.random_policies) < 1:
            raise ValueError("folds, seeds, forecast_seeds and random_policies must be at least 1")
        if not (self.risk_aversion > 0 and self.no_trade_band >= 0):
            raise ValueError("risk_aversion must be positive, no_trade_band not negative")

    @property
    def plain_rule(self) -> RuleName:
        """The first rule that needs no training."""
        return next((rule for rule in self.rules if rule != "ppo"), "mean_variance")


@dataclass(frozen=True)
class Experiment:
    """Everything that determines the results of one run.

    Args:
        name: Of the run; names its folder.
        seed: First seed; forecasters use it, policies use ``seed … seed + seeds - 1``.
        seeds: How many policies are trained of each kind, or the list of their seeds.
        algorithm: How policies learn; the table of its name holds its settings.
        target_volatility: Annualised, of the volatility-targeted rules.
    """

    name: str = "sp500-daily"
    seed: int = 0
    seeds: int | tuple[int, ...] = 3
    algorithm: AlgorithmName = "ppo"
    target_volatility: float = 0.10
    data: DataConfig = DataConfig()
    features: FeatureConfig = FeatureConfig()
    forecast: ForecastConfig = ForecastConfig()
    blocks: Blocks = Blocks()
    market: MarketConfig = MarketConfig()
    costs: Costs = Costs()
    ppo: PPOConfig = PPOConfig()
    a2c: A2CConfig = A2CConfig()
    recurrent_ppo: RecurrentPPOConfig = RecurrentPPOConfig()
    sac: SACConfig = SACConfig()
    td3: TD3Config = TD3Config()
    league: LeagueConfig = LeagueConfig()
    tune: TuneConfig = TuneConfig()

    def __post_init__(self) -> None:
        seeds, every = self.policy_seeds, (self.seed, *self.policy_seeds)
        if not seeds or min(every) < 0 or max(every) >= 2**32 or len(set(seeds)) < len(seeds):
            raise ValueError("seeds must be at least 1, or a list of different ones from 0 to 2**32 - 1")
        self.training.check_actions(continuous=self.market.actions == "weight")
        if not self.target_volatility > 0:
            raise ValueError("target_volatility must be positive")
        if not self.name or not all(c.isalnum() or c in "-_." for c in self.name):
            raise ValueError(f"name {self.name!r} may hold letters, digits, '-', '_' and '.' only")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def training(self) -> TrainingConfig:
        """Settings of the algorithm that is chosen."""
        chosen: TrainingConfig = getattr(self, self.algorithm)
        return chosen

    @property
    def policy_seeds(self) -> Sequence[int]:
        """Seeds of the policies of one kind."""
        seeds = self.seeds
        return range(self.seed, self.seed + seeds) if isinstance(seeds, int) else seeds

    @property
    def config_hash(self) -> str:
        return content_hash(self.as_dict())


def read_config(
    path: Path | None = None, *, overrides: Sequence[str] = (), seed: int | None = None
) -> Experiment:
    """The default experiment, changed by a TOML file, ``key=value`` overrides and a seed.

    Raises:
        ConfigError: The file is not readable, a key is unknown, or a value is impossible.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: not readable as TOML: {error}") from error
    for override in overrides:
        _override(values, override)
    if seed is not None:
        values["seed"] = seed
    return from_dict(values)


def from_dict(values: Mapping[str, Any]) -> Experiment:
    """An experiment from nested mappings; what is absent keeps its default.

    Raises:
        ConfigError: As :func:`read_config`.
    """
    values = _plain(values)
    for key, known in _unknown_keys(values, Experiment):
        hint = difflib.get_close_matches(key.rpartition(".")[2], known, n=1)
        meant = f"did you mean {hint[0]!r}?" if hint else f"known here: {', '.join(known)}"
        raise ConfigError(f"unknown key {key!r}; {meant}")
    try:
        return TypeAdapter(Experiment).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        # a field that takes numbers or lists is named with the branch that failed
        parts = [str(part) for part in first["loc"] if part not in ("float", "int")]
        key = ".".join(part for part in parts if not part.startswith("is-instance"))
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{key} = {first['input']!r}: {message}" if key else message) from error


def changed(config: Experiment) -> dict[str, Any]:
    """Every setting that is not the default, by its dotted key."""
    default = dict(_flat(Experiment().as_dict()))
    return {key: value for key, value in _flat(config.as_dict()) if value != default[key]}


def changes(config: Experiment) -> list[str]:
    """``key = value`` of every setting that is not the default."""
    return [f"{key} = {value!r}" for key, value in changed(config).items()]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and key not in ("settings", "grid", "search"):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _plain(value: Any) -> Any:
    """The same with TOML's dates as text."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value.isoformat() if isinstance(value, datetime.date) else value


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override!r} must look like costs.fee_bps=5")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    *parents, last = key.strip().split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {override!r}: {parent!r} is a value, not a table")
    values[last] = value


def _unknown_keys(
    values: Mapping[str, Any], kind: type, prefix: str = ""
) -> Iterator[tuple[str, list[str]]]:
    hints = typing.get_type_hints(kind)
    for key, value in values.items():
        if key not in hints:
            yield prefix + key, list(hints)
        elif dataclasses.is_dataclass(hints[key]) and isinstance(value, Mapping):
            yield from _unknown_keys(value, hints[key], f"{prefix}{key}.")
