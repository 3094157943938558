"""What a replay needs beside energy: how long its requests take, and how much memory.

Latencies are those that the hook timed around each call of the program's own modules (or step,
request), read from the run object. Memory is looked up in /proc while the replay runs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from advisor.probing import descendants

_PAUSE_S = 0.1
# With fewer durations the slowest one of twenty (a hundred) is no percentile.
_LEAST_FOR_P95, _LEAST_FOR_P99 = 20, 100


@dataclass(frozen=True, slots=True)
class Latency:
    """How long one `unit` took in a replay, the first ones included. None: too few to tell."""

    unit: str
    durations: int
    p50_s: float
    p95_s: float | None = None
    p99_s: float | None = None

    def as_json(self) -> dict[str, object]:
        return {
            "unit": self.unit,
            "durations": self.durations,
            "p50_s": self.p50_s,
            "p95_s": self.p95_s,
            "p99_s": self.p99_s,
        }


def latency_in(run: Mapping[str, Any], unit: str | None) -> Latency | None:
    """The percentiles of this unit in a run object; None where nobody timed any."""
    for each in run.get("units") or ():
        found = each.get("durations")
        if each.get("unit") == unit and found and found.get("durations"):
            count = int(found["durations"])
            return Latency(
                unit=str(unit),
                durations=count,
                p50_s=float(found["p50_s"]),
                p95_s=float(found["p95_s"]) if count >= _LEAST_FOR_P95 else None,
                p99_s=float(found["p99_s"]) if count >= _LEAST_FOR_P99 else None,
            )
    return None


class MemoryWatch:
    """Adds up the resident memory of all processes below one, every 0.1 s, until `stop()`.

    The peak is the largest such sum, and at least the largest peak that the kernel kept of any one
    process. Pages that processes share count for each of them. `leave_out` are parts of command
    lines that are ours. A look costs about 0.1 ms in this process, none in the replay's.
    """

    def __init__(self, pid: int, leave_out: frozenset[str]) -> None:
        self._pid = pid
        self._leave_out = leave_out
        self._theirs: set[int] = set()  # seen as not ours: an exec never makes them ours again
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_until_the_end, daemon=True)
        self.peak_bytes: int | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join()

    def _look_until_the_end(self) -> None:
        while not self._ended.wait(_PAUSE_S):
            together, highest = 0, 0
            for pid in descendants(self._pid):
                found = self._memory(pid)
                if found is not None:
                    together, highest = together + found[0], max(highest, found[1])
            peak = max(together, highest)
            if peak:
                self.peak_bytes = max(self.peak_bytes or 0, peak)

    def _memory(self, pid: int) -> tuple[int, int] | None:
        """Resident bytes now and at the most; None for a process of ours, or one that is gone."""
        try:
            if pid not in self._theirs:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().decode(errors="replace")
                if not words or any(part in words for part in self._leave_out):
                    return None
                self._theirs.add(pid)
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
                lines = dict(line.split(":", 1) for line in file if line.startswith("Vm"))
            return _bytes(lines["VmRSS"]), _bytes(lines["VmHWM"])
        except (OSError, KeyError, ValueError):  # it ended, or is a zombie
            return None


def _bytes(text: str) -> int:
    return int(text.split(maxsplit=1)[0]) * 1024


def file_bytes(path: str) -> int | None:
    """The size of a file, or of all files below a folder; None where there is none."""
    try:
        if not os.path.isdir(path):
            return os.stat(path).st_size
        return sum(
            os.stat(os.path.join(folder, name)).st_size
            for folder, _, names in os.walk(path)
            for name in names
        )
    except OSError:
        return None
