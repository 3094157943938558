"""A cgroup of the job's own, where one changes nothing that the job can feel.

It counts CPU time of every descendant, also of those whose parent ignores SIGCHLD and of those
that outlive the job. It is left out wherever it could alter the job or hide it:

- where the present cgroup carries a CPU or memory limit, since programs that size themselves by
  reading the limit of *their* cgroup would not see it one level up;
- on cgroup v1 where `cpuacct` shares its tree with `cpu`, for the same reason;
- under a batch system, whose way of finding the processes of a job is the cgroup it made.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

# Batch systems account for and kill a job by its cgroup, and do not all look below it.
_BATCH_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "SGE_TASK_ID", "_CONDOR_SLOT")


class JobCgroup:
    """One empty cgroup made for one run. `join` is called in the job's process before its exec."""

    __slots__ = ("folder", "version")

    def __init__(self, folder: str, version: int) -> None:
        self.folder = folder
        self.version = version

    def join(self) -> None:
        """Move the calling process into the group. Failure leaves it where it was."""
        try:
            descriptor = os.open(os.path.join(self.folder, "cgroup.procs"), os.O_WRONLY)
            os.write(descriptor, b"0")
            os.close(descriptor)
        except OSError:
            return

    def holds(self, pid: int) -> bool:
        """Whether `pid` is in the group: a join may have failed silently."""
        return str(pid) in _read(os.path.join(self.folder, "cgroup.procs")).split()

    def cpu_us(self) -> int | None:
        """Micro-seconds of CPU that the group has used, None if that cannot be read."""
        if self.version == 2:
            for line in _read(os.path.join(self.folder, "cpu.stat")).splitlines():
                if line.startswith("usage_usec "):
                    return int(line.split()[1])
            return None
        text = _read(os.path.join(self.folder, "cpuacct.usage")).strip()
        return int(text) // 1000 if text.isdigit() else None

    def pids(self) -> list[int]:
        """Processes that are in the group now."""
        return [int(p) for p in _read(os.path.join(self.folder, "cgroup.procs")).split()]

    def remove(self) -> bool:
        """Remove the group; False while a process that outlived the job is still in it."""
        try:
            os.rmdir(self.folder)
        except OSError:
            return False
        return True


def make_job_cgroup(run_key: str, environment: Mapping[str, str]) -> JobCgroup | None:
    """Make a cgroup for a run below the present one, or None where that is impossible or unwise."""
    if any(name in environment for name in _BATCH_VARIABLES):
        return None
    for version, parent in _parents():
        if version == 2 and not _unlimited(parent):
            continue
        folder = os.path.join(parent, f"frugalwatch-{run_key}")
        try:
            os.mkdir(folder)
        except OSError:
            continue
        group = JobCgroup(folder, version)
        if group.cpu_us() is not None and os.access(os.path.join(folder, "cgroup.procs"), os.W_OK):
            return group
        group.remove()
    return None


def _parents() -> list[tuple[int, str]]:
    """The folders of the present cgroup in the trees that count CPU time, version 2 first."""
    mounts: dict[str, str] = {}
    for line in _read("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if len(fields) < 5 or len(kind) < 3 or fields[3] != "/":
            continue
        if kind[0] == "cgroup2":
            mounts["2"] = fields[4]
        elif kind[0] == "cgroup":
            options = kind[2].split(",")
            if "cpuacct" in options and "cpu" not in options:
                mounts["1"] = fields[4]
    found = []
    for line in _read("/proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0" and "2" in mounts:
            found.append((2, mounts["2"] + path.rstrip("/")))
        elif controllers == "cpuacct" and "1" in mounts:
            found.append((1, mounts["1"] + path.rstrip("/")))
    return sorted(found, reverse=True)


def _unlimited(folder: str) -> bool:
    """True if the present cgroup itself sets no CPU or memory limit that the job could look up."""
    cpu = _read(os.path.join(folder, "cpu.max")).split()
    memory = _read(os.path.join(folder, "memory.max")).split()
    return (not cpu or cpu[0] == "max") and (not memory or memory[0] == "max")


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""
