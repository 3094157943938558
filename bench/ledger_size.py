"""One month at 1 Hz with 8 devices in one ledger: how large, how fast to read, how fast to thin.

    python bench/ledger_size.py [--days 30] [--keep FILE]

Writes 20.7 million samples as some 360 runs (two hours each), with the product's own schema and
statements, then starts `frugalwatch runs`, `show` and `export` as a person would (a new process,
median of five), and thins everything but the last week. Needs 2 GB of disk for a few minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from collectors.base import Device, Reading  # noqa: E402
from frugalwatch.carbon.grid import resolve_or_world  # noqa: E402
from frugalwatch.config.settings import Settings  # noqa: E402
from frugalwatch.ledger.connection import open_ledger, writing  # noqa: E402
from frugalwatch.ledger.database import database  # noqa: E402
from frugalwatch.ledger.queries import earlier_runs, find_run, list_runs  # noqa: E402
from frugalwatch.ledger.recording import Recording  # noqa: E402
from frugalwatch.ledger.records import DeviceTotal, RunEnd, RunStart, RunTotals  # noqa: E402
from frugalwatch.ledger.thin import thin  # noqa: E402
from frugalwatch.ledger.totals import store_totals  # noqa: E402
from frugalwatch.ledger.union import energy_between_utc  # noqa: E402
from frugalwatch.report.settle import settle_run  # noqa: E402

SECOND = 1_000_000_000
DEVICES = 8
RUN_SECONDS = 7200
START_UTC = 1_735_689_600
SAMPLE = "INSERT INTO sample VALUES (?, ?, ?, NULL, NULL, ?)"
USAGE = "INSERT INTO usage VALUES (?, ?, ?, ?)"


def fill(path: Path, days: int) -> int:
    """Write the month; the number of samples."""
    conn = open_ledger(str(path), create=True)
    conn.execute("PRAGMA synchronous = OFF")  # of this generator only
    dice = random.Random(1)
    runs = days * 86_400 // RUN_SECONDS
    for number in range(runs):
        begin = number * RUN_SECONDS
        recording = Recording(
            RunStart(
                run_key=f"{begin:012d}-bench",
                machine_key="bench",
                hostname="bench",
                boot_key="boot",
                command=("python", f"train_{number % 20}.py", "--epochs", "10"),
                command_hash=f"hash-{number % 20}",
                cwd="/home/user/project",
                interval_ns=SECOND,
                started_utc_ns=(START_UTC + begin) * SECOND,
                started_mono_ns=begin * SECOND,
            )
        )
        for index in range(DEVICES):
            device = Device(
                f"nvidia:GPU-{index}", "gpu", f"GPU {index}", "measured", "board", "nvml"
            )
            handle = recording.add_stream(device, begin * SECOND)
            recording.sample(handle, Reading(device.key, begin * SECOND, 0))
        recording.write(conn)
        energy = series(conn, recording, begin, dice)
        recording.end = RunEnd("done", (begin + RUN_SECONDS) * SECOND, 0, job_cpu_us=7 * 10**9)
        recording.write(conn)
        store_totals(conn, recording.run_id or 0, totals(energy))
    settle_last(conn)
    count: int = conn.execute("SELECT count(*) FROM sample").fetchone()[0]
    conn.close()
    return count


def settle_last(conn: sqlite3.Connection) -> None:
    """Give the last run the object that `show` and `export` print."""
    run_id, run_key = conn.execute("SELECT id, run_key FROM run ORDER BY id DESC").fetchone()
    factor, _ = resolve_or_world(Settings())
    began = time.perf_counter()
    _, settled = settle_run(conn, run_key, factor, Settings())
    print(f"settling one run    {(time.perf_counter() - began) * 1000:8.1f} ms")
    store_totals(conn, run_id, settled)


def series(conn: sqlite3.Connection, recording: Recording, begin: int, dice: random.Random) -> int:
    """One run's samples, tick by tick and so in the order in which a sampler writes them."""
    ids = [stream.row_id for stream in recording.streams]
    energy = [0] * DEVICES
    for chunk in range(begin + 1, begin + RUN_SECONDS + 1, 600):
        samples, usage = [], []
        for second in range(chunk, min(chunk + 600, begin + RUN_SECONDS + 1)):
            # Never quite on the second, as in life: the instants fill all their bytes.
            t = second * SECOND + dice.randrange(2_000_000)
            for index in range(DEVICES):
                power = dice.randrange(60_000, 400_000)
                energy[index] += power * 1000
                samples.append((ids[index], t, energy[index], power))
            usage.append((recording.run_id, t, second * 10**6, second * 2 * 10**6))
        with writing(conn):
            conn.executemany(SAMPLE, samples)
            conn.executemany(USAGE, usage)
    return sum(energy)


def totals(energy: int) -> RunTotals:
    devices = tuple(
        DeviceTotal(index + 1, "measured", energy // 8, energy // 8, energy // 8, 1.0, True)
        for index in range(DEVICES)
    )
    # About what a run object with eight devices and fifty phases takes.
    result = json.dumps({"schema": "frugalwatch.run/1", "devices": ["x" * 400] * 58})
    none = (None, None, None)
    return RunTotals(energy, energy, energy, *none, 5, 1.0, result=result, devices=devices)


def command_s(*arguments: str, ledger: Path) -> float:
    """Median wall seconds of a command in a new process, five times, after one to warm up."""
    line = [sys.executable, "-m", "frugalwatch", *arguments, "--ledger", str(ledger)]
    times = []
    for _ in range(6):
        began = time.perf_counter()
        subprocess.run(line, cwd=REPOSITORY, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def query_ms(path: Path) -> dict[str, float]:
    """Milliseconds of what the commands ask, in this process."""
    conn = open_ledger(str(path), create=False)
    db = database(conn)
    day = (START_UTC + 9 * 86_400) * SECOND
    asked = {
        "list 20 runs": lambda: list_runs(db, limit=20),
        "list all runs": lambda: list_runs(db),
        "runs with a text": lambda: list_runs(db, text="train_7"),
        "find a run": lambda: find_run(db, "last"),
        "earlier runs": lambda: earlier_runs(db, find_run(db, "last").number),
        "energy of one day": lambda: energy_between_utc(conn, day, day + 86_400 * SECOND),
    }
    answer = {}
    for name, ask in asked.items():
        began = time.perf_counter()
        ask()
        answer[name] = (time.perf_counter() - began) * 1000
    conn.close()
    return answer


def stream_totals(conn: sqlite3.Connection) -> list[tuple[int, int]]:
    """Micro-joules of every stream."""
    return conn.execute(
        "SELECT stream_id, max(energy_uj) - min(energy_uj) FROM sample GROUP BY stream_id"
    ).fetchall()


def union_j(conn: sqlite3.Connection) -> float:
    """Joules of all devices over all runs, overlap counted once."""
    return sum(device.energy_uj for device in energy_between_utc(conn, 0, 2**62)) / 1e6


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--days", type=int, default=30)
    options.add_argument("--keep", metavar="FILE", help="make the ledger there and leave it")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="frugalwatch-bench-") as folder:
        path = Path(chosen.keep or os.path.join(folder, "ledger.db"))
        began = time.perf_counter()
        count = fill(path, chosen.days)
        seconds = time.perf_counter() - began
        size = path.stat().st_size
        print(f"{count / 1e6:.2f} million samples, written in {seconds:.0f} s")
        print(f"size                {size / 1e6:8.0f} MB   {size / count:.1f} bytes a sample")
        for name, milliseconds in query_ms(path).items():
            print(f"{name:18}  {milliseconds:8.1f} ms")
        for arguments in (("runs",), ("show", "last"), ("export", "last")):
            shown = "frugalwatch " + " ".join(arguments)
            print(f"{shown:24}  {command_s(*arguments, ledger=path):.2f} s")
        conn = open_ledger(str(path), create=False)
        week_ago = (START_UTC + (chosen.days - 7) * 86_400) * SECOND
        before, union_before = stream_totals(conn), union_j(conn)
        began = time.perf_counter()
        removed = thin(conn, week_ago)
        seconds = time.perf_counter() - began
        after, union_after = stream_totals(conn), union_j(conn)
        free = conn.execute("PRAGMA freelist_count").fetchone()[0]
        pages = conn.execute("PRAGMA page_count").fetchone()[0]
        conn.close()
        kept = "the same" if after == before else "CHANGED"
        print(f"thinned             {removed / 1e6:8.2f} million rows in {seconds:.0f} s")
        print(f"totals of the runs  {kept}")
        print(
            f"union over all runs  {union_after / union_before - 1:+.1e}, from where runs overlap"
        )
        print(f"free for new rows   {free / pages:8.0%} of the file")


if __name__ == "__main__":
    main()
