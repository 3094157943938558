"""Metrics beside the daemon: served without any right, and no business of the sampler's."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.frugalwatch.daemon.kit import DaemonKit
from tests.frugalwatch.e2e.kit import children, until
from tests.support.fake_sysfs import Constant, PowercapTree, Zone

WATTS = 40.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def scrape(port: int) -> dict[str, float]:
    """The device's figures by family; empty while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    families = text_string_to_metric_families(text)
    return {s.name: s.value for family in families for s in family.samples}


def wait_for_metrics(port: int) -> dict[str, float]:
    with until(60, "metrics of a ledger") as again:
        while again():
            found = scrape(port)
            if "frugalwatch_energy_joules_total" in found:
                return found
    raise AssertionError


def server_of(kit: DaemonKit) -> int:
    """The process that serves metrics, 0 if there is none now."""
    assert kit.process is not None
    for pid in children(kit.process.pid):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() == "fw-metrics":
                return pid
    return 0


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[DaemonKit]:
    with PowercapTree(tmp_path, [Zone("package-0", Constant(WATTS))]) as tree:
        tree.start()
        kit = DaemonKit(tmp_path, tree)
        yield kit
        kit.close()


def test_a_daemon_serves_metrics_without_any_right_and_tells_where(kit: DaemonKit) -> None:
    port = free_port()
    kit.start("--metrics", f"127.0.0.1:{port}")
    told = wait_for_metrics(port)
    assert told["frugalwatch_ledger_readable"] == 1
    assert told["frugalwatch_device_counted"] == 1
    status = Path(f"/proc/{server_of(kit)}/status").read_text()
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(facts["CapEff"], 16) == int(facts["CapPrm"], 16) == 0
    assert facts["NoNewPrivs"] == "1"
    if os.getuid() == 0:
        assert set(facts["Uid"].split()) == {"65534"}
    code, document = kit.status()
    assert (code, document["metrics"]) == (0, f"127.0.0.1:{port}")
    assert document["metrics_answer"] is True
    said = kit.program("daemon", "status").stdout.decode()
    assert f"http://127.0.0.1:{port}/metrics" in said
    doctor = kit.program("doctor", "--json").stdout.decode()
    assert f"http://127.0.0.1:{port}/metrics answers" in doctor
    assert kit.end()[0] == 0
    assert scrape(port) == {}


def test_a_killed_server_is_replaced_and_a_killed_daemon_leaves_none(kit: DaemonKit) -> None:
    port = free_port()
    kit.start("--metrics", f"127.0.0.1:{port}")
    wait_for_metrics(port)
    first = server_of(kit)
    os.kill(first, signal.SIGKILL)
    with until(60, "another server") as again:
        while again():
            if server_of(kit) not in (0, first):
                break
    wait_for_metrics(port)
    kit.wait_for("SELECT 1 FROM event WHERE kind = 'metrics_lost'")
    second = server_of(kit)
    kit.end(signal.SIGKILL)
    with until(30, "the server to end with its daemon") as again:
        while again():
            if not Path(f"/proc/{second}").exists() or scrape(port) == {}:
                break


def test_another_ledger_in_the_place_of_the_first_is_served(kit: DaemonKit) -> None:
    port = free_port()
    kit.start("--metrics", f"127.0.0.1:{port}")
    wait_for_metrics(port)
    first = server_of(kit)
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{kit.ledger}{suffix}", f"{kit.ledger}.away{suffix}")
    with until(60, "the daemon's new ledger, and another server for it") as again:
        while again():
            if server_of(kit) not in (0, first) and scrape(port).get("frugalwatch_ledger_readable"):
                break
    wait_for_metrics(port)


def test_a_port_that_is_taken_is_said_and_costs_no_sample(kit: DaemonKit) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        kit.start("--metrics", f"127.0.0.1:{other.getsockname()[1]}")
        kit.wait_for("SELECT 1 FROM event WHERE kind = 'metrics_lost'")
        before = kit.count("SELECT count(*) FROM sample")
        kit.wait_for(f"SELECT 1 FROM (SELECT count(*) n FROM sample) WHERE n > {before + 5}")
        assert kit.status()[1]["metrics_answer"] is False
        status, said = kit.end()
    assert status == 0
    assert "metrics cannot be served" in said


def test_a_wrong_address_is_refused_at_once(kit: DaemonKit) -> None:
    result = kit.program("daemon", "run", "--metrics", "example.org:80")
    assert result.returncode == 2
    assert "cannot be served on 'example.org:80'" in result.said
    assert kit.program("daemon", "run", "--metrics", "127.0.0.1:0").returncode == 2


def test_scraping_holds_up_no_writer(kit: DaemonKit) -> None:
    """A reader's transaction would keep the write-ahead log from being taken in."""
    port = free_port()
    kit.start("--metrics", f"127.0.0.1:{port}")
    wait_for_metrics(port)
    with contextlib.closing(sqlite3.connect(kit.ledger, timeout=30)) as connection:
        busy, log, done = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert (busy, log, done) == (0, 0, 0)
