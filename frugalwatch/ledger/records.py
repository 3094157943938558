"""What the sampler tells the ledger about a run, at its start and at its end.

Named tuples and not dataclasses: these are made on every `frugalwatch run`, and building the six
classes takes 2.5 ms of CPU this way against 10 ms (Python 3.11, a frozen slotted dataclass is
compiled twice).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class RunStart(NamedTuple):
    """Everything that is known when a run starts. Times are CLOCK_MONOTONIC unless named utc.

    `command` is masked; `command_hash` says which runs are of the same command.
    `environment` holds allow-listed values, and None for names stored without a value.
    `*_starttime` is field 22 of /proc/<pid>/stat; `pid_namespace` the inode of /proc/self/ns/pid.
    """

    run_key: str
    machine_key: str
    hostname: str
    boot_key: str
    command: tuple[str, ...]
    command_hash: str
    cwd: str
    interval_ns: int
    started_utc_ns: int
    started_mono_ns: int
    cpu_model: str | None = None
    cpu_threads: int | None = None
    memory_bytes: int | None = None
    kernel: str | None = None
    group_key: str | None = None
    parent_run_key: str | None = None
    git_commit: str | None = None
    environment: Mapping[str, str | None] = MappingProxyType({})
    pid_namespace: int | None = None
    supervisor_pid: int | None = None
    supervisor_starttime: int | None = None
    sampler_pid: int | None = None
    sampler_starttime: int | None = None
    job_pid: int | None = None
    job_starttime: int | None = None
    cpu_limit: float | None = None
    pue: float = 1.0
    price_per_kwh: float | None = None
    currency: str | None = None
    carbon: str | None = None  # JSON: the grid factor that holds until the run ends


class RunEnd(NamedTuple):
    """How a run ended. `state` is done, killed (the job died of a signal) or interrupted."""

    state: str
    ended_mono_ns: int
    exit_code: int | None = None
    exit_signal: int | None = None
    suspended_ns: int = 0
    job_cpu_us: int | None = None
    job_cpu_method: str | None = None
    machine_busy_us: int | None = None


class DeviceTotal(NamedTuple):
    """One device's energy in one run's window, in micro-joules; `device_id` is of table device."""

    device_id: int
    origin: str
    energy_uj: int | None
    low_uj: int | None
    high_uj: int | None
    coverage: float
    counted: bool
    above_idle_uj: int | None = None


class RunTotals(NamedTuple):
    """The totals of a run; texts are JSON. None is unknown."""

    energy_uj: int | None
    energy_low_uj: int | None
    energy_high_uj: int | None
    estimated_uj: int | None
    estimated_low_uj: int | None
    estimated_high_uj: int | None
    co2e_ug: int | None
    coverage: float | None
    attribution: str | None = None
    carbon: str | None = None
    result: str | None = None
    devices: tuple[DeviceTotal, ...] = ()


class GridIntensity(NamedTuple):
    """One value of a live grid source."""

    zone: str
    valid_utc_ns: int
    g_per_kwh: float
    kind: str
    source: str
    estimated: bool
    fetched_utc_ns: int
