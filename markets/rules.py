"""What a market lets an account do: limits, order sizes, margin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Rules:
    """Limits of orders and positions; the defaults let everything through but borrowed money.

    Args:
        max_leverage: Largest sum of absolute weights at a fill; its inverse is the initial margin.
            Targets beyond it are scaled down together.
        max_net: Largest absolute sum of weights at a fill, likewise; None sets no limit.
        no_trade_band: A target this close to the current weight is not traded, unless the account is
            beyond ``max_leverage``.
        lot_size: Positions are whole multiples of it, rounded towards zero; 0 allows any size.
        minimum_order: Orders of less notional (quote currency) are not sent, unless the account is
            beyond ``max_leverage``.
        max_participation: Largest order, as a fraction of the bar's volume; None asks for no volume.
            A bar without volume then fills nothing. Forced exits (stop, margin, ruin, delisting) are
            not held up by volume.
        unfilled: What becomes of the rest of an order that volume or a missing bar cut: ``"cancel"``
            drops it; ``"carry"`` lets it work on: the next target is pursued whatever the band
            says, and a delta is added to what is left.
        maintenance_margin: Equity below this fraction of the gross position value is called: all is
            sold at cost, and the episode ends. Checked before each fill, at its prices, and at each
            close. 0 leaves only ruin (equity not positive).
        margin_check: ``"close"``, or ``"high_low"``: also inside the bar, all longs at their low and
            all shorts at their high at once.
        delist_after_bars: A symbol that had no bar this often in a row is sold at its last close, at
            cost. 0 waits for ever.
        accounting: ``"equity"`` compounds: weights are fractions of the equity of the moment.
            ``"fixed_notional"`` does not: weights are multiples of the initial equity, profit and
            loss add up, no interest or financing is due, and nobody is called or ruined (as with
            futures whose margin is always made good).

    Raises:
        ValueError: A limit is impossible.
    """

    max_leverage: float = 1.0
    max_net: float | None = None
    no_trade_band: float = 0.0
    lot_size: float = 0.0
    minimum_order: float = 0.0
    max_participation: float | None = None
    unfilled: Literal["cancel", "carry"] = "cancel"
    maintenance_margin: float = 0.0
    margin_check: Literal["close", "high_low"] = "close"
    delist_after_bars: int = 21
    accounting: Literal["equity", "fixed_notional"] = "equity"

    def __post_init__(self) -> None:
        for name in ("max_leverage", "max_net", "max_participation"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value}")
        for name in ("no_trade_band", "lot_size", "minimum_order", "delist_after_bars"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name} must be finite and not negative, got {getattr(self, name)}")
        if int(self.delist_after_bars) != self.delist_after_bars:
            raise ValueError(f"delist_after_bars must be a whole number, got {self.delist_after_bars}")
        if self.accounting == "fixed_notional" and (
            self.maintenance_margin or self.margin_check != "close"
        ):
            raise ValueError(
                "fixed_notional calls nobody; leave maintenance_margin and margin_check out"
            )
        if not 0 <= self.maintenance_margin < 1 / self.max_leverage:
            raise ValueError(
                f"maintenance_margin = {self.maintenance_margin} must be at least 0, and below the "
                f"initial margin, 1 / max_leverage = {1 / self.max_leverage:.4g}"
            )
        choices = {
            "unfilled": ("cancel", "carry"),
            "margin_check": ("close", "high_low"),
            "accounting": ("equity", "fixed_notional"),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} = {getattr(self, name)!r} must be one of {known}")
