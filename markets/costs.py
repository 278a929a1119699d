"""What a trade and a position cost."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

BPS = 1e-4


@dataclass(frozen=True)
class Costs:
    """Costs in basis points; 1 bp is 0.01 %.

    Args:
        fee_bps: Commission on the traded notional.
        half_spread_bps: Half the bid-ask spread, paid on the traded notional.
        borrow_bps_per_year: On the market value of shorts, by elapsed calendar time (actual/365).
        financing_bps_per_year: On negative cash, likewise.
        interest_bps_per_year: Earned on positive cash, likewise (short proceeds included: with
            the borrow fee this is the customary short rebate).

    Raises:
        ValueError: A cost is negative or not finite.
    """

    fee_bps: float = 2.0
    half_spread_bps: float = 1.0
    borrow_bps_per_year: float = 50.0
    financing_bps_per_year: float = 150.0
    interest_bps_per_year: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(f"{field.name} must be finite and not negative, got {value}")
        if self.fee_bps + self.half_spread_bps >= 1e4:
            raise ValueError("fee_bps + half_spread_bps must stay below 10,000 (the whole notional)")

    @property
    def trade_rate(self) -> float:
        """Fee and half-spread as a fraction of the traded notional."""
        return (self.fee_bps + self.half_spread_bps) * BPS


FREE = Costs(0.0, 0.0, 0.0, 0.0, 0.0)
