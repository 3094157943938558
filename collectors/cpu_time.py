"""How long CPUs were busy: of the whole machine, of some of its CPUs, or of one cgroup.

A container under a quota sees the host's /proc/stat, neighbours included; its own cgroup counts
what it used. A cpuset owns its CPUs, so their own lines of /proc/stat are right for it.
"""

from __future__ import annotations

import os
from typing import Protocol

from collectors.host import Host
from collectors.limits import Limits


class BusySource(Protocol):
    """Busy CPU time of a fixed set of CPUs, cumulative since some zero that never moves."""

    scope: str  # "machine", "cpus 0,2-3", "cgroup": whose time it is

    def busy_us(self) -> int:
        """Micro-seconds of busy CPU time. Raises OSError or ValueError if it cannot be read."""
        ...


def machine_busy_us(host: Host) -> int | None:
    """All busy CPU time since boot in micro-seconds, None if /proc/stat cannot be read.

    Busy is user, nice, system, irq and softirq. Idle, waiting for a disk, and time that a
    hypervisor gave to others (steal) are not; guest time is inside user already. The kernel
    counts in ticks of 10 ms.
    """
    try:
        return StatBusy(host).busy_us()
    except (OSError, ValueError):
        return None


def busy_source(host: Host, limits: Limits) -> BusySource:
    """The CPU time of what these limits leave; the module's text says how it is chosen."""
    if limits.quota_cgroup is not None and limits.limited_by_quota:
        source = CgroupBusy(limits.quota_cgroup, limits.quota_version)
        try:
            source.busy_us()
        except (OSError, ValueError):
            pass  # accounting not mounted here: fall back to the CPUs
        else:
            return source
    return StatBusy(host, limits.cpu_list)


class StatBusy:
    """Busy time from `<procfs>/stat`: the whole machine, or the CPUs that are named."""

    def __init__(self, host: Host, cpus: frozenset[int] | None = None) -> None:
        self.scope = "machine" if cpus is None else f"cpus {format_cpu_list(cpus)}"
        self._path = host.proc("stat")
        self._names = None if cpus is None else frozenset(b"cpu%d" % cpu for cpu in cpus)
        self._tick_us = 1_000_000 // os.sysconf("SC_CLK_TCK")

    def busy_us(self) -> int:
        # The lines of the CPUs come first; interrupts, which can fill many pages, come after them.
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if self._names is None:
                head = os.read(descriptor, 512)
            else:
                with open(descriptor, "rb", closefd=False) as file:
                    head = file.read()
        finally:
            os.close(descriptor)
        if self._names is None:
            return _busy_ticks(head.split(b"\n", 1)[0].split()) * self._tick_us
        busy, found = 0, 0
        for line in head.split(b"\n"):
            if not line.startswith(b"cpu"):
                break
            words = line.split()
            if words[0] in self._names:
                busy += _busy_ticks(words)
                found += 1
        if not found:
            raise ValueError(f"{self._path} has no line for {self.scope}")
        return busy * self._tick_us


class CgroupBusy:
    """CPU time that one cgroup used, with everything below it."""

    def __init__(self, folder: str, version: int) -> None:
        self.scope = "cgroup"
        self._version = version
        self._path = f"{folder}/cpu.stat" if version == 2 else f"{folder}/cpuacct.usage"

    def busy_us(self) -> int:
        with open(self._path, "rb") as file:
            text = file.read()
        if self._version == 1:
            return int(text) // 1000
        for line in text.split(b"\n"):
            if line.startswith(b"usage_usec "):
                return int(line[11:])
        raise ValueError(f"{self._path} has no usage_usec")


def format_cpu_list(cpus: frozenset[int]) -> str:
    """CPU numbers as the kernel writes them: `0-3,8`."""
    spans: list[list[int]] = []
    for cpu in sorted(cpus):
        if spans and cpu == spans[-1][1] + 1:
            spans[-1][1] = cpu
        else:
            spans.append([cpu, cpu])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)


def _busy_ticks(words: list[bytes]) -> int:
    """Busy ticks of a line `cpuN user nice system idle iowait irq softirq steal ...`."""
    if len(words) < 8 or not words[0].startswith(b"cpu"):
        raise ValueError("not a cpu line of /proc/stat")
    user, nice, system, _, _, irq, softirq = (int(word) for word in words[1:8])
    return user + nice + system + irq + softirq
