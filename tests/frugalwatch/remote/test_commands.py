"""`send`, `fleet`, `merge` and the daemon as processes, against a server that misbehaves."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from frugalwatch.config.settings import Settings
from frugalwatch.doctor.sending import sending_check
from tests.frugalwatch.daemon.kit import DaemonKit
from tests.frugalwatch.e2e.kit import Frugalwatch
from tests.frugalwatch.remote.nodes import Node
from tests.frugalwatch.remote.receiver import Receiver
from tests.support.fake_sysfs import PowercapTree, Zone

ENERGY = "frugalwatch_energy_joules_total"
RUN_ENERGY = "frugalwatch_run_energy_joules_total"


@pytest.fixture
def program(tmp_path: Path) -> Frugalwatch:
    return Frugalwatch(tmp_path)


def until(true: Callable[[], Any], what: str, within_s: float = 60.0) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := true()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.05)
    return found


def _told(receiver: Receiver, process: subprocess.Popen[bytes]) -> Callable[[], bool]:
    before = receiver.requests
    return lambda: receiver.requests > before or process.poll() is not None


def end(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> str:
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    return said.decode()


def test_ledgers_sent_by_each_node_are_one_run_and_merge_says_the_same(
    tmp_path: Path, receiver: Receiver, program: Frugalwatch
) -> None:
    nodes = [Node(tmp_path, f"node{n}") for n in range(2)]
    for n, node in enumerate(nodes):
        node.record(f"run-{n}", group="job", end_s=60 + n, watts=(100.5, 33.25))
        result = program(
            *("send", "--json", "--url", receiver.url),
            *("--ledger", str(node.path), "--node", node.name),
        )
        assert result.returncode == 0, result.said
        sent = json.loads(result.stdout)
        assert sent["schema"] == "frugalwatch.send/1"
        assert sent["sent"]
        assert sent["totals_not_read_back"] == 0
    server = receiver.url.removesuffix("/api/v1/write")
    fleet = json.loads(program("fleet", "job", "--server", server, "--json").stdout)
    files = [str(node.path) for node in nodes]
    merged = json.loads(program("merge", *files, "--run", "job", "--json").stdout)
    assert {**fleet, "source": ""} == {**merged, "source": ""}
    assert fleet["schema"] == "frugalwatch.fleet/1"
    assert fleet["energy_j"] == (100.5 + 33.25) * 121
    assert [node["node"] for node in fleet["nodes"]] == ["node0", "node1"]
    text = program("fleet", "job", "--server", server).stdout.decode()
    assert "2 nodes, 2 recordings" in text
    assert "node1" in text
    unknown = program("fleet", "other", "--server", server)
    assert unknown.returncode == 1
    assert "hint:" in unknown.said


def test_merging_again_changes_nothing(tmp_path: Path, program: Frugalwatch) -> None:
    nodes = [Node(tmp_path, f"node{n}") for n in range(2)]
    for n, node in enumerate(nodes):
        node.record(f"run-{n}", group="job", end_s=60 + n)
    files = [str(node.path) for node in nodes]
    into = tmp_path / "all.db"
    first = program("merge", *files, "--into", str(into))
    assert "2 runs merged" in first.stdout.decode(), first.said
    assert "job" in first.stdout.decode()
    again = json.loads(program("merge", *files, files[0], "--into", str(into), "--json").stdout)
    assert again["added"] == again["replaced"] == []
    assert again["runs"][0]["energy_j"] == 12_100.0
    listed = json.loads(program("runs", "--ledger", str(into), "--json").stdout)
    assert len(listed["runs"]) == 2


def test_a_purged_run_is_no_longer_named_and_its_energy_stays(
    tmp_path: Path, receiver: Receiver, program: Frugalwatch
) -> None:
    node = Node(tmp_path, "node1")
    node.record("run-1", group="secret-project", end_s=60)
    to = ("--url", receiver.url, "--ledger", str(node.path), "--node", "node1")
    assert program("send", *to).returncode == 0
    assert node.rows("SELECT run_group FROM remote_run") == [("secret-project",)]
    purged = program("purge", "run-1", "--yes", "--ledger", str(node.path))
    assert purged.returncode == 0, purged.said
    assert b"secret-project" not in node.path.read_bytes()
    node.record("run-2", begin_s=100, end_s=160)
    assert program("send", *to).returncode == 0
    assert receiver.total(ENERGY) == 12_000.0


def test_a_server_that_is_down_is_an_exit_status_and_the_next_send_goes_on(
    tmp_path: Path, receiver: Receiver, program: Frugalwatch
) -> None:
    node = Node(tmp_path, "node1")
    node.record("daemon-1", end_s=600)
    to = ("--url", receiver.url, "--ledger", str(node.path), "--node", "node1")
    receiver.refuse = [(503, {"Retry-After": "1"}, b"busy")] * 50
    failed = program("send", *to, "--wait", "0")
    assert failed.returncode == 1
    assert "HTTP 503: busy" in failed.said
    status = json.loads(program("send", "--status", "--json", *to[:4]).stdout)
    assert "503" in status["targets"][0]["error"]
    settings = Settings(ledger=str(node.path), remote_write_url=receiver.url)
    check = sending_check(settings, program.environment)
    assert (check.ok, check.remedy) == (False, "frugalwatch send --status")
    assert "took nothing yet; wrong: HTTP 503: busy" in check.detail
    receiver.refuse = [(429, {"Retry-After": "0"}, b"slow down")]
    assert program("send", *to).returncode == 0
    assert round(receiver.total(ENERGY) * 1e6) == node.union_uj()
    status = json.loads(program("send", "--status", "--json", *to[:4]).stdout)
    assert status["targets"][0]["error"] is None
    assert "HTTP" not in program("send", "--status", *to[:4]).stdout.decode()
    check = sending_check(settings, program.environment)
    assert check.ok
    assert re.fullmatch(r"\S+/write, told up to .+ ago", check.detail)


def test_a_wrong_token_is_said_and_nothing_is_taken_for_sent(
    tmp_path: Path, receiver: Receiver, program: Frugalwatch
) -> None:
    node = Node(tmp_path, "node1")
    node.record("daemon-1", end_s=60)
    receiver.refuse = [(401, {}, b"no token")] * 10
    url = receiver.url.replace("://", "://ann:hunter2@")
    result = program("send", "--url", url, "--ledger", str(node.path), "--node", "node1")
    assert result.returncode == 1
    assert "HTTP 401" in result.said
    assert "hunter2" not in result.said
    assert b"hunter2" not in node.path.read_bytes()
    assert node.rows("SELECT sent_ms FROM remote_series") == [(None,)]


def test_following_survives_a_server_that_hangs_dies_and_comes_back(
    tmp_path: Path, program: Frugalwatch
) -> None:
    node = Node(tmp_path, "node1", began_utc_s=time.time() - 600)
    node.record("daemon-1", end_s=300)
    receiver = Receiver()
    port = receiver.port
    program.environment["FRUGALWATCH_REMOTE_INTERVAL_S"] = "1"
    process = program.start(
        *("send", "--follow", "--url", receiver.url, "--ledger", str(node.path)),
        *("--node", "node1"),
    )
    try:
        until(lambda: round(receiver.total(ENERGY) * 1e6) == node.union_uj(), "all of it")
        second = program("send", "--url", receiver.url, "--ledger", str(node.path))
        assert second.returncode == 1
        assert str(process.pid) in second.said
        held = dict(receiver.series)
        receiver.close()
        node.record("daemon-2", begin_s=300, end_s=500)
        until(
            lambda: node.rows("SELECT error FROM remote_target WHERE error IS NOT NULL"), "an error"
        )
        receiver = Receiver(port=port)
        receiver.series = held
        until(lambda: round(receiver.total(ENERGY) * 1e6) == node.union_uj(), "what was missing")
        said = end(process)
    finally:
        process.kill()
        receiver.close()
    assert process.returncode == 0
    assert said.count("nothing is sent now") == 1
    assert "sending again" in said
    assert receiver.faults == []
    assert receiver.refused == 0


def test_killed_senders_lose_nothing_and_send_no_disorder(
    tmp_path: Path, receiver: Receiver, program: Frugalwatch
) -> None:
    node = Node(tmp_path, "node1", began_utc_s=time.time() - 7200)
    node.record("daemon-1", end_s=7000, watts=(100.0, 50.0))
    to = ("--url", receiver.url, "--ledger", str(node.path), "--node", "node1")
    for n in range(3):
        process = program.start("send", *to)
        if n:
            until(_told(receiver, process), "a request")
        process.kill()
        process.communicate()
    assert program("send", *to).returncode == 0
    assert round(receiver.total(ENERGY) * 1e6) == node.union_uj()
    with sqlite3.connect(node.path) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_daemon_sends_its_ledger_and_a_server_that_hangs_stalls_no_look(
    tmp_path: Path, receiver: Receiver
) -> None:
    tree = PowercapTree(tmp_path, [Zone("package-0", start_j=1000.0)])
    kit = DaemonKit(
        tmp_path,
        tree,
        FRUGALWATCH_REMOTE_WRITE_URL=receiver.url,
        FRUGALWATCH_REMOTE_INTERVAL_S="1",
        FRUGALWATCH_REMOTE_NODE="node7",
    )
    try:
        process = kit.start()
        [(labels, _)] = until(lambda: receiver.find(ENERGY), "its counter")
        assert labels["instance"] == "node7"
        [sending] = until(lambda: kit.status()[1]["sending"], "word of its sending")
        assert (sending["url"], sending["error"]) == (receiver.url, None)
        receiver.hold = threading.Event()
        looks = "SELECT count(*) FROM sample"
        before = kit.count(looks)
        until(lambda: kit.count(looks) > before + 30, "looks while the server hangs")
        receiver.hold.set()
        children = psutil.Process(process.pid).children()
        [sender] = [child for child in children if child.name() == "fw-send"]
        status, said = kit.end()
        assert status == 0
        assert "Traceback" not in said
        until(lambda: not sender.is_running(), "its end")
    finally:
        kit.close()
