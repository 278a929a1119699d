from __future__ import annotations

import json

import pytest

from foretrade.config import ConfigError, Experiment, from_dict, read_config


def test_the_default_experiment_is_the_documented_one():
    config = Experiment()
    assert (config.data.source, config.market.fill) == ("sp500", "next_close")
    assert (config.costs.fee_bps, config.costs.half_spread_bps) == (2.0, 1.0)
    assert (config.market.weight_bounds, config.seeds) == ((-1.0, 1.0), 3)
    assert config.forecast.schedule.refit_every_bars == 126
    assert (config.blocks.train, config.blocks.validation, config.blocks.test) == (
        "2003-01-01", "2012-01-01", "2014-01-01",
    )  # fmt: skip


def test_files_overrides_and_seed_add_up(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        'name = "own"\n[costs]\nfee_bps = 5\n[blocks]\ntest = 2015-06-01\n'
        "[forecast.settings.lstm]\nepochs = 3\n"
    )
    overrides = ("costs.half_spread_bps=0.5", "market.fill=next_open", 'forecast.members=["lstm"]')
    config = read_config(path, overrides=overrides, seed=9)
    assert (config.name, config.seed, config.costs.fee_bps) == ("own", 9, 5.0)
    assert (config.costs.half_spread_bps, config.market.fill) == (0.5, "next_open")
    assert config.forecast.members == ("lstm",)
    assert config.blocks.test == "2015-06-01"
    assert config.forecast.settings == {"lstm": {"epochs": 3}}
    assert config.costs.borrow_bps_per_year == Experiment().costs.borrow_bps_per_year


def test_a_configuration_survives_json():
    config = read_config(overrides=["seed=4", "features.momentum_bars=[3, 9]"])
    assert from_dict(json.loads(json.dumps(config.as_dict()))) == config
    assert config.config_hash != Experiment().config_hash


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("cost.fee_bps=1", "unknown key 'cost'; did you mean 'costs'"),
        ("costs.fee=1", "unknown key 'costs.fee'; did you mean 'fee_bps'"),
        ("zzz=1", "unknown key 'zzz'; known here: name, seed"),
        ("costs.fee_bps=-1", "fee_bps must be finite and not negative"),
        ("costs.fee_bps=free", "costs.fee_bps = 'free': Input should be a valid number"),
        ("market.fill=now", "market.fill = 'now': Input should be 'next_open', 'next_close'"),
        ("ppo.batch_size=100", "batch_size = 100 must divide"),
        ("seeds=0", "seeds must be at least 1"),
        ("ppo.batch_size=0", "batch_size = 0 must divide"),
        ("ppo.gamma=5", "gamma must be above 0"),
        ("ppo.log_std_init=nan", 'log_std_init must be a finite number of at least -20, or "auto"'),
        ("ppo.entropy_coefficient=inf", "entropy_coefficient must be a finite number of at least 0"),
        ("ppo.value_coefficient=-1", "value_coefficient must be a finite number of at least 0"),
        ("a2c.entropy_coefficient=-1", "entropy_coefficient must be a finite number of at least 0"),
        ("ppo.reward_scale=inf", "reward_scale must be a finite number"),
        ("seeds=[4294967296]", "different ones from 0 to 2"),
        ("ppo.learning_rate=1e30", "learning_rate must be between 0 and 1"),
        ("ppo.clip_range=2", "clip_range between 0 and 1"),
        ("sac.tau=0", "tau must be above 0"),
        ("algorithm=dqn", "algorithm = 'dqn': Input should be 'ppo', 'a2c', 'recurrent_ppo', 'sac'"),
        ("seeds=[4, 7, 4]", "a list of different ones"),
        ("seeds=[]", "seeds must be at least 1"),
        ("seeds=[-1]", "different ones from 0 to 2"),
        ("seeds=many", "seeds = 'many': Input should be a valid integer"),
        ("ppo.episode_bars=0", "episode_bars must be at least 1"),
        ("market.rules.max_leverage=-1", "max_leverage must be positive"),
        ("market.weight_bounds=[1, -1]", "low < high"),
        ("market.positions=[1]", "two finite weights or more"),
        ("features.momentum_bars=[-5]", "different numbers of at least 1"),
        ("features.return_lags=[0, 0]", "different numbers of at least 0"),
        ("features.rsi_bars=1", "rsi_bars must be at least 2"),
        ("target_volatility=-0.1", "target_volatility must be positive"),
        ("name=a/b", "may hold letters, digits"),
        ("forecast.lookback_bars=0", "lookback_bars must be at least 1"),
        ("forecast.settings.lstn.epochs=1", "settings for 'lstn'; they may be for ridge"),
        ('forecast.members=["ridge", "zero"]', "each name once"),
        ("seed", "must look like costs.fee_bps=5"),
    ],
)
def test_mistakes_are_named_with_what_was_meant(override, message):
    with pytest.raises(ConfigError, match=message):
        read_config(overrides=[override])


def test_the_algorithm_chooses_its_table():
    assert Experiment().training is Experiment().ppo
    config = read_config(overrides=["algorithm=sac", "sac.steps=4096", "ppo.steps=99"])
    assert (config.training.label, config.training.steps) == ("SAC", 4096)
    with pytest.raises(ConfigError, match="SAC needs continuous actions: choose market.actions"):
        read_config(overrides=["algorithm=sac", "market.actions=position"])


def test_seeds_are_counted_or_listed():
    assert list(read_config(overrides=["seeds=2"], seed=5).policy_seeds) == [5, 6]
    config = read_config(overrides=["seeds=[8, 2]"], seed=5)
    assert list(config.policy_seeds) == [8, 2]
    assert from_dict(json.loads(json.dumps(config.as_dict()))) == config


def test_an_unreadable_file_is_named(tmp_path):
    (tmp_path / "bad.toml").write_text("seed = = 3")
    with pytest.raises(ConfigError, match=r"bad.toml: not readable as TOML"):
        read_config(tmp_path / "bad.toml")
    with pytest.raises(ConfigError, match=r"none.toml: not readable"):
        read_config(tmp_path / "none.toml")
