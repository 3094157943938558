"""What the daemon costs, and whether clients move its looks: beside 500 and 5,000 processes.

    python bench/daemon.py                       idle, 500, 5,000 processes, 50 clients at 10 Hz
    python bench/daemon.py --seconds 20 --only 500
    python bench/daemon.py --json daemon.json

The processes are real ones that sleep. CPU time is that of the daemon and all its children, by the
scheduler's own nanoseconds (/proc/<pid>/schedstat) over whole minutes' worth of looks after a
warm-up; memory is the sum of their PSS at the end, and the daemon's own RSS beside it. Jitter is by
how much a look at the counter came later than the whole second that it was due at, from the times
that the daemon itself wrote down. Aims: 0.5 % of a core and 50 MiB beside 500 processes, 3 % beside
5,000, p99 of the jitter within 20 ms with 50 clients. On a machine with other work the jitter is
the scheduler's too: the same figure without clients stands beside it. As root the daemon runs at
nice -5, as its unit has it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path

import machine

_REPOSITORY = Path(__file__).resolve().parents[1]
_REQUEST = b'{"frugalwatch":1,"want":"readings"}'
_FRAME = len(_REQUEST).to_bytes(4, "big") + _REQUEST
_WARM_UP_S = 12.0
_SCENES = {"idle": (0, 0), "500": (500, 0), "5000": (5000, 0), "clients": (500, 50)}


def main() -> int:
    """Measure the scenes that were asked for, one after the other."""
    options = _arguments()
    found = []
    for name in options.only or _SCENES:
        processes, clients = _SCENES[name]
        figures = _scene(options.seconds, processes, clients)
        found.append({"scene": name, **figures})
        print(_line(found[-1]), flush=True)
    if options.json:
        here = machine.describe(simulated_rapl=True)
        document = {"machine": repr(here), "seconds": options.seconds, "scenes": found}
        Path(options.json).write_text(json.dumps(document, indent=2) + "\n")
    return 0


def _scene(seconds: float, processes: int, clients: int) -> dict[str, object]:
    folder = Path(tempfile.mkdtemp(prefix="frugalwatch-bench-"))
    sleepers = _sleepers(processes) if processes else None
    asking = None
    try:
        _counter(folder / "sys")
        daemon = _daemon(folder)
        try:
            _wait_for_socket(folder, daemon)
            if clients:
                asking = subprocess.Popen(
                    [sys.executable, __file__, "--ask", str(folder / "sock"), str(clients)]
                )
            time.sleep(_WARM_UP_S)
            before_ns, since_ns = _cpu_ns(daemon.pid), time.monotonic_ns()
            time.sleep(seconds)
            took_ns = time.monotonic_ns() - since_ns
            used_ns = _cpu_ns(daemon.pid) - before_ns
            pss_mib, rss_mib = _memory_mib(daemon.pid)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(timeout=30)
        late_ms = _lateness_ms(folder / "ledger.db", since_ns)
        return {
            "processes": sum(name.isdigit() for name in os.listdir("/proc")),
            "clients": clients,
            "cpu_percent_of_a_core": 100 * used_ns / took_ns,
            "pss_mib": pss_mib,
            "rss_of_the_sampler_mib": rss_mib,
            "jitter_median_ms": late_ms[len(late_ms) // 2],
            "jitter_p99_ms": late_ms[int(len(late_ms) * 0.99)],
            "jitter_max_ms": late_ms[-1],
            "looks": len(late_ms),
            "load_average": os.getloadavg()[0],
        }
    finally:
        for process in (asking, sleepers):
            if process is not None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL) if process is sleepers else (
                        process.kill()
                    )
                process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _counter(sysfs: Path) -> None:
    """A package whose counter stands still: reading it costs what reading costs."""
    zone = sysfs / "class" / "powercap" / "intel-rapl" / "intel-rapl:0"
    zone.mkdir(parents=True)
    for name, text in (("name", "package-0"), ("energy_uj", "1000"), ("enabled", "1")):
        (zone / name).write_text(f"{text}\n")
    (zone / "max_energy_range_uj").write_text("262143328850\n")


def _daemon(folder: Path) -> subprocess.Popen[bytes]:
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("FRUGALWATCH_")},
        "FRUGALWATCH_SYSFS": str(folder / "sys"),
        "XDG_CONFIG_HOME": str(folder),
        "PYTHONPATH": str(_REPOSITORY),
    }
    ledger, sock = str(folder / "ledger.db"), str(folder / "sock")
    # As its unit runs it, where that is allowed.
    nice = ["nice", "-n", "-5"] if os.getuid() == 0 else []
    command = [*nice, sys.executable, "-m", "frugalwatch", "daemon", "run"]
    return subprocess.Popen([*command, "--ledger", ledger, "--socket", sock], env=environment)


def _wait_for_socket(folder: Path, daemon: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not (folder / "sock").exists():
        assert daemon.poll() is None, "the daemon ended"
        assert time.monotonic() < deadline, "the daemon does not serve"
        time.sleep(0.1)


def _sleepers(count: int) -> subprocess.Popen[bytes]:
    """So many processes that sleep, in a group of their own; returns when they are there."""
    script = f"i=0; while [ $i -lt {count} ]; do sleep 100000 & i=$((i+1)); done; echo ok; wait"
    process = subprocess.Popen(
        ["/bin/sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ok\n"
    return process


def _family(pid: int) -> list[int]:
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            with suppress(OSError):
                waiting += map(int, task.read_text().split())
    return found


def _cpu_ns(pid: int) -> int:
    return sum(int(Path(f"/proc/{one}/schedstat").read_text().split()[0]) for one in _family(pid))


def _memory_mib(pid: int) -> tuple[float, float]:
    total_kib = 0
    for one in _family(pid):
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total_kib += int(line.split()[1])
    status = Path(f"/proc/{pid}/status").read_text()
    rss_kib = int(status.partition("VmRSS:")[2].split()[0])
    return total_kib / 1024, rss_kib / 1024


def _lateness_ms(ledger: Path, since_ns: int) -> list[float]:
    """How much later than the whole second each look came, sorted."""
    with closing(sqlite3.connect(ledger)) as connection:
        rows = connection.execute(
            "SELECT t_mono_ns FROM sample WHERE t_mono_ns > ? AND stream_id = (SELECT stream.id"
            " FROM stream JOIN device ON device.id = stream.device_id WHERE key LIKE 'rapl:%')",
            (since_ns,),
        ).fetchall()
    return sorted(t % 1_000_000_000 / 1e6 for (t,) in rows)


def _ask(path: str, count: int) -> None:
    """So many connections, each asking ten times a second, until killed."""
    connections = []
    for _ in range(count):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(path)
        connection.setblocking(False)
        connections.append(connection)
    with suppress(BrokenPipeError, ConnectionResetError):  # the daemon was stopped
        while True:
            begun = time.monotonic()
            for connection in connections:
                with suppress(BlockingIOError):
                    connection.send(_FRAME)
                with suppress(BlockingIOError):
                    connection.recv(65536)
            time.sleep(max(0.0, 0.1 - (time.monotonic() - begun)))


def _line(scene: dict[str, object]) -> str:
    return "  ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in scene.items()
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--only", action="append", choices=_SCENES)
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--ask"]:
        _ask(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(main())
