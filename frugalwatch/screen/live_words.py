"""Words of the live view: what a device is like, and where a job is heading."""

from __future__ import annotations

from frugalwatch.report.format import about, duration, grams, money, percent, significant
from frugalwatch.screen.projection import Projection, Range
from frugalwatch.screen.records import DeviceNow, RunNow
from frugalwatch.screen.words import Unit, joules, watts


def temperature_text(device: DeviceNow, degree: str = "°C") -> str:
    """`61 °C`; empty where unknown."""
    seen = device.condition
    return (
        "" if seen is None or seen.temperature_c is None else f"{seen.temperature_c:.0f} {degree}"
    )


def clock_text(device: DeviceNow) -> str:
    """`2.52 GHz`; empty where unknown."""
    seen = device.condition
    if seen is None or seen.clock_hz is None:
        return ""
    if seen.clock_hz < 1e9:
        return f"{significant(seen.clock_hz / 1e6, 3)} MHz"
    return f"{significant(seen.clock_hz / 1e9, 3)} GHz"


def share_text(share: float | None) -> str:
    """`87 %`; empty where unknown."""
    return "" if share is None else f"{share * 100:.0f} %"


def peak_text(device: DeviceNow) -> str:
    """`436 W`; `>436 W` while the beginning of a long run has not been looked through."""
    if device.peak_w is None:
        return ""
    text = watts(device.peak_w, modelled=device.is_modelled)
    return text if device.peak_known else f">{text}"


def progress_text(heading: Projection) -> str:
    """`epoch 3 of 10` while the third goes on; `1240 of 4000 steps`."""
    if heading.what == "steps":
        return f"{heading.done} of {heading.total} steps"
    under_way = min(heading.total, heading.done + 1)
    return f"{heading.what} {under_way} of {heading.total}"


def energy_at_end(heading: Projection, unit: Unit) -> str:
    """`~185 Wh (170 to 210) in all`; a model's part beside it. Empty before it can be told."""
    parts = [
        f"{about(joules(found.value, 3 if _narrow(found) else 2, unit))} ({_range(found, unit)})"
        for found in (heading.measured, heading.estimated)
        if found is not None
    ]
    return " + ".join(parts) + " in all" if parts else ""


def time_left(heading: Projection) -> str:
    """`~52 min 10 s left (48 min 02 s to 1 h 01 min)`; empty before it can be told."""
    left = heading.left_s
    if left is None:
        return ""
    low, high = duration(left.low), duration(left.high)
    return f"{about(duration(left.value))} left" + (f" ({low} to {high})" if low != high else "")


def time_left_short(heading: Projection) -> str:
    """`~52 min 10 s left`."""
    return time_left(heading).partition(" (")[0]


def carbon_and_cost_at_end(run: RunNow, heading: Projection) -> str:
    """`~70 g CO2e, ~0.06 EUR in all`: what there is so far, in proportion to the energy."""
    so_far = sum(found.value for found in (run.measured, run.estimated) if found is not None)
    at_end = sum(f.value for f in (heading.measured, heading.estimated) if f is not None)
    if so_far <= 0 or at_end <= 0:
        return ""
    parts = []
    if run.carbon["co2e_g"] is not None:
        parts.append(f"{about(grams(run.carbon['co2e_g'] * at_end / so_far))} CO2e")
    cost = run.carbon.get("cost")
    if cost:
        parts.append(about(money(cost["amount"] * at_end / so_far, cost["currency"])))
    return f"{', '.join(parts)} in all" if parts else ""


def done_text(heading: Projection) -> str:
    """`31.0 %`."""
    return percent(heading.share)


def _narrow(found: Range) -> bool:
    return found.value > 0 and (found.high - found.low) < 0.1 * found.value


def _range(found: Range, unit: Unit) -> str:
    digits = 3 if _narrow(found) else 2
    low, high = joules(found.low, digits, unit), joules(found.high, digits, unit)
    (least, low_unit), (most, high_unit) = low.rsplit(" ", 1), high.rsplit(" ", 1)
    # The figure before it has the unit already.
    return f"{least} to {most}" if low_unit == high_unit else f"{low} to {high}"
