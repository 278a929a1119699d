"""The verdict of a league in every case that can occur."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest

from foretrade.backtests.cells import listed, p_value
from foretrade.backtests.field import FieldTests
from foretrade.backtests.league_page import LeaguePage
from foretrade.backtests.standings import Concordance, Standing

NUMBERS = {field.name: 0.5 for field in fields(Standing) if field.type == "float"}


def row(label: str, **changes: object) -> Standing:
    """A row with a gain that is proven by itself."""
    plain = Standing(
        label=label,
        forecaster=label,
        rule="sign",
        **NUMBERS,
        proven=True,
        ruined=False,
        called=False,
        seeds=1,
        fold_sharpes=(0.5,),
        level_sharpes=(0.5, 0.5),
    )
    return replace(plain, **({"sharpe": 1.2, "later_sharpe": 1.1, "turnover": 10.0} | changes))


GOOD, ALSO, POOR = row("good"), row("also"), row("poor", proven=False)
LOST = row("lost", proven=False, ruined=True)


def page(
    standings: list[Standing], beats: tuple[str, ...] = (), p: float = 0.2, **changes: object
) -> LeaguePage:
    references = [row("buy and hold"), row("random (20 policies)"), row("flat", turnover=0.0)]
    made = LeaguePage(
        title="t",
        setting={},
        standings=standings,
        references=references,
        tests=FieldTests(p, p, beats, {}, ()),
        correlations=[],
        worth={},
        plain_rule="sign",
        folds=["a"],
        concordance=Concordance(np.ones((1, len(standings))), math.nan, math.nan, math.nan),
        cost_scales=(0.0, 1.0),
        cost_bps=3.0,
        periods_per_year=252.0,
        warnings=[],
    )
    return replace(made, **changes)


NOBODY = "No forecaster is shown to earn more than buy and hold at the same volatility, after costs. "


@pytest.mark.parametrize(
    ("beats", "changes", "words"),
    [
        (("good",), {}, "After costs, good earned more than buy and hold at the same volatility, by "),
        (("good", "also"), {}, "After costs, good and also earned more than buy and hold"),
        (("good", "poor"), {}, "After costs, good earned more than buy and hold"),
        (("poor",), {}, NOBODY),
        ((), {}, NOBODY),
        (
            ("good",),
            {"faults": ["line 3 was changed"]},
            "A gain over buy and hold after costs, but the ",
        ),
        (("poor",), {"faults": ["line 3 was changed"]}, NOBODY),
        (("poor",), {"idealised": True}, "These results were made with idealised fills and are not"),
        (("good",), {"idealised": True}, "These results were made with idealised fills and are not"),
    ],
)
def test_who_is_named_and_who_is_not(beats, changes, words):
    """Only who beats buy-and-hold in the field and by itself, on a record that is whole."""
    found = page([GOOD, ALSO, POOR], beats, **changes).verdict()
    assert found.startswith(words)
    assert ("earned more than buy and hold at" in found) == words.startswith("After")
    assert ". The best of 3, good, has a net Sharpe ratio of 1.20" in found
    assert ".." not in found


def test_a_ruined_random_policy_is_told_as_ruin():
    luck = row("random (20 policies)", ruined=True, proven=False)
    made = page([GOOD])
    assert "0.50 for buy and hold" not in made.verdict()
    changed = replace(made, references=[made.references[0], luck]).verdict()
    assert "1.20 for buy and hold and ruin for trading at random as often." in changed
    assert page([LOST, LOST]).verdict() == "Ruin: every forecaster lost its account."
    idle = row("idle", sharpe=math.nan, proven=False)
    assert page([idle, LOST]).verdict() == "Ruin: every forecaster that traded lost its account."
    assert page([idle]).verdict().startswith("No forecaster traded")
    assert any(text.startswith("Ruined, and so ranked last") for text in page([GOOD, LOST]).remarks())


def test_random_trading_of_another_turnover_is_told():
    made = page([GOOD, ALSO, replace(POOR, turnover=900.0)])
    assert not made.unlike_chance()
    luck = row("random (20 policies)")
    busy = replace(made, references=[made.references[0], replace(luck, turnover=12.0)])
    assert "12.0× a year, the median forecaster 10.0×" in " ".join(busy.remarks())
    assert "for trading at random. If no forecaster" in busy.verdict()


def test_a_chance_is_never_nought():
    assert "look this good with a chance of < 0.001 (Hansen's SPA)" in page([GOOD], p=0.0).verdict()
    assert [p_value(x) for x in (0.0, 0.001, 0.02, 1.0)] == ["< 0.001", "0.001", "0.02", "1.00"]
    assert p_value(math.nan) == "–"


def test_names_make_a_sentence():
    assert [listed(list("abc")[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]


def test_who_is_passed_over_for_too_few_bars_is_named():
    few = row("few bars", proven=False, deflated=0.97)
    words = "Ahead of buy and hold in every test, and not counted: few bars. Fewer than 50 bars gain"
    assert words in " ".join(page([GOOD, few], ("good", "few bars")).remarks())
    for other in (
        page([GOOD, few], ("good",)),  # behind in the tests of the field
        page([GOOD, replace(few, deflated=0.9)], ("good", "few bars")),
        page([GOOD, replace(few, sharpe_low=math.nan)], ("good", "few bars")),
        page([replace(few, proven=True)], ("few bars",)),
    ):
        assert "not counted" not in " ".join(other.remarks())


def test_margin_calls_are_told_from_ruin():
    called = row("called", proven=False, ruined=True, called=True)
    both = page([GOOD, LOST, called])
    said = " ".join(both.remarks())
    assert "Ruined, and so ranked last, without ratios, and not in the tests: lost." in said
    assert (
        "Closed by a margin call, and so ranked last, without ratios, and not in the tests: called."
        in said
    )
    silent = row("silent", proven=False)  # whoever had no forecasts is ranked behind all others
    assert page([LOST, silent]).verdict() == "Ruin: every forecaster with forecasts lost its account."
    idle = row("idle", sharpe=math.nan, proven=False)
    assert page([idle, silent]).verdict().startswith("No forecaster with forecasts traded, or the test")
    assert page([called]).verdict() == "Margin calls: every forecaster lost its account."
    assert page([called, LOST]).verdict() == "Ruin and margin calls: every forecaster lost its account."
