"""Temperature, clock and the like, where the kernel shows them in files: for people, not for sums.

Loaded a second after a job's start at the earliest: whoever runs `true` should not wait for it.
Unverified on hardware: names and units follow the Linux documentation
(`Documentation/hwmon/sysfs-interface.rst`, `Documentation/admin-guide/pm/cpufreq.rst`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from collectors.base import Condition, Device
from collectors.host import Host
from collectors.sysfs import list_names, read_int, read_text

# The clock of a package is the mean over so many of its threads: each costs a file, and older
# kernels wake an idle processor to tell its clock.
_THREADS_ASKED = 4
# By driver, the labels that stand for the whole processor, best first. coretemp numbers its own.
_CPU_CHIPS: dict[str, tuple[str, ...]] = {
    "coretemp": ("Package id",),
    "zenpower": ("Tdie", "Tctl"),
    "k10temp": ("Tdie", "Tctl"),
    "cpu_thermal": ("",),
}
_CPU_ZONES = ("x86_pkg_temp", "cpu-thermal", "cpu_thermal", "soc_thermal")
_PACKAGE = "rapl:package-"


class CpuConditions:
    """Clock and temperature of the processors behind some devices.

    A device of one package (`rapl:package-1`) gets that package's; any other the hottest package's
    temperature and the mean clock.
    """

    def __init__(self, host: Host, devices: Iterable[Device]) -> None:
        self._host = host
        self._packages = {
            device.key: _package_number(device.key)
            for device in devices
            if device.domain == "cpu" and device.part_of is None
        }
        self._clocks: dict[int, list[str]] = {}
        self._temperatures: list[str] = []
        if self._packages:
            self._clocks = _clock_files(host)
            self._temperatures = _temperature_files(host)

    def conditions(self) -> list[Condition]:
        """One look. Nothing for a device of which nothing is known."""
        t_ns = self._host.clock_ns()
        found = []
        for key, package in self._packages.items():
            seen = Condition(
                key,
                t_ns,
                temperature_c=self._temperature_c(package),
                clock_hz=self._clock_hz(package),
            )
            if seen.known:
                found.append(seen)
        return found

    def _temperature_c(self, package: int | None) -> float | None:
        files = self._temperatures
        if package is not None and len(files) > 1:
            files = files[package : package + 1]
        values = [value for file in files if (value := read_int(file)) is not None]
        return max(values) / 1e3 if values else None

    def _clock_hz(self, package: int | None) -> float | None:
        chosen = self._clocks if package is None else {package: self._clocks.get(package, [])}
        values = [value for files in chosen.values() for file in files if (value := read_int(file))]
        return sum(values) / len(values) * 1e3 if values else None


def chip_condition(device: str, t_ns: int, chip: str, busy_file: str = "") -> Condition | None:
    """What a GPU's hwmon folder tells: temp1, freq1, fan1; and a file with busy per cent. Or None.

    A look at it may wake a device that sleeps; the caller knows whether it does.
    """
    celsius_1e3 = read_int(f"{chip}/temp1_input")
    fan_rpm, most_rpm = read_int(f"{chip}/fan1_input"), read_int(f"{chip}/fan1_max")
    busy_percent = read_int(busy_file) if busy_file else None
    seen = Condition(
        device,
        t_ns,
        temperature_c=None if celsius_1e3 is None else celsius_1e3 / 1e3,
        clock_hz=read_int(f"{chip}/freq1_input"),
        fan_share=fan_rpm / most_rpm if fan_rpm is not None and most_rpm else None,
        busy_share=None if busy_percent is None else busy_percent / 100,
    )
    return seen if seen.known else None


def _package_number(key: str) -> int | None:
    number = key.removeprefix(_PACKAGE).partition("-")[0]
    return int(number) if key.startswith(_PACKAGE) and number.isdigit() else None


def _clock_files(host: Host) -> dict[int, list[str]]:
    """By package, the files with the clock (kHz) of a few threads, spread over the package."""
    root = host.sys("devices", "system", "cpu")
    threads: dict[int, list[str]] = {}
    for name in sorted(list_names(root), key=lambda name: (len(name), name)):
        if not (name.startswith("cpu") and name[3:].isdigit()):
            continue
        file = f"{root}/{name}/cpufreq/scaling_cur_freq"
        if os.path.exists(file):
            package = read_int(f"{root}/{name}/topology/physical_package_id") or 0
            threads.setdefault(package, []).append(file)
    return {package: _spread(files) for package, files in threads.items()}


def _spread(files: Sequence[str]) -> list[str]:
    stride = max(1, len(files) // _THREADS_ASKED)
    return list(files[::stride][:_THREADS_ASKED])


def _temperature_files(host: Host) -> list[str]:
    """One file (thousandths of a degree Celsius) a package, in the packages' order."""
    root = host.sys("class", "hwmon")
    chips = []
    for name in list_names(root):
        driver = read_text(f"{root}/{name}/name") or ""
        file = _chip_file(f"{root}/{name}", _CPU_CHIPS.get(driver, ()))
        if file is not None:
            # coretemp.1 belongs to package 1; k10temp's PCI addresses follow the sockets' order.
            chips.append((os.path.realpath(f"{root}/{name}/device"), file))
    if chips:
        return [file for _, file in sorted(chips)]
    root = host.sys("class", "thermal")
    zones = [name for name in list_names(root) if name.startswith("thermal_zone")]
    return [
        f"{root}/{name}/temp"
        for name in sorted(zones, key=lambda name: (len(name), name))
        if read_text(f"{root}/{name}/type") in _CPU_ZONES
    ]


def _chip_file(folder: str, labels: tuple[str, ...]) -> str | None:
    inputs = [n for n in list_names(folder) if n.startswith("temp") and n.endswith("_input")]
    for label in labels:
        for name in inputs:
            said = read_text(f"{folder}/{name.removesuffix('_input')}_label") or ""
            if said.startswith(label):
                return f"{folder}/{name}"
    return None
