"""What came out of a tuning, for people: the best settings, the others, and how much of it is luck."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foretrade.backtests.cells import markdown
from foretrade.backtests.deflation import expected_best_sharpe
from foretrade.backtests.selection import Lead, lead_of_the_best
from foretrade.config import Experiment, changed
from foretrade.storage import atomic_path, write_text
from foretrade.toml_writer import toml_lines, toml_value
from foretrade.tuning_trials import Outcome, in_words, with_settings

SHOWN = 20  # trials in the table; all are in the CSV file
LEVEL = 0.05


@dataclass(frozen=True)
class TuningPage:
    """Everything that the page shows.

    Args:
        config: The experiment that was tuned.
        outcomes: Of the trials, in order.
        bars: Returns in the validation block.
        importances: Share of each setting in what parts the better trials from the others.
    """

    config: Experiment
    outcomes: Sequence[Outcome]
    bars: int
    importances: Mapping[str, float]

    @cached_property
    def ranked(self) -> list[tuple[int, Outcome]]:
        """Numbers (from 1) and outcomes of the trials that have a score, the best first.

        What a search has suggested again is there once.
        """
        scored = {str(one.settings): (number, one) for number, one in self._scored[::-1]}
        return sorted(scored.values(), key=lambda item: (-(item[1].score or 0.0), item[0]))

    @property
    def _scored(self) -> list[tuple[int, Outcome]]:
        return [item for item in enumerate(self.outcomes, 1) if item[1].score is not None]

    @property
    def best(self) -> Outcome | None:
        """The trial of the highest score, the first of equals."""
        return self.ranked[0][1] if self.ranked else None

    @cached_property
    def lead(self) -> Lead:
        """Of the best over the median trial."""
        scores = np.array([one.scores for _, one in self.ranked])
        return lead_of_the_best(scores, seed=self.config.seed)

    def verdict(self) -> list[str]:
        """In words: which is the best, and what of its lead may be luck."""
        number, best = self.ranked[0]
        return [
            f"Best of {len(self.ranked)} trials: number {number}, {in_words(best.settings)}. Its net "
            f"Sharpe ratio a bar on the validation block is {self.lead.score:.4f}, "
            f"{self.lead.score - self.lead.median:.4f} above the median trial.",
            self._luck_of_seeds(),
            self._luck_of_bars(),
        ]

    def _luck_of_seeds(self) -> str:
        lead = self.lead
        if math.isnan(lead.p_value):
            return "How much of it is the luck of the seeds takes two trials and two seeds each to tell."
        told = (
            "so settings matter here"
            if lead.p_value <= LEVEL
            else "so the trials are not told apart: there is no reason to prefer the best"
        )
        return (
            f"Were all trials equally good, the luck of their seeds (std {lead.seed_std:.4f}) would let "
            f"the best lead by {lead.by_luck:.4f}, and by as much as this with a chance of "
            f"{lead.p_value:.2g}, {told}."
        )

    def _luck_of_bars(self) -> str:
        looks = sum(one.checkpoints for _, one in self.ranked)
        luck = expected_best_sharpe(looks, 1 / self.bars)
        side = "above" if self.lead.score > luck else "not above"
        return (
            f"{looks} checkpoints were looked at. The best of as many without any skill, and unlike "
            f"each other, would show {luck:.4f} on {self.bars} bars; the best trial is {side} it. All "
            "are in the ledger of trials, and deflate what later reports on these prices show."
        )

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows of the best trials as text."""
        keys = self.config.tune.keys
        header = ["Trial", *keys, "Sharpe a bar", "Seeds", "Log growth"]
        rows = [
            [
                str(number),
                *(_cell(one.settings[key]) for key in keys),
                f"{one.score:.4f}",
                f"{min(one.scores):.4f} to {max(one.scores):.4f}",
                f"{float(np.median(one.log_growth)):+.4f}",
            ]
            for number, one in self.ranked[:SHOWN]
        ]
        return header, rows

    def markdown(self) -> str:
        """The page."""
        header, rows = self.table()
        lines = [f"# Tuning of {self.config.name}", ""]
        lines += [line for text in self.verdict() for line in (text, "")]
        lines.append(markdown(header, rows))
        space = self.config.tune
        seeds = range(self.config.seed, self.config.seed + space.seeds)
        lines.append(
            f"Score: median over the seeds {seeds.start} to {seeds.stop - 1} of the net Sharpe ratio a "
            "bar on the validation block, of the checkpoint that each training chose. The test block "
            "was not played."
        )
        left_out = {
            "lower ones": len(self.ranked) - len(rows),
            "that were suggested again": len(self._scored) - len(self.ranked),
            "that could not be tried": len(self.outcomes) - len(self._scored),
        }
        if any(left_out.values()):
            told = ", ".join(f"{count} {which}" for which, count in left_out.items() if count)
            lines.append(f"Not in the table: {told}.")
        if self.importances:
            shares = ", ".join(f"{key} {share:.0%}" for key, share in self.importances.items())
            sure = "" if self.lead.p_value <= LEVEL else " This may be luck, too."
            lines += ["", f"What parts the better trials from the others (PED-ANOVA): {shares}.{sure}"]
        return "\n".join(lines) + "\n"

    def frame(self) -> pd.DataFrame:
        """All trials in order, one row each; settings as TOML."""
        seeds = range(self.config.seed, self.config.seed + self.config.tune.seeds)
        nothing = (math.nan,) * len(seeds)
        rows = [
            {"trial": number}
            | {key: toml_value(value) for key, value in one.settings.items()}
            | {
                "score": one.score,
                "lowest": min(one.scores, default=None),
                "highest": max(one.scores, default=None),
            }
            | {f"seed {s}": value for s, value in zip(seeds, one.scores or nothing, strict=True)}
            | {
                "log_growth": float(np.median(one.log_growth)) if one.scores else None,
                "checkpoints": one.checkpoints,
                "reason": one.reason,
            }
            for number, one in enumerate(self.outcomes, 1)
        ]
        return pd.DataFrame(rows)

    def write(self, folder: Path) -> list[Path]:
        """``trials.csv``, ``best.toml`` (all settings that are not the default) and ``tune.md``."""
        table, best, page = (folder / name for name in ("trials.csv", "best.toml", "tune.md"))
        with atomic_path(table) as path:
            self.frame().to_csv(path, index=False)
        write_text(best, toml_lines(changed(with_settings(self.config, self.ranked[0][1].settings))))
        write_text(page, self.markdown())
        return [table, best, page]


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else toml_value(value)
