"""The machine in general terms, and how busy it was before the measurement began."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Machine:
    """Enough to judge a timing by, and nothing that names one particular machine."""

    cores: int
    architecture: str
    clock_ghz: float | None
    memory_gib: int
    load_before: float
    python: str
    kernel: str
    energy_counter: str

    @property
    def is_busy(self) -> bool:
        """True if other work shared the cores: then trust CPU seconds, not wall seconds."""
        return self.load_before > 0.2 * self.cores

    def __str__(self) -> str:
        clock = f" at {self.clock_ghz:.1f} GHz" if self.clock_ghz else ""
        return (
            f"{self.cores} {self.architecture} cores{clock}, {self.memory_gib} GiB, "
            f"Linux {self.kernel}, Python {self.python}, energy counter: {self.energy_counter}, "
            f"load before {self.load_before:.2f}"
        )


def describe(*, simulated_rapl: bool) -> Machine:
    """This machine, as the bench found it."""
    counter = "RAPL" if os.path.exists("/sys/class/powercap/intel-rapl:0") else "none"
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        architecture=platform.machine(),
        clock_ghz=_clock_ghz(),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        load_before=os.getloadavg()[0],
        python=platform.python_version(),
        kernel=".".join(platform.release().split(".")[:2]),
        energy_counter="RAPL (simulated)" if simulated_rapl else counter,
    )


def _clock_ghz() -> float | None:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("cpu MHz"):
                return float(line.split(":")[1]) / 1000
    return None
