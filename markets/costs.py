"""What a trade and a position cost."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeAlias

import numpy as np

from foretrade.markets.arrays import Floats, read_only

BPS = 1e-4

Rate: TypeAlias = float | np.ndarray
"""A constant, one value a symbol ``[symbols]``, or one a bar ``[bars, 1]`` or ``[bars, symbols]``, which
holds for the step that ends at that bar's close."""

ACCOUNT_WIDE = ("financing_bps_per_year", "interest_bps_per_year")


@dataclass(frozen=True)
class Costs:
    """Costs, each a :data:`Rate`; 1 bp is 0.01 %.

    Args:
        fee_bps: Commission on the traded notional.
        half_spread_bps: Half the bid-ask spread, paid on the traded notional.
        borrow_bps_per_year: On the market value of shorts, by elapsed calendar time (actual/365).
        financing_bps_per_year: On negative cash, likewise; the same for all symbols.
        interest_bps_per_year: Earned on positive cash, likewise (short proceeds included: with
            the borrow fee this is the customary short rebate).
        fee_per_unit: Commission per unit traded (a share), in quote currency, added to the former.
        minimum_fee: The least commission of an order, in quote currency.
        impact_bps: Price impact of an order as large as the bar's volume; an order of a fraction
            ``p`` of it pays ``impact_bps × √p`` on its notional (the square-root law; Tóth et al.
            2011, doi:10.1103/PhysRevX.1.021006). Needs ``Rules.max_participation`` of at most 1.
        quadratic: ``½ · quadratic · units²`` in quote currency per order (Gârleanu and Pedersen 2013,
            doi:10.1111/jofi.12080); counted as impact.

    Raises:
        ValueError: A cost is negative or not finite.
    """

    __pydantic_config__ = {"arbitrary_types_allowed": True}  # noqa: RUF012  pydantic's declaration

    fee_bps: Rate = 2.0
    half_spread_bps: Rate = 1.0
    borrow_bps_per_year: Rate = 50.0
    financing_bps_per_year: Rate = 150.0
    interest_bps_per_year: Rate = 0.0
    fee_per_unit: Rate = 0.0
    minimum_fee: Rate = 0.0
    impact_bps: Rate = 0.0
    quadratic: Rate = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            given = getattr(self, field.name)
            values = np.asarray(given, dtype=np.float64)
            if isinstance(given, np.ndarray):  # what its owner does to it later changes nothing
                object.__setattr__(self, field.name, read_only(values))
            bad = ~(np.isfinite(values) & (values >= 0))
            if bad.any():
                where = np.argwhere(bad)[0].tolist()
                value, at = values[tuple(where)], f"{where}" if where else ""
                raise ValueError(f"{field.name}{at} must be finite and not negative, got {value}")
        if self.trade_rate >= 1:
            raise ValueError("fee_bps + half_spread_bps must stay below 10,000 (the whole notional)")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Costs) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        values = (np.asarray(getattr(self, field.name), dtype=np.float64) for field in fields(self))
        return tuple((value.shape, value.tobytes()) for value in values)

    @property
    def trade_rate(self) -> float:
        """The largest sum of fee and half-spread, as a fraction of the traded notional."""
        return float(np.max(self.fee_bps) + np.max(self.half_spread_bps)) * BPS

    @property
    def is_proportional(self) -> bool:
        """Whether the cost of an order is proportional to its notional."""
        others = (self.minimum_fee, self.impact_bps, self.quadratic, self.fee_per_unit)
        return not any(np.any(other) for other in others)


FREE = Costs(0.0, 0.0, 0.0, 0.0, 0.0)

RATES = tuple(field.name for field in fields(Costs))


def cost_rates(costs: Costs, bars: int, symbols: int) -> Floats:
    """Every cost in fractions and quote currency, ``[bars or 1, symbols, len(RATES)]``.

    Raises:
        ValueError: An array has none of the shapes of a :data:`Rate`.
    """
    values = {name: np.asarray(getattr(costs, name), dtype=np.float64) for name in RATES}
    rows = bars if any(value.ndim == 2 for value in values.values()) else 1
    rates = np.empty((rows, symbols, len(RATES)))
    for k, (name, value) in enumerate(values.items()):
        allowed = [(), (symbols,), (bars, 1), (bars, symbols)]
        if name in ACCOUNT_WIDE:
            allowed = [(), (bars, 1)]
        if value.shape not in allowed:
            shapes = ", ".join(map(str, allowed[1:]))
            raise ValueError(f"{name} has shape {value.shape}; give a number or an array of {shapes}")
        rates[:, :, k] = value * (BPS if "_bps" in name else 1.0)
    return rates
