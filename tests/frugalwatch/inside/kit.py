"""Runs a program with the hook inside, and hears what it says, without a sampler."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frugalwatch.inside import folder

_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ
_DROPPED = ("FRUGALWATCH_", "PYTHON")
OLD_AND_NEW = ("3.9", "3.10", "3.11", "3.12", "3.13")


@dataclass
class Ran:
    """A program that is over: what a shell sees of it, and what the hook said."""

    returncode: int
    stdout: str
    stderr: str
    messages: list[list[Any]] = field(default_factory=list)

    def told(self, kind: str) -> list[list[Any]]:
        """The messages of one kind: [pid, time, *fields]."""
        return [message[1:] for message in self.messages if message[0] == kind]

    def counts(self, pid: int | None = None) -> dict[str, int]:
        """How many of each unit, over all processes or in one."""
        last: dict[tuple[int, str], int] = {}
        for said, _, unit, count, *_ in self.told("count"):
            if pid in (None, said):
                last[said, unit] = count
        totals: dict[str, int] = {}
        for (_, unit), count in last.items():
            totals[unit] = totals.get(unit, 0) + count
        return totals

    def samples(self, unit: str) -> list[int | None]:
        """The last number of samples that each process gave for a unit."""
        last = {message[0]: message[4] for message in self.told("count") if message[2] == unit}
        return list(last.values())


def job_environment(
    *, pipe: str | None = None, hook: Mapping[str, object] | None = None, **variables: str
) -> dict[str, str]:
    """This process's environment without what would disturb, with the hook if there is a pipe."""
    # Compiled modules go where the tests may write, as an installed package's are compiled once.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_DROPPED)}
    environment["PYTHONPYCACHEPREFIX"] = os.path.join(
        tempfile.gettempdir(), "frugalwatch-tests-pyc"
    )
    path = variables.pop("PYTHONPATH", "")
    environment |= variables
    if pipe is not None:
        environment["FRUGALWATCH_PIPE"] = pipe
        path = os.pathsep.join(part for part in (folder(), path) if part)
        if hook is not None:
            environment["FRUGALWATCH_HOOK"] = json.dumps(hook)
    if path:
        environment["PYTHONPATH"] = path
    return environment


def run_inside(
    command: Sequence[str] | str,
    *,
    hooked: bool = True,
    hook: Mapping[str, object] | None = None,
    timeout_s: float = 280.0,
    cwd: Path | None = None,
    **variables: str,
) -> Ran:
    """Run a command (or a text of Python) with the hook, or as it would be without."""
    if isinstance(command, str):
        command = [sys.executable, "-c", textwrap.dedent(command)]
    with tempfile.TemporaryDirectory() as place:
        pipe = os.path.join(place, "pipe")
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
        try:
            fcntl.fcntl(reader, _SET_PIPE_SIZE, 1 << 20)  # holds all that a test says
            done = subprocess.run(
                list(command),
                env=job_environment(pipe=pipe if hooked else None, hook=hook, **variables),
                cwd=cwd,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                stdin=subprocess.DEVNULL,
                check=False,
            )
            lines = _drained(reader).splitlines()
        finally:
            os.close(reader)
    return Ran(done.returncode, done.stdout, done.stderr, [json.loads(line) for line in lines])


def interpreters(*versions: str) -> list[str]:
    """Other interpreters of these versions that are on this machine."""
    found: list[str] = []
    for version in versions or OLD_AND_NEW:
        for root in (Path.home() / ".pyenv" / "versions", Path("/opt/python")):
            found += sorted(str(path) for path in root.glob(f"{version}.*/bin/python"))
        found += [str(path) for path in Path("/usr/bin").glob(f"python{version}")]
    return found


def _drained(reader: int) -> str:
    data = b""
    while True:
        try:
            data += os.read(reader, 1 << 20)
        except BlockingIOError:
            return data.decode()
