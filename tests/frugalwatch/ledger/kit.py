"""Records, children and other users for the tests of the ledger."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from collectors.base import Device, Reading
from frugalwatch.ledger.journal import Journal
from frugalwatch.ledger.records import RunEnd, RunStart

SECOND = 1_000_000_000
NOBODY = 65534
REPOSITORY = Path(__file__).parents[3]


def run_start(run_key: str = "20250101T000000-aaaa", **changes: Any) -> RunStart:
    values: dict[str, Any] = {
        "run_key": run_key,
        "machine_key": "machine-1",
        "hostname": "node7",
        "boot_key": "boot-1",
        "command": ("python", "train.py"),
        "command_hash": "hash-1",
        "cwd": "/home/user",
        "interval_ns": SECOND,
        "started_utc_ns": 1_735_689_600 * SECOND,
        "started_mono_ns": 100 * SECOND,
    }
    return RunStart(**{**values, **changes})


def run_end(second: int = 110, **changes: Any) -> RunEnd:
    values: dict[str, Any] = {"state": "done", "ended_mono_ns": second * SECOND, "exit_code": 0}
    return RunEnd(**{**values, **changes})


def device(key: str = "rapl:package-0", **changes: Any) -> Device:
    values: dict[str, Any] = {
        "key": key,
        "domain": "cpu",
        "name": key,
        "origin": "measured",
        "boundary": "die",
        "source": "powercap",
    }
    return Device(**{**values, **changes})


def reading(second: float, energy_uj: int, **changes: Any) -> Reading:
    return Reading("rapl:package-0", round(second * SECOND), energy_uj, **changes)


class Notices:
    """What the journal told, in order."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def __call__(self, kind: str, message: str) -> None:
        self.said.append((kind, message))

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.said]


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now_ns = 100 * SECOND

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, seconds: float) -> None:
        self.now_ns += round(seconds * SECOND)


def started_journal(path: Path, notices: Notices | None = None, **options: Any) -> Journal:
    """A journal with a run and one stream, handle 0; fallback folders only where named."""
    options.setdefault("fallback_dirs", ())
    journal = Journal(str(path), notify=notices or Notices(), **options)
    journal.open_run(run_start())
    assert journal.add_stream(device(), 100 * SECOND) == 0
    return journal


def tick(journal: Journal, second: int, energy_uj: int | None = None) -> bool:
    """One sampling interval: a reading of 10 J/s, the CPU use, the heartbeat, one commit."""
    energy = (second - 100) * 10_000_000 if energy_uj is None else energy_uj
    journal.sample(0, reading(second, energy))
    journal.usage(second * SECOND, second * 1000, second * 2000)
    journal.heartbeat(second * SECOND)
    return journal.commit()


def samples(path: str | Path | sqlite3.Connection) -> list[tuple[int, int]]:
    """(second, micro-joules) of every sample that belongs to a stream, in order of time."""
    conn = path if isinstance(path, sqlite3.Connection) else sqlite3.connect(path)
    rows = conn.execute(
        "SELECT t_mono_ns / 1000000000, energy_uj FROM sample"
        " JOIN stream ON stream.id = sample.stream_id ORDER BY t_mono_ns"
    )
    return list(rows)


def one(path: str | Path | sqlite3.Connection, statement: str) -> Any:
    """The first value of the first row."""
    conn = path if isinstance(path, sqlite3.Connection) else sqlite3.connect(path)
    return conn.execute(statement).fetchone()[0]


def in_child(work: Callable[[], Any], *, uid: int | None = None) -> Callable[[], Any]:
    """Run `work` in a forked child, as another user where `uid` is given; wait for its answer."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        status = 1
        try:
            if uid is not None and os.getuid() == 0:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)  # drops every capability with it
            with open(write_end, "w", encoding="utf-8") as pipe:
                json.dump(work(), pipe)
            status = 0
        except BaseException:
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(status)
    os.close(write_end)

    def wait() -> Any:
        with open(read_end, encoding="utf-8") as pipe:
            answer = pipe.read()
        _, status = os.waitpid(pid, 0)
        assert status == 0, "the child failed, see its traceback"
        return json.loads(answer)

    return wait


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach; pytest's own are root's alone."""
    folder = Path(tempfile.mkdtemp(prefix="frugalwatch-test-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
