"""On a real terminal: Ctrl-C once and twice, Ctrl-Z, window size, and who sees a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.frugalwatch.e2e.kit import REPOSITORY, Frugalwatch, children, name_of, state_of, until

COUNT_INTERRUPTS = """
import signal, sys, time
count = 0
def interrupted(number, frame):
    global count
    count += 1
signal.signal(signal.SIGINT, interrupted)
print("ready", flush=True)
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    time.sleep(0.02)
print("interrupts:", count, flush=True)
sys.exit(10 + count)
"""


class Terminal:
    """A program that leads a session on a pseudo terminal of its own."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], folder: str) -> None:
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve(command[0], list(command), environment)
        self.text = ""

    def type(self, data: bytes) -> None:
        os.write(self._master, data)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def hang_up(self) -> None:
        os.close(self._master)
        self._master = -1

    def read_until(self, words: str, timeout_s: float = 15.0) -> None:
        with until(timeout_s, f"{words!r} after {self.text!r}") as again:
            while words not in self.text and again():
                self._read()

    def wait(self, timeout_s: float = 15.0) -> int:
        """The exit status, as a shell has it."""
        with until(timeout_s, f"the end, after {self.text!r}") as again:
            while again():
                if self._master >= 0:
                    self._read()
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    if self._master >= 0:
                        self._read()
                    return os.waitstatus_to_exitcode(status)
        raise AssertionError

    def _read(self) -> None:
        ready, _, _ = select.select([self._master], [], [], 0.01)
        if ready:
            with contextlib.suppress(OSError):  # EIO: nobody holds the other side any more
                self.text += os.read(self._master, 65536).decode(errors="replace")

    def close(self) -> None:
        if self._master >= 0:
            os.close(self._master)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


@pytest.fixture
def terminal(frugalwatch: Frugalwatch) -> Iterator[Any]:
    opened: list[Terminal] = []

    def open_(*arguments: str) -> Terminal:
        environment = dict(frugalwatch.environment, PYTHONPATH=str(REPOSITORY), TERM="xterm")
        found = Terminal([*frugalwatch.program, *arguments], environment, str(frugalwatch.folder))
        opened.append(found)
        return found

    yield open_
    for each in opened:
        each.close()


def counter(seconds: float) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", COUNT_INTERRUPTS, str(seconds)]


def test_ctrl_c_reaches_the_job_once_and_the_run_is_shown(terminal: Any) -> None:
    screen = terminal("run", "--", *counter(1.0))
    screen.read_until("ready")
    screen.type(b"\x03")
    assert screen.wait() == 11
    assert "interrupts: 1" in screen.text
    assert "exit 11" in screen.text, "the summary comes after a Ctrl-C that the job survived"


def test_ctrl_c_twice_reaches_the_job_twice(terminal: Any) -> None:
    screen = terminal("run", "--", *counter(1.0))
    screen.read_until("ready")
    screen.type(b"\x03")
    time.sleep(0.3)
    screen.type(b"\x03")
    assert screen.wait() == 12
    assert "interrupts: 2" in screen.text


def test_ctrl_c_ends_a_job_that_lets_it(terminal: Any, frugalwatch: Frugalwatch) -> None:
    screen = terminal("run", "--", "sh", "-c", "echo ready; exec sleep 30")
    screen.read_until("ready")
    time.sleep(0.3)
    screen.type(b"\x03")
    assert screen.wait() == 130
    assert "SIGINT" in screen.text
    assert frugalwatch.rows("SELECT state, exit_signal FROM run") == [("killed", 2)]


def test_the_job_sees_a_terminal_where_there_is_one(terminal: Any) -> None:
    look = "import os; print([os.isatty(n) for n in range(3)], os.ttyname(0) == os.ttyname(2))"
    screen = terminal("run", "--", sys.executable, "-c", look)
    assert screen.wait() == 0
    assert "[True, True, True] True" in screen.text


def test_what_is_typed_reaches_the_job(terminal: Any) -> None:
    screen = terminal("run", "--", "sh", "-c", "read line; echo got $line")
    time.sleep(0.3)
    screen.type(b"some words\n")
    assert screen.wait() == 0
    assert "got some words" in screen.text


def test_a_new_window_size_is_told_once(terminal: Any) -> None:
    program = (
        "import signal, time\nn = []\n"
        "signal.signal(signal.SIGWINCH, lambda *a: n.append(1))\n"
        "print('ready', flush=True)\n"
        "end = time.monotonic() + 1\n"
        "while time.monotonic() < end: time.sleep(0.02)\n"
        "print('told', len(n))\n"
    )
    screen = terminal("run", "--", sys.executable, "-c", program)
    screen.read_until("ready")
    screen.resize(40, 120)
    assert screen.wait() == 0
    assert "told 1" in screen.text


def test_ctrl_z_stops_the_job_and_us_but_not_the_sampler(
    terminal: Any, frugalwatch: Frugalwatch
) -> None:
    # The shell makes the run a job of its own: a session's leader cannot be stopped by Ctrl-Z.
    command = " ".join(frugalwatch.program)
    environment = dict(frugalwatch.environment, PYTHONPATH=str(REPOSITORY), PS1="$ ", TERM="xterm")
    script = (
        f"set -m; {command} run --summary none -- sleep 2; echo first=$?;"
        " read line; fg; echo last=$?"
    )
    screen = Terminal(["/bin/bash", "--norc", "-c", script], environment, str(frugalwatch.folder))
    try:
        with until(10, "a sampler") as again:
            supervisor = sampler = 0
            while again() and not sampler:
                for pid in children(screen.pid):
                    for below in children(pid):
                        if name_of(below) == "fw-sampler":
                            supervisor, sampler = pid, below
        time.sleep(0.3)
        screen.type(b"\x1a")
        screen.read_until("first=148")
        assert state_of(supervisor) == "T"
        assert state_of(sampler) in "SRD", "it is not stopped"
        screen.type(b"\n")
        screen.read_until("last=0", 20)
    finally:
        screen.close()


def test_a_terminal_that_goes_away_ends_the_job_and_leaves_a_complete_run(
    terminal: Any, frugalwatch: Frugalwatch
) -> None:
    screen = terminal("run", "--", "sh", "-c", "echo ready; exec sleep 30")
    screen.read_until("ready")
    time.sleep(0.3)
    screen.hang_up()
    assert screen.wait() == 128 + signal.SIGHUP
    assert frugalwatch.wait_for_state("killed") == "killed"
    assert frugalwatch.one("SELECT exit_signal FROM run") == signal.SIGHUP
