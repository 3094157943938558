"""kill -9 of a writer at random moments."""

from __future__ import annotations

import os
import random
import select
import signal
import time
from pathlib import Path

from frugalwatch.ledger.connection import open_ledger
from frugalwatch.ledger.journal import Journal
from tests.frugalwatch.ledger.kit import SECOND, Notices, device, one, reading, run_start, samples

KILLS = 20


def write_until_killed(path: Path, run_key: str, report: int) -> None:
    """Tick as fast as possible. Each tick's number goes down the pipe once commit has answered."""
    journal = Journal(str(path), notify=Notices(), fallback_dirs=())
    journal.open_run(run_start(run_key))
    handles = [journal.add_stream(device(f"rapl:{n}"), 100 * SECOND) for n in range(8)]
    second = 100
    while True:
        second += 1
        for handle in handles:
            journal.sample(handle, reading(second, (second - 100) * 10_000_000))
        journal.usage(second * SECOND, second, second)
        journal.heartbeat(second * SECOND)
        if journal.commit():
            os.write(report, f"{second}\n".encode())


def kill_one(path: Path, run_key: str, after_s: float, *, at_work: bool) -> int:
    """The last tick that the killed writer knew to be stored, 0 for none.

    `at_work`: the time counts from the first stored tick on, else from the writer's start.
    """
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            write_until_killed(path, run_key, write_end)
        finally:
            os._exit(1)
    os.close(write_end)
    if at_work:
        assert select.select([read_end], [], [], 60)[0], "nothing was stored in a minute"
    time.sleep(after_s)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    with open(read_end, encoding="utf-8") as pipe:
        lines = pipe.read().split()
    return int(lines[-1]) if lines else 0


def test_a_killed_writer_loses_no_committed_tick_and_never_half_of_one(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    dice = random.Random(20250101)
    committed = 0
    for number in range(KILLS):
        run_key = f"run-{number}"
        known = kill_one(path, run_key, dice.uniform(0.0, 0.06), at_work=number % 4 > 0)
        committed += known > 0
        # What the next process finds, without any clean-up of the last one.
        conn = open_ledger(str(path), create=True)
        assert one(conn, "PRAGMA integrity_check") == "ok"
        run = conn.execute(
            "SELECT id, heartbeat_mono_ns / 1000000000 FROM run WHERE run_key = ?", (run_key,)
        ).fetchone()
        if known:
            run_id, heartbeat = run
            ends = conn.execute(
                "SELECT max(t_mono_ns) / 1000000000, count(*), max(energy_uj) FROM sample"
                " WHERE stream_id IN (SELECT id FROM stream WHERE run_id = ?) GROUP BY stream_id",
                (run_id,),
            ).fetchall()
            assert len(ends) == 8
            # Of all eight devices the same ticks, every one that was answered for, at most the
            # one more that was under way, and the energy that a counter had by then.
            assert len(set(ends)) == 1
            last, count, energy = ends[0]
            assert last in (known, known + 1)
            assert last == heartbeat
            assert count == last - 100
            assert energy == (last - 100) * 10_000_000
        conn.close()
    assert committed >= KILLS * 3 // 4, "most kills must hit a writer that was at work"


def test_two_writers_on_one_file_survive_each_others_death(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    open_ledger(str(path), create=True).close()
    read_end, write_end = os.pipe()
    survivor = os.fork()
    if survivor == 0:
        try:
            write_until_killed(path, "survivor", write_end)
        finally:
            os._exit(1)
    os.close(write_end)
    try:
        dice = random.Random(7)
        for number in range(5):
            after_s = dice.uniform(0.01, 0.05)
            kill_one(path, f"victim-{number}", after_s, at_work=number % 2 > 0)
        assert select.select([read_end], [], [], 60)[0], "the survivor stored nothing in a minute"
    finally:
        os.kill(survivor, signal.SIGKILL)
        os.waitpid(survivor, 0)
    with open(read_end, encoding="utf-8") as pipe:
        answered = [int(line) for line in pipe.read().split()]
    assert one(path, "PRAGMA integrity_check") == "ok"
    stored = samples(path)
    assert answered
    assert {second for second, _ in stored} >= set(answered)
    assert one(path, "SELECT count(*) FROM run WHERE run_key = 'survivor'") == 1
