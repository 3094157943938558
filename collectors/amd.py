"""AMD GPUs through the amdgpu driver: board power from hwmon, integrated.

Unverified on hardware: this reader ran on simulated trees only. File names follow the Linux
documentation of amdgpu's hwmon interfaces.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence

from collectors.base import Condition, Device, Observation, Probe
from collectors.channel import PowerChannel
from collectors.host import Host
from collectors.integrate import DEFAULT_MAX_GAP_S, PowerIntegrator
from collectors.sysfs import SensorFile, list_names, read_int, read_text

_VENDOR_AMD = "0x1002"
# Nobody documents over how long power1_average is averaged. A second is an assumption; it shifts
# the figure by half of that and widens the bounds of a run's two ends.
_AVERAGE_S = 1.0


class AmdCollector:
    """Reads the power of every AMD GPU that is awake."""

    name = "amd"
    isolate = False

    def __init__(self, host: Host) -> None:
        self._host = host
        self._channels: dict[str, PowerChannel] = {}
        self._chips: dict[str, tuple[str, str]] = {}  # by key: the card's folder, its sensor chip's

    def probe(self) -> Probe:
        """Find the GPUs. Those known from an earlier call keep their figure."""
        problems: list[str] = []
        seen = False
        for folder in _gpu_folders(self._host.sys("class", "drm")):
            seen = True
            key = f"amd:{read_text(f'{folder}/unique_id') or os.path.basename(folder)}"
            if key in self._channels:
                continue
            sensor = _power_file(folder)
            if sensor is None:
                problems.append(f"{key} shows no power")
                continue
            try:
                self._channels[key] = self._open(key, folder, sensor)
                self._chips[key] = (folder, os.path.dirname(sensor))
            except OSError as error:
                problems.append(f"{key}: {error.strerror}")
        reason, remedy = "; ".join(problems), ""
        if not seen:
            reason = "no GPU of AMD's here, or its driver (amdgpu) is not loaded"
            remedy = "sudo modprobe amdgpu"
        elif problems:
            remedy = (
                "cat /sys/class/drm/card*/device/hwmon/hwmon*/power1_* shows what the driver says"
            )
        devices = tuple(channel.device for channel in self._channels.values())
        return Probe("amd", devices, reason, remedy, verified=False)

    def read(self) -> Sequence[Observation]:
        """One look at every GPU. One that sleeps is a gap: a look at its sensor would wake it."""
        found: list[Observation] = []
        for channel in self._channels.values():
            found += channel.observe(self._host.clock_ns)
        return found

    def conditions(self) -> list[Condition]:
        """Temperature, clock, fan and utilisation of every GPU that is awake."""
        from collectors.conditions import chip_condition

        t_ns = self._host.clock_ns()
        seen = (
            chip_condition(key, t_ns, chip, f"{folder}/gpu_busy_percent")
            for key, (folder, chip) in self._chips.items()
            if not _asleep(folder)
        )
        return [one for one in seen if one is not None]

    def close(self) -> None:
        """Close every file."""
        for channel in self._channels.values():
            channel.close()

    def _open(self, key: str, folder: str, sensor: str) -> PowerChannel:
        file = SensorFile(sensor)
        read_w = _reader(file, folder)
        window_s = _AVERAGE_S if sensor.endswith("_average") else 0.0
        integrator = PowerIntegrator(window_s=window_s)
        integrator.update(self._host.clock_ns(), read_w())
        chip = os.path.dirname(sensor)
        cap_uw = read_int(f"{chip}/power1_cap")
        # amdgpu (hwmon_attributes_visible) hides power1_cap for most processors with graphics,
        # whose figure is the whole socket's.
        with_cpu = cap_uw is None
        device = Device(
            key=key,
            domain="gpu",
            name=read_text(f"{folder}/product_name") or f"AMD GPU {os.path.basename(folder)}",
            origin="derived",
            boundary="die" if with_cpu else "board",
            source="amdgpu",
            encloses=("cpu",) if with_cpu else (),
            max_poll_s=DEFAULT_MAX_GAP_S,
            power_limit_w=None if cap_uw is None else cap_uw / 1e6,
            note="; ".join(
                (["processor with graphics: contains the CPU"] if with_cpu else [])
                + ["unverified on hardware"]
            ),
        )
        return PowerChannel(device, read_w, integrator, file.close)


def _gpu_folders(root: str) -> list[str]:
    """The PCI device folder of each AMD card, once."""
    folders: dict[str, None] = {}
    for entry in list_names(root):
        if entry.startswith("card") and entry[4:].isdigit():  # card0, not its connectors
            folder = os.path.realpath(f"{root}/{entry}/device")
            if read_text(f"{folder}/vendor") == _VENDOR_AMD:
                folders[folder] = None
    return list(folders)


def _power_file(folder: str) -> str | None:
    for chip in list_names(f"{folder}/hwmon"):
        for name in ("power1_input", "power1_average"):
            path = f"{folder}/hwmon/{chip}/{name}"
            if os.path.exists(path):
                return path
    return None


def _reader(file: SensorFile, folder: str) -> Callable[[], float]:
    def read_w() -> float:
        if _asleep(folder):
            raise OSError(errno.EAGAIN, "the GPU sleeps (runtime power management)", file.path)
        power_uw = file.read()
        if power_uw < 0:
            raise OSError(errno.EINVAL, "negative power", file.path)
        return power_uw / 1e6

    return read_w


def _asleep(folder: str) -> bool:
    return read_text(f"{folder}/power/runtime_status") == "suspended"
