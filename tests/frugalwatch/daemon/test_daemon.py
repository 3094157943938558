"""The daemon as a process: what it writes, and what survives its end."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from frugalwatch.daemon.peers import open_socket
from tests.frugalwatch.daemon.kit import DaemonKit
from tests.frugalwatch.e2e.kit import until
from tests.support.fake_sysfs import PowercapTree, Zone

_ENERGY = "SELECT max(energy_uj) FROM sample"
_RESTARTS = "SELECT cause FROM event WHERE kind = 'daemon_restarted' ORDER BY id"


def test_it_records_the_counters_and_says_nothing(daemon: DaemonKit, tree: PowercapTree) -> None:
    daemon.start()
    tree.set_j("package-0", 1007.0)
    status, said = daemon.end()
    assert (status, said) == (0, "")
    assert daemon.rows(_ENERGY) == [(7_000_000,)]
    assert daemon.rows("SELECT key FROM device WHERE domain = 'cpu'") == [("rapl:package-0",)]


def test_a_killed_daemon_loses_no_energy_and_its_successor_notes_the_gap(
    daemon: DaemonKit, tree: PowercapTree
) -> None:
    daemon.start()
    tree.set_j("package-0", 1010.0)
    daemon.end(signal.SIGKILL)
    tree.set_j("package-0", 1025.0)
    daemon.start()
    daemon.end()
    assert daemon.rows(_ENERGY) == [(25_000_000,)]
    assert daemon.rows(_RESTARTS) == [("killed",)]
    assert daemon.rows("SELECT count(*) FROM run") == [(1,)]
    assert daemon.rows("PRAGMA integrity_check") == [("ok",)]


def test_an_orderly_stop_is_not_taken_for_a_kill(daemon: DaemonKit) -> None:
    daemon.start()
    daemon.end()
    daemon.start()
    daemon.end()
    assert daemon.rows(_RESTARTS) == [("stopped",)]


def test_sighup_reads_the_configuration_anew_in_the_same_process(
    daemon: DaemonKit, tree: PowercapTree
) -> None:
    process = daemon.start()
    tree.set_j("package-0", 1004.0)
    process.send_signal(signal.SIGHUP)
    daemon.wait_for(_RESTARTS)
    assert process.poll() is None
    assert daemon.status()[1]["pid"] == process.pid
    tree.set_j("package-0", 1009.0)
    daemon.end()
    assert daemon.rows(_ENERGY) == [(9_000_000,)]


def test_one_instance_per_ledger(daemon: DaemonKit) -> None:
    process = daemon.start()
    second = daemon.program("daemon", "run")
    assert second.returncode == 1
    assert f"process {process.pid} holds" in second.said


def test_a_counter_wrap_while_nobody_looked_adds_one_range(tmp_path: Path) -> None:
    with PowercapTree(tmp_path, [Zone("package-0", start_j=65_436.0, range_j=65_536.0)]) as tree:
        daemon = DaemonKit(tmp_path, tree)
        try:
            daemon.start()
            daemon.end(signal.SIGKILL)
            tree.set_j("package-0", 100.0)
            daemon.start()
            daemon.end()
        finally:
            daemon.close()
        assert daemon.rows(_ENERGY) == [(200_000_000,)]


def test_status_tells_a_running_daemon_from_none(daemon: DaemonKit) -> None:
    assert daemon.status()[0] == 1
    process = daemon.start()
    code, document = daemon.status()
    assert code == 0
    assert (document["running"], document["pid"]) == (True, process.pid)
    assert [d["device"] for d in document["devices"]] == ["rapl:package-0"]
    daemon.end()
    code, document = daemon.status()
    assert (code, document["running"]) == (1, False)


def test_a_ledger_that_is_taken_away_is_begun_again(daemon: DaemonKit, tree: PowercapTree) -> None:
    daemon.start()
    (daemon.ledger.parent / "away").mkdir()
    for name in ("ledger.db-wal", "ledger.db-shm", "ledger.db"):
        (daemon.ledger.parent / name).rename(daemon.ledger.parent / "away" / name)
    with until(30, "a new ledger") as again:
        while again():
            if daemon.count("SELECT count(*) FROM stream"):
                break
    tree.set_j("package-0", 1003.0)
    daemon.end()
    assert daemon.rows(_ENERGY) == [(3_000_000,)]


def test_who_may_not_read_the_ledger_is_told_by_the_socket(
    daemon: DaemonKit, tree: PowercapTree, tmp_path: Path
) -> None:
    daemon.start()
    tree.set_j("package-0", 1007.0)
    with until(30, "a published figure") as again:
        while again():
            other = daemon.program(
                *("daemon", "status", "--json", "--ledger", str(tmp_path / "closed" / "l.db"))
            )
            if other.returncode == 0:
                break
    document = json.loads(other.stdout)
    assert (document["running"], document["pid"]) == (True, None)
    assert document["socket"] == str(daemon.socket)
    assert [d["device"] for d in document["devices"]] == ["rapl:package-0"]
    assert "the daemon runs" in daemon.program("daemon", "status").stdout.decode()


def test_who_used_the_machine_is_written_down_at_the_latest_when_it_stops(
    daemon: DaemonKit, tree: PowercapTree
) -> None:
    daemon.start()
    daemon.wait_for("SELECT 1 FROM run WHERE heartbeat_mono_ns > started_mono_ns + 1000000000")
    tree.set_j("package-0", 1060.0)
    daemon.end()
    ((energy_uj, busy_us),) = daemon.rows("SELECT sum(energy_uj), sum(busy_us) FROM minute")
    assert energy_uj == 60_000_000
    shares = "SELECT sum(busy_us), sum(high_uj), count(energy_uj) FROM share JOIN workload"
    shares += " ON workload.id = workload_id WHERE kind = 'process'"
    ((share_us, high_uj, figures),) = daemon.rows(shares)
    assert share_us == busy_us
    assert high_uj == pytest.approx(60_000_000, abs=100)
    assert figures == 0, "nobody knows what this machine draws without work"
    assert {r[0] for r in daemon.rows("SELECT DISTINCT origin FROM workload_energy")} == {
        "attributed"
    }
    assert daemon.rows("SELECT 1 FROM workload WHERE kind = 'user'") == []


def test_a_socket_folder_of_another_user_is_not_used(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("gives a folder to somebody else, which needs root")
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    with pytest.raises(FileExistsError, match="another user's"):
        open_socket(str(folder / "sock"), None)


def test_a_recording_that_was_given_an_end_goes_on(daemon: DaemonKit, tree: PowercapTree) -> None:
    daemon.start()
    daemon.end(signal.SIGKILL)
    settled = daemon.program("recover", "--ledger", str(daemon.ledger))
    assert "recovered" in settled.stdout.decode()
    tree.set_j("package-0", 1005.0)
    daemon.start()
    assert daemon.rows("SELECT state, ended_mono_ns FROM run") == [("running", None)]
    daemon.end()
    assert daemon.rows(_ENERGY) == [(5_000_000,)]
