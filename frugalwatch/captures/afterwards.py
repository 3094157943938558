"""Finishes a capture when its job is over: waits for what is being stored, exports what is left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping

from frugalwatch.captures.reading import Capture, Process, held_locks
from frugalwatch.inside import folder as hook_folder

# A copy of the job's process ends itself before that (LIMIT_S in the hook's capture_fork.py).
_PATIENCE_S = 250.0
_PAUSE_S = 0.1
_HALF = re.compile(r"\.\d+\.(new|pt2)$")
_EXPORT = (
    "import sys; sys.path.append(sys.argv[1]); from _frugalwatch import capture_later;"
    " capture_later.main(sys.argv[2], sys.argv[3], int(sys.argv[4]))"
)


class Stopped(Exception):  # noqa: N818 - no error: the user had enough
    """Somebody asked us to end: Ctrl-C, or a batch system's TERM."""


def wait_for_copies(path: str) -> Iterator[None]:
    """Yield while copies of the job's process store modules; raises Stopped, having ended them."""
    until_s = time.monotonic() + _PATIENCE_S
    while held_locks(path) and time.monotonic() < until_s:
        yield
        if _asked_to_stop():
            for lock in held_locks(path):
                _end_holder(lock)
            raise Stopped


def export_the_rest(capture: Capture, key: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Export, in the job's interpreter, what its process could not; yields each process's name.

    Raises Stopped.
    """
    limits = capture.manifest.get("limits")
    limit = limits.get("bytes") if isinstance(limits, dict) else None
    for process in capture.processes:
        interpreter = str(process.about.get("interpreter") or "")
        if not _is_waiting(process) or not os.path.isabs(interpreter) or not isinstance(limit, int):
            continue
        yield os.path.basename(process.path)
        words = [hook_folder(), process.path, key, str(limit)]
        clean = {k: v for k, v in environment.items() if not k.startswith("FRUGALWATCH_")}
        with subprocess.Popen(
            [interpreter, "-c", _EXPORT, *words],
            cwd="/",
            env=clean,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as child:
            until_s = time.monotonic() + _PATIENCE_S
            while child.poll() is None:
                stopped = _asked_to_stop()
                if stopped or time.monotonic() > until_s:
                    child.kill()
                if stopped:
                    raise Stopped


def remove_halves(path: str) -> None:
    """Remove files that somebody was writing when he was ended; whole ones have other names."""
    if held_locks(path):
        return
    for folder, _, names in os.walk(path):
        for name in names:
            if _HALF.search(name):
                try:
                    os.unlink(os.path.join(folder, name))
                except OSError:
                    continue


def _is_waiting(process: Process) -> bool:
    return any(
        module.part("program").get("later") and "file" in module.part("pickle")
        for module in process.modules
    )


def _end_holder(lock: str) -> None:
    """End the copy that holds a lock, by the number that it wrote into it."""
    try:
        with open(lock, encoding="ascii") as file:
            os.kill(int(file.read(20)), signal.SIGTERM)
    except (OSError, ValueError):  # it has just ended
        return


def _asked_to_stop() -> bool:
    """Wait a moment; whether somebody asked us to end meanwhile. Our signals are blocked by now."""
    ending = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    try:
        return signal.sigtimedwait(ending, _PAUSE_S) is not None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
