"""What can be seen of a running command from outside: its threads and its libraries.

Looked at while the first replay runs, so that a technique which cannot matter is not tried.
"""

from __future__ import annotations

import os
import threading

_PAUSE_S = 0.03


class Watcher:
    """Looks at all descendants of a process until `stop()`. Its own failures leave `None`.

    A process that lives shorter than the pause of 30 ms may be missed.
    """

    def __init__(self, pid: int, leave_out: frozenset[str]) -> None:
        self._pid = pid
        self._leave_out = leave_out  # parts of command lines that are ours
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_until_the_end, daemon=True)
        self.threads_peak: int | None = None
        self.libraries: set[str] | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _look_until_the_end(self) -> None:
        looks = 0
        while not self._ended.wait(_PAUSE_S):
            for pid in descendants(self._pid):
                # Mapped libraries change rarely and are long to read: every tenth look.
                self._look(pid, libraries_too=looks % 10 == 0)
            looks += 1

    def _look(self, pid: int, *, libraries_too: bool) -> None:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().decode(errors="replace")
            if not words or any(part in words for part in self._leave_out):
                return
            threads = len(os.listdir(f"/proc/{pid}/task"))
            self.threads_peak = max(self.threads_peak or 0, threads)
            if libraries_too or self.libraries is None:
                self.libraries = (self.libraries or set()) | _mapped(pid)
        except OSError:  # it ended meanwhile, or is not ours to look at
            return


def descendants(pid: int) -> list[int]:
    """Processes below this one, however deep, as far as /proc shows them."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        for child in children(parent):
            found.append(child)
            waiting.append(child)
    return found


def children(pid: int) -> list[int]:
    """Direct children, of whichever thread."""
    result: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                result += [int(word) for word in file.read().split()]
    except OSError:
        return result
    return result


def _mapped(pid: int) -> set[str]:
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
        return {
            os.path.basename(line.rstrip("\n").rsplit("/", 1)[1])
            for line in file
            if "/" in line and ".so" in line
        }
