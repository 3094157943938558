"""How fast a node's backlog is sent, what that costs, and what one node costs a site.

    python bench/remote_write.py                 a day and a week of backlog, six devices
    python bench/remote_write.py --hours 24 168 --devices 6 --json figures.json

A ledger with one look a second is made, then `frugalwatch send` sends it in a process of its own to
a receiver on loopback that reads requests and throws them away. Times are the sender's: wall time
is what a node takes to catch up, CPU time what that costs it; memory is its highest resident size.
`steady` is one request of a node that is up to date, as it is sent every fifteen seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_REPOSITORY))

SECOND = 1_000_000_000
_MONO_0 = 1000 * SECOND
_ROWS_AT_ONCE = 100_000
_SITE_NODES, _EVERY_S = 10_000, 15
_SAMPLE_BYTES = 1.5  # Prometheus' own figure is one to two bytes on disk


class _Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    sizes: list[int] = []  # noqa: RUF012 - of the one server that there is

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.rfile.read(length)
        self.sizes.append(length)
        self.send_response(204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def main() -> int:
    """Measure and print; exit status 1 if a promise was not kept."""
    options = _arguments()
    found: dict[str, object] = {"load_average": os.getloadavg()[0], "devices": options.devices}
    with tempfile.TemporaryDirectory(prefix="frugalwatch-bench-") as folder, _sink() as url:
        rows = [_catch_up(Path(folder), url, hours, options.devices) for hours in options.hours]
        found["catch_up"] = rows
        found["steady"] = _steady(Path(folder), url, options.devices)
    found["site"] = _site(found["steady"], options.devices)
    peaks = [float(str(row["peak_rss_mib"])) for row in rows]
    # On a busy machine wall time tells of the others; CPU time is judged either way.
    busy = os.getloadavg()[0] > 0.2 * (os.cpu_count() or 1)
    judged = "times_real_time_by_cpu" if busy else "times_real_time"
    found["judged_by"] = judged
    found["promises"] = {
        "a thousand times real time": all(float(str(row[judged])) >= 1000 for row in rows),
        "memory does not depend on the backlog": max(peaks) - min(peaks) < 4.0,
    }
    text = json.dumps(found, indent=2)
    if options.json:
        Path(options.json).write_text(text + "\n")
    print(text)
    return 0 if all(found["promises"].values()) else 1


def _catch_up(folder: Path, url: str, hours: float, devices: int) -> dict[str, object]:
    ledger = folder / f"backlog-{hours:g}.db"
    _fill(ledger, hours, devices)
    _Sink.sizes.clear()
    wall_s, cpu_s, peak_mib = _send(ledger, url)
    sizes = list(_Sink.sizes)
    with _open(ledger) as conn:
        sent, total = conn.execute(
            "SELECT sum(sent_uj), (SELECT sum(e) FROM (SELECT max(energy_uj) e FROM sample"
            " GROUP BY stream_id)) FROM remote_series"
        ).fetchone()
    assert sent == total, (sent, total)
    return {
        "hours": hours,
        "ledger_mib": ledger.stat().st_size / 2**20,
        "wall_s": round(wall_s, 2),
        "cpu_s": round(cpu_s, 2),
        "times_real_time": round(hours * 3600 / wall_s),
        "times_real_time_by_cpu": round(hours * 3600 / cpu_s),
        "peak_rss_mib": round(peak_mib, 1),
        "requests": len(sizes),
        "bytes": sum(sizes),
        "largest_request_bytes": max(sizes),
    }


def _send(ledger: Path, url: str) -> tuple[float, float, float]:
    """Wall and CPU seconds of one `frugalwatch send`, and its largest resident size in MiB."""
    script = (
        "import resource, sys; sys.argv = ['frugalwatch', *sys.argv[1:]]\n"
        "from frugalwatch.cli import main\n"
        "status = main()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)\n"
        "sys.exit(status)"
    )
    words = ("send", "--url", url, "--ledger", str(ledger), "--node", "bench", "--json")
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=_REPOSITORY,
        env={**os.environ, "XDG_CONFIG_HOME": str(ledger.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    wall_s, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall_s, cpu_s, int(done.stderr.split()[-1]) / 1024


def _steady(folder: Path, url: str, devices: int) -> dict[str, object]:
    """One interval more, of a node that is up to date."""
    from frugalwatch.remote.sender import Plan, Sender
    from frugalwatch.remote.snappy import compressor
    from frugalwatch.remote.transport import Transport, address

    ledger = folder / "steady.db"
    now_s = [time.time() // _EVERY_S * _EVERY_S]
    _fill(ledger, 1.0, devices, end_utc_s=now_s[0])
    with _open(ledger) as conn:
        transport = Transport(address(url))
        plan = Plan("node-0001.cluster.example", None)
        clock = lambda: round(now_s[0] * 1e9)  # noqa: E731 - two words of a clock
        sender = Sender(conn, url, transport.post, plan, clock=clock)
        while sender.send(everything=True).more:
            pass
        sizes, cpu_ms = [], []
        for step in range(40):
            _append(conn, devices, 3600 + step * _EVERY_S, _EVERY_S)
            now_s[0] += _EVERY_S
            begun = time.process_time()
            sizes.append(sender.send(everything=True).bytes_sent)
            cpu_ms.append((time.process_time() - begun) * 1e3)
        transport.close()
    return {
        "compressed_by": compressor(),
        "request_bytes": sorted(sizes)[len(sizes) // 2],
        "cpu_ms": round(sorted(cpu_ms)[len(cpu_ms) // 2], 2),
    }


def _site(steady: object, devices: int) -> dict[str, object]:
    """Ten thousand such nodes, worked out from one."""
    assert isinstance(steady, dict)
    size = int(steady["request_bytes"]) + 350  # the request's head and the answer
    samples = _SITE_NODES * devices / _EVERY_S
    return {
        "nodes": _SITE_NODES,
        "series": _SITE_NODES * devices,
        "requests_a_second": round(_SITE_NODES / _EVERY_S),
        "samples_a_second": round(samples),
        "network_mbit_s": round(size * 8 * _SITE_NODES / _EVERY_S / 1e6, 2),
        "disk_gib_a_month": round(samples * _SAMPLE_BYTES * 86_400 * 30 / 2**30, 1),
    }


# -- ledgers ------------------------------------------------------------------------------------


def _fill(path: Path, hours: float, devices: int, end_utc_s: float | None = None) -> None:
    """A ledger with one recording of so many hours, a look a second."""
    from frugalwatch.ledger.connection import open_ledger

    seconds = round(hours * 3600)
    began = round((end_utc_s or time.time() - 60) - seconds) * SECOND
    with closing(open_ledger(str(path), create=True)) as conn:
        conn.execute("PRAGMA synchronous = OFF")
        conn.execute("INSERT INTO machine (machine_key, hostname) VALUES ('m', 'bench')")
        conn.execute("INSERT INTO boot (machine_id, boot_key) VALUES (1, 'boot')")
        conn.execute(
            "INSERT INTO run (run_key, boot_id, state, command, command_hash, cwd, interval_ns,"
            " started_utc_ns, started_mono_ns, heartbeat_mono_ns) VALUES"
            " ('daemon-x', 1, 'running', '[]', '', '/', ?, ?, ?, ?)",
            (SECOND, began, _MONO_0, _MONO_0 + seconds * SECOND),
        )
        for n in range(devices):
            conn.execute(
                "INSERT INTO device (machine_id, key, domain, name, boundary, source) VALUES"
                " (1, ?, 'gpu', 'GPU', 'board', 'nvml')",
                (f"nvidia:GPU-0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8{n:02x}",),
            )
            conn.execute(
                "INSERT INTO stream (run_id, boot_id, device_id, origin, opened_mono_ns)"
                " VALUES (1, 1, ?, 'measured', ?)",
                (n + 1, _MONO_0),
            )
        for begin in range(0, seconds + 1, _ROWS_AT_ONCE):
            _append(conn, devices, begin - 1, min(_ROWS_AT_ONCE, seconds + 1 - begin))


def _append(conn: sqlite3.Connection, devices: int, after_s: int, count: int) -> None:
    conn.execute("BEGIN")
    for n in range(devices):
        conn.executemany(
            "INSERT INTO sample (stream_id, t_mono_ns, energy_uj) VALUES (?, ?, ?)",
            (
                (n + 1, _MONO_0 + s * SECOND, s * (70_123_457 + n * 1_000_003))
                for s in range(after_s + 1, after_s + 1 + count)
            ),
        )
    conn.execute("COMMIT")


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    from frugalwatch.ledger.connection import open_ledger

    with closing(open_ledger(str(path), create=False)) as conn:
        yield conn


@contextmanager
def _sink() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/v1/write"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hours", type=float, nargs="+", default=[24.0, 168.0])
    parser.add_argument("--devices", type=int, default=6)
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
