"""What one command costs, counted over its whole process tree.

CPU seconds come from the kernel's accounting of reaped children (`getrusage`), exact for children
that live milliseconds. This process makes itself a subreaper, so a helper that a tool leaves behind
in the background is waited for and counted too. Memory is sampled from /proc while the command
runs: PSS over all of the tree's processes, so that pages shared between them count once.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_PR_SET_CHILD_SUBREAPER = 36
_LINGER_LIMIT_S = 30.0
# The vendor's libraries map tens of MB that no tool can avoid; they are told apart.
_DRIVER_LIBRARIES = ("libnvidia", "libcuda")
_DRIVER_LOOK_EVERY_S = 0.5
_CPU_LOOK_EVERY_S = 0.5
_SHORTEST_STEADY_S = 2.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of one command took. Memory is None where it was not sampled.

    `wall_s` ends when the command itself ends; `lingering_s` is how long helpers went on after it.
    `peak_pss_kib` is the largest sum of PSS at one moment, without the job's own processes and
    without `driver_pss_kib`. `largest_rss_kib` is the highest RSS that one single process reached.
    `steady_cpu_share` is CPU seconds a second (1.0: a whole core) over the middle of the run, away
    from start and end, for processes that live through it; None for runs of a few seconds.
    """

    wall_s: float
    cpu_s: float
    lingering_s: float
    exit_code: int
    peak_pss_kib: int | None = None
    driver_pss_kib: int | None = None
    largest_rss_kib: int | None = None
    processes: int | None = None
    steady_cpu_share: float | None = None


def measure(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: str,
    output: str,
    memory_hz: float = 0.0,
    job_name: str = "",
) -> Cost:
    """Run `argv` in `folder` with its output going to the file `output`; returns its cost.

    `memory_hz` 0 samples no memory. `job_name` is the wrapped job's process name, whose memory
    is left out. Raises OSError if the command cannot be started.
    """
    _become_subreaper()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    sampler = _MemorySampler(memory_hz, job_name) if memory_hz else None
    started = time.monotonic()
    pid = _spawn(argv, environment, folder, output)
    if sampler:
        sampler.start()
    _, status = os.waitpid(pid, 0)
    ended = time.monotonic()
    _reap_helpers(ended + _LINGER_LIMIT_S)
    lingering = time.monotonic() - ended
    if sampler:
        sampler.stop()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    code = os.waitstatus_to_exitcode(status)
    return Cost(
        wall_s=ended - started,
        cpu_s=cpu_s,
        lingering_s=lingering,
        exit_code=code if code >= 0 else 128 - code,
        peak_pss_kib=sampler.peak_pss_kib if sampler else None,
        driver_pss_kib=sampler.driver_pss_kib if sampler else None,
        largest_rss_kib=sampler.largest_rss_kib if sampler else None,
        processes=sampler.processes if sampler else None,
        steady_cpu_share=sampler.steady_cpu_share(ended - started) if sampler else None,
    )


def _become_subreaper() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def _spawn(argv: Sequence[str], environment: Mapping[str, str], folder: str, output: str) -> int:
    """Start the command with no standard input; returns its pid."""
    # posix_spawn has no portable chdir, and this process has only its sampling thread beside it.
    here = os.getcwd()
    os.chdir(folder)
    try:
        return os.posix_spawnp(
            argv[0],
            list(argv),
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
        )
    finally:
        os.chdir(here)


def _reap_helpers(deadline: float) -> None:
    """Wait for everything that the command left behind; end it when the deadline has passed."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid:
            continue
        if time.monotonic() > deadline:
            for left in _descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(left, signal.SIGKILL)
        time.sleep(0.002)


class _MemorySampler:
    """Looks at the memory of this process's descendants from a thread, and keeps the peaks."""

    def __init__(self, hz: float, job_name: str) -> None:
        self.peak_pss_kib = 0
        self.driver_pss_kib = 0
        self.largest_rss_kib = 0
        self.processes = 0
        self._pause_s = 1.0 / hz
        self._job_name = job_name
        self._driver_kib: dict[int, tuple[float, int]] = {}
        self._began = time.monotonic()
        self._cpu_ns: list[tuple[float, dict[int, int]]] = []  # seconds since the start, by pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def steady_cpu_share(self, seconds: float) -> float | None:
        """CPU seconds a second between a fifth and nine tenths of a run that took `seconds`."""
        inside = [one for one in self._cpu_ns if 0.2 * seconds <= one[0] <= 0.9 * seconds]
        if len(inside) < 2 or inside[-1][0] - inside[0][0] < _SHORTEST_STEADY_S:
            return None
        (began, first), (ended, last) = inside[0], inside[-1]
        used_ns = sum(last[pid] - first[pid] for pid in first.keys() & last.keys())
        return used_ns / 1e9 / (ended - began)

    def _watch(self) -> None:
        while not self._done.wait(self._pause_s):
            self._look()
            elapsed = time.monotonic() - self._began
            if not self._cpu_ns or elapsed - self._cpu_ns[-1][0] >= _CPU_LOOK_EVERY_S:
                used = {pid: _cpu_ns(pid) for pid in _descendants(os.getpid())}
                self._cpu_ns.append((elapsed, used))

    def _look(self) -> None:
        pss_kib = driver_kib = count = 0
        for pid in _descendants(os.getpid()):
            try:
                if _text(f"/proc/{pid}/comm").strip() == self._job_name:
                    continue
                own_pss_kib = _field_kib(_text(f"/proc/{pid}/smaps_rollup"), "Pss:")
                peak_rss_kib = _field_kib(_text(f"/proc/{pid}/status"), "VmHWM:")
                own_driver_kib = self._driver_pages(pid)
            except OSError:  # it ended while we looked
                continue
            count += 1
            pss_kib += own_pss_kib - own_driver_kib
            driver_kib += own_driver_kib
            self.largest_rss_kib = max(self.largest_rss_kib, peak_rss_kib)
        self.peak_pss_kib = max(self.peak_pss_kib, pss_kib)
        self.driver_pss_kib = max(self.driver_pss_kib, driver_kib)
        self.processes = max(self.processes, count)

    def _driver_pages(self, pid: int) -> int:
        """PSS of the vendor's driver libraries in one process; renewed twice a second."""
        now = time.monotonic()
        looked, kib = self._driver_kib.get(pid, (0.0, 0))
        if now - looked < _DRIVER_LOOK_EVERY_S:
            return kib
        kib = 0
        if any(name in _text(f"/proc/{pid}/maps") for name in _DRIVER_LIBRARIES):
            inside = False
            for line in _text(f"/proc/{pid}/smaps").splitlines():
                if "-" in line.split(" ", 1)[0]:
                    inside = any(name in line for name in _DRIVER_LIBRARIES)
                elif inside and line.startswith("Pss:"):
                    kib += int(line.split()[1])
        self._driver_kib[pid] = (now, kib)
        return kib


def _descendants(root: int) -> list[int]:
    """Every living descendant of a process."""
    found: list[int] = []
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                children = _text(f"/proc/{pid}/task/{thread}/children").split()
                found.extend(int(child) for child in children)
                waiting.extend(int(child) for child in children)
        except OSError:  # it ended while we looked
            continue
    return found


def _cpu_ns(pid: int) -> int:
    """CPU time of all living threads of a process, in nanoseconds; 0 if it has ended."""
    total = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            total += int(_text(f"/proc/{pid}/task/{thread}/schedstat").split()[0])
    except OSError:
        return 0
    return total


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _field_kib(text: str, name: str) -> int:
    """A field of smaps_rollup or status in KiB; 0 for a zombie, which has none."""
    for line in text.splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0
