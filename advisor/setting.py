"""What both commands need around a search: facts of the machine, a folder, a word on progress."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from advisor.ranking import Power
from advisor.replay import Isolation


def usable_cpus() -> int:
    """Hardware threads that a replay may use."""
    return len(os.sched_getaffinity(0))


def usable_cores() -> int:
    """Physical cores among them; each thread counts as a core where the kernel does not say."""
    siblings = set()
    for cpu in os.sched_getaffinity(0):
        path = f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        try:
            with open(path, encoding="ascii") as file:
                siblings.add(file.read().strip())
        except OSError:
            siblings.add(str(cpu))
    return len(siblings)


def cpu_flags() -> frozenset[str]:
    """What the CPU can do, as Linux names it; empty where it does not say."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() in ("flags", "Features"):
                    return frozenset(value.split())
    except OSError:
        pass
    return frozenset()


def model_power() -> Power | None:
    """The watts by which `run` models this machine; None where there is no model."""
    from collectors.cpu_model import cpu_model_collector
    from collectors.host import Host

    try:
        model = cpu_model_collector(Host.from_environment()).model
    except (OSError, ValueError):
        return None
    return Power(model.idle_w.value, model.active_w.value)


@contextmanager
def private_folder() -> Iterator[str]:
    """A folder for what replays print, readable by this user only and removed at the end."""
    folder = tempfile.mkdtemp(prefix="frugalwatch-advise-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def isolation_in_words(isolation: Isolation) -> str:
    """For the report: what replays could touch."""
    files = "your files" if isolation.in_place else "throw-away layers over your files"
    network = "the network" if isolation.network else "no network"
    return f"replayed on {files}, with {network}"


class Progress:
    """Says on stderr what goes on: one line that is rewritten on a terminal, nothing in a pipe."""

    def __init__(self, *, quiet: bool) -> None:
        self._on = not quiet and sys.stderr.isatty()

    def __call__(self, text: str) -> None:
        if self._on:
            sys.stderr.write(f"\r\x1b[K  {text[:76]}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Leave no trace of it."""
        self("")
        if self._on:
            sys.stderr.write("\r")


def noisy_neighbours() -> str:
    """The load of the machine if others use much of it; empty if not."""
    load = os.getloadavg()[0]
    if load > 1.25 * usable_cpus():
        return f"other programs were busy meanwhile (load {load:.1f} on {usable_cpus()} CPUs)"
    return ""
