"""The league of forecasters for people: verdict, tables and pictures in one page, and its twins."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from foretrade.backtests import league_pictures as pictures
from foretrade.backtests.alarms import dies_late, doubt, notices, too_high
from foretrade.backtests.cells import harmless, interval, listed, markdown, number, p_value, percent
from foretrade.backtests.field import FieldTests
from foretrade.backtests.standings import Concordance, RankCorrelation, Standing
from foretrade.backtests.tables import lines_of, sorting_script
from foretrade.backtests.verdict import CONFIDENCE, MIN_ACTIVE
from foretrade.backtests.worth import MemberWorth
from foretrade.pages import data_uri, hash_source, render
from foretrade.storage import atomic_path, write_text

HEADER = (
    "Forecaster", "Sharpe", "95 % interval", "Deflated", "MCS p", "Return", "Drawdown", "Gross Sharpe",
    "Turnover", "Break-even", "IC", "R²_OS", "CRPS, bp", "Seeds",
)  # fmt: skip
NARROW = (0, 1, 2, 7, 8, 9, 10)  # columns that fit a terminal

SAME_TURNOVER = 0.15


@dataclass(frozen=True)
class LeaguePage:
    """Everything that the page shows.

    Args:
        title: Of the experiment; setting: label to text.
        standings: Of the forecasters, the best first; references: buy-and-hold, cash, random, oracle.
        tests: Of all standings together.
        correlations: Of forecast scores with profits across forecasters, traded by ``plain_rule``.
        worth: Title of a value to the worth of each member in it.
        folds: First and last day of each fold; concordance: ranks of ``standings`` in them.
        cost_scales: Levels of costs that were played; cost_bps: fee and half-spread at level 1.
        warnings: What the reader has to know first.
    """

    title: str
    setting: Mapping[str, str]
    standings: Sequence[Standing]
    references: Sequence[Standing]
    tests: FieldTests
    correlations: Sequence[RankCorrelation]
    worth: Mapping[str, Sequence[MemberWorth]]
    plain_rule: str
    folds: Sequence[str]
    concordance: Concordance
    cost_scales: Sequence[float]
    cost_bps: float
    periods_per_year: float
    warnings: Sequence[str]
    idealised: bool = False
    faults: Sequence[str] = ()

    def notices(self) -> list[str]:
        """Probable leaks, idealised fills, a broken record of trials: what must be read first."""
        return notices(self.alarms(), self.faults, idealised=self.idealised)

    def alarms(self) -> list[str]:
        """Forecasters that are too good to be true."""
        return [text for row in self.standings for text in self._alarms(row)]

    def _alarms(self, row: Standing) -> list[str]:
        bounds, lead = (row.sharpe_low, row.sharpe_high), row.difference_low
        high = too_high(row.label, row.sharpe, *bounds, lead, self.periods_per_year)
        return high or dies_late(row.label, row.sharpe, row.sharpe_low, row.later_sharpe, row.lost_low)

    def verdict(self) -> str:
        """In words: does any forecaster earn more than buy-and-hold, and is that more than luck.

        Before it stands what speaks against it, and then nobody is said to earn more.
        """
        best, hold, luck = self.standings[0], self.reference("buy and hold"), self.reference("random")
        against = doubt(self.alarms(), idealised=self.idealised)
        first = f"{against}. " if against else ""
        # behind a best one without a ratio stands with a ratio only who had no forecasts of its own
        shown = [row for row in self.standings if not (row.ruined or math.isnan(row.sharpe))]
        own = " with forecasts" if shown else ""
        if best.ruined:
            return f"{first}{self._loss()}: every forecaster{own} lost its account."
        if math.isnan(best.sharpe) and any(row.ruined for row in self.standings):
            return f"{first}{self._loss()}: every forecaster{own} that traded lost its account."
        if math.isnan(best.sharpe):
            why = "traded, or the test block is too short for a Sharpe ratio."
            return f"{first}No forecaster{own} {why}"
        p, cash = self.tests.superior_to_benchmark, self.tests.superior_to_cash
        chance = "ruin" if luck.ruined else number(luck.sharpe)
        return (
            f"{self._finding(against)}. The best of {len(self.standings)}, {best.label}, has a net "
            f"Sharpe ratio of {number(best.sharpe)} (95 % interval {number(best.sharpe_low)} to "
            f"{number(best.sharpe_high)}; above what the best of the trials shows by luck with "
            f"probability {number(best.deflated)}), against {number(hold.sharpe)} for buy and hold and "
            f"{chance} for trading at random{'' if self.unlike_chance() else ' as often'}. If no "
            "forecaster had a higher mean return than buy and hold at the same volatility, the best "
            f"would look this good with a chance of {p_value(p)} (Hansen's SPA); than cash, "
            f"{p_value(cash)}."
        )

    def _loss(self) -> str:
        called = [row.called for row in self.standings if row.ruined]
        if all(called):
            return "Margin calls"
        return "Ruin and margin calls" if any(called) else "Ruin"

    def _finding(self, doubt: str) -> str:
        """Who is shown to earn more than buy-and-hold: in the tests of the field, and by itself."""
        shown = [r.label for r in self.standings if r.proven and r.label in self.tests.beats_benchmark]
        if not shown:
            nobody = "No forecaster is shown to earn more than buy and hold at the same volatility"
            return f"{doubt}. {nobody}, after costs" if doubt else f"{nobody}, after costs"
        if doubt:
            return doubt
        if self.faults:
            return (
                "A gain over buy and hold after costs, but the record of trials is broken: luck is not "
                "ruled out"
            )
        return (
            f"After costs, {listed(shown)} earned more than buy and hold at the same volatility, by "
            f"more than luck explains (StepM at 5 %, deflated Sharpe ratio above {CONFIDENCE:g})"
        )

    def _is_passed_over(self, row: Standing) -> bool:
        """Whether nothing but the number of its bars keeps it from being shown to earn more."""
        ahead = row.sharpe_low > 0 and row.difference_low > 0 and row.deflated > CONFIDENCE
        return ahead and not row.proven and row.label in self.tests.beats_benchmark

    def unlike_chance(self) -> str:
        """What random trading turns over, if it is not about what the forecasters do."""
        usual = float(np.median([row.turnover for row in self.standings]))
        chance = self.reference("random").turnover
        if abs(chance - usual) <= SAME_TURNOVER * usual:
            return ""
        return (
            f"Trading at random turns over {chance:.1f}× a year, the median forecaster {usual:.1f}×: "
            "whole switches between the bounds come no nearer to it."
        )

    def reference(self, name: str) -> Standing:
        """A reference whose name begins so."""
        return next(row for row in self.references if row.forecaster.lower().startswith(name))

    def remarks(self) -> list[str]:
        """What the tables below the standings say, one sentence each."""
        said = [
            f"Rank correlation of {c.score} with the mean return after costs over {c.forecasters} "
            f"forecasters: {number(c.correlation)} (95 % interval {interval(c.low, c.high)})."
            for c in self.correlations
        ]
        ranked = self.concordance
        if not math.isnan(ranked.kendall_w):
            said.append(
                f"Ranks in {len(self.folds)} folds: Kendall's W {number(ranked.kendall_w)} (1: the same "
                f"in each; p {number(ranked.p_value)} if drawn by lot), mean rank correlation of "
                f"two folds {number(ranked.mean_correlation)}."
            )
        for how, called in (("Ruined", False), ("Closed by a margin call", True)):
            lost = [row.label for row in self.standings if row.ruined and row.called is called]
            if lost:
                named = "; ".join(lost)
                said.append(f"{how}, and so ranked last, without ratios, and not in the tests: {named}.")
        if few := [row.label for row in self.standings if self._is_passed_over(row)]:
            said.append(
                f"Ahead of buy and hold in every test, and not counted: {listed(few)}. Fewer than "
                f"{MIN_ACTIVE} bars gain or lose, or differ from it; so few the tests misjudge."
            )
        if self.unlike_chance():
            said.append(self.unlike_chance())
        if self.tests.left_out:
            said.append(
                f"Not in the tests, as their returns are constant: {', '.join(self.tests.left_out)}."
            )
        return said

    def cells(self) -> list[list[str]]:
        """The table of forecasters as text."""
        return [standing_cells(row, self.tests.confidence) for row in self.standings]

    def reference_cells(self) -> list[list[str]]:
        """The table of references as text."""
        return [standing_cells(row, self.tests.confidence) for row in self.references]

    def worth_tables(self) -> dict[str, list[list[str]]]:
        """By the title of the value, as text; returns in per cent."""
        return {
            title: [worth_cells(m, ".1%" if "return" in title else ".2f") for m in own]
            for title, own in self.worth.items()
        }

    def markdown(self) -> str:
        """Verdict and tables, for a terminal or a pull request."""
        table = markdown(HEADER, [*self.cells(), *self.reference_cells()])
        worth = "".join(
            f"\n{title}, traded by {self.plain_rule}:\n\n" + markdown(WORTH_HEADER, rows)
            for title, rows in self.worth_tables().items()
        )
        said = "".join(f"- {harmless(text)}\n" for text in (*self.remarks(), *self.warnings))
        setting = "; ".join(f"{key}: {harmless(value)}" for key, value in self.setting.items())
        first = "".join(f"**{harmless(text)}**\n\n" for text in (*self.notices(), self.verdict()))
        return f"{first}{table}\n{said}{worth}\n{setting}.\n"

    def html(self) -> str:
        """The whole page; every text is escaped."""
        ranks = zip(self.standings, self.concordance.ranks.T, strict=True)
        script = sorting_script()
        return render(
            Path(__file__).parent / "league_page.html.jinja",
            page=self,
            header=HEADER,
            rows=lines_of(self.cells()),
            reference_rows=lines_of(self.reference_cells()),
            worth_header=WORTH_HEADER,
            worth={title: lines_of(cells) for title, cells in self.worth_tables().items()},
            ranks=lines_of([row.label, *(f"{rank:g}" for rank in places)] for row, places in ranks),
            pictures=self._pictures(),
            script=Markup(script),  # our own
            script_hash=hash_source(script),
        )

    def frame(self) -> pd.DataFrame:
        """Every number of every row, for ``league.csv``."""
        rows = [*self.standings, *self.references]
        frame = pd.DataFrame([row.flat(self.cost_scales) for row in rows])
        frame["confidence_set_p"] = [self.tests.confidence.get(row.label, math.nan) for row in rows]
        return frame

    def write(self, folder: Path) -> list[Path]:
        """Write ``league.html``, ``league.md``, ``league.csv`` and ``worth.csv``."""
        write_text(folder / "league.html", self.html())
        write_text(folder / "league.md", self.markdown())
        worth = [{"value": title} | vars(m) for title, own in self.worth.items() for m in own]
        columns = ["value", *(field.name for field in fields(MemberWorth))]
        tables = {"league.csv": self.frame(), "worth.csv": pd.DataFrame(worth, columns=columns)}
        for name, frame in tables.items():
            with atomic_path(folder / name) as path:
                frame.to_csv(path, index=False)
        return [folder / name for name in ("league.html", "league.md", *tables)]

    def _pictures(self) -> list[dict[str, Any]]:
        hold, luck = self.reference("buy and hold"), self.reference("random")
        plain = [row for row in self.standings if row.rule == self.plain_rule]
        shown = [row for row in self.standings if not math.isnan(row.sharpe)][:8]
        drawn = [
            ("Sharpe ratio after costs", pictures.sharpe_intervals(self.standings, hold, luck)),
            ("Do better forecasts earn more?", pictures.scores_and_profits(plain)),
            ("Costs", pictures.cost_sweep(shown, [hold, luck], self.cost_scales)),
        ]
        if self.worth:
            drawn.insert(2, ("Worth of each member in profit and loss", pictures.worths(self.worth)))
        return [{"title": title, "data": data_uri(svg)} for title, svg in drawn]


WORTH_HEADER = ("Member", "Shapley value", "95 % interval", "With it less without", "95 % interval")


def worth_cells(member: MemberWorth, form: str) -> list[str]:
    """One member's worth as text, its numbers in the given format."""
    exact = "" if member.sampling_error == 0 else f" ± {member.sampling_error:{form}}"
    return [
        member.member,
        number(member.shapley, form) + exact,
        interval(member.shapley_low, member.shapley_high, form),
        number(member.left_out, form),
        interval(member.left_out_low, member.left_out_high, form),
    ]


def _fate(row: Standing) -> str:
    if not row.ruined:
        return ""
    return " (margin call)" if row.called else " (ruined)"


def standing_cells(row: Standing, confidence: Mapping[str, float]) -> list[str]:
    """One row as text."""
    several = row.seeds > 1 and not math.isnan(row.sharpe_min)
    seeds = interval(row.sharpe_min, row.sharpe_max) if several else ""
    return [
        row.label + _fate(row),
        number(row.sharpe),
        interval(row.sharpe_low, row.sharpe_high),
        number(row.deflated),
        p_value(confidence.get(row.label, math.nan)),
        percent(row.mean_return),
        percent(row.max_drawdown),
        number(row.gross_sharpe),
        f"{row.turnover:.1f}×",
        "–" if math.isnan(row.break_even_bps) else f"{row.break_even_bps:.1f} bp",
        number(row.ic, ".3f"),
        percent(row.r2_os, 2),
        number(1e4 * row.crps, ".2f"),
        seeds,
    ]
