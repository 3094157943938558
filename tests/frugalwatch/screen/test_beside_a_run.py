"""The real program beside a real run: lines in a pipe, and the screen in a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.frugalwatch.e2e.kit import Frugalwatch, until
from tests.support.fake_sysfs import Constant, PowercapTree, Zone


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Frugalwatch]:
    """A machine with two counters: 62 W of CPU, 9 W of memory beside it."""
    program = Frugalwatch(tmp_path)
    program.environment["FRUGALWATCH_SYSFS"] = str(tmp_path / "sys")
    zone = Zone("package-0", Constant(62.0), subzones=(Zone("dram", Constant(9.0)),))
    with PowercapTree(tmp_path, [zone]) as tree:
        tree.start()
        yield program


def start_job(machine: Frugalwatch) -> subprocess.Popen[bytes]:
    """A run that lasts until `end_job`, in the ledger already."""
    (machine.folder / "waits").write_text("until [ -e over ]; do sleep 0.05; done\n")
    job = machine.start("run", "-q", "--", "sh", "waits")
    machine.wait_for_state("running")
    return job


def end_job(machine: Frugalwatch, job: subprocess.Popen[bytes]) -> None:
    (machine.folder / "over").touch()
    _, said = job.communicate(timeout=20)
    assert job.returncode == 0, said


def test_lines_beside_a_run_agree_with_the_ledger(machine: Frugalwatch) -> None:
    job = start_job(machine)
    watched = machine.start("top", "--plain")
    assert watched.stdout is not None
    lines = [watched.stdout.readline().decode() for _ in range(4)]
    end_job(machine, job)
    rest, said = watched.communicate(timeout=30)
    assert watched.returncode == 0, said
    lines += rest.decode().splitlines()
    assert all(" run 1 running, " in line for line in lines[:-1])
    assert " run 1 done, " in lines[-1]
    powers = [float(m[1]) for line in lines if (m := re.search(r"power ([\d.]+) W", line))]
    # Two samples that begin it are the job's first milliseconds.
    assert powers[-1] == pytest.approx(71, rel=0.05)
    energies = [_wh(line) for line in lines]
    assert energies == sorted(energies)
    assert energies[0] < energies[-1]
    stored = machine.one("SELECT energy_uj FROM run") / 3.6e9
    assert energies[-1] == pytest.approx(stored, rel=0.01)
    # The lines' own figures are those that the samples then held.
    middle = lines[len(lines) // 2]
    lasted = re.search(r"running, ([\d.]+) s", middle)
    assert lasted
    assert _wh(middle) == pytest.approx(71 * float(lasted[1]) / 3600, rel=0.06)


def _wh(line: str) -> float:
    found = re.search(r"energy ([\d.]+) (m?)Wh", line)
    assert found, line
    return float(found[1]) / (1000 if found[2] else 1)


def test_a_reader_who_has_had_enough_ends_it_quietly(machine: Frugalwatch) -> None:
    job = start_job(machine)
    lines = machine.start("top")  # into a pipe: plain by itself
    assert lines.stdout is not None
    assert lines.stderr is not None
    assert b"run 1 running" in lines.stdout.readline()
    lines.stdout.close()
    assert lines.wait(timeout=10) == 0
    assert lines.stderr.read() == b""
    lines.stderr.close()
    end_job(machine, job)


def test_ctrl_c_ends_the_lines(machine: Frugalwatch) -> None:
    job = start_job(machine)
    lines = machine.start("top", "--plain")
    assert lines.stdout is not None
    lines.stdout.readline()
    lines.send_signal(signal.SIGINT)
    _, err = lines.communicate(timeout=10)
    assert lines.returncode == 130
    assert b"Traceback" not in err
    end_job(machine, job)


class Terminal:
    """A pseudo-terminal with the screen in it; `text` is everything it wrote."""

    def __init__(self, machine: Frugalwatch, *arguments: str, **environment: str) -> None:
        self._leader, follower = os.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        machine.environment |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", **environment}
        self.process: subprocess.Popen[bytes] = machine.start(
            "top", *arguments, stdin=follower, stdout=follower, stderr=follower
        )
        os.close(follower)
        self.text = ""

    def wait_for(self, *words: str, timeout_s: float = 40.0) -> None:
        """Read until all of these words have been written."""
        deadline = time.monotonic() + timeout_s
        while missing := [word for word in words if word not in self.text]:
            assert time.monotonic() < deadline, f"no {missing} in {self.text[-3000:]!r}"
            self.read(0.1)

    def resize(self, rows: int, columns: int) -> None:
        """Give the terminal another size, as a person does; everything is then drawn anew."""
        fcntl.ioctl(self._leader, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._leader, keys.encode())

    def end(self) -> int:
        """Read to the end; the exit status."""
        deadline = time.monotonic() + 10
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read(0.1)
        self.read(0.1)
        os.close(self._leader)
        return self.process.wait(timeout=1)

    def close(self) -> None:
        """Go away without a word, as a closed window does."""
        os.close(self._leader)

    def read(self, seconds: float) -> None:
        """Take in what is written next, within this time."""
        if select.select([self._leader], [], [], seconds)[0]:
            with contextlib.suppress(OSError):
                self.text += os.read(self._leader, 65536).decode(errors="replace")


def test_the_screen_beside_a_run_moves_and_can_be_left(machine: Frugalwatch) -> None:
    job = start_job(machine)
    screen = Terminal(machine)
    screen.wait_for("run 1", "running", "W now", "RAPL package-0", "Quit")
    screen.text = ""
    screen.wait_for("Wh")  # written again, since it has changed
    end_job(machine, job)
    screen.wait_for("done")
    screen.press("q")
    assert screen.end() == 0
    assert "Traceback" not in screen.text
    # The terminal is as it was: cursor shown, main screen.
    assert "\x1b[?1049l" in screen.text
    assert "\x1b[?25h" in screen.text


def written(screen: Terminal) -> str:
    """What was written since, without the sequences that place and colour it."""
    return re.sub(r"\x1b\[[0-9;?<>=]*[A-Za-z]", " ", screen.text)


def headers_wh(screen: Terminal) -> list[float]:
    """The energies that its heading has shown."""
    found = re.findall(r"W now +([\d.]+) (m?)Wh", written(screen))
    return [float(number) / (1000 if milli else 1) for number, milli in found]


def energies_wh(text: str) -> list[float]:
    """Every measured energy in it that is large enough to have no other unit."""
    found = re.findall(r"(?<![~\d.])([\d.]+) (m?)Wh", text)
    return [float(number) / (1000 if milli else 1) for number, milli in found]


def test_the_figures_on_the_terminal_move_and_are_the_ledgers(machine: Frugalwatch) -> None:
    """A job under `frugalwatch run` next to the screen in a pseudo-terminal, view by view."""
    job = start_job(machine)
    screen = Terminal(machine)
    screen.wait_for("run 1", "running", "W now", "Quit")
    with until(30, "three energies") as again:
        while len(set(headers_wh(screen))) < 3 and again():
            screen.read(0.2)
    end_job(machine, job)
    seen = headers_wh(screen)
    assert seen == sorted(seen), "energy never falls"
    stored = machine.one("SELECT energy_uj FROM run") / 3.6e9
    begin_ns, end_ns = machine.window()
    assert stored == pytest.approx(71 * (end_ns - begin_ns) / 3.6e12, rel=0.1)
    assert all(energy <= 1.01 * stored for energy in seen)
    screen.wait_for("done")
    views = {"2": ("1 run", "sh waits"), "4": ("Today", "sh waits", "30 days"), "1": ("Power",)}
    for key, marks in views.items():
        screen.text = ""
        screen.press(key)
        screen.wait_for(*marks)
        screen.text = ""
        screen.resize(24 + int(key), 80)
        screen.wait_for("Wh", "Quit", *marks)
        agree = [wh == pytest.approx(stored, rel=0.01) for wh in energies_wh(written(screen))]
        # The live view shows the two devices beside their sum.
        assert any(agree) if key == "1" else agree and all(agree), (key, written(screen))
    screen.text = ""
    screen.press("3")
    screen.wait_for("No advice yet.")
    screen.press("?")
    screen.wait_for("never touches a job")
    screen.text = ""
    screen.press("1")
    screen.wait_for("RAPL package-0")
    screen.press("q")
    assert screen.end() == 0
    assert "Traceback" not in screen.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_it_was(
    machine: Frugalwatch, number: signal.Signals
) -> None:
    screen = Terminal(machine)
    screen.wait_for("No run has been recorded")
    screen.process.send_signal(number)
    screen.end()
    assert "\x1b[?1049l" in screen.text
    assert "Traceback" not in screen.text


def test_a_terminal_that_goes_away_takes_the_screen_along(machine: Frugalwatch) -> None:
    screen = Terminal(machine)
    screen.wait_for("No run has been recorded")
    screen.close()
    assert screen.process.wait(timeout=10) == 128 + signal.SIGHUP


def test_no_color_leaves_no_colour(machine: Frugalwatch) -> None:
    machine("run", "-q", "--", "sleep", "2")
    screen = Terminal(machine, NO_COLOR="1")
    screen.wait_for("RAPL package-0", "Quit")
    screen.press("q")
    assert screen.end() == 0
    colours = re.findall(r"[34]8;2;(\d+);(\d+);(\d+)", screen.text)
    assert {c for c in colours if len(set(c)) > 1} == set()
