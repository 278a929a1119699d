"""What the command line does with forecasts alone: the page about them, and the ablation."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from sklearn.base import BaseEstimator

from foretrade.ablation import PLAIN, ablate
from foretrade.config import ConfigError, read_config
from foretrade.counting import ledger_of
from foretrade.forecast_page import write_forecast_page
from foretrade.forecasters.base import Forecast
from foretrade.forecasting import forecast
from foretrade.job import Job
from foretrade.rundir import RunDirectory

SMALL = Path(__file__).parent / "small.toml"
MEMBERS = 'forecast.members=["ridge", "ar1", "garch", "test_forecasting:FailsOnce"]'


class FailsOnce(BaseEstimator):
    """Least squares on the newest return, of which one fit in nine raises."""

    def fit(self, X, y, sample_weight=None):
        if 1000 < len(y) < 1500:
            raise ArithmeticError("no convergence")
        self.slope_ = float(X[:, -1, 0] @ y) / float(X[:, -1, 0] @ X[:, -1, 0])
        return self

    def predict(self, X):
        return Forecast(self.slope_ * X[:, -1, 0])


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forecasts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORETRADE_CACHE", str(folder / "cache"))
        patch.syspath_prepend(str(Path(__file__).parent))
        overrides = [MEMBERS, "forecast.settings={}", 'forecast.also_fused_by=["boa"]']
        config = read_config(SMALL, overrides=overrides)
        made = Job(RunDirectory.create(folder / "run", config), Console(quiet=True), workers=1)
        forecast(made)
        yield made


def test_the_page_tells_scores_weights_and_what_went_wrong(job):
    page, scores = write_forecast_page(job)
    text = page.read_text()
    assert "Clark-West" in text
    assert "FailsOnce rolled back: ArithmeticError: no convergence" in text
    assert len(re.findall(r'<img src="data:image/svg', text)) == 6
    assert not re.search(r'(?:src|href)="http', text)
    frame = pd.read_csv(scores, index_col="forecast")
    assert list(frame.index) == [
        "ensemble", "ensemble_boa", "ridge", "ar1", "garch", "FailsOnce", "historical_mean",
    ]  # fmt: skip
    mean = job.forecasts.column("ridge.mean")[:, 0]
    rows = job.config.blocks.rows(job.bars)["test"]
    assert frame.loc["ridge", "observations"] == len(rows) - job.label.resolution_bars
    assert np.isfinite(mean[rows.start : rows.stop]).all()
    assert trials(job, "test") == [f"forecaster {name}" for name in frame.index]


def trials(job: Job, block: str) -> list[str]:
    records = ledger_of(job).records(job.bars.history_hash, block)
    return [f"{record['kind']} {record['name']}" for record in records]


def test_weights_of_every_fusion_sum_to_one(job):
    members = ("ridge", "ar1", "garch", "FailsOnce")
    for prefix in ("", "ensemble_boa."):
        weights = np.column_stack(
            [job.forecasts.column(f"{prefix}weight.{name}")[:, 0] for name in members]
        )
        known = np.isfinite(weights).all(axis=1)
        assert np.allclose(weights[known].sum(axis=1), 1.0)
        assert known.sum() > 3000


def test_the_ablation_compares_on_the_validation_block(job):
    plain, jittered = ablate(job, "ridge", ["jitter"])
    assert (plain.variant, jittered.variant) == (PLAIN, "jitter")
    assert np.isnan(plain.diebold_mariano_p)
    assert 0 <= jittered.diebold_mariano_p <= 1
    assert plain.rmse != jittered.rmse
    assert trials(job, "validation") == [f"ablation ridge {PLAIN}", "ablation ridge jitter"]
    with pytest.raises(ConfigError, match="'lasso' is no member of this experiment; it has ridge"):
        ablate(job, "lasso", ["jitter"])
