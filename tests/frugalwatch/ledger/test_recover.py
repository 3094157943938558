from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

from frugalwatch.ledger.connection import open_ledger
from frugalwatch.ledger.journal import Journal
from frugalwatch.ledger.recover import Here, is_alive, recover
from tests.frugalwatch.ledger.kit import (
    SECOND,
    Notices,
    device,
    in_child,
    one,
    run_start,
    samples,
    tick,
)

NAMESPACE = os.stat("/proc/self/ns/pid").st_ino
settled: list[str] = []


def settle(_conn: sqlite3.Connection, run_key: str) -> None:
    settled.append(run_key)


def here(**changes: object) -> Here:
    return Here("machine-1", "boot-1", NAMESPACE, 500 * SECOND)._replace(**changes)


def starttime(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat[stat.rindex(")") + 2 :].split()[19])


def unfinished(path: Path, **start: object) -> sqlite3.Connection:
    """A ledger with a run that was recorded until second 105 and never finished."""
    settled.clear()
    journal = Journal(str(path), notify=Notices(), fallback_dirs=())
    journal.open_run(run_start("run-1", pid_namespace=NAMESPACE, **start))
    journal.add_stream(device(), 100 * SECOND)
    for second in range(101, 106):
        tick(journal, second)
    journal.close()
    return open_ledger(str(path), create=False)


def test_a_run_of_an_earlier_boot_is_interrupted_at_its_last_heartbeat(tmp_path: Path) -> None:
    conn = unfinished(tmp_path / "l.db", supervisor_pid=os.getpid())
    (found,) = recover(conn, here(boot_key="boot-2", now_mono_ns=3 * SECOND), settle)
    assert (found.state, found.ended_mono_ns) == ("interrupted", 105 * SECOND)
    assert settled == ["run-1"]
    row = conn.execute(
        "SELECT state, ended_mono_ns, exit_code, job_cpu_us, machine_busy_us, job_cpu_method"
        " FROM run"
    ).fetchone()
    assert row == ("interrupted", 105 * SECOND, None, 105_000, 210_000, "tree-lower-bound")
    assert "restarted" in one(conn, "SELECT detail FROM event WHERE kind = 'recovered'")
    assert recover(conn, here(boot_key="boot-2"), settle) == [], "once"
    conn.close()


def test_a_run_whose_processes_live_is_left_alone(tmp_path: Path) -> None:
    for name in ("supervisor", "sampler", "job"):
        mine = {f"{name}_pid": os.getpid(), f"{name}_starttime": starttime(os.getpid())}
        conn = unfinished(tmp_path / f"{name}.db", **mine)
        assert recover(conn, here(), settle) == []
        assert one(conn, "SELECT state FROM run") == "running"
        conn.close()


def test_a_run_whose_processes_are_gone_is_recovered(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    conn = unfinished(tmp_path / "l.db", supervisor_pid=gone.pid, sampler_pid=gone.pid)
    (found,) = recover(conn, here(), settle)
    assert (found.state, found.run_key) == ("recovered", "run-1")
    assert one(conn, "SELECT exit_code FROM run") is None
    conn.close()


def test_a_pid_that_was_given_to_another_process_is_not_the_job(tmp_path: Path) -> None:
    conn = unfinished(
        tmp_path / "l.db", job_pid=os.getpid(), job_starttime=starttime(os.getpid()) - 1
    )
    (found,) = recover(conn, here(), settle)
    assert found.state == "recovered"
    conn.close()


def test_a_zombie_is_gone() -> None:
    child = subprocess.Popen(["true"])
    deadline = time.monotonic() + 10
    while " Z " not in Path(f"/proc/{child.pid}/stat").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not is_alive("/proc", child.pid, None)
    child.wait()
    assert is_alive("/proc", os.getpid(), starttime(os.getpid()))
    assert not is_alive("/proc", None, None)


def test_a_process_whose_name_looks_like_stat_fields_is_read_right(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    rest = " ".join(["S", *["1"] * 18, "4242", "0"])
    (tmp_path / "7" / "stat").write_text(f"7 (a) Z 1 (b) {rest}")
    assert is_alive(str(tmp_path), 7, 4242)
    assert not is_alive(str(tmp_path), 7, 4243)


def test_in_another_container_only_a_long_silence_counts(tmp_path: Path) -> None:
    conn = unfinished(tmp_path / "l.db")
    elsewhere = here(pid_namespace=NAMESPACE + 1)
    assert recover(conn, elsewhere._replace(now_mono_ns=150 * SECOND), settle) == []
    (found,) = recover(conn, elsewhere._replace(now_mono_ns=190 * SECOND), settle)
    assert found.state == "recovered"
    conn.close()


def test_runs_of_another_machine_are_its_own_business(tmp_path: Path) -> None:
    conn = unfinished(tmp_path / "l.db")
    elsewhere = here(machine_key="machine-2", boot_key="boot-9")
    assert recover(conn, elsewhere, settle) == []
    (found,) = recover(conn, elsewhere, settle, every_machine=True)
    assert found.state == "interrupted"
    conn.close()


def test_two_recoveries_at_once_close_a_run_once(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    unfinished(path).close()

    def work() -> int:
        return len(recover(open_ledger(str(path), create=False), here(), settle))

    waits = [in_child(work) for _ in range(5)]
    assert sum(wait() for wait in waits) == 1
    assert one(path, "SELECT count(*) FROM event WHERE kind = 'recovered'") == 1


def test_a_killed_sampler_leaves_a_run_that_recovery_completes(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            journal = Journal(str(path), notify=Notices(), fallback_dirs=())
            me = os.getpid()
            journal.open_run(run_start("run-1", sampler_pid=me, sampler_starttime=starttime(me)))
            journal.add_stream(device(), 100 * SECOND)
            for second in range(101, 111):
                tick(journal, second)
            os.write(write_end, b"x")
            signal.pause()
        finally:
            os._exit(1)
    os.read(read_end, 1)
    conn = open_ledger(str(path), create=False)
    assert recover(conn, here(), settle) == [], "alive"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    (found,) = recover(conn, here(), settle)
    assert found.ended_mono_ns == 110 * SECOND
    assert samples(conn)[-1] == (110, 100_000_000), "no energy of a device with a counter is lost"
    conn.close()
