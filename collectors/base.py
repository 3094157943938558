"""The contract between a power source and everything above it.

A collector looks at one kind of hardware and answers with *cumulative* energy, so that a lost
reading loses detail and never energy. It says how it knows (`Origin`), what the figure encloses
(`Boundary`), and where its bounds lie. A look that failed is a `Gap` with a cause, never a zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

# measured: a hardware energy counter. derived: power samples integrated. estimated: a model.
# attributed: a measured total split by time or share.
Origin: TypeAlias = Literal["measured", "derived", "estimated", "attributed"]

# die: CPU package, core, DRAM counters. board: a GPU card, a machine's DC rails, psys, a battery.
# server_ac: the whole machine at the plug. Figures of different boundaries are never added up
# when one encloses the other.
Boundary: TypeAlias = Literal["die", "board", "server_ac"]

# system: a figure for the whole machine, which encloses the others and is never added to them.
Domain: TypeAlias = Literal["cpu", "gpu", "ram", "system", "other"]

GapCause: TypeAlias = Literal[
    "permission",  # EACCES or EPERM on a source that was readable before
    "vanished",  # the file or the device is gone
    "lost",  # the driver says that the device fell off the bus
    "reset",  # the counter went back in a way that no wrap explains
    "ambiguous",  # more than one wrap may have happened since the last look
    "invalid",  # the driver refused this one read (EINVAL, EIO, "unknown error")
    "timeout",  # no answer within the deadline
    "suspended",  # the machine slept
]


class Device(NamedTuple):
    """One source of energy figures, as it was found by `probe()`.

    `key` is stable across processes and boots (`rapl:package-0`, `nvidia:GPU-<uuid>`). `part_of`
    is the key of the device that already contains this one (core is part of its package), or
    None. `encloses` lists domains that this figure contains (psys encloses cpu and ram; a
    whole-server model encloses cpu and ram). `gain_low` and `gain_high` are the sensor's published
    gain error as factors on the figure, 1.0 where none is published. `tick_s` is how often the
    sensor renews its value. `max_poll_s` is the longest pause between two looks that cannot hide
    a counter wrap (or, for integrated power, that can still be bridged), None where there is no
    such limit. `idle_w` is what the device draws without work, with bounds and with where that
    is known from (`model`, `calibration`, `observed`), None where nobody knows.

    The records here are named tuples: a frozen dataclass takes seven times as long to define, and
    these are defined in every run before the job starts.
    """

    key: str
    domain: Domain
    name: str
    origin: Origin
    boundary: Boundary
    source: str
    part_of: str | None = None
    encloses: tuple[Domain, ...] = ()
    tick_s: float = 0.0
    max_poll_s: float | None = None
    power_limit_w: float | None = None
    gain_low: float = 1.0
    gain_high: float = 1.0
    idle_w: float | None = None
    idle_low_w: float | None = None
    idle_high_w: float | None = None
    idle_origin: str = ""
    note: str = ""


class Reading(NamedTuple):
    """One look at one device: micro-joules since the collector's first look at it.

    `t_mono_ns` is CLOCK_MONOTONIC in nanoseconds, taken as close to the hardware access as the
    source permits. `energy_uj` never falls. `low_uj` and `high_uj` bound it (None: the same).
    `power_w` is an instantaneous or averaged reading for display where the source has one.
    """

    device: str
    t_mono_ns: int
    energy_uj: int
    low_uj: int | None = None
    high_uj: int | None = None
    power_w: float | None = None


class Gap(NamedTuple):
    """A look that gave no figure for a device, from `since_mono_ns` to `t_mono_ns`.

    A collector that goes on after a gap continues its cumulative figure from where it stood, so
    the energy spent inside the gap is missing and the consumer says so. For a failed read that
    the next look makes good (a counter kept counting) no energy is missing: `recoverable`.
    """

    device: str
    t_mono_ns: int
    since_mono_ns: int
    cause: GapCause
    detail: str = ""
    recoverable: bool = False


class ProcessUtilization(NamedTuple):
    """Which processes kept a GPU busy since the last look: share of SM time by pid, 0 to 1."""

    device: str
    t_mono_ns: int
    since_mono_ns: int
    share_by_pid: dict[int, float]


class Condition(NamedTuple):
    """What a device was like at an instant, for people; None is unknown.

    `clock_hz` is the multiprocessors' for a GPU, the mean over some of its threads for a CPU.
    `fan_share` is of the fan's highest speed, `busy_share` of the time, both 0 to 1 and as the
    driver says them.
    """

    device: str
    t_mono_ns: int
    temperature_c: float | None = None
    clock_hz: float | None = None
    fan_share: float | None = None
    busy_share: float | None = None

    @property
    def known(self) -> bool:
        """True if the source said anything at all."""
        return any(value is not None for value in self[2:])


# Conditions change slowly and a look at them costs more than one at a counter.
CONDITION_PAUSE_NS = 5_000_000_000

Observation: TypeAlias = Reading | Gap | ProcessUtilization | Condition


class Probe(NamedTuple):
    """Whether a source can be used here: its devices, or why not and what a person can type.

    `reason` is a plain sentence fragment ("energy_uj is readable by root only"), `remedy` a
    command or a short instruction; both may also be set when *some* devices work (one of two
    packages readable). `verified` is False for a path that never ran on its hardware.
    """

    name: str
    devices: tuple[Device, ...] = ()
    reason: str = ""
    remedy: str = ""
    verified: bool = True

    @property
    def ok(self) -> bool:
        """True if at least one device can be read."""
        return bool(self.devices)


@runtime_checkable
class Collector(Protocol):
    """A power source. The outside world (file system root, clock, binding) comes in by constructor.

    `probe()` may be called again at any time (a device came back) and never raises for hardware
    that is absent or forbidden. `read()` never raises for hardware either: it answers with `Gap`.
    Neither blocks for longer than the hardware does; sources that can hang set `isolate`, and the
    sampler then reads them in a process of their own with a deadline.
    """

    name: str
    isolate: bool

    def probe(self) -> Probe:
        """Look for devices. The first call fixes the zero of every cumulative figure."""
        ...

    def read(self) -> Sequence[Observation]:
        """Look at every device found by `probe()` once."""
        ...

    def close(self) -> None:
        """Give back files and handles. Safe to call twice."""
        ...


@runtime_checkable
class Conditioned(Protocol):
    """A collector in the sampler's own process that can say more than energy of its devices."""

    def conditions(self) -> Sequence[Condition]:
        """Look once; asked for every CONDITION_PAUSE_NS at most. Never raises for hardware."""
        ...


@runtime_checkable
class Resumable(Protocol):
    """A collector on top of a hardware counter whose zero survives the death of its process.

    `state()` is a small mapping of plain integers (what `marshal` takes): per device the last raw
    counter value, when it was read, and the cumulative figure. A fresh collector of the same kind
    that is given it by `resume()` after its `probe()` goes on as if it had been read all along, so
    that a restarted sampler loses no energy.
    """

    def state(self) -> dict[str, tuple[int, ...]]:
        """What a successor must know."""
        ...

    def resume(self, state: dict[str, tuple[int, ...]]) -> None:
        """Continue from a predecessor's `state()`; devices that it does not name start at zero."""
        ...
