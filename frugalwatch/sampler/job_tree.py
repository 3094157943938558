"""The processes of a job while it runs: which they are and how much CPU time they have used.

Walks down from the supervisor's children through /proc/<pid>/task/<tid>/children, so that its cost
follows the size of the job and not of the machine. Children that a parent has waited for are
inside that parent's own counters. What it cannot see: orphans that were reaped in between (the
supervisor adds those), and children of a parent that ignores SIGCHLD (nobody is told of those).
"""

from __future__ import annotations

import os
from typing import NamedTuple

_TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE = 4096
_SIGCHLD_BIT = 1 << 16
# Samplers and readers call themselves so. Those of a sampler that died, or of a run inside this
# one, can be found below a supervisor, and are no part of its job.
OUR_NAMES = frozenset({"fw-sampler", "fw-nvidia", "fw-capture", "fw-courier"})


class ProcessUse(NamedTuple):
    """One process: with its pid its start time is its identity. `own_us`: without its children."""

    pid: int
    starttime: int
    name: str
    own_us: int


class TreeUse(NamedTuple):
    """CPU time of a process tree in micro-seconds, its processes, and whether time can be missing.

    `cpu_us` has in it what children used that were waited for.
    """

    cpu_us: int
    pids: frozenset[int]
    ignores_children: bool
    processes: tuple[ProcessUse, ...] = ()


def tree_use(
    root_pid: int,
    *,
    leave_out: frozenset[int],
    with_root: bool = False,
    procfs: str = "/proc",
) -> TreeUse:
    """CPU time of all descendants of `root_pid` (and its own, if asked), without `leave_out`'s."""
    cpu_us = 0
    ignores = False
    seen: set[int] = set()
    found: list[ProcessUse] = []
    waiting = [root_pid] if with_root else _children(root_pid, procfs)
    while waiting:
        pid = waiting.pop()
        if pid in seen or pid in leave_out:
            continue
        name, fields = _stat(pid, procfs)
        if not fields or (name in OUR_NAMES and pid != root_pid):
            continue
        seen.add(pid)
        use = _use(pid, name, fields)
        found.append(use)
        cpu_us += use.own_us + (int(fields[13]) + int(fields[14])) * _TICK_US
        ignores = ignores or bool(int(fields[30]) & _SIGCHLD_BIT)
        waiting.extend(_children(pid, procfs))
    return TreeUse(cpu_us, frozenset(seen), ignores, tuple(found))


def known_use(pids: frozenset[int], *, procfs: str = "/proc") -> int:
    """CPU micro-seconds of these processes, as far as they are still there."""
    cpu_us = 0
    for pid in pids:
        _, fields = _stat(pid, procfs)
        cpu_us += sum(int(x) for x in fields[11:15]) * _TICK_US
    return cpu_us


def process_use(pid: int, procfs: str = "/proc") -> ProcessUse | None:
    """One process, also a dead one that nobody has waited for yet; None if there is none."""
    name, fields = _stat(pid, procfs)
    return _use(pid, name, fields) if fields else None


def start_time(pid: int, procfs: str = "/proc") -> int | None:
    """Clock ticks after boot at which a process began: with its pid, its identity."""
    _, fields = _stat(pid, procfs)
    return int(fields[19]) if fields else None


def _use(pid: int, name: str, fields: list[str]) -> ProcessUse:
    own_us = (int(fields[11]) + int(fields[12])) * _TICK_US
    return ProcessUse(pid, int(fields[19]), name, own_us)


def _children(pid: int, procfs: str) -> list[int]:
    found: list[int] = []
    try:
        threads = os.listdir(f"{procfs}/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        found.extend(map(int, _read(f"{procfs}/{pid}/task/{thread}/children").split()))
    return found


def _stat(pid: int, procfs: str) -> tuple[str, list[str]]:
    """Name, and fields of /proc/<pid>/stat from the third on; none if there is no such process.

    The name may hold spaces and brackets.
    """
    before, _, after = _read(f"{procfs}/{pid}/stat").rpartition(b")")
    name = before.partition(b"(")[2].decode(errors="replace")
    return name, after.decode("ascii", errors="replace").split()


def _read(path: str) -> bytes:
    """A file of /proc, empty if it is gone. Two system calls where `open()` takes nine."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        data = os.read(descriptor, _PAGE)
        while len(data) % _PAGE == 0 and (more := os.read(descriptor, _PAGE)):
            data += more
    except OSError:  # it ended between the two
        return b""
    finally:
        os.close(descriptor)
    return data
