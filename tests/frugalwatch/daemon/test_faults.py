"""What goes wrong on a machine while the daemon looks: it goes on, and says so."""

from __future__ import annotations

import signal
import sqlite3
import time
from pathlib import Path

import pytest

from tests.frugalwatch.daemon.kit import DaemonKit
from tests.frugalwatch.e2e.kit import until
from tests.support.fake_sysfs import PowercapTree
from tests.support.nvml_stub import Constant, Hang, NvmlStub, StubGpu

_GPU = (
    "SELECT max(energy_uj) FROM sample JOIN stream ON stream.id = stream_id"
    " JOIN device ON device.id = device_id WHERE domain = 'gpu'"
)
_CPU_LOOKS = (
    "SELECT count(*) FROM sample JOIN stream ON stream.id = stream_id"
    " JOIN device ON device.id = device_id WHERE domain = 'cpu'"
)


def test_a_driver_that_hangs_holds_up_neither_the_looks_nor_the_end(
    daemon: DaemonKit, tmp_path: Path
) -> None:
    stub = NvmlStub(tmp_path, [StubGpu(trace=Constant(250.0))])
    stub.hangs = [Hang("nvmlDeviceGetTotalEnergyConsumption", stub.now_s() + 2, 600.0)]
    stub.write()
    daemon.program.environment |= stub.environment()
    daemon.start()
    daemon.wait_for("SELECT 1 FROM event WHERE kind = 'gap' AND cause = 'timeout'")
    looks = daemon.count(_CPU_LOOKS)
    with until(30, "looks at the CPU") as again:
        while again():
            if daemon.count(_CPU_LOOKS) > looks + 20:
                break
    status, _ = daemon.end()
    assert status == 0


def test_a_gpu_counter_goes_on_over_a_kill(daemon: DaemonKit, tmp_path: Path) -> None:
    stub = NvmlStub(tmp_path, [StubGpu(trace=Constant(250.0))])
    stub.write()
    daemon.program.environment |= stub.environment()
    daemon.start()
    with until(30, "energy of the card") as again:
        while again():
            if daemon.count(_GPU) > 500_000_000:
                break
    daemon.end(signal.SIGKILL)
    daemon.start()
    with until(30, "the card again") as again:
        while again():
            if daemon.count(_GPU) > 1_500_000_000:
                break
    daemon.end()
    begin, end = daemon.rows(
        "SELECT min(t_mono_ns), max(t_mono_ns) FROM sample JOIN stream ON stream.id = stream_id"
        " JOIN device ON device.id = device_id WHERE domain = 'gpu'"
    )[0]
    assert daemon.count(_GPU) / 1e6 == pytest.approx(stub.truth_j(0, begin, end), rel=0.03)


def test_a_sensor_that_goes_and_comes_back_is_a_gap_and_costs_no_energy(
    daemon: DaemonKit, tree: PowercapTree
) -> None:
    daemon.start()
    tree.fail("package-0")
    daemon.wait_for("SELECT 1 FROM event WHERE kind = 'gap'")
    tree.set_j("package-0", 1044.0)
    daemon.wait_for("SELECT 1 FROM event WHERE kind = 'gap_end'")
    daemon.end()
    assert daemon.count("SELECT max(energy_uj) FROM sample") == 44_000_000
    assert daemon.count("SELECT count(*) FROM event WHERE energy_missing") == 0


def test_a_locked_ledger_is_waited_out_in_memory(daemon: DaemonKit, tree: PowercapTree) -> None:
    daemon.start()
    other = sqlite3.connect(daemon.ledger, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    begin_ns = time.monotonic_ns()
    try:
        tree.set_j("package-0", 1030.0)
        while time.monotonic_ns() - begin_ns < 2_500_000_000:
            time.sleep(0.05)
            known = other.execute("SELECT max(t_mono_ns) FROM sample").fetchone()[0]
            assert known < begin_ns + 500_000_000, "nobody else writes to a locked ledger"
    finally:
        end_ns = time.monotonic_ns()
        other.execute("ROLLBACK")
        other.close()
    daemon.wait_for("SELECT 1 FROM sample WHERE energy_uj = 30000000", 60)
    kept = "SELECT count(*) FROM sample WHERE t_mono_ns BETWEEN ? AND ?"
    assert daemon.count(kept, begin_ns, end_ns) >= 3, "what was looked at meanwhile was kept"
    assert daemon.end()[0] == 0


def test_a_damaged_ledger_is_put_aside_and_said(daemon: DaemonKit, tree: PowercapTree) -> None:
    daemon.start()
    daemon.end()
    daemon.ledger.write_bytes(b"not a database, " * 512)
    for name in ("-wal", "-shm"):
        Path(f"{daemon.ledger}{name}").unlink(missing_ok=True)
    tree.set_j("package-0", 1011.0)
    daemon.start()
    status, said = daemon.end()
    assert (status, "was damaged" in said) == (0, True)
    assert daemon.count("SELECT max(energy_uj) FROM sample") == 11_000_000
