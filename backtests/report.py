"""``report.html`` and its Markdown twin: the verdict in words, the tables, the pictures.

One file without outside resources. Its policy lets one script run, named by its hash: it sorts tables
and redraws the pictures. Without it, verdict, tables and still pictures are all there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from foretrade.backtests.alarms import alarms, doubt, notices
from foretrade.backtests.cells import harmless, markdown, number
from foretrade.backtests.charts import (
    drawdown_chart,
    equity_chart,
    monthly_chart,
    position_chart,
    rolling_sharpe_chart,
)
from foretrade.backtests.engine import Run
from foretrade.backtests.explanation import Explanation
from foretrade.backtests.forecast_charts import (
    ForecastView,
    attribution_chart,
    attribution_months_chart,
    coverage_chart,
    deletion_chart,
    pit_chart,
    quality_chart,
    weights_chart,
)
from foretrade.backtests.league import Row, markdown_table, table_cells
from foretrade.backtests.learning import Training, learning_chart, noticed
from foretrade.backtests.ratio_tables import RATIO_NOTE, ratio_tables
from foretrade.backtests.stress import Stress
from foretrade.backtests.stress_charts import cost_chart, delay_chart
from foretrade.backtests.tables import (
    SIGNIFICANCE_NOTE,
    Line,
    Table,
    forecast_table,
    significance_table,
    sorting_script,
    stress_table,
    why_table,
)
from foretrade.backtests.trials import Trials
from foretrade.backtests.vega import Chart, javascript
from foretrade.backtests.verdict import Verdict, judge
from foretrade.pages import hash_source, render
from foretrade.storage import write_text

DRAWN = 12  # strategies in pictures of lines; the table has all


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
        warnings: What a reader must know about the data.
        tearsheets: Run name to the relative path of its tear sheet.
        stress: By run name; see :class:`Stress`.
        why: Attribution of the agent's actions.
        view: Forecasts on the test block.
        faults: What is wrong with the record of trials.
        trainings: How the agents' policies learned.
    """

    title: str
    setting: Mapping[str, str]
    rows: Sequence[Row]
    benchmark: str
    runs: Mapping[str, Run]
    forecasts: Mapping[str, Mapping[str, float | None]]
    trials: Trials
    periods_per_year: float
    warnings: Sequence[str] = ()
    tearsheets: Mapping[str, str] = field(default_factory=dict)
    stress: Mapping[str, Stress] = field(default_factory=dict)
    why: Explanation | None = None
    view: ForecastView | None = None
    faults: Sequence[str] = ()
    trainings: Sequence[Training] = ()

    @property
    def idealised(self) -> bool:
        """Whether any run filled its orders at the close on which they were decided."""
        return any(run.idealised for run in self.runs.values())

    @property
    def leading(self) -> list[Row]:
        """The agent, the benchmark, and the best of the others by net Sharpe ratio."""
        agent = self.rows[0]
        benchmark = next(row for row in self.rows if row.strategy.label == self.benchmark)
        others = [
            row for row in self.rows if row not in (agent, benchmark) and row.scores.sharpe > -math.inf
        ]
        return [agent, benchmark, *sorted(others, key=lambda row: -row.scores.sharpe)[:1]]

    def alarms(self) -> list[str]:
        """What is too good to be true; see :func:`foretrade.backtests.alarms.alarms`."""
        leads = {name: found.difference_low for name, found in self.verdicts.items()}
        parts = (self.rows, self.runs, self.stress, leads, self.periods_per_year)
        return alarms(*parts, benchmark=self.benchmark)

    def verdict(self) -> str:
        """In words: is there an edge after costs, how sure is that, and first what speaks against it."""
        agent = self.rows[0]
        scores, label, runs = agent.scores, agent.strategy.label, len(agent.strategy.runs)
        against = doubt(self.alarms(), idealised=self.idealised)
        first = f"{against}. " if against else ""
        if agent.ruined:
            what = "Margin call" if scores.ruined and scores.total_return > -1 else "Ruin"
            return f"{first}{what}: {label} lost its account in {agent.ruined} of {runs} runs."
        if math.isnan(scores.sharpe):
            why = f"{label} never traded, or not long enough for a Sharpe ratio."
            return f"{first}No edge after costs: {why}"
        benchmark, found = self.leading[1], self.verdicts.get(agent.median_run) or self._judged(agent)
        seeds = f"median of {runs} seeds, which range from {number(agent.sharpe_min)} to "
        return (
            f"{found.finding(against)}: {label} has a net Sharpe ratio of "
            f"{number(found.sharpe)} ({seeds + number(agent.sharpe_max) if runs > 1 else 'one seed'}; "
            f"95 % interval {number(found.low)} to {number(found.high)}), against "
            f"{number(benchmark.scores.sharpe)} for {self.benchmark.lower()} (95 % interval of the "
            f"difference {number(found.difference_low)} to {number(found.difference_high)}). "
            f"Probability of a Sharpe ratio above what the best of {self.trials} would "
            f"show by luck: {found.deflated:.2f}."
        )

    @cached_property
    def verdicts(self) -> dict[str, Verdict]:
        """On the median run of each row, by its name; without those that came to an early end."""
        bars = len(self._run_of_benchmark.ledger)
        whole = [row for row in self.rows if len(self.runs[row.median_run].ledger) == bars]
        return {row.median_run: self._judged(row) for row in whole if not row.scores.ruined}

    def _judged(self, row: Row) -> Verdict:
        returns, other = self.runs[row.median_run].returns, self._run_of_benchmark.returns
        return judge(returns.to_numpy(), other.to_numpy(), self.trials, self.periods_per_year)

    def _significance(self) -> Table:
        return significance_table(self.rows, self.verdicts, self.benchmark, self.periods_per_year)

    def notices(self) -> list[str]:
        """Alarms, idealised fills and a broken chain of trials: what must be read first."""
        return notices(self.alarms(), self.faults, idealised=self.idealised)

    def noticed(self) -> list[str]:
        """What was noticed while the agents were trained, one line a policy."""
        return noticed(self.trainings)

    def markdown(self) -> str:
        """Verdict and tables, for a terminal or a pull request."""
        first = "".join(f"**{harmless(text)}**\n\n" for text in (*self.notices(), self.verdict()))
        notes = "".join(f"- {harmless(text)}\n" for text in self.warnings)
        fills = {"Fills": "**same close**"} if self.idealised and "Fills" in self.setting else {}
        setting = "; ".join(
            f"{key}: {value if key in fills else harmless(value)}"
            for key, value in {**self.setting, **fills}.items()
        )
        marks = {row.strategy.label for row in self.rows if self._same_close(row)}
        table = markdown_table(self.rows, dict.fromkeys(marks, " **(same close)**"))
        header, lines = self._significance()
        table += "\n" + markdown(header, [line.cells for line in lines])
        header, lines = stress_table(self.rows, self.stress)
        stressed = markdown(header, [line.cells for line in lines]) + "\n" if lines else ""
        learned = "".join(f"- Noticed in training: {harmless(text)}\n" for text in self.noticed())
        text = f"{first}{table}\n{stressed}{setting}.\n\n{notes}{learned}"
        return text.rstrip() + "\n"

    def html(self) -> str:
        """The whole page; every text is escaped."""
        charts = self._charts()
        drawing = (Path(__file__).parent / "page.js").read_text(encoding="utf-8")
        script = "\n".join((sorting_script(), javascript(), drawing))
        header, cells = table_cells(self.rows)
        significance_header, significance_rows = self._significance()
        stress_header, stress_rows = stress_table(self.rows, self.stress)
        forecast_header, forecast_rows = forecast_table(self.forecasts)
        why_header, why_rows = why_table(self.why)
        return render(
            Path(__file__).parent / "report.html.jinja",
            report=self,
            verdict=self.verdict(),
            header=header,
            table=[
                Line(
                    tuple(line),
                    note=row.strategy.note,
                    link=self.tearsheets.get(row.median_run, ""),
                    idealised=self._same_close(row),
                )
                for row, line in zip(self.rows, cells, strict=True)
            ],
            significance_header=significance_header,
            significance_rows=significance_rows,
            significance_note=SIGNIFICANCE_NOTE.format(
                trials=self.trials, benchmark=self.benchmark.lower()
            ),
            stress_header=stress_header,
            stress_rows=stress_rows,
            ratio_tables=ratio_tables(
                self.rows, self.runs, self._run_of_benchmark, self.periods_per_year
            ),
            ratio_note=RATIO_NOTE,
            forecast_header=forecast_header,
            forecast_rows=forecast_rows,
            why_header=why_header,
            why_rows=why_rows,
            charts=charts,
            packed=htmlsafe_json_dumps([chart.packed() for chart in charts], allow_nan=False),
            script=Markup(script),  # our own, and bundled by vl-convert
            script_hash=hash_source(script),
        )

    def write(self, folder: Path) -> list[Path]:
        """Write ``report.html`` and ``report.md``."""
        write_text(folder / "report.html", self.html())
        write_text(folder / "report.md", self.markdown())
        return [folder / "report.html", folder / "report.md"]

    def _same_close(self, row: Row) -> bool:
        return self.runs[row.median_run].idealised

    @property
    def _run_of_benchmark(self) -> Run:
        return self.runs[self.leading[1].median_run]

    def _charts(self) -> list[Chart]:
        """Pictures in the order of the page."""
        lines = {row.strategy.label: self.runs[row.median_run] for row in self.rows[:DRAWN]}
        bold = [row.strategy.label for row in self.leading]
        first = {row.strategy.label: self.runs[row.median_run] for row in self.leading[:2]}
        bands = {row.strategy.label: [self.runs[n] for n in row.strategy.runs] for row in self.rows}
        days_per_year = _days_per_year(next(iter(lines.values())), self.periods_per_year)
        charts = [equity_chart(lines, bands, bold), drawdown_chart(lines, bold)]
        charts.append(rolling_sharpe_chart(first, days_per_year, list(lines)))
        if all(len(run.symbols) == 1 for run in lines.values()):
            charts.append(position_chart(lines, None if self.view is None else self.view.ensemble))
        charts += self._stress_charts(bold)
        charts += [monthly_chart(lines), quality_chart(self.forecasts)]
        charts += [learning_chart(self.trainings)] if self.trainings else []
        if self.view is not None:
            charts += [weights_chart(self.view.weights), pit_chart(self.view.pits)]
            charts.append(coverage_chart(self.view.inside, self.view.nominal))
        if self.why is not None:
            charts += [attribution_chart(self.why), attribution_months_chart(self.why)]
            charts.append(deletion_chart(self.why))
        return [chart for chart in charts if any(len(frame) for frame in chart.data.values())]

    def _stress_charts(self, bold: Sequence[str]) -> list[Chart]:
        stressed = {
            row.strategy.label: self.stress[row.median_run]
            for row in self.rows[:DRAWN]
            if row.median_run in self.stress
        }
        return [cost_chart(stressed, bold), delay_chart(stressed)] if stressed else []


def _days_per_year(run: Run, periods_per_year: float) -> float:
    returns = run.returns
    return periods_per_year * returns.index.nunique() / len(returns)
