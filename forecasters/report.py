"""``forecasts.html``: how good the forecasts were, before anybody traded them; one file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from foretrade.forecasters import pictures
from foretrade.forecasters.scores import ForecastScores
from foretrade.markets.arrays import Floats
from foretrade.pages import data_uri, render
from foretrade.storage import write_text

SIGNIFICANT = 0.05
HEADER = (
    "Forecast", "Rows", "IC", "t", "Rank IC", "R²_OS", "CW p", "R²_0", "Hits", "PT p", "Slope", "RMSE",
    "CRPS", "Coverage", "Width", "MCS p",
)  # fmt: skip


@dataclass(frozen=True)
class ForecastReport:
    """Everything that the page shows.

    Args:
        title: Of the experiment; setting: label to text.
        scores: Of each forecast on the test block, the ensemble first.
        confidence: p-value of each forecast in the model confidence set.
        weights: Of members by date, for each fusion.
        pits: Probability integral transforms of some forecasts; coverage: rolling share of labels inside
            their bounds, which aim at ``nominal``.
        regimes: R² out of sample by forecast and regime.
        importance: Member to the importance of blocks of its inputs.
        members: Importance of each member for the ensemble, when it is left out and when it is shuffled.
        events: What happened to the members other than by the calendar.
    """

    title: str
    setting: Mapping[str, str]
    scores: Mapping[str, ForecastScores]
    confidence: Mapping[str, float]
    weights: Mapping[str, pd.DataFrame]
    pits: Mapping[str, Floats]
    coverage: pd.DataFrame
    nominal: float
    regimes: pd.DataFrame
    importance: Mapping[str, pd.DataFrame]
    members: Mapping[str, pd.DataFrame]
    events: Sequence[str]

    def verdict(self) -> str:
        """In words: does any forecast beat the mean of the past, and how many would by luck."""
        tried = {n: s for n, s in self.scores.items() if not math.isnan(s.ic)}
        good = [name for name, s in tried.items() if s.clark_west_p < SIGNIFICANT and s.ic > 0]
        first = next(iter(self.scores))
        said = (
            f"{len(good)} of {len(tried)} forecasts that vary beat the historical mean at the 5 % level "
            f"(Clark-West; by luck alone about {SIGNIFICANT * len(tried):.1f} would)"
        )
        best = f": {', '.join(good)}" if good else ""
        own = self.scores[first]
        return (
            f"{said}{best}. The {first} has an information coefficient of {_text(own.ic, '.3f')} "
            f"(t {_text(own.ic_t, '.1f')}) and an R² out of sample of {_text(own.r2_os, '.2%')}."
        )

    def write(self, folder: Path) -> list[Path]:
        """Write ``forecasts.html`` and ``forecast_scores.csv``."""
        write_text(folder / "forecasts.html", self.html())
        frame = pd.DataFrame({name: score.as_dict() for name, score in self.scores.items()}).T
        frame["confidence_set_p"] = pd.Series(self.confidence)
        write_text(folder / "forecast_scores.csv", frame.rename_axis("forecast").to_csv())
        return [folder / "forecasts.html", folder / "forecast_scores.csv"]

    def html(self) -> str:
        """The whole page; every text is escaped."""
        return render(
            Path(__file__).parent / "forecasts.html.jinja",
            report=self,
            header=HEADER,
            table=[self._cells(name) for name in self.scores],
            pictures=self._pictures(),
        )

    def _cells(self, name: str) -> list[str]:
        s = self.scores[name]
        return [
            name, str(s.observations), _text(s.ic, ".3f"), _text(s.ic_t, ".1f"), _text(s.rank_ic, ".3f"),
            _text(s.r2_os, ".2%"), _text(s.clark_west_p, ".2f"), _text(s.r2_zero, ".2%"),
            _text(s.hit_rate, ".1%"), _text(s.pesaran_timmermann_p, ".2f"),
            _text(s.mincer_zarnowitz_slope, ".2f"), _text(1e4 * s.rmse, ".1f"),
            _text(1e4 * s.crps, ".2f"),
            _text(s.coverage, ".1%"), _text(1e4 * s.interval_width, ".0f"),
            _text(self.confidence.get(name, math.nan), ".2f"),
        ]  # fmt: skip

    def _pictures(self) -> list[dict[str, Any]]:
        shuffled = (
            "Rise of the squared error, over the mean squared label, when those inputs are shuffled"
        )
        drawn = [
            ("Forecast quality", pictures.score_bars(self.scores), ""),
            ("Weights of the members in the ensemble", pictures.weights_over_time(self.weights), ""),
            ("Calibration", pictures.calibration(self.pits, self.coverage, self.nominal), ""),
            ("Error by regime", pictures.by_regime(self.regimes), ""),
        ]
        if self.members:
            worth = (
                "Rise of the ensemble's squared error, over the mean squared label; below zero it harms."
            )
            title = "Worth of each member for the ensemble"
            drawn.append((title, pictures.importances(self.members), worth))
        if self.importance:
            drawn.append(
                (
                    "What the members look at",
                    pictures.importances(self.importance),
                    shuffled + ", out of sample; refitted on the calendar from the test block on.",
                )
            )
        return [{"title": title, "data": data_uri(svg), "note": note} for title, svg, note in drawn]


def _text(value: float, form: str) -> str:
    return "–" if math.isnan(value) else format(value, form)
