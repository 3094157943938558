"""The tools that are compared: how each is installed and how each wraps a command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

_PEER_PINS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers")


@dataclass(frozen=True, slots=True)
class Contender:
    """One tool: the folder of its programs, how it wraps a job, and what a reader must know."""

    name: str
    wrap: Callable[[Sequence[str]], list[str]]
    bin_folder: str = ""
    note: str = ""
    long_jobs_only: bool = False
    extra_environment: dict[str, str] = field(default_factory=dict)


def bare() -> Contender:
    """The job alone, which everything else is measured against."""
    return Contender("no tracker", list)


def frugalwatch(program: str | None) -> list[Contender]:
    """FrugalWatch at 1 Hz, and at 10 Hz for long jobs. `program` None: beside this Python."""
    start = [program] if program else _own_program()

    def at(interval_s: float) -> Callable[[Sequence[str]], list[str]]:
        return lambda job: [*start, "run", "--interval", f"{interval_s:g}", "--", *job]

    return [
        Contender("frugalwatch", at(1.0), note="1 Hz"),
        Contender("frugalwatch 10 Hz", at(0.1), note="10 Hz", long_jobs_only=True),
    ]


def _own_program() -> list[str]:
    script = os.path.join(sysconfig.get_path("scripts"), "frugalwatch")
    return [script] if os.path.exists(script) else [sys.executable, "-m", "frugalwatch"]


@dataclass(frozen=True, slots=True)
class Peer:
    """Another tracker: its requirements file, its program, and its options."""

    name: str
    arguments: tuple[str, ...]
    note: str

    def install(self, envs: str) -> Contender:
        """Make its virtual environment below `envs` unless it is there; returns the tool.

        Raises RuntimeError with the installer's last line when it cannot be installed here.
        """
        folder = os.path.join(os.path.abspath(envs), self.name)
        bin_folder = os.path.join(folder, "bin")
        program = os.path.join(bin_folder, self.name)
        if not os.path.exists(program):
            pins = os.path.join(_PEER_PINS, f"{self.name}.txt")
            print(f"installing {self.name} into {folder}", file=sys.stderr)
            venv.create(folder, with_pip=True)
            result = subprocess.run(
                [os.path.join(bin_folder, "python"), "-m", "pip", "install", "-q", "-r", pins],
                check=False,
                capture_output=True,
                text=True,
            )
            if result.returncode != 0 or not os.path.exists(program):
                shutil.rmtree(folder, ignore_errors=True)
                lines = result.stderr.strip().splitlines()
                raise RuntimeError(lines[-1] if lines else f"pip installed no {self.name} program")
        return Contender(
            self.name, lambda job: [program, *self.arguments, *job], bin_folder, note=self.note
        )


PEERS = (
    Peer(
        "codecarbon",
        (
            *("monitor", "--offline", "--country-iso-code", "FRA"),
            *("--measure-power-secs", "1", "--"),
        ),
        "monitor --offline, 1 Hz",
    ),
    Peer("perun", ("monitor", "-b"), "monitor -b, 1 Hz"),
    Peer("carbontracker", (), "its command line, 1 Hz"),
    Peer(
        "codegreen",
        ("run", "-n", "1", "-w", "0", "--no-validate", "--"),
        "run -n 1 -w 0 --no-validate (by default it runs the job 12 times)",
    ),
)
