"""What the live screen costs: first paint, steady share of a core, memory, looks and queries.

    python bench/screen.py [--ledger FILE] [--seconds 30] [--gpus 8]

Without --ledger a ledger of one month (20.7 million samples, 0.8 GB) is made first; a file made by
`bench/ledger_size.py --keep FILE` saves that time. A run of an hour so far is then added to it and
goes on at 1 Hz while the real `frugalwatch top` shows it on a pseudo-terminal of 120x40. The file
is changed. Then each view is asked for what it shows, with that month and with an hour alone.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from bench.ledger_size import fill  # noqa: E402
from bench.machine import describe  # noqa: E402
from bench.query_times import timed_queries  # noqa: E402
from collectors.base import Device, Reading  # noqa: E402
from frugalwatch.config.settings import Settings  # noqa: E402
from frugalwatch.ledger.journal import Journal  # noqa: E402
from frugalwatch.ledger.records import RunStart  # noqa: E402
from frugalwatch.screen.reading import LedgerWatch  # noqa: E402

SECOND = 1_000_000_000
HISTORY_S = 3600
BUDGETS = {"first paint": (0.6, "CPU s"), "steady": (2.0, "% of a core"), "memory": (60.0, "MiB")}
LONGEST_QUERY_MS = 50.0


class Writer(threading.Thread):
    """A run that has been going on for an hour, and goes on while the screen looks."""

    def __init__(self, ledger: Path, gpus: int) -> None:
        super().__init__(daemon=True)
        self._ledger, self._gpus = ledger, gpus
        self.begun, self.done = threading.Event(), threading.Event()

    def run(self) -> None:
        now = time.monotonic_ns()
        self._open(now)
        self.begun.set()
        while not self.done.wait(1):
            now = time.monotonic_ns()
            self._sample(now)
            self._commit(now)

    def _open(self, now: int) -> None:
        self._begin = now - HISTORY_S * SECOND
        self._journal = Journal(str(self._ledger), notify=print, fallback_dirs=())
        self._journal.open_run(
            RunStart(
                run_key=f"9-bench-{now}",
                machine_key="bench-live",
                hostname="bench",
                boot_key="live",
                command=("python", "train.py", "--epochs", "10"),
                command_hash="live",
                cwd="/home/user",
                interval_ns=SECOND,
                started_utc_ns=time.time_ns() - HISTORY_S * SECOND,
                started_mono_ns=self._begin,
            )
        )
        self._handles = [
            self._journal.add_stream(
                Device(f"nvidia:GPU-{i}", "gpu", f"GPU {i}", "measured", "board", "nvml"),
                self._begin,
            )
            for i in range(self._gpus)
        ]
        for second in range(HISTORY_S + 1):
            self._sample(self._begin + second * SECOND)
            if second % 60 == 0:  # a queue that waits too long is thinned
                self._commit(self._begin + second * SECOND)
        self._commit(now)

    def _sample(self, now: int) -> None:
        for index, handle in enumerate(self._handles):
            energy = (now - self._begin) * (200 + index) // 1000
            energy += (now // (20 * SECOND)) % 2 * 30_000_000
            self._journal.sample(handle, Reading(f"nvidia:GPU-{index}", now, energy))

    def _commit(self, now: int) -> None:
        self._journal.heartbeat(now)
        self._journal.commit()


class Terminal:
    """`frugalwatch top` on a pseudo-terminal whose output is read and counted."""

    def __init__(self, ledger: Path) -> None:
        self._leader, follower = os.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        environment = os.environ | {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "frugalwatch", "top", "--ledger", str(ledger)],
            cwd=REPOSITORY,
            env=environment,
            stdin=follower,
            stdout=follower,
            stderr=follower,
        )
        os.close(follower)
        self.painted = threading.Event()
        self.written = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        text = b""
        while True:
            try:
                data = os.read(self._leader, 65536)
            except OSError:
                return
            self.written += len(data)
            if not self.painted.is_set():
                text += data
                if b"W now" in text and b"GPU 0" in text:
                    self.painted.set()

    def cpu_s(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self) -> tuple[float, float]:
        """Resident now, and the most so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        values = dict(line.split(":", 1) for line in status.splitlines())
        return tuple(int(values[k].split()[0]) / 1024 for k in ("VmRSS", "VmHWM"))  # type: ignore[return-value]

    def close(self) -> None:
        os.write(self._leader, b"q")
        self.process.wait(timeout=10)


def looks(ledger: Path) -> dict[str, tuple[float, float, float, str]]:
    """By view: milliseconds of its first look, of the slowest of five more, and of the slowest
    query, with its text.
    """
    found = {}
    with timed_queries() as queries:
        watch = LedgerWatch(str(ledger), Settings())
        for name, options in questions(watch).items():
            queries.clear()
            times = []
            for _ in range(6):
                began = time.perf_counter()
                look = watch.look(**options)
                times.append((time.perf_counter() - began) * 1000)
                assert look.trouble is None, look.trouble
                time.sleep(0.3)
            slowest, sql = max(queries)
            found[name] = (times[0], max(times[1:]), slowest, " ".join(sql.split()))
        watch.close()
    return found


def questions(watch: LedgerWatch) -> dict[str, dict[str, Any]]:
    """What each view asks for, the page of the run that goes on, and that of the one before."""
    from frugalwatch.screen.advice.reading import AdvicePart
    from frugalwatch.screen.jobs.jobs_reader import JobsReader
    from frugalwatch.screen.machine.reading import MachinePart
    from frugalwatch.screen.one_run.detail import RunQuestion, RunReader

    now, *before = [run.number for run in watch.look(limit=1000).runs]
    # The last run of the month is the one with a whole run object; without a month there is none.
    old = max(before, default=now)
    wanted: dict[str, dict[str, Any]] = {
        "1 Live": {},
        "  an old run": {"number": old},
        "2 Jobs": {"limit": 1, "part": JobsReader, "question": ""},
        "3 Advice": {"limit": 1, "part": AdvicePart},
        "4 Machine": {"limit": 1, "part": MachinePart},
    }
    for name, number in (("a run's page", now), ("an old run's", old)):
        question = RunQuestion(number, None, 228)
        wanted[name] = {"number": number, "part": RunReader, "question": question}
    return wanted


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--ledger", metavar="FILE", type=Path)
    options.add_argument("--seconds", type=int, default=30)
    options.add_argument("--gpus", type=int, default=8)
    chosen = options.parse_args()
    print(describe(simulated_rapl=False))
    with tempfile.TemporaryDirectory(prefix="frugalwatch-bench-") as folder:
        ledger = chosen.ledger
        if ledger is None:
            ledger = Path(folder) / "ledger.db"
            fill(ledger, 30)
        writer = Writer(ledger, chosen.gpus)
        writer.start()
        assert writer.begun.wait(30)
        terminal = Terminal(ledger)
        assert terminal.painted.wait(30), "nothing was painted"
        paint_s = terminal.cpu_s()
        time.sleep(5)
        begun, began_s, before = time.monotonic(), terminal.cpu_s(), terminal.written
        time.sleep(chosen.seconds)
        lasted = time.monotonic() - begun
        steady = (terminal.cpu_s() - began_s) / lasted * 100
        sent = (terminal.written - before) / lasted
        now_mib, most_mib = terminal.memory_mib()
        terminal.close()
        month = looks(ledger)
        writer.done.set()
        writer.join()
        alone = Path(folder) / "hour.db"
        writer = Writer(alone, chosen.gpus)
        writer.start()
        assert writer.begun.wait(30)
        hour = looks(alone)
        writer.done.set()
        writer.join()
    for name, value in (("first paint", paint_s), ("steady", steady), ("memory", most_mib)):
        budget, unit = BUDGETS[name]
        print(f"{name:12} {value:7.2f} {unit:12} budget {budget:g}  {_verdict(value, budget)}")
    print(f"resident now {now_mib:7.1f} MiB, {sent:.0f} bytes a second to the terminal")
    print("\nms by view      first look     later looks    slowest query")
    print("                 month    hour   month    hour   month    hour")
    for name, (first, later, slowest, sql) in month.items():
        alone_ms = hour[name]
        print(
            f"{name:14} {first:7.1f} {alone_ms[0]:7.1f} {later:7.1f} {alone_ms[1]:7.1f}"
            f" {slowest:7.1f} {alone_ms[2]:7.1f}  {_verdict(slowest, LONGEST_QUERY_MS)}"
        )
        if slowest > LONGEST_QUERY_MS:
            print(f"    {sql[:200]}")


def _verdict(value: float, budget: float) -> str:
    return "ok" if value <= budget else "OVER"


if __name__ == "__main__":
    main()
