"""Run a command several times at once and wait for all: the launcher of a replay side by side.

    python -I -S -B copies.py COUNT COMMAND ARGUMENT...

Each copy reads stdin from its beginning; what the first one prints is shown. The exit status is
that of the first copy that fails, or 0. It runs as a file in a process of its own, and imports
nothing of ours.
"""

from __future__ import annotations

import os
import sys


def main(count: int, argv: list[str]) -> int:
    started = [_start(number, argv) for number in range(count)]
    found = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in started]
    failed = [status for status in found if status]
    return (failed[0] if failed[0] > 0 else 128 - failed[0]) if failed else 0


def _start(number: int, argv: list[str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        # A descriptor of its own, not one that is shared and at the end after the first copy.
        os.dup2(os.open("/proc/self/fd/0", os.O_RDONLY), 0)
        if number:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
        os.execvp(argv[0], argv)
    except OSError as problem:
        os.write(2, f"{argv[0]}: {problem.strerror}\n".encode(errors="replace"))
    os._exit(127)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
