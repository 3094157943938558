"""What a change saves in one request, and in a year: energy, carbon, money, and when it pays back.

Without an energy counter joules come from the model of this machine, so they are marked, and their
bounds span half to twice its active power; a change that claims CPU time only gets none at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from advisor.report.words import Document, work_of
from frugalwatch.carbon.account import Cost, Emission, cost, emission
from frugalwatch.carbon.grid import GridFactor
from frugalwatch.config.settings import Settings
from frugalwatch.report import format as show

_DAYS = 365
BAND = (0.5, 1.0, 2.0)  # of the model's active watts, as in advisor.ranking
J_PER_KWH = 3.6e6


class Scale(NamedTuple):
    """How often the program's work is done, and where: for figures of a year."""

    requests_per_day: float | None = None
    settings: Settings | None = None
    factor: GridFactor | None = None


@dataclass(frozen=True, slots=True)
class Bounded:
    """A figure with its ends."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Bounded:
        return Bounded(self.value * factor, self.low * factor, self.high * factor)

    def as_json(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}

    def in_words(self, show_one: Callable[[float, int], str]) -> str:
        """`1.2 ms (1.0 ms to 1.4 ms)`, with the digits that the ends support."""
        digits = show.digits_for(self.value, self.low, self.high)
        value, low, high = (show_one(v, digits) for v in (self.value, self.low, self.high))
        if math.isclose(self.low, self.high):
            return value
        return f"{value} ({low} to {high})"


@dataclass(frozen=True, slots=True)
class Saving:
    """What one `unit` (a call, a step; a run where none is counted) saves, and a year of them.

    `cost` is in the advice's own unit. `energy_j` is None where nothing may be said of energy;
    `modelled` says that no counter measured it. The yearly figures are None without a rate.
    """

    unit: str
    cost: Bounded
    energy_j: Bounded | None
    modelled: bool
    ratio: Document
    requests_per_day: float | None = None
    year_cost: Bounded | None = None
    year_energy_j: Bounded | None = None
    year_co2e: Emission | None = None
    year_money: Cost | None = None
    pay_back_requests: int | None = None

    @property
    def pay_back_days(self) -> float | None:
        """Days until finding the change is earned back, at the rate that was given."""
        if self.pay_back_requests is None or not self.requests_per_day:
            return None
        return self.pay_back_requests / self.requests_per_day

    def as_json(self) -> dict[str, object]:
        """For `advice --json --requests-per-day N`. Joules in kWh, CO2e in kg."""
        carbon, money = self.year_co2e, self.year_money
        year: dict[str, object] | None = None
        if self.year_cost is not None:
            energy = self.year_energy_j
            year = {
                "requests_per_day": self.requests_per_day,
                "saved": self.year_cost.as_json(),
                "energy_kwh": None if energy is None else energy.times(1 / J_PER_KWH).as_json(),
                "co2e_kg": None
                if carbon is None
                else Bounded(carbon.co2e_g, carbon.low_g, carbon.high_g).times(1e-3).as_json(),
                "money": None
                if money is None
                else {
                    **Bounded(money.amount, money.low, money.high).as_json(),
                    "currency": money.currency,
                },
            }
        return {
            "per": self.unit,
            "saved": self.cost.as_json(),
            "energy_j": None if self.energy_j is None else self.energy_j.as_json(),
            "energy_origin": "estimated" if self.modelled else "measured",
            "pay_back_requests": self.pay_back_requests,
            "pay_back_days": self.pay_back_days,
            "per_year": year,
        }


def saving(row: Document, document: Document, scale: Scale) -> Saving | None:
    """Of one recommendation; None where too little is known."""
    requests_per_day, settings, factor = scale
    base = (document.get("baselines") or [None])[0]
    if base is None:
        return None
    unit, each, ratio = _of_one(row, document, base)
    if each is None or ratio is None:
        return None
    saved = _left(each, ratio)
    energy_j, modelled = _joules(saved, row, document, base, unit)
    spent = document["spent"]["energy_j" if document["unit"] == "energy_j" else "cpu_s"]
    pay_back = math.ceil(spent / saved.low) if spent is not None and saved.low > 0 else None
    found = Saving(unit, saved, energy_j, modelled, ratio, pay_back_requests=pay_back)
    if requests_per_day is None:
        return found
    a_year = requests_per_day * _DAYS
    year_j = None if energy_j is None else energy_j.times(a_year)
    carbon: Emission | None = None
    money: Cost | None = None
    if year_j is not None and settings is not None:
        bounds: Any = {"energy_low_j": year_j.low, "energy_high_j": year_j.high}
        money = cost(year_j.value, settings, **bounds)
        if factor is not None:
            carbon = emission(year_j.value, factor, pue=settings.pue, **bounds)
    return Saving(
        unit,
        saved,
        energy_j,
        modelled,
        ratio,
        requests_per_day=requests_per_day,
        year_cost=saved.times(a_year),
        year_energy_j=year_j,
        year_co2e=carbon,
        year_money=money,
        pay_back_requests=pay_back,
    )


def _of_one(
    row: Document, document: Document, base: Document
) -> tuple[str, float | None, Document | None]:
    """What a request is, what it costs as written, and the ratio of it."""
    key = document["unit"]
    work, per_unit = work_of(document), row.get("per_unit") or {}
    if work and per_unit.get("ratio") and base.get(f"unit_{key}") is not None:
        return work["unit"], base[f"unit_{key}"], per_unit["ratio"]
    return "run", base.get(key), row.get("ratio")


def _left(value: float, ratio: Document) -> Bounded:
    return Bounded(
        value * (1 - ratio["value"]), value * (1 - ratio["high"]), value * (1 - ratio["low"])
    )


def _joules(
    saved: Bounded, row: Document, document: Document, base: Document, unit: str
) -> tuple[Bounded | None, bool]:
    """Joules of one request, counted, else modelled where that may be asked; and which of both."""
    if document["unit"] == "energy_j":
        return saved, False
    model, wall_ratio = document.get("power_model"), row.get("wall_ratio")
    wall_s = base.get("wall_s" if unit == "run" else "unit_wall_s")
    if not row.get("saves_energy") or model is None or wall_ratio is None or wall_s is None:
        return None, True
    waiting = _left(wall_s, wall_ratio).times(model["idle_w"])
    busy = [saved.times(factor * model["active_w"]) for factor in BAND]
    return Bounded(
        busy[1].value + waiting.value,
        min(each.low for each in busy) + waiting.low,
        max(each.high for each in busy) + waiting.high,
    ), True
