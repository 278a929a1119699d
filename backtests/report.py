"""``report.html``: the verdict in words, the table, the pictures; one file, no outside resource."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretrade.backtests import pictures
from foretrade.backtests.deflation import deflated_sharpe
from foretrade.backtests.engine import Run
from foretrade.backtests.league import Row, markdown_table, number, table_cells
from foretrade.backtests.metrics import Scores
from foretrade.backtests.significance import sharpe_difference
from foretrade.pages import data_uri, render
from foretrade.storage import write_text

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Trials:
    """What was compared before the winner was shown.

    Args:
        count: Checkpoints, over all seeds and agents, whose validation score was looked at.
        variance: Of their Sharpe ratios per bar on the validation block, times its bars over those
            of the test block: by luck alone a ratio varies with one over the number of bars.
    """

    count: int
    variance: float


@dataclass(frozen=True)
class Report:
    """Everything that the page shows.

    Args:
        title: Of the experiment.
        setting: What was traded, when and at what cost: label to text.
        rows: The league table; the first row is the agent, ``benchmark`` labels buy-and-hold.
        runs: By name.
        forecasts: Scores of each forecaster on the test block.
        trials: For the deflated Sharpe ratio.
        warnings: What a reader must know about the data or the fills.
        tearsheets: Run name to the relative path of its tear sheet.
    """

    title: str
    setting: Mapping[str, str]
    rows: Sequence[Row]
    benchmark: str
    runs: Mapping[str, Run]
    forecasts: Mapping[str, Mapping[str, float | None]]
    trials: Trials
    periods_per_year: float
    warnings: Sequence[str]
    tearsheets: Mapping[str, str]

    def verdict(self) -> str:
        """In words: is there an edge after costs, and how sure is that."""
        agent = self.rows[0]
        scores, label, runs = agent.scores, agent.strategy.label, len(agent.strategy.runs)
        if agent.ruined:
            return f"Ruin: {label} lost its account in {agent.ruined} of {runs} runs."
        if math.isnan(scores.sharpe):
            return f"No edge after costs: {label} never traded, or not long enough for a Sharpe ratio."
        benchmark = next(row for row in self.rows if row.strategy.label == self.benchmark)
        returns, other = (self.runs[row.median_run].returns.to_numpy() for row in (agent, benchmark))
        deflated = deflated_sharpe(returns, self.trials.count, self.trials.variance)
        difference = sharpe_difference(returns, other, self.periods_per_year)
        low, high = difference.low, difference.high
        seeds = f"median of {runs} seeds, which range from {number(agent.sharpe_min)} to "
        return (
            f"{_finding(scores, deflated, low)}: {label} has a net Sharpe ratio of "
            f"{number(scores.sharpe)} ({seeds + number(agent.sharpe_max) if runs > 1 else 'one seed'}; "
            f"95 % interval {number(scores.sharpe_low)} to {number(scores.sharpe_high)}), against "
            f"{number(benchmark.scores.sharpe)} for {self.benchmark.lower()} (95 % interval of the "
            f"difference {number(low)} to {number(high)}). Probability of a Sharpe ratio above what "
            f"the best of {self.trials.count} trials would show by luck: {deflated:.2f}."
        )

    def markdown(self) -> str:
        """Verdict and table, for a terminal or a pull request."""
        notes = "".join(f"- {text}\n" for text in self.warnings)
        setting = "; ".join(f"{key}: {value}" for key, value in self.setting.items())
        return (
            f"**{self.verdict()}**\n\n{markdown_table(self.rows)}\n{setting}.\n\n{notes}".rstrip() + "\n"
        )

    def html(self) -> str:
        """The whole page; every text is escaped."""
        header, cells = table_cells(self.rows)
        links = [self.tearsheets.get(row.median_run, "") for row in self.rows]
        return render(
            Path(__file__).parent / "report.html.jinja",
            report=self,
            verdict=self.verdict(),
            header=header,
            table=list(zip(cells, links, [row.strategy.note for row in self.rows], strict=True)),
            pictures=self._pictures(),
        )

    def write(self, folder: Path) -> list[Path]:
        """Write ``report.html`` and ``report.md``."""
        write_text(folder / "report.html", self.html())
        write_text(folder / "report.md", self.markdown())
        return [folder / "report.html", folder / "report.md"]

    def _pictures(self) -> list[dict[str, Any]]:
        shown = {row.strategy.label: self.runs[row.median_run] for row in self.rows[:6]}
        bands = {
            row.strategy.label: [self.runs[name] for name in row.strategy.runs] for row in self.rows
        }
        drawn = (
            ("Equity after costs (shaded: range over seeds)", pictures.equity_curves(shown, bands)),
            ("Drawdowns", pictures.drawdowns(shown)),
            ("Positions over time", pictures.positions(shown)),
            ("Forecast quality on the test block", pictures.forecast_quality(self.forecasts)),
        )
        return [{"title": title, "data": data_uri(svg)} for title, svg in drawn]


def _finding(agent: Scores, deflated: float, difference_low: float) -> str:
    if not (agent.sharpe_low > 0 and deflated > CONFIDENCE):
        return "No edge after costs"
    if not difference_low > 0:
        return "A gain after costs that luck does not explain, but no proven edge over the benchmark"
    return "An edge over the benchmark, after costs, that luck does not explain"
