"""Energy of memory where nothing else contains it: watts per gigabyte, times the memory there is.

Two published models stand behind it: 0.284 W/GB (Boavizta) and 0.392 W/GB (Cloud Carbon Footprint).
The figure is their middle and the bounds are half to twice of it, as for every model here: what a
gigabyte draws depends on the size, generation and load of the modules, which nobody can see from
inside.
"""

from __future__ import annotations

from collections.abc import Sequence

from collectors.band import Band
from collectors.base import Device, Observation, Probe, Reading
from collectors.host import Host
from collectors.limits import Limits, read_limits

KEY = "model:ram"

BOAVIZTA_W_PER_GB = 0.284
CLOUD_CARBON_FOOTPRINT_W_PER_GB = 0.392
W_PER_GB = (BOAVIZTA_W_PER_GB + CLOUD_CARBON_FOOTPRINT_W_PER_GB) / 2
BAND = (0.5, 2.0)

# Memory is sold by powers of two and the published models count it as sold.
_BYTES_PER_GB = 1 << 30


def ram_needs_model(devices: Sequence[Device]) -> bool:
    """True if some device covers the CPU and none of them covers memory.

    A whole-server CPU model, psys or a wall meter has the memory inside; a RAPL package has not,
    and a DRAM counter beside it makes a model needless.
    """
    # psys has the memory inside, but it is not in the sum beside a package.
    parts = [device for device in devices if device.domain != "system"]
    covered = {domain for device in parts for domain in (device.domain, *device.encloses)}
    return "cpu" in covered and "ram" not in covered


def memory_bytes(host: Host) -> int | None:
    """Memory of this machine from `<procfs>/meminfo` in bytes, None if that cannot be read."""
    try:
        with open(host.proc("meminfo"), encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("MemTotal:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


class RamModelCollector:
    """Modelled energy of memory, a `Collector` with the one device `model:ram`."""

    name = "ram_model"
    isolate = False

    def __init__(self, host: Host, limits: Limits | None = None) -> None:
        self._host = host
        self._limits = limits
        self._opened_ns: int | None = None
        self._watts = 0.0

    def idle_power_w(self) -> Band:
        """Modelled watts; the model knows no load, so idle is all there is. 0 before `probe()`."""
        return Band(self._watts, self._watts * BAND[0], self._watts * BAND[1])

    def probe(self) -> Probe:
        """The model's device, or why the amount of memory is unknown."""
        total = memory_bytes(self._host)
        if total is None:
            return Probe(
                self.name,
                reason="the amount of memory cannot be read",
                remedy="mount /proc, or name it in FRUGALWATCH_PROCFS",
            )
        limits = self._limits if self._limits is not None else read_limits(self._host)
        covered = min(total, limits.memory_bytes or total)
        if self._opened_ns is None:
            self._opened_ns = self._host.clock_ns()
            self._watts = covered / _BYTES_PER_GB * W_PER_GB
        size = f"{covered / _BYTES_PER_GB:.3g} GB"
        note = f"bounds x{BAND[0]:g} to x{BAND[1]:g}"
        if covered < total:
            note = f"covers the memory limit, {size} of {total / _BYTES_PER_GB:.3g}; {note}"
        device = Device(
            key=KEY,
            domain="ram",
            name=f"memory model, {size}",
            origin="estimated",
            boundary="board",
            source=(
                f"model: {W_PER_GB:.3f} W/GB, the middle of {BOAVIZTA_W_PER_GB} (Boavizta)"
                f" and {CLOUD_CARBON_FOOTPRINT_W_PER_GB} (Cloud Carbon Footprint)"
            ),
            idle_w=self._watts,
            idle_low_w=self._watts * BAND[0],
            idle_high_w=self._watts * BAND[1],
            idle_origin="model",
            note=note,
        )
        return Probe(self.name, devices=(device,))

    def read(self) -> Sequence[Observation]:
        """Modelled micro-joules since `probe()`."""
        if self._opened_ns is None:
            return ()
        now_ns = self._host.clock_ns()
        energy_uj = self._watts * (now_ns - self._opened_ns) / 1e3
        low, high = (round(energy_uj * factor) for factor in BAND)
        return (Reading(KEY, now_ns, round(energy_uj), low_uj=low, high_uj=high),)

    def close(self) -> None:
        """Nothing is held open."""

    def state(self) -> dict[str, tuple[int, ...]]:
        """What a successor must know to go on: when this collector's figure was zero."""
        return {} if self._opened_ns is None else {KEY: (self._opened_ns,)}

    def resume(self, state: dict[str, tuple[int, ...]]) -> None:
        """Go on where a predecessor stopped."""
        if KEY in state:
            (self._opened_ns,) = state[KEY]


def ram_model_collector(host: Host) -> RamModelCollector:
    """The collector for this machine, within this process's memory limit."""
    return RamModelCollector(host)
