"""``report.html``: the verdict in words, the table, the pictures; one file, no outside resource."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretrade.backtests import pictures
from foretrade.backtests.engine import Run
from foretrade.backtests.league import Row, markdown_table, number, table_cells
from foretrade.backtests.trials import Trials
from foretrade.backtests.verdict import judge
from foretrade.pages import data_uri, render
from foretrade.storage import write_text


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
        found = judge(returns, other, self.trials, self.periods_per_year)
        seeds = f"median of {runs} seeds, which range from {number(agent.sharpe_min)} to "
        return (
            f"{found.finding}: {label} has a net Sharpe ratio of "
            f"{number(found.sharpe)} ({seeds + number(agent.sharpe_max) if runs > 1 else 'one seed'}; "
            f"95 % interval {number(found.low)} to {number(found.high)}), against "
            f"{number(benchmark.scores.sharpe)} for {self.benchmark.lower()} (95 % interval of the "
            f"difference {number(found.difference_low)} to {number(found.difference_high)}). "
            f"Probability of a Sharpe ratio above what the best of {self.trials} would "
            f"show by luck: {found.deflated:.2f}."
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
