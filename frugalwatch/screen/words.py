"""Figures as the screen and `top --plain` write them: with unit, bounds, and the mark of a model.

Everything is built on `frugalwatch.report.format`, so that a figure reads the same everywhere.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal, TypeAlias

from frugalwatch.ledger.queries import RunRow
from frugalwatch.report.attribution import Energy
from frugalwatch.report.format import (
    about,
    digits_for,
    duration,
    energy,
    energy_range,
    grams,
    grams_range,
    money,
    percent,
    significant,
)
from frugalwatch.screen.records import DeviceNow, Document, RunNow

# Wh picks kWh and mWh by size, as every other command does.
Unit: TypeAlias = Literal["Wh", "J", "kWh"]
UNITS: tuple[Unit, ...] = ("Wh", "J", "kWh")

LETTERS = {"gpu": "G", "cpu": "C", "ram": "R", "system": "S", "other": "O"}
_JOULES = ((1e9, "GJ"), (1e6, "MJ"), (1e3, "kJ"), (1.0, "J"), (1e-3, "mJ"))


def watts(value: float | None, *, modelled: bool = False) -> str:
    """`241 W`, `~43 W` from a model, `-` for unknown."""
    if value is None:
        return "-"
    if value >= 10_000:
        text = f"{significant(value / 1000, 3)} kW"
    elif 0 < value < 0.1:
        text = f"{significant(value * 1000, 2)} mW"
    else:
        text = f"{significant(value, 2 if modelled else 3)} W"
    return about(text) if modelled else text


def joules(value_j: float, digits: int, unit: Unit) -> str:
    """An energy in the unit that was chosen."""
    if unit == "Wh":
        return energy(value_j, digits)
    if unit == "kWh":
        return f"{_thousands(value_j / 3.6e6, digits)} kWh"
    scale, name = next((u for u in _JOULES if value_j >= u[0]), _JOULES[3 if not value_j else -1])
    return f"{significant(value_j / scale, digits)} {name}"


def mass(value_g: float, unit: Unit) -> str:
    """Carbon by size in mg, g or kg; in kg where energy is shown in kWh."""
    return f"{_thousands(value_g / 1000, 2)} kg" if unit == "kWh" else grams(value_g)


def _thousands(value: float, digits: int) -> str:
    """A figure in a large unit that a person chose: where it is small, to a thousandth."""
    if value == 0 or value >= 0.01:
        return significant(value, digits)
    return f"{value:.3f}" if value >= 0.0005 else "<0.001"


def energy_text(found: Energy | None, unit: Unit, *, modelled: bool = False) -> str:
    """An energy with the digits that its bounds support; `-` for unknown."""
    if found is None:
        return "-"
    digits = 2 if modelled else digits_for(found.value, found.low, found.high)
    text = joules(found.value, digits, unit)
    return about(text) if modelled else text


def bounds_text(found: Energy, unit: Unit) -> str:
    """`56.1 to 60.3 Wh`; empty where the bounds are the figure itself."""
    digits = digits_for(found.value, found.low, found.high)
    if unit == "Wh":
        text = energy_range(found.low, found.high, digits, beside_j=found.value)
        least, _, most = text.rpartition(" ")[0].partition(" to ")
        return "" if least == most else text
    low, high = joules(found.low, digits, unit), joules(found.high, digits, unit)
    return "" if low == high else f"{low} to {high}"


def power_now(run: RunNow) -> str:
    """Measured power, and modelled power beside it: `343 W + ~44 W`; `-` for unknown."""
    parts = [
        watts(value, modelled=modelled)
        for modelled in (False, True)
        if (value := run.power_w(modelled=modelled)) is not None
    ]
    return " + ".join(parts) if parts else "-"


def energy_so_far(run: RunNow, unit: Unit, *, bounds: bool = True) -> str:
    """`58.2 Wh (56.1 to 60.3 Wh) + ~7.1 Wh`: what was measured, and what a model adds beside it."""
    parts = []
    for found, modelled in ((run.measured, False), (run.estimated, True)):
        if found is None:
            continue
        text = energy_text(found, unit, modelled=modelled)
        around = bounds_text(found, unit) if bounds else ""
        parts.append(f"{text} ({around})" if around else text)
    return " + ".join(parts) if parts else "energy unknown"


def carbon_text(run: RunNow, unit: Unit = "Wh") -> str:
    """`22 g CO2e`, with a `~` where any of its energy is modelled; `CO2e unknown`."""
    value = run.carbon["co2e_g"]
    if value is None:
        return "CO2e unknown"
    text = f"{mass(value, unit)} CO2e"
    return text if run.estimated is None else about(text)


def carbon_bounds(run: RunNow, unit: Unit = "Wh") -> str:
    """`0.10 to 14 mg`; empty where none are known."""
    low, high = run.carbon.get("co2e_low_g"), run.carbon.get("co2e_high_g")
    value = run.carbon["co2e_g"]
    if value is None or low is None or high is None or low == high:
        return ""
    if unit == "kWh":
        return f"{_thousands(low / 1000, 2)} to {mass(high, unit)}"
    return grams_range(low, high, beside_g=value)


def cost_text(run: RunNow) -> str:
    """`0.02 EUR`; empty without a price."""
    cost = run.carbon.get("cost")
    if not cost:
        return ""
    text = money(cost["amount"], cost["currency"])
    return text if run.estimated is None else about(text)


def cost_bounds(run: RunNow) -> str:
    """`0.015 to 0.031 EUR`; empty without a price."""
    cost = run.carbon.get("cost")
    if not cost or cost.get("low") is None or cost.get("high") is None:
        return ""
    low, high = (money(cost[key], cost["currency"]) for key in ("low", "high"))
    return "" if low == high else f"{low.rpartition(' ')[0]} to {high}"


def grid_text(run: RunNow) -> str:
    """`381 g/kWh, DE 2024 average`, and that nobody chose it where that is so."""
    grid = run.carbon.get("carbon")
    if not grid:
        return "grid unknown"
    when = "live" if grid["live"] else str(grid["year"])
    zone = "world" if grid["zone"] == "WORLD" else grid["zone"]
    kind = str(grid["kind"]).split("-", maxsplit=1)[0]
    assumed = ", assumed" if grid["assumed"] else ""
    return f"{significant(grid['g_per_kwh'], 3)} g/kWh, {zone} {when} {kind}{assumed}"


def steps_text(steps: Document | None) -> str:
    """`1.53 steps/s, 210 J each`; empty where the job reported none."""
    if not steps:
        return ""
    parts = []
    if steps["steps_per_s"]:
        parts.append(f"{significant(steps['steps_per_s'], 3)} steps/s")
    else:
        parts.append(f"{steps['steps']} steps")
    for key, mark in (("energy_per_step_j", ""), ("estimated_per_step_j", "~")):
        if steps[key] is not None:
            parts.append(f"{mark}{significant(steps[key], 2)} J each")
            break
    return ", ".join(parts)


def coverage_text(run: RunNow) -> str:
    """`98.7 % covered`; empty where that is unknown."""
    return "" if run.coverage is None else f"{percent(run.coverage)} covered"


def state_text(row: RunRow) -> str:
    """`running`, `done`, `exit 1`, `signal 9`, `recovered`."""
    if row.state == "killed":
        return "killed" if row.exit_code is None else f"signal {row.exit_code - 128}"
    return f"exit {row.exit_code}" if row.state == "done" and row.exit_code else row.state


def run_state(run: RunNow) -> str:
    """The state of the chosen run; for one of which nothing is heard, since when."""
    if run.is_silent and run.age_s is not None:
        return f"no news for {duration(run.age_s)}"
    return state_text(run.row)


def row_energy(row: RunRow, unit: Unit) -> str:
    """A run's energy in a list: `+` where modelled devices stand beside it, `~` if all is."""
    if row.energy_j is not None:
        low = row.energy_j if row.energy_low_j is None else row.energy_low_j
        high = row.energy_j if row.energy_high_j is None else row.energy_high_j
        text = joules(row.energy_j, digits_for(row.energy_j, low, high), unit)
        return text if row.estimated_j is None else f"{text}+"
    return "-" if row.estimated_j is None else about(joules(row.estimated_j, 2, unit))


def row_carbon(row: RunRow, unit: Unit = "Wh") -> str:
    """A run's carbon in a list."""
    if row.co2e_g is None:
        return "-"
    text = mass(row.co2e_g, unit)
    return text if row.estimated_j is None else about(text)


def origin_text(device: DeviceNow) -> str:
    """How a device's figure is known, in a word; `~` marks a model."""
    words = {"derived": "from power", "estimated": "modelled ~"}
    return words.get(device.origin, device.origin)


def started_text(row: RunRow, now_utc_s: float | None = None) -> str:
    """When a run began, in local time: `11-22 05:10` in this year, else the date."""
    then = time.localtime(row.started_utc_s)
    same_year = then.tm_year == time.localtime(now_utc_s).tm_year
    return time.strftime("%m-%d %H:%M" if same_year else "%Y-%m-%d", then)


def ordered(devices: Sequence[DeviceNow]) -> list[DeviceNow]:
    """Devices as they are listed and stacked: GPUs first, and what is not in the sum last."""
    rank = {domain: place for place, domain in enumerate(LETTERS)}
    return sorted(devices, key=lambda d: (not d.counted, rank.get(d.domain, 9)))


def fitting(parts: Sequence[str], width: int, gap: str = "   ") -> str:
    """As many of the parts, the most important first, as fit whole into `width`."""
    line = ""
    for part in parts:
        if part and len(line) + len(gap) * bool(line) + len(part) <= width:
            line += (gap if line else "") + part
    return line
