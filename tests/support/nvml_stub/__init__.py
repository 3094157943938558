"""A stand-in NVIDIA driver library: built with gcc, loaded by the real pynvml, steered by a file.

    stub = NvmlStub(tmp_path, [StubGpu(trace=Square(100, 300, 0.7))])
    subprocess.run([...], env={**os.environ, **stub.environment()})
    stub.truth_j(0, from_ns, to_ns)
    stub.change(0, lost_at_s=stub.now_s())   # while the process runs

The library's own file says what it can do (`stub.c`). All times are seconds since the stub's epoch,
which is the CLOCK_MONOTONIC instant `epoch_ns`.
"""

from __future__ import annotations

import ctypes
import hashlib
import math
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collectors.nvidia import NvidiaCollector

LIBRARY = "libnvidia-ml.so.1"
FOREVER_S = 1e9
AMPERE, HOPPER, TURING, PASCAL = 7, 9, 6, 4

_SOURCE = Path(__file__).with_name("stub.c")


@dataclass(frozen=True)
class Constant:
    """The same power all the time."""

    power_w: float

    def energy_j(self, t_s: float) -> float:
        """Joules between the epoch and `t_s`; negative before it."""
        return self.power_w * t_s

    def line(self) -> str:
        """As the control file has it."""
        return f"constant {self.power_w}"


@dataclass(frozen=True)
class Square:
    """`high_w` for the first `duty` of each period, then `low_w`."""

    low_w: float
    high_w: float
    period_s: float
    duty: float = 0.5

    def energy_j(self, t_s: float) -> float:
        """Joules between the epoch and `t_s`; negative before it."""
        high_s = self.period_s * self.duty
        periods = math.floor(t_s / self.period_s)
        part_s = t_s - periods * self.period_s
        each_j = self.high_w * high_s + self.low_w * (self.period_s - high_s)
        return (
            periods * each_j
            + min(part_s, high_s) * self.high_w
            + max(0, part_s - high_s) * self.low_w
        )

    def line(self) -> str:
        """As the control file has it."""
        return f"square {self.low_w} {self.high_w} {self.period_s} {self.duty}"


@dataclass(frozen=True)
class Ramp:
    """From one power to another in `seconds` after the epoch, constant before and after."""

    from_w: float
    to_w: float
    seconds: float

    def energy_j(self, t_s: float) -> float:
        """Joules between the epoch and `t_s`; negative before it."""
        inside_s = min(max(t_s, 0.0), self.seconds)
        reached_w = self.from_w + (self.to_w - self.from_w) * inside_s / self.seconds
        return (
            min(t_s, 0.0) * self.from_w
            + inside_s * (self.from_w + reached_w) / 2
            + max(t_s - self.seconds, 0.0) * self.to_w
        )

    def line(self) -> str:
        """As the control file has it."""
        return f"ramp {self.from_w} {self.to_w} {self.seconds}"


@dataclass(frozen=True)
class Process:
    """A process that keeps the GPU busy between two times; `sm_percent` of its SM time."""

    pid: int
    sm_percent: int
    from_s: float = -FOREVER_S
    to_s: float = FOREVER_S


@dataclass(frozen=True)
class Fault:
    """One call of the library, by its C name, that gives an error code between two times."""

    function: str
    code: int
    from_s: float = -FOREVER_S
    to_s: float = FOREVER_S


@dataclass(frozen=True)
class Hang:
    """Calls made between `at_s` and `at_s + seconds` come back at the end of that time only.

    With `hard` False a signal brings them back early, as NVML_ERROR_UNKNOWN.
    """

    function: str
    at_s: float
    seconds: float
    hard: bool = True


@dataclass(frozen=True)
class StubGpu:
    """One card. The defaults are an A100 with a counter and an instantaneous power reading."""

    trace: Constant | Square | Ramp = Constant(100.0)
    name: str = "NVIDIA A100-SXM4-80GB"
    uuid: str = ""  # empty: made from the index
    pci: str = ""
    device_id: int = 0x20B2
    architecture: int = AMPERE
    power_limit_w: float = 400.0
    settable_w: tuple[float, float] | None = None  # between which the limit may be set
    energy: bool = True
    energy_scale: float = 1.0
    energy_tick_s: float = 0.1
    energy_initial_mj: int = 123_456_789
    energy_reset_s: float | None = None
    power: bool = True
    power_update_s: float = 0.1
    power_window_s: float = 0.0
    instant_window_s: float | None = None  # None: no field values
    samples: bool = True
    processes: tuple[Process, ...] = ()
    compute_pids: tuple[int, ...] = ()
    temperature_c: int = 45
    clock_mhz: int = 1410
    fan_percent: int | None = None  # None: cooled by the server's own
    busy_percent: int | None = None  # that of the first process
    mig: bool = False
    lost_at_s: float = FOREVER_S
    back_at_s: float = FOREVER_S
    faults: tuple[Fault, ...] = ()

    def lines(self, index: int) -> list[str]:
        """As the control file has it."""
        facts: list[tuple[str, object]] = [
            ("name", self.name),
            ("uuid", self.uuid or f"GPU-00000000-0000-0000-0000-{index:012d}"),
            ("pci", self.pci or f"00000000:{index + 1:02X}:00.0"),
            ("device_id", self.device_id),
            ("architecture", self.architecture),
            ("limit_mw", round(self.power_limit_w * 1e3)),
            ("limit_least_mw", round(self.settable_w[0] * 1e3) if self.settable_w else 0),
            ("limit_most_mw", round(self.settable_w[1] * 1e3) if self.settable_w else 0),
            ("energy", int(self.energy)),
            ("energy_scale", self.energy_scale),
            ("energy_tick", self.energy_tick_s),
            ("energy_initial", self.energy_initial_mj),
            ("energy_reset", -1 if self.energy_reset_s is None else self.energy_reset_s),
            ("power", int(self.power)),
            ("power_update", self.power_update_s),
            ("power_window", self.power_window_s),
            ("instant_window", -1 if self.instant_window_s is None else self.instant_window_s),
            ("samples", int(self.samples)),
            ("temperature", self.temperature_c),
            ("clock", self.clock_mhz),
            ("fan", -1 if self.fan_percent is None else self.fan_percent),
            ("busy", -1 if self.busy_percent is None else self.busy_percent),
            ("mig", int(self.mig)),
            ("lost", f"{self.lost_at_s} {self.back_at_s}"),
        ]
        facts += [("compute", pid) for pid in self.compute_pids]
        facts += [
            ("process", f"{p.pid} {p.sm_percent} {p.from_s} {p.to_s}") for p in self.processes
        ]
        facts += [("fail", f"{f.function} {f.code} {f.from_s} {f.to_s}") for f in self.faults]
        return [f"gpu {index} {self.trace.line()}", *(f"gpu {index} {k} {v}" for k, v in facts)]


@dataclass
class NvmlStub:
    """The stand-in driver of one test: writes the control file in `folder` and knows the truth."""

    folder: Path
    gpus: list[StubGpu] = field(default_factory=lambda: [StubGpu()])
    driver: str = "525.85.12"
    init_error: int = 0
    hangs: list[Hang] = field(default_factory=list)
    epoch_ns: int = field(default_factory=time.monotonic_ns)

    def __post_init__(self) -> None:
        self.write()

    @property
    def control(self) -> Path:
        """The control file."""
        return self.folder / "nvml-control"

    @property
    def log(self) -> Path:
        """Where the library notes `init PID` and `shutdown PID`."""
        return self.folder / "nvml-log"

    def write(self) -> None:
        """Put the present facts into the control file, whole or not at all."""
        lines = [
            f"epoch_ns {self.epoch_ns}",
            f"driver {self.driver}",
            f"init_error {self.init_error}",
            f"log {self.log}",
            *(f"hang {h.function} {h.at_s} {h.seconds} {int(h.hard)}" for h in self.hangs),
            f"gpus {len(self.gpus)}",
        ]
        for index, gpu in enumerate(self.gpus):
            lines += gpu.lines(index)
        fresh = self.control.with_suffix(".new")
        fresh.write_text("\n".join(lines) + "\n")
        fresh.replace(self.control)

    def change(self, index: int, **facts: Any) -> None:
        """Change fields of one card while processes watch it."""
        self.gpus[index] = replace(self.gpus[index], **facts)
        self.write()

    def now_s(self) -> float:
        """Seconds since the epoch."""
        return (time.monotonic_ns() - self.epoch_ns) / 1e9

    def limit_w(self, index: int) -> float:
        """The limit that is in force."""
        set_mw = self.control.with_name(f"{self.control.name}.limit-{index}")
        return int(set_mw.read_text()) / 1e3 if set_mw.exists() else self.gpus[index].power_limit_w

    def limits_set_w(self) -> list[float]:
        """Every limit that was set so far, of whichever card."""
        words = [line.split() for line in self.log.read_text().splitlines()]
        return [int(each[2]) / 1e3 for each in words if each[0] == "limit"]

    def truth_j(self, index: int, from_ns: int, to_ns: int) -> float:
        """The true energy of a card between two CLOCK_MONOTONIC instants."""
        trace = self.gpus[index].trace
        return trace.energy_j((to_ns - self.epoch_ns) / 1e9) - trace.energy_j(
            (from_ns - self.epoch_ns) / 1e9
        )

    def environment(self) -> dict[str, str]:
        """What a process needs in its environment, from its start on, to see this driver."""
        return {"LD_LIBRARY_PATH": str(library_folder()), "NVML_STUB_CONTROL": str(self.control)}

    def factory(self) -> Callable[[], NvidiaCollector]:
        """Builds the collector inside a forked reader, so that the test's own process stays clean.

        The loader looks at LD_LIBRARY_PATH at a program's start only, so the library is loaded by
        its path; it then answers to the name by which pynvml asks for it.
        """
        environment = self.environment()

        def build() -> NvidiaCollector:
            from collectors.host import Host
            from collectors.nvidia import NvidiaCollector

            os.environ.update(environment)
            ctypes.CDLL(str(library_folder() / LIBRARY))
            return NvidiaCollector(Host())

        return build


def library_folder() -> Path:
    """The folder that holds the built library. Built once per version of its source and user."""
    digest = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"frugalwatch-nvml-stub-{os.getuid()}-{digest}"
    library = folder / LIBRARY
    if not library.exists():
        folder.mkdir(mode=0o755, exist_ok=True)
        _compile(library)
    return folder


def _compile(library: Path) -> None:
    fresh = library.with_name(f"{library.name}.{os.getpid()}")
    command: Sequence[str] = (
        "gcc", "-O1", "-Wall", "-Wextra", "-shared", "-fPIC",
        f"-Wl,-soname,{LIBRARY}", "-o", str(fresh), str(_SOURCE), "-lm",
    )  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, text=True)
    fresh.replace(library)  # two test processes may build at once
