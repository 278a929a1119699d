"""Why a symbol got another weight than was asked for, as flags that add up."""

from __future__ import annotations

REASONS = (
    "leverage", "band", "no_bar", "volume", "lot", "minimum_order", "costs",
    "stop_loss", "take_profit", "margin", "ruin", "delisted",
)  # fmt: skip
"""Why a symbol got another weight than was asked for; several may hold at once."""
(
    LEVERAGE, IN_BAND, NO_BAR, NO_VOLUME_LEFT, LOT, MINIMUM_ORDER, COSTS_EXCEED,
    STOPPED, TOOK_PROFIT, MARGIN_CALL, RUIN, DELISTING,
) = (float(1 << k) for k in range(len(REASONS)))  # fmt: skip


def reasons(code: float) -> tuple[str, ...]:
    """Names of the flags in a reason."""
    return tuple(name for k, name in enumerate(REASONS) if int(code) >> k & 1)
