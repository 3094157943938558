"""What both commands need around a search: facts of the machine, a folder, a word on progress."""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from advisor.ranking import Power
from advisor.replay import Isolation
from advisor.standing import Standing

_PIPE_EVERY_S = 30.0
_FOLDERS, _LOCK = "frugalwatch-advise-", "lock"


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
    """A folder for what replays print, readable by this user only and removed at the end.

    Folders of others that were killed are removed first: samples of a program's inputs lie there.
    """
    _remove_abandoned(tempfile.gettempdir())
    folder = tempfile.mkdtemp(prefix=_FOLDERS)
    place = os.path.join(folder, _LOCK)
    with open(f"{place}.new", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until this process ends, however it does
        os.rename(lock.name, place)  # nobody ever sees it unlocked while we live
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(parent: str) -> None:
    """Remove our folders whose lock nobody holds; those without one may just be being made."""
    for lock in glob.glob(os.path.join(glob.escape(parent), f"{_FOLDERS}*", _LOCK)):
        with suppress(OSError), open(lock, "rb+") as file:
            if os.fstat(file.fileno()).st_uid == os.geteuid():
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(os.path.dirname(lock), ignore_errors=True)


def isolation_in_words(isolation: Isolation) -> str:
    """For the report: what replays could touch."""
    files = "your files" if isolation.in_place else "throw-away layers over your files"
    network = "the network" if isolation.network else "no network"
    return f"replayed on {files}, with {network}"


class Progress:
    """Says on stderr how far a search is, before each trial.

    One line that is rewritten on a terminal; in a pipe a new line, every half minute at most.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._on = not quiet
        self._terminal = sys.stderr.isatty()
        self._said_s = -_PIPE_EVERY_S

    def __call__(self, standing: Standing) -> None:
        if not self._on:
            return
        if self._terminal:
            self._write(f"\r\x1b[K  {str(standing)[: self._width()]}")
        elif time.monotonic() - self._said_s >= _PIPE_EVERY_S:
            self._said_s = time.monotonic()
            self._write(f"{standing}\n")

    def clear(self) -> None:
        """Leave no trace of it on a terminal."""
        if self._on and self._terminal:
            self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        with suppress(OSError):  # whoever read it is gone: no reason to stop measuring
            sys.stderr.write(text)
            sys.stderr.flush()

    def _width(self) -> int:
        return max(20, shutil.get_terminal_size().columns - 3)


def noisy_neighbours(*, sure: bool = False) -> str:
    """The load of the machine if others use much of it, and who; empty if not.

    `sure`: that the host is noisy is known already, so it is said in any case.
    """
    load = os.getloadavg()[0]
    if load <= 1.25 * usable_cpus() and not sure:
        return ""
    text = f"other programs were busy meanwhile (load {load:.1f} on {usable_cpus()} CPUs)"
    busiest = busiest_programs()
    if busiest:
        return f"{text}: {', '.join(busiest)}"
    if sure:
        return (
            f"the host was noisy (load {load:.1f} on {usable_cpus()} CPUs), and no busy program can"
            " be seen now: it may share its hardware with other machines, or change its clock"
        )
    return text


def busiest_programs(most: int = 3) -> list[str]:
    """What else runs, the busiest first: `python (87 % of a CPU)`. Takes a third of a second."""
    import psutil

    others = [p for p in psutil.process_iter(["name"]) if p.pid != os.getpid()]
    for process in others:
        with suppress(psutil.Error):
            process.cpu_percent(None)
    time.sleep(0.3)
    found: list[tuple[float, str]] = []
    for process in others:
        with suppress(psutil.Error):
            found.append((process.cpu_percent(None), process.info["name"] or str(process.pid)))
    busy = sorted((f for f in found if f[0] >= 20), reverse=True)[:most]
    return [f"{name} ({share:.0f} % of a CPU)" for share, name in busy]
