"""Why an agent traded, in numbers that a report shows; ``foretrade.agents.attribution`` finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Explanation:
    """Integrated gradients of one policy's target weight over the test block, and their deletion test.

    Args:
        run: The policy.
        decisions: Observations explained.
        gap: By how much attributions fail to add up to the target at worst.
        groups: Entry of the observation to ``"forecasts"``, ``"features"`` or ``"account"``.
        sizes: Mean absolute attribution of each entry, in weight, the largest first.
        months: ``"2014-01"`` to the mean signed attribution of each group in that month.
        removed: Mean absolute change of the target when a whole group becomes its mean.
        deletion: Rows of ``size``, ``top``, ``random`` and ``random_high``: the same change for the
            entries of largest attribution, and for random sets of as many (mean, 95 % quantile).
    """

    run: str
    decisions: int
    gap: float
    groups: Mapping[str, str]
    sizes: Mapping[str, float]
    months: Mapping[str, Mapping[str, float]]
    removed: Mapping[str, float]
    deletion: Sequence[Mapping[str, float]]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @property
    def holds(self) -> bool:
        """Whether the top entries beat 95 % of random sets at most sizes tried."""
        beaten = [row["top"] > row["random_high"] for row in self.deletion]
        return 2 * sum(beaten) > len(beaten)

    def group_sizes(self) -> dict[str, float]:
        """Sum of the mean absolute attributions of a group's entries."""
        sums = dict.fromkeys(self.groups.values(), 0.0)
        for entry, size in self.sizes.items():
            sums[self.groups[entry]] += size
        return sums
