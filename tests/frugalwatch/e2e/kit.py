"""Runs the real program in a world of its own, and reads what it left there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.unprivileged import NOBODY

REPOSITORY = Path(__file__).resolve().parents[3]
PROGRAM = (sys.executable, "-m", "frugalwatch")
# Variables of the session that runs the tests must not reach the runs.
_DROPPED = (
    "XDG_",
    "FRUGALWATCH_",
    "SLURM_",
    "PBS_",
    "LSB_",
    "SGE_",
    "RAY_",
    "TORCHELASTIC_",
    "LC_",
    "COLUMNS",  # xdist sets these two: a terminal of the test's own has a size of its own
    "LINES",
)
RunObject = dict[str, Any]  # JSON


@dataclass
class Result:
    """A finished `frugalwatch`: what a shell would see of it, and how long it took."""

    returncode: int
    stdout: bytes
    stderr: bytes
    wall_s: float

    @property
    def said(self) -> str:
        return self.stderr.decode(errors="replace")


@dataclass
class Frugalwatch:
    """The program with private XDG folders below `folder`. `environment` may be changed."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    program: Sequence[str] = PROGRAM

    def __post_init__(self) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(_DROPPED)}
        for name, place in (
            ("HOME", "home"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_RUNTIME_DIR", "runtime"),
        ):
            (self.folder / place).mkdir(mode=0o700, parents=True, exist_ok=True)
            kept[name] = str(self.folder / place)
        # No counters and no GPU unless a test brings some: this machine's own would disturb.
        (self.folder / "no-sys").mkdir(exist_ok=True)
        kept["FRUGALWATCH_SYSFS"] = str(self.folder / "no-sys")
        kept["LANG"] = "C.UTF-8"
        self.environment = kept | self.environment

    @property
    def ledger(self) -> Path:
        return self.folder / "state" / "frugalwatch" / "frugalwatch.db"

    # -- running -----------------------------------------------------------------------------------

    def start(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        **options: Any,  # of Popen
    ) -> subprocess.Popen[bytes]:
        """Start `frugalwatch ARGUMENTS` in a session of its own, so that a test can signal it."""
        options = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "cwd": self.folder,
            "start_new_session": True,
        } | options
        return subprocess.Popen(
            [*self.program, *arguments],
            env=dict(self.environment, PYTHONPATH=str(REPOSITORY))
            if environment is None
            else dict(environment),
            **options,
        )

    def __call__(
        self, *arguments: str, timeout_s: float = 60.0, stdin: bytes | None = None, **options: Any
    ) -> Result:
        """Run `frugalwatch ARGUMENTS` to its end; its whole session is killed after `timeout_s`."""
        begun = time.monotonic()
        if stdin is not None:
            options["stdin"] = subprocess.PIPE
        process = self.start(*arguments, **options)
        try:
            out, err = process.communicate(stdin, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(f"took over {timeout_s} s; said {err!r}") from None
        return Result(process.returncode, out or b"", err or b"", time.monotonic() - begun)

    def measure(self, *arguments: str, **options: Any) -> tuple[RunObject, Result]:
        """`frugalwatch run ARGUMENTS` with its run object. Fails the test if there is none."""
        target = self.folder / f"run-{time.monotonic_ns()}.json"
        result = self("run", "--json", str(target), *arguments, **options)
        if "the sampler gave no result in time" in result.said:  # it goes on without `run`
            self.wait_for_state("done", "killed", "interrupted", "recovered", timeout_s=30)
            target.write_bytes(self("show", "--json").stdout)
        assert target.exists(), f"no run object; exit {result.returncode}, said: {result.said}"
        run: RunObject = json.loads(target.read_text())
        return run, result

    # -- looking -----------------------------------------------------------------------------------

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What a query answers about the ledger."""
        with contextlib.closing(sqlite3.connect(self.ledger, timeout=5)) as connection:
            return connection.execute(query, values).fetchall()

    def one(self, query: str, *values: object) -> Any:
        """The single value that a query answers with."""
        ((value,),) = self.rows(query, *values)
        return value

    def wait_for_state(self, *states: str, timeout_s: float = 15.0) -> str:
        """Wait until the newest run is in one of `states`, and return that."""
        with until(timeout_s, f"a run that is {' or '.join(states)}") as again:
            while again():
                with contextlib.suppress(sqlite3.Error):
                    rows = self.rows("SELECT state FROM run ORDER BY id DESC LIMIT 1")
                    if rows and rows[0][0] in states:
                        return str(rows[0][0])
        raise AssertionError

    def wait_for_look(self, timeout_s: float = 20.0) -> None:
        """Wait until the ledger has a counter that was looked at."""
        with until(timeout_s, "a first look") as again:
            while again():
                with contextlib.suppress(sqlite3.Error):  # it is being made
                    if self.ledger.exists() and self.one("SELECT count(*) FROM stream"):
                        return

    def intact(self) -> bool:
        """Whether SQLite finds nothing wrong with the ledger."""
        return bool(self.one("PRAGMA integrity_check") == "ok")

    def window(self, number: int | None = None) -> tuple[int, int]:
        """Begin and end of a run (the newest) in CLOCK_MONOTONIC nanoseconds."""
        ((begin, end),) = self.rows(
            "SELECT started_mono_ns, ended_mono_ns FROM run WHERE id = coalesce(?, id)"
            " ORDER BY id DESC LIMIT 1",
            number,
        )
        return begin, end


@contextlib.contextmanager
def until(timeout_s: float, what: str) -> Iterator[Any]:
    """`with until(5, "a job") as again: while again(): ...` fails the test after the time."""
    deadline = time.monotonic() + timeout_s

    def again() -> bool:
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(0.01)
        return True

    yield again


def events(run: RunObject, kind: str) -> list[dict[str, Any]]:
    """The events of one kind in a run object."""
    return [event for event in run["events"] if event["kind"] == kind]


def device(run: RunObject, key: str) -> dict[str, Any]:
    """One device of a run object, by the end of its key."""
    (found,) = [d for d in run["devices"] if d["device"].endswith(key)]
    return dict(found)


# -- processes -------------------------------------------------------------------------------------


def children(pid: int) -> list[int]:
    """Children of a process now."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(word) for word in task.read_text().split()]
    return found


def name_of(pid: int) -> str:
    """What a process calls itself; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def sampler_of(supervisor: int, timeout_s: float = 10.0) -> int:
    """The pid of a supervisor's sampler, as soon as it has taken its name."""
    with until(timeout_s, "a sampler") as again:
        while again():
            for pid in children(supervisor):
                if name_of(pid) == "fw-sampler":
                    return pid
    raise AssertionError


def job_of(supervisor: int, timeout_s: float = 10.0) -> int:
    """The pid of a supervisor's job, as soon as it has become another program."""
    with until(timeout_s, "a job") as again:
        while again():
            for pid in children(supervisor):
                if name_of(pid) != "fw-sampler" and not _same_program(pid, supervisor):
                    return pid
    raise AssertionError


def _same_program(pid: int, other: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() in (
            b"",
            Path(f"/proc/{other}/cmdline").read_bytes(),
        )
    except OSError:
        return True


def state_of(pid: int) -> str:
    """The state letter of a process (R, S, T, Z); X if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def alive(pid: int) -> bool:
    """Whether a process is there and is no zombie."""
    return state_of(pid) not in "ZX"


# -- as a user without rights ----------------------------------------------------------------------


def public_copy(folder: Path) -> Path:
    """A copy of the product that everybody may read, since a checkout may lie in a private home."""
    for package in ("frugalwatch", "collectors"):
        shutil.copytree(
            REPOSITORY / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    return folder


# The interpreter, too, may lie where nobody may look: all modules are loaded before root is given
# up. What follows is the ordinary program.
_AS_NOBODY = f"""
import os, sys, pkgutil, importlib
sys.path.insert(0, sys.argv[1])
import frugalwatch, collectors, frugalwatch.cli
import encodings.idna, traceback, pwd, json, zlib, contextlib, pynvml, psutil, datetime
not_here = (".__main__", ".commands.", ".inside.", ".screen.")
for package in (collectors, frugalwatch):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not any(part in module.name for part in not_here):
            importlib.import_module(module.name)
import frugalwatch.commands.run
if os.getuid() == 0:
    os.setgroups([])
    os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
    os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
sys.exit(frugalwatch.cli.main(sys.argv[2:]))
"""


def program_as_nobody(copy: Path) -> tuple[str, ...]:
    """A command that is `frugalwatch`, run by a user without rights."""
    return (sys.executable, "-c", _AS_NOBODY, str(copy))
