"""What serving metrics costs beside the daemon, and how long and large a scrape is.

    python bench/metrics.py                      the daemon scraped every second for a minute
    python bench/metrics.py --seconds 300 --every 15

CPU time (schedstat) and memory (PSS) are those of the process that serves metrics alone, after a
warm-up, with one simulated counter; `prometheus_client_mib` is what importing that library would
add to such a process, by the RSS of a fresh interpreter before and after. `--runs N` measures
instead how much CPU time a page takes of a ledger with N finished runs, without a daemon.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parents[1]
_WARM_UP_S = 15.0
_IMPORT = """
import json, socket, sqlite3, sys, time
def rss():
    with open("/proc/self/status") as status:
        return int(status.read().partition("VmRSS:")[2].split()[0]) / 1024
before, begun = rss(), time.perf_counter()
import prometheus_client
print(json.dumps([rss() - before, (time.perf_counter() - begun) * 1e3]))
"""


def main() -> int:
    """Measure and print one line a figure."""
    options = _arguments()
    found = _pages(options.runs) if options.runs else _daemon(options.seconds, options.every)
    found["load_average"] = os.getloadavg()[0]
    for name, value in found.items():
        print(f"{name:32} {value:.4g}")
    return 0


def _daemon(seconds: float, every_s: float) -> dict[str, float]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="frugalwatch-bench-") as name:
        folder = Path(name)
        _counter(folder / "sys")
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("FRUGALWATCH_")},
            "FRUGALWATCH_SYSFS": str(folder / "sys"),
            "XDG_CONFIG_HOME": name,
            "PYTHONPATH": str(_REPOSITORY),
        }
        command = [sys.executable, "-m", "frugalwatch", "daemon", "run"]
        command += ["--ledger", f"{name}/ledger.db", "--socket", f"{name}/sock"]
        command += ["--metrics", f"127.0.0.1:{port}"]
        daemon = subprocess.Popen(command, env=environment)
        try:
            url = f"http://127.0.0.1:{port}/metrics"
            _wait_for(url)
            time.sleep(_WARM_UP_S)
            server = _server(daemon.pid)
            before_ns, since = _cpu_ns(server), time.monotonic()
            took_ms, size = [], 0
            while time.monotonic() - since < seconds:
                begun = time.perf_counter()
                with urllib.request.urlopen(url, timeout=30) as answer:
                    size = len(answer.read())
                took_ms.append((time.perf_counter() - begun) * 1e3)
                time.sleep(every_s)
            span_s = time.monotonic() - since
            used_ns = _cpu_ns(server) - before_ns
            pss_mib = _pss_mib(server)
            all_pss_mib = sum(map(_pss_mib, [daemon.pid, *_children(daemon.pid)]))
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(30)
    imported = subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, check=True)
    more_mib, import_ms = json.loads(imported.stdout)
    return {
        "scrapes": len(took_ms),
        "page_bytes": size,
        "scrape_median_ms": statistics.median(took_ms),
        "cpu_ms_a_scrape": used_ns / 1e6 / len(took_ms),
        "cpu_percent_of_a_core": 100 * used_ns / 1e9 / span_s,
        "pss_mib": pss_mib,
        "daemon_and_children_pss_mib": all_pss_mib,
        "prometheus_client_mib": more_mib,
        "prometheus_client_import_ms": import_ms,
    }


def _pages(runs: int) -> dict[str, float]:
    """CPU time of the first page of a ledger, and of those behind it."""
    sys.path.insert(0, str(_REPOSITORY))
    from frugalwatch.metrics.exposition import as_text
    from frugalwatch.metrics.snapshot import Snapshot
    from tests.frugalwatch.metrics.kit import ledger, recording

    conn = ledger(*(recording(n, range(n * 10, n * 10 + 10, 3)) for n in range(runs)))
    snapshot = Snapshot()
    took_ms = []
    for _ in range(6):
        begun = time.process_time()
        as_text(snapshot.read(conn))
        took_ms.append((time.process_time() - begun) * 1e3)
    return {
        "runs": runs,
        "first_cpu_ms": took_ms[0],
        "median_cpu_ms": statistics.median(took_ms[1:]),
    }


def _counter(sysfs: Path) -> None:
    zone = sysfs / "class" / "powercap" / "intel-rapl" / "intel-rapl:0"
    zone.mkdir(parents=True)
    for name, text in (("name", "package-0"), ("energy_uj", "1000"), ("enabled", "1")):
        (zone / name).write_text(f"{text}\n")
    (zone / "max_energy_range_uj").write_text("262143328850\n")


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "no metrics"
            time.sleep(0.2)


def _server(daemon: int) -> int:
    for pid in _children(daemon):
        if Path(f"/proc/{pid}/comm").read_text().strip() == "fw-metrics":
            return pid
    raise AssertionError("no process serves metrics")


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for children in tasks for child in children.read_text().split()]


def _cpu_ns(pid: int) -> int:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def _pss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two scrapes")
    parser.add_argument("--runs", type=int, help="pages of a ledger with so many runs instead")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
