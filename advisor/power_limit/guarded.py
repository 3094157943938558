"""Asks the guard process for power limits, with a deadline, and lets it put them back."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any  # what JSON gives back

_DEADLINE_S = 20.0
_RESTORE_S = 60.0


class CannotSetLimitError(Exception):
    """The text says why, in words for a person."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU's limit and between which it may be, in milliwatts; `pids` compute on it."""

    index: int
    uuid: str
    name: str
    limit_mw: int
    least_mw: int
    most_mw: int
    pids: tuple[int, ...] = ()


class Guard:
    """The process that touches the driver. `close` waits until every limit is as it was."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "advisor.power_limit.guard"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # what ends our group leaves it alive
        )
        try:
            self._heard()
        except CannotSetLimitError:
            with suppress(CannotSetLimitError):
                self.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def gpus(self) -> list[Gpu]:
        """All of this machine. Raises CannotSetLimitError."""
        found: list[dict[str, Any]] = self._asked({"ask": "read"})["gpus"]
        return [Gpu(**{**each, "pids": tuple(each["pids"])}) for each in found]

    def set(self, index: int, limit_mw: int) -> None:
        """Set one limit. Raises CannotSetLimitError where it is not in force then."""
        got = self._asked({"ask": "set", "index": index, "limit_mw": limit_mw})["limit_mw"]
        if got != limit_mw:
            raise CannotSetLimitError(f"GPU {index} keeps {got / 1e3:.0f} W")

    def close(self) -> None:
        """Have everything put back. Raises CannotSetLimitError if that is not known to be so."""
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        try:
            status = self._process.wait(_RESTORE_S)
        except subprocess.TimeoutExpired as error:
            raise CannotSetLimitError("the driver hangs: the guard still tries") from error
        finally:
            if self._process.stdout is not None:
                self._process.stdout.close()
        if status == 2:
            raise CannotSetLimitError("a limit could not be put back: nvidia-smi -q -d POWER")

    def _asked(self, words: dict[str, object]) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{json.dumps(words)}\n".encode())
            self._process.stdin.flush()
        except OSError as error:
            raise CannotSetLimitError("the process that sets limits is gone") from error
        return self._heard()

    def _heard(self) -> dict[str, Any]:
        stream = self._process.stdout
        assert stream is not None
        if not select.select([stream], [], [], _DEADLINE_S)[0]:
            raise CannotSetLimitError(f"the driver did not answer within {_DEADLINE_S:g} s")
        line = stream.readline()
        if not line:
            raise CannotSetLimitError("the process that sets limits ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise CannotSetLimitError(str(answer["error"]))
        return answer


@contextmanager
def guarded() -> Iterator[Guard]:
    """A guard; at the end all limits are as they were. Raises CannotSetLimitError."""
    guard = Guard()
    try:
        yield guard
    finally:
        guard.close()
