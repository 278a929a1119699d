"""What may be tuned, as it is written; and TOML that is read back as it was meant."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretrade.config import ConfigError, Experiment, changed, changes, from_dict, read_config
from foretrade.search_space import Range, TuneConfig
from foretrade.toml_writer import toml_lines
from foretrade.tuning_trials import check_space, with_settings

SPACE = """
[tune]
trials = 7
seeds = 3
[tune.search]
"ppo.learning_rate" = {low = 1e-4, high = 1e-2, log = true}
ppo.epochs = {low = 2, high = 8}
ppo.net_arch = {choices = [[64, 64], [32]]}
market.rules.no_trade_band = {low = 0, high = 0.2}
"""


def test_a_space_is_read_and_survives_json(tmp_path):
    (tmp_path / "own.toml").write_text(SPACE)
    config = read_config(tmp_path / "own.toml")
    space = config.tune
    assert (space.trials, space.seeds) == (7, 3)
    assert space.search["ppo.learning_rate"] == Range(1e-4, 1e-2, log=True)
    assert space.search["ppo.epochs"].is_whole
    assert not space.search["market.rules.no_trade_band"].is_whole
    assert space.search["ppo.net_arch"].choices == ([64, 64], [32])
    assert from_dict(json.loads(json.dumps(config.as_dict()))) == config
    assert any(line.startswith("tune.search = ") for line in changes(config))
    check_space(config)


def test_dotted_and_quoted_keys_are_the_same(tmp_path):
    nested = read_config(overrides=["tune.grid.ppo.gamma=[0.9, 0.95]", "tune.grid.ppo.epochs=[3]"])
    (tmp_path / "own.toml").write_text('tune.grid = {"ppo.gamma" = [0.9, 0.95], "ppo.epochs" = [3]}')
    assert read_config(tmp_path / "own.toml") == nested


def test_a_grid_is_every_combination_in_order():
    grid = TuneConfig(grid={"a": (1, 2), "b": ("x", "y", "z")})
    assert [tuple(point.values()) for point in grid.points()] == [
        (1, "x"), (1, "y"), (1, "z"), (2, "x"), (2, "y"), (2, "z"),
    ]  # fmt: skip
    assert TuneConfig().points() == []


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seeds=4", "nothing to tune"),
        ("tune.grid.ppo.gama=[0.9]", "unknown key 'ppo.gama'; did you mean 'gamma'"),
        ("tune.grid.ppo.gamma=[0.9, 5.0]", r"ppo.gamma = 5: .*gamma must be above 0"),
        ("tune.grid.ppo.gamma=[0.9, 0.9]", "each once"),
        ("tune.grid.ppo.gamma=[]", "give one value or more"),
        ("tune.grid.ppo.gamma=0.9", "tune.grid.ppo.gamma = 0.9: Input should be a valid"),
        ("tune.grid.ppo.gamma.x=[1]", "ppo.gamma.x': 'gamma' is a value"),
        ("tune.grid.costs.fee_bps=[0, 5]", "'costs.fee_bps' does not change how well"),
        ("tune.grid.market.fill=['same_close']", "'market.fill' does not change"),
        ("tune.grid.seed=[1, 2]", "'seed' does not change"),
        ("tune.search.ppo.gamma={low=0.9, high=5}", "gamma must be above 0"),
        ("tune.search.ppo.batch_size={low=64, high=512}", "ppo.batch_size = 235: .* must divide"),
        ("tune.search.ppo.epochs={low=1.0, high=8.0}", "ppo.epochs"),
        ("tune.search.ppo.gamma={low=0.9, high=0.8}", "low must be below high"),
        ("tune.search.ppo.gamma={low=0, high=0.8, log=true}", "above zero on a log scale"),
        ("tune.search.ppo.gamma={low=0.1, high=0.8, logg=true}", "logg"),
        ("tune.search.ppo.gamma={low=0.1}", "give low and high, or choices"),
        ("tune.search.ppo.gamma={low=0.1, choices=[0.3]}", "give low and high, or choices"),
        ("tune.trials=0", "must be at least 1"),
    ],
)
def test_mistakes_are_named_before_anything_is_trained(override, message):
    with pytest.raises(ConfigError, match=message):
        check_space(read_config(overrides=[override]))


def test_a_grid_and_a_search_are_not_mixed():
    with pytest.raises(ConfigError, match="not both"):
        read_config(overrides=["tune.grid.ppo.gamma=[0.9]", "tune.search.ppo.epochs={low=1,high=4}"])


def test_settings_are_put_where_they_belong_and_nothing_is_left_to_tune():
    base = read_config(overrides=["tune.grid.ppo.gamma=[0.5]", "ppo.epochs=3"])
    settings = {"ppo.gamma": 0.5, "ppo.net_arch": [8], "forecast.settings.lstm.epochs": 2}
    config = with_settings(base, settings)
    assert (config.ppo.gamma, config.ppo.epochs, config.ppo.net_arch) == (0.5, 3, (8,))
    assert config.forecast.settings == {"lstm": {"epochs": 2}}
    assert config.tune == TuneConfig()
    assert base.forecast.settings == {}


KEYS = st.text(st.characters(codec="utf-8"), min_size=1)
VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True), VALUES, max_size=4))
def test_toml_is_read_back_as_it_was_meant(values):
    assert tomllib.loads(toml_lines(values)) == values


def test_what_is_not_the_default_makes_the_same_experiment(tmp_path):
    small = Path(__file__).parent / "small.toml"
    config = read_config(small, overrides=["market.actions=position", 'name="with.dots"'])
    (tmp_path / "changed.toml").write_text(toml_lines(changed(config)))
    assert read_config(tmp_path / "changed.toml") == config
    assert toml_lines(changed(Experiment())) == ""
    with pytest.raises(ValueError, match="None cannot be written as TOML"):
        toml_lines({"a": None})
