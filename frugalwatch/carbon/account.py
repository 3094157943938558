"""From joules to gram CO2e and to money, bounds included.

Bounds are the corners: least energy on the cleanest grid to most energy on the dirtiest. A bound
that nobody gave counts as no spread, so the interval is as wide as what is known to be unsure.

The records are named tuples: making a data class costs 1 ms at the end of each run, these 0.3 ms.
"""

from __future__ import annotations

from typing import NamedTuple

from frugalwatch.carbon.grid import GridFactor
from frugalwatch.config.settings import Settings

J_PER_KWH = 3.6e6


class Emission(NamedTuple):
    """Gram CO2e with its bounds. Where neither energy nor factor has bounds all three are equal."""

    co2e_g: float
    low_g: float
    high_g: float


class Cost(NamedTuple):
    """Money with its bounds, in `currency`, at `price_per_kwh`."""

    amount: float
    low: float
    high: float
    currency: str
    price_per_kwh: float


def emission(
    energy_j: float,
    factor: GridFactor,
    *,
    pue: float = 1.0,
    energy_low_j: float | None = None,
    energy_high_j: float | None = None,
) -> Emission:
    """Gram CO2e of this energy: joules / 3.6e6 x PUE x gram per kWh."""
    low_j = energy_j if energy_low_j is None else energy_low_j
    high_j = energy_j if energy_high_j is None else energy_high_j
    low = factor.g_per_kwh if factor.low_g_per_kwh is None else factor.low_g_per_kwh
    high = factor.g_per_kwh if factor.high_g_per_kwh is None else factor.high_g_per_kwh
    facility_kwh_per_j = pue / J_PER_KWH
    return Emission(
        co2e_g=energy_j * facility_kwh_per_j * factor.g_per_kwh,
        low_g=low_j * facility_kwh_per_j * low,
        high_g=high_j * facility_kwh_per_j * high,
    )


def cost(
    energy_j: float,
    settings: Settings,
    *,
    energy_low_j: float | None = None,
    energy_high_j: float | None = None,
) -> Cost | None:
    """What this energy costs at the configured price, or None if no price is set.

    PUE applies as it does to carbon: whoever sets one counts the building's energy too.
    """
    if settings.price_per_kwh is None:
        return None
    per_j = settings.price_per_kwh * settings.pue / J_PER_KWH
    return Cost(
        amount=energy_j * per_j,
        low=(energy_j if energy_low_j is None else energy_low_j) * per_j,
        high=(energy_j if energy_high_j is None else energy_high_j) * per_j,
        currency=settings.currency,
        price_per_kwh=settings.price_per_kwh,
    )
