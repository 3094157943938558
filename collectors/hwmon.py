"""Energy counters and power sensors that drivers show under /sys/class/hwmon.

Only chips whose place in the machine is known are read: a figure is worth nothing if nobody can say
what it contains, and adding up two that overlap is worse. Unknown chips are named in the probe.

Unverified on hardware: this reader ran on simulated trees only. Names and units follow the Linux
documentation (`Documentation/hwmon/sysfs-interface.rst` and the drivers' own pages).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from collectors.base import Boundary, Condition, Device, Domain, Observation, Probe
from collectors.channel import CounterChannel, PowerChannel
from collectors.counter import Unwrapper
from collectors.host import Host
from collectors.integrate import DEFAULT_MAX_GAP_S, PowerIntegrator
from collectors.sysfs import SensorFile, list_names, read_int, read_text

_PLAUSIBLE_W = 10_000.0
_RAIL_CHIPS = ("ina3221", "ina2xx", "ina219", "ina220", "ina226", "ina230", "ina231", "ina260")
_RAIL_INPUTS = ("VDD_IN", "POM_5V_IN")  # the rail that feeds all others of a Jetson module
_EVERYTHING: tuple[Domain, ...] = ("cpu", "gpu", "ram", "other")


class _Place(NamedTuple):
    """Where a chip's figures belong."""

    domain: Domain
    boundary: Boundary
    encloses: tuple[Domain, ...] = ()
    note: str = ""


# amdgpu is read by the collector for AMD GPUs, batteries by theirs.
_PLACES = {
    "amd_energy": _Place("cpu", "die", note="the same counter as RAPL's package"),
    "fam15h_power": _Place("cpu", "die"),
    "zenpower": _Place("cpu", "die"),
    "i915": _Place("gpu", "board"),
    "xe": _Place("gpu", "board"),
    "nouveau": _Place("gpu", "board"),
    "power_meter": _Place("system", "server_ac", _EVERYTHING, "the firmware's power meter (ACPI)"),
    "macsmc_hwmon": _Place("system", "board", _EVERYTHING),
}


class _Found(NamedTuple):
    """A sensor in a chip's folder: the kind of figure, its number, its label."""

    kind: str  # energy, power or rail (volts times amperes)
    number: int
    label: str
    folder: str


class HwmonCollector:
    """Reads the energy and power channels of known hwmon chips."""

    name = "hwmon"
    isolate = False

    def __init__(self, host: Host) -> None:
        self._host = host
        self._channels: dict[str, CounterChannel | PowerChannel] = {}
        self._gpu_chips: dict[str, str] = {}  # by key, the folder

    def probe(self) -> Probe:
        """Find the channels. Those known from an earlier call keep their figure."""
        unknown: list[str] = []
        problems: list[str] = []
        for chip, suffix, folder in _chips(self._host.sys("class", "hwmon")):
            found = list(_sensors(folder, chip))
            if not found:
                continue
            if chip not in _PLACES and chip not in _RAIL_CHIPS:
                unknown.append(chip)
                continue
            prefix = f"hwmon:{chip}{suffix}"
            for device, sensor in _devices(chip, prefix, found):
                if device.key in self._channels:
                    continue
                try:
                    self._channels[device.key] = self._open(device, sensor)
                except OSError as error:
                    problems.append(f"{device.key}: {error.strerror}")
                    continue
                if device.domain == "gpu" and chip not in _RAIL_CHIPS:
                    self._gpu_chips[device.key] = folder
        return self._answer(problems, unknown)

    def read(self) -> Sequence[Observation]:
        """One look at every channel, each stamped right before its own read."""
        found: list[Observation] = []
        for channel in self._channels.values():
            found += channel.observe(self._host.clock_ns)
        return found

    def conditions(self) -> list[Condition]:
        """Temperature and fan of the GPUs."""
        from collectors.conditions import chip_condition

        t_ns = self._host.clock_ns()
        seen = (chip_condition(key, t_ns, chip) for key, chip in self._gpu_chips.items())
        return [one for one in seen if one is not None]

    def close(self) -> None:
        """Close every file."""
        for channel in self._channels.values():
            channel.close()

    def _open(self, device: Device, sensor: _Found) -> CounterChannel | PowerChannel:
        t_ns = self._host.clock_ns()
        if sensor.kind == "energy":
            file = SensorFile(f"{sensor.folder}/energy{sensor.number}_input")
            counter = Unwrapper(None, _PLAUSIBLE_W)  # drivers extend the hardware's 32 bits to 64
            counter.update(t_ns, file.read())
            return CounterChannel(device, file, counter)
        read_w, window_s, files = _power_reader(sensor)
        integrator = PowerIntegrator(window_s=window_s)
        integrator.update(t_ns, read_w())

        def close() -> None:
            for file in files:
                file.close()

        return PowerChannel(device, read_w, integrator, close)

    def _answer(self, problems: list[str], unknown: list[str]) -> Probe:
        devices = tuple(channel.device for channel in self._channels.values())
        reasons = list(problems)
        if unknown:
            reasons.append(f"not used, place in the machine unknown: {', '.join(unknown)}")
        if not devices and not reasons:
            reasons.append("no hwmon chip here has an energy or power channel")
        remedy = ""
        if problems:
            remedy = "ls -l /sys/class/hwmon/hwmon*/ shows who may read"
        elif not devices:
            remedy = "sudo modprobe the board's sensor driver (ina3221 on Jetson boards), if any"
        return Probe("hwmon", devices, "; ".join(reasons), remedy, verified=False)


def _chips(root: str) -> Iterator[tuple[str, str, str]]:
    """(name, suffix, folder) of each chip; the suffix tells chips of one name apart, for good."""
    folders = [f"{root}/{entry}" for entry in list_names(root)]
    names = {folder: read_text(f"{folder}/name") or "" for folder in folders}
    for folder, name in names.items():
        device = os.path.realpath(f"{folder}/device")
        if not name or name == "amdgpu" or "/power_supply/" in f"{device}/":
            continue
        twins = sum(1 for other in names.values() if other == name)
        # hwmonN changes from boot to boot; the bus address of the device does not.
        place = os.path.basename(device if os.path.isdir(device) else folder)
        yield name, f"@{place}" if twins > 1 else "", folder


def _sensors(folder: str, chip: str) -> Iterator[_Found]:
    """The chip's energy channels; its power channels where it has none; rails of known chips."""
    entries = set(list_names(folder))
    energy = sorted(_numbers(entries, "energy", "_input"))
    power = sorted(_numbers(entries, "power", "_input") | _numbers(entries, "power", "_average"))
    if energy:
        kind, numbers = "energy", energy
    elif power:
        kind, numbers = "power", power
    elif chip in _RAIL_CHIPS:
        rails = _numbers(entries, "in", "_input") & _numbers(entries, "curr", "_input")
        kind, numbers = "rail", sorted(rails)
    else:
        return
    stem = "in" if kind == "rail" else kind
    for number in numbers:
        label = read_text(f"{folder}/{stem}{number}_label") or f"{stem}{number}"
        yield _Found(kind, number, label, folder)


def _numbers(entries: set[str], stem: str, tail: str) -> set[int]:
    middles = (
        e[len(stem) : -len(tail)] for e in entries if e.startswith(stem) and e.endswith(tail)
    )
    return {int(middle) for middle in middles if middle.isdigit()}


def _devices(chip: str, prefix: str, found: list[_Found]) -> Iterator[tuple[Device, _Found]]:
    """A device for each sensor, with what contains it."""
    sockets = any(sensor.label.startswith("Esocket") for sensor in found)
    inputs = [sensor.label for sensor in found if sensor.label in _RAIL_INPUTS]
    card = any(sensor.label == "card" for sensor in found)
    for sensor in found:
        label, part_of = sensor.label, None
        if chip == "amd_energy" and sockets and label.startswith("Ecore"):
            continue  # up to 128 files that the socket's figure already contains
        if chip in _RAIL_CHIPS:
            place = _rail(label)
            if inputs and label not in _RAIL_INPUTS:
                part_of = f"{prefix}:{inputs[0]}"
        else:
            place = _PLACES[chip]
            if card and label == "pkg":  # xe shows the card and the chip on it
                part_of = f"{prefix}:card"
        yield (
            Device(
                key=f"{prefix}:{label}",
                domain=place.domain,
                name=f"{chip} {label}",
                origin="measured" if sensor.kind == "energy" else "derived",
                boundary=place.boundary,
                source="hwmon",
                part_of=part_of,
                encloses=place.encloses,
                max_poll_s=None if sensor.kind == "energy" else DEFAULT_MAX_GAP_S,
                note="; ".join(filter(None, (place.note, "unverified on hardware"))),
            ),
            sensor,
        )


def _rail(label: str) -> _Place:
    """A supply rail by its name, as NVIDIA's Jetson boards label them."""
    if label in _RAIL_INPUTS:
        return _Place("system", "board", _EVERYTHING)
    names = label.upper().split("_")
    if "CPU" in names and "GPU" in names:
        return _Place("other", "board", note="CPU and GPU on one rail")
    if "GPU" in names:
        return _Place("gpu", "board")
    if "CPU" in names:
        return _Place("cpu", "board")
    if any(name.startswith(("DDR", "VDDQ")) for name in names):
        return _Place("ram", "board")
    return _Place("other", "board")


def _power_reader(sensor: _Found) -> tuple[Callable[[], float], float, list[SensorFile]]:
    """How to read a sensor's watts, the length of its average in seconds, and the files it uses."""
    number, folder = sensor.number, sensor.folder
    if sensor.kind == "rail":
        volts = SensorFile(f"{folder}/in{number}_input")
        amperes = SensorFile(f"{folder}/curr{number}_input")
        return lambda: volts.read() * amperes.read() / 1e6, 0.0, [volts, amperes]
    path, window_s = f"{folder}/power{number}_input", 0.0
    if not os.path.exists(path):
        path = f"{folder}/power{number}_average"
        window_s = (read_int(f"{path}_interval") or 0) / 1e3
    file = SensorFile(path)

    def read_w() -> float:
        power_uw = file.read()
        if power_uw < 0:
            raise OSError(errno.EINVAL, "negative power", path)
        return power_uw / 1e6

    return read_w, window_s, [file]
