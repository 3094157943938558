"""The same figures under OpenTelemetry's names: `hw.energy`, `hw.power` and attributes.

Names are those of the semantic conventions for hardware metrics (package version 0.66b2, where they
are in development): `hw.energy` (J) and `hw.power` (W) with `hw.id`, `hw.type` and `hw.name`; a
figure for the whole machine is `hw.host.energy`. What they have no name for begins with
`frugalwatch.`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from frugalwatch.metrics import names
from frugalwatch.metrics.families import Family, Sample

Attributes: TypeAlias = dict[str, str | bool]

_TYPES = {"cpu": "cpu", "gpu": "gpu", "ram": "memory"}


class Point(NamedTuple):
    """A value of one instrument."""

    value: float
    attributes: Attributes


# Instrument, unit, whether it only grows, and what it is.
INSTRUMENTS: tuple[tuple[str, str, bool, str], ...] = (
    ("hw.energy", "J", True, "Energy consumed by the component."),
    ("hw.host.energy", "J", True, "Total energy consumed by the entire physical host."),
    ("hw.power", "W", False, "Power of the component, the mean since the last export."),
    ("hw.host.power", "W", False, "Power of the entire physical host, the mean likewise."),
    ("frugalwatch.energy.low", "J", True, "Lower bound of hw.energy or hw.host.energy."),
    ("frugalwatch.energy.high", "J", True, "Upper bound of hw.energy or hw.host.energy."),
    ("frugalwatch.co2e", "g", True, "Greenhouse gases of that energy."),
    ("frugalwatch.gap", "s", True, "Time for which nobody knows a device's energy."),
    ("frugalwatch.run.energy", "J", True, "Energy of a device in a run's time."),
    ("frugalwatch.run.co2e", "g", True, "Greenhouse gases of the energy in a run's time."),
)


class Points:
    """Turns families into points; remembers the last counters, for mean power."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, str], tuple[float, float]] = {}

    def of(self, families: Sequence[Family]) -> dict[str, list[Point]]:
        """Points of each instrument, those without any left out."""
        found: dict[str, list[Point]] = {}
        by_name = {family.name: family.samples for family in families}
        about = {s.labels["device"]: s.labels for s in by_name.get(names.DEVICE_INFO, ())}
        counted = {s.labels["device"]: s.value == 1 for s in by_name.get(names.COUNTED, ())}
        looked = {_key(s): s.value for s in by_name.get(names.LAST_SAMPLE, ())}

        def add(instrument: str, sample: Sample, value: float, **more: str | bool) -> None:
            attributes = _attributes(sample.labels, about, counted)
            found.setdefault(instrument, []).append(Point(value, {**attributes, **more}))

        for sample in by_name.get(names.ENERGY, ()):
            host = "host." if sample.labels["domain"] == "system" else ""
            add(f"hw.{host}energy", sample, sample.value)
            power_w = self._power_w(sample, looked)
            if power_w is not None:
                add(f"hw.{host}power", sample, power_w)
        for name, instrument in (
            (names.ENERGY_LOW, "frugalwatch.energy.low"),
            (names.ENERGY_HIGH, "frugalwatch.energy.high"),
            (names.CO2E, "frugalwatch.co2e"),
            (names.GAPS, "frugalwatch.gap"),
        ):
            for sample in by_name.get(name, ()):
                add(instrument, sample, sample.value)
        programs = {s.labels["run_id"]: s.labels for s in by_name.get(names.RUN_INFO, ())}
        for name, instrument in (
            (names.RUN_ENERGY, "frugalwatch.run.energy"),
            (names.RUN_CO2E, "frugalwatch.run.co2e"),
        ):
            for sample in by_name.get(name, ()):
                program = programs.get(sample.labels["run_id"], {}).get("program", "")
                add(instrument, sample, sample.value, **{"frugalwatch.run.program": program})
        return found

    def _power_w(self, sample: Sample, looked: Mapping[tuple[str, str], float]) -> float | None:
        key = _key(sample)
        now_s = looked.get(key)
        if now_s is None:
            return None
        before = self._before.get(key)
        self._before[key] = now_s, sample.value
        if before is None or now_s <= before[0] or sample.value < before[1]:
            return None
        return (sample.value - before[1]) / (now_s - before[0])


def _key(sample: Sample) -> tuple[str, str]:
    return sample.labels["device"], sample.labels["origin"]


def _attributes(
    labels: Mapping[str, str], about: Mapping[str, Mapping[str, str]], counted: Mapping[str, bool]
) -> Attributes:
    found: Attributes = {}
    device = labels.get("device")
    if device is not None:
        found["hw.id"] = device
        found["hw.name"] = about.get(device, {}).get("name", "")
        found["frugalwatch.counted"] = counted.get(device, False)
        domain = labels["domain"]
        if domain in _TYPES:
            found["hw.type"] = _TYPES[domain]
    for name, attribute in (
        ("origin", "frugalwatch.origin"),
        ("boundary", "frugalwatch.boundary"),
        ("zone", "frugalwatch.carbon.zone"),
        ("kind", "frugalwatch.carbon.kind"),
        ("run_id", "frugalwatch.run.id"),
    ):
        if name in labels:
            found[attribute] = labels[name]
    return found
