"""Runs another tracker in a process of its own, so that nothing of it gets into ours.

The talk, one JSON object a line from the child: {"ready": true, "version": ...} or
{"unavailable": reason}; a line to it starts the window, a second one ends it; then the figures.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_START_S = 60.0  # codecarbon looks for hardware for some seconds, on a cold disk for many
_STOP_S = 20.0
INSTALL = "pip install 'frugalwatch[crosscheck]'"


@dataclass(frozen=True, slots=True)
class Absent:
    """A tracker that gave no figure, why, and what a person can type about it."""

    name: str
    reason: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What another tracker said of its window. Joules; None where it says nothing of a part.

    `details` is what else its child told: method, TDP, wraps.
    """

    name: str
    version: str
    seconds: float
    cpu_j: float | None
    ram_j: float | None
    gpu_j: float | None
    details: Mapping[str, object]

    def watts(self, energy_j: float | None) -> float | None:
        """Mean power over this tracker's own window, which differs from ours by milliseconds."""
        return None if energy_j is None or self.seconds <= 0 else energy_j / self.seconds


class TrackerProcess:
    """One other tracker. `prepare` may take seconds; `start` and `stop` frame the window."""

    def __init__(
        self,
        name: str,
        script: str,
        arguments: Sequence[str] = (),
        *,
        module: str,
        python: str = sys.executable,
    ) -> None:
        self.name = name
        self._script = script
        self._arguments = list(arguments)
        self._module = module
        self._python = python
        self._process: subprocess.Popen[str] | None = None
        self._version = ""
        # A file, since a pipe that nobody reads would fill up and block the child.
        self._problems = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives until close()

    def launch(self) -> Absent | None:
        """Begin to load it; what is not installed is told at once."""
        if self._python == sys.executable and importlib.util.find_spec(self._module) is None:
            return Absent(self.name, "not installed", INSTALL)
        self._process = subprocess.Popen(
            [self._python, "-P", self._script, *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._problems,
            text=True,
            cwd="/",  # a .codecarbon.config of the working folder has no say here
        )
        return None

    def wait_ready(self) -> Absent | None:
        """Wait until it can measure; why not, if it cannot."""
        answer = self._answer(_START_S)
        if answer is None:
            return Absent(self.name, self._last_words() or "it did not start")
        if "unavailable" in answer:
            return Absent(self.name, str(answer["unavailable"]))
        self._version = str(answer.get("version", ""))
        return None

    def start(self) -> None:
        """Open its window."""
        self._say("go")

    def stop(self) -> None:
        """Close its window."""
        self._say("stop")

    def opinion(self) -> Opinion | Absent:
        """Its figures, after `stop`."""
        answer = self._answer(_STOP_S)
        if answer is None:
            return Absent(self.name, self._last_words() or "it gave no figures")
        seconds = _number(answer.get("seconds"))
        if not seconds:
            return Absent(self.name, "it measured no time")
        return Opinion(
            name=self.name,
            version=self._version,
            seconds=seconds,
            cpu_j=_number(answer.get("cpu_j")),
            ram_j=_number(answer.get("ram_j")),
            gpu_j=_number(answer.get("gpu_j")),
            details=answer,
        )

    def close(self) -> None:
        """End the process. Safe to call twice."""
        process, self._process = self._process, None
        if process is not None:
            try:
                process.communicate(timeout=2)
            except (subprocess.TimeoutExpired, ValueError, OSError):
                process.kill()
                process.wait()
        self._problems.close()

    def _say(self, word: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            try:
                self._process.stdin.write(f"{word}\n")
                self._process.stdin.flush()
            except OSError:
                pass  # it ended; `opinion` tells why

    def _answer(self, timeout_s: float) -> dict[str, object] | None:
        """Its next line, or None if it ended or is too late. It never writes a part of a line."""
        import select

        process = self._process
        if process is None or process.stdout is None:
            return None
        deadline_s = time.monotonic() + timeout_s
        ready, _, _ = select.select([process.stdout], [], [], deadline_s - time.monotonic())
        if not ready:
            process.kill()
            return None
        line = process.stdout.readline()
        try:
            answer = json.loads(line)
        except ValueError:
            return None
        return answer if isinstance(answer, dict) else None

    def _last_words(self) -> str:
        try:
            self._problems.seek(0)
            lines = self._problems.read().strip().splitlines()
        except (OSError, ValueError):
            return ""
        return lines[-1] if lines else ""


def script(name: str) -> str:
    """Path of a child's script beside this file."""
    return os.path.join(os.path.dirname(__file__), name)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)
