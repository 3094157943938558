"""What finding an advice used: time, energy and carbon, compressing and training included."""

from __future__ import annotations

from typing import NamedTuple

from advisor.report.scale import BAND, Bounded
from advisor.report.words import Document, seconds
from frugalwatch.carbon.account import emission
from frugalwatch.carbon.grid import GridFactor
from frugalwatch.config.settings import Settings
from frugalwatch.report import format as show


class Spent(NamedTuple):
    """Energy and its carbon; `modelled` says that no counter measured it."""

    energy_j: Bounded
    modelled: bool
    co2e_g: Bounded | None


def spent(
    document: Document, settings: Settings | None = None, factor: GridFactor | None = None
) -> Spent | None:
    """Of all replays and of what was built for them; None without a counter and without a model.

    No carbon without `settings` and `factor`. Counters and the model's idle watts are those of the
    whole machine, so whatever else it did meanwhile is in them.
    """
    found, model = document["spent"], document.get("power_model")
    if found.get("energy_j") is not None and document["unit"] == "energy_j":
        energy, modelled = Bounded(*[found["energy_j"]] * 3), False
    elif model is not None:
        busy = [found["cpu_s"] * model["active_w"] * k for k in BAND]
        idle = found["wall_s"] * model["idle_w"]
        energy, modelled = Bounded(busy[1] + idle, busy[0] + idle, busy[2] + idle), True
    else:
        return None
    carbon = None
    if settings is not None and factor is not None:
        emitted = emission(
            energy.value,
            factor,
            pue=settings.pue,
            energy_low_j=energy.low,
            energy_high_j=energy.high,
        )
        carbon = Bounded(emitted.co2e_g, emitted.low_g, emitted.high_g)
    return Spent(energy, modelled, carbon)


def spent_in_words(
    document: Document, settings: Settings | None = None, factor: GridFactor | None = None
) -> str:
    """`312 CPU-s, ~2.1 kJ (1.1 to 4.1 kJ), ~0.29 g CO2e (0.05 to 1.1 g)`."""
    found = spent(document, settings, factor)
    parts = []
    if document["unit"] != "energy_j" or found is None:
        parts.append(seconds(document["spent"]["cpu_s"], "CPU-s"))
    if found is not None:
        about = "~" if found.modelled else ""
        parts.append(f"{about}{found.energy_j.in_words(show.energy)}")
        if found.co2e_g is not None:
            carbon, bracket, bounds = found.co2e_g.in_words(show.grams).partition(" (")
            parts.append(f"~{carbon} CO2e{bracket}{bounds}")
    return ", ".join(parts)
