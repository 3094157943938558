"""Starts real daemons with counters of the test's own, and looks into what they write."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.frugalwatch.e2e.kit import Frugalwatch, until
from tests.support.fake_sysfs import PowercapTree


class DaemonKit:
    """One place for a daemon below `folder`; `tree` has its counters, which `set_j` moves."""

    def __init__(self, folder: Path, tree: PowercapTree | None = None, **variables: str) -> None:
        self.program = Frugalwatch(folder)
        self.ledger = folder / "daemon" / "ledger.db"
        self.socket = folder / "daemon" / "sock"
        self.program.environment |= {
            "FRUGALWATCH_DAEMON_LEDGER": str(self.ledger),
            "FRUGALWATCH_DAEMON_SOCKET": str(self.socket),
            "FRUGALWATCH_INTERVAL_S": "0.1",
            "FRUGALWATCH_SOURCES_OFF": "cpu_model,ram_model",
            **variables,
        }
        if tree is not None:
            self.program.environment["FRUGALWATCH_SYSFS"] = tree.sysfs
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one and wait until it has written that it looks."""
        before = self.count("SELECT count(*) FROM event WHERE kind = 'daemon_restarted'")
        known = self.count("SELECT count(*) FROM run")
        process = self.program.start("daemon", "run", *arguments)
        self.process = process
        with until(30, "a daemon that looks") as again:
            while again():
                assert process.poll() is None, process.communicate()
                if known == 0 and self.count("SELECT count(*) FROM stream"):
                    return process
                if self.count("SELECT count(*) FROM event WHERE kind = 'daemon_restarted'") > (
                    before
                ):
                    return process
        raise AssertionError

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal and wait; exit status, and what it said on stderr."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, number)
        _, err = self.process.communicate(timeout=30)
        status, self.process = self.process.returncode, None
        return status, err.decode()

    def close(self) -> None:
        """Kill what still runs."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What a query answers about the daemon's ledger; none while there is no ledger."""
        if not self.ledger.exists():
            return []
        with contextlib.closing(sqlite3.connect(self.ledger, timeout=5)) as connection:
            try:
                return connection.execute(query, values).fetchall()
            except sqlite3.DatabaseError:  # not migrated yet, or damaged by a test
                return []

    def count(self, query: str, *values: object) -> int:
        """A single number, 0 if there is no answer."""
        rows = self.rows(query, *values)
        return int(rows[0][0] or 0) if rows else 0

    def wait_for(self, query: str, timeout_s: float = 30.0) -> list[tuple[Any, ...]]:
        """Wait until a query has an answer."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            rows = self.rows(query)
            if rows:
                return rows
            time.sleep(0.05)
        raise AssertionError(f"waited {timeout_s} s for {query}")

    def status(self) -> tuple[int, dict[str, Any]]:
        """`daemon status --json`: exit status and document."""
        result = self.program("daemon", "status", "--json")
        return result.returncode, json.loads(result.stdout)
