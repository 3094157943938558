"""Many nodes and a real Prometheus or VictoriaMetrics: the central sum is the sum of the ledgers.

Figures are compared to the micro-joule. That holds while no device's counter exceeds 4.5 GJ, where
a float64 of joules ends to hold micro-joules; here it is far from that.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from frugalwatch.remote.protobuf import Point, Series, write_request
from frugalwatch.remote.snappy import compress
from tests.frugalwatch.daemon.kit import DaemonKit
from tests.frugalwatch.e2e.kit import Frugalwatch
from tests.frugalwatch.remote.nodes import Node, Sending
from tests.servers.gate import gate
from tests.servers.kit import Prometheus, Server, wait_until
from tests.support.fake_sysfs import Constant, PowercapTree, Zone

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]

ENERGY = "frugalwatch_energy_joules_total"
WRITE = "/api/v1/write"


def central_uj(server: Server, node: str | None = None) -> int:
    """Sum of the highest values of device counters."""
    chosen = f'{{instance="{node}"}}' if node else ""
    found = server.query(f"max_over_time({ENERGY}{chosen}[30d])")
    return sum(round(one.value * 1e6) for one in found)


def sender(
    program: Frugalwatch, node: Node, url: str, *more: str, follow: bool = True
) -> subprocess.Popen[bytes]:
    """A process that sends this node's ledger."""
    how = ("--follow",) if follow else ()
    arguments = ("--url", url, "--ledger", str(node.path), "--node", node.name, *more)
    return program.start("send", *how, *arguments)


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> str:
    for process in processes:
        process.send_signal(signal.SIGTERM)
    return "".join(process.communicate(timeout=60)[1].decode() for process in processes)


def fleet(program: Frugalwatch, server: Server, run: str) -> dict[str, Any]:
    result = program("fleet", run, "--server", server.url(), "--json")
    assert result.returncode == 0, result.said
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def merged(program: Frugalwatch, run: str, paths: Sequence[Path]) -> dict[str, Any]:
    result = program("merge", *map(str, paths), "--run", run, "--json")
    assert result.returncode == 0, result.said
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def ledgers_uj(nodes: Sequence[Node], run: str) -> int:
    """What the runs' own totals add up to."""
    query = "SELECT coalesce(sum(energy_uj), 0) FROM run WHERE group_key = ?"
    return sum(node.rows(query, run)[0][0] for node in nodes)


def test_a_run_across_nodes_is_one_and_equals_the_sum_of_the_ledgers(
    either_server: Server, tmp_path: Path
) -> None:
    program = Frugalwatch(tmp_path)
    nodes = [Node(tmp_path, f"node{n}", began_utc_s=time.time() - 1000) for n in range(3)]
    for n, node in enumerate(nodes):
        watts = (101.123457 + n, 33.3333331)
        node.record(f"run-{n}", group="training", end_s=60.7 + n, watts=watts)
        node.record(f"alone-{n}", begin_s=100, end_s=130, watts=watts)
    processes = [sender(program, node, either_server.url(WRITE), follow=False) for node in nodes]
    for process in processes:
        assert process.wait(120) == 0, process.communicate()
        process.communicate()
    found = fleet(program, either_server, "training")
    same = merged(program, "training", [node.path for node in nodes])
    assert {**found, "source": ""} == {**same, "source": ""}
    assert round(found["energy_j"] * 1e6) == ledgers_uj(nodes, "training")
    assert central_uj(either_server) == sum(node.union_uj() for node in nodes)
    listed = program("fleet", "--server", either_server.url()).stdout.decode().split()
    assert listed == ["training"]
    series = either_server.query("count({job='frugalwatch',run_id!=''}) by (run_id)")
    assert {one.labels["run_id"] for one in series} <= {"training"}


def test_a_node_that_is_cut_off_catches_up(either_server: Server, tmp_path: Path) -> None:
    program = Frugalwatch(tmp_path)
    program.environment["FRUGALWATCH_REMOTE_INTERVAL_S"] = "1"
    nodes = [Node(tmp_path, f"node{n}", began_utc_s=time.time() - 500) for n in range(2)]
    for node in nodes:
        node.record("daemon-1", end_s=100)
    with gate(either_server.port) as cut, gate(either_server.port) as other:
        processes = [
            sender(program, nodes[0], cut.url(WRITE)),
            sender(program, nodes[1], other.url(WRITE)),
        ]
        try:
            whole = sum(node.union_uj() for node in nodes)
            wait_until(lambda: central_uj(either_server) == whole, "both", 120)
            cut.cut()
            for node in nodes:
                node.record("daemon-2", begin_s=100, end_s=400)
            wait_until(
                lambda: central_uj(either_server, "node1") == nodes[1].union_uj(), "the other", 120
            )
            assert central_uj(either_server, "node0") < nodes[0].union_uj()
            cut.mend()
            wait_until(
                lambda: central_uj(either_server, "node0") == nodes[0].union_uj(), "the cut", 120
            )
        finally:
            stop(processes)


@pytest.mark.parametrize("how", ["stop", "kill", "hang"])
def test_a_server_that_restarts_gets_all_of_it(
    either_server: Server, tmp_path: Path, how: str
) -> None:
    program = Frugalwatch(tmp_path)
    program.environment["FRUGALWATCH_REMOTE_INTERVAL_S"] = "1"
    node = Node(tmp_path, "node1", began_utc_s=time.time() - 500)
    node.record("daemon-1", end_s=200)
    process = sender(program, node, either_server.url(WRITE))
    try:
        wait_until(lambda: central_uj(either_server) == node.union_uj(), "the first part", 120)
        time.sleep(1.5 if either_server.name != "prometheus" else 0)  # it writes once a second
        {"stop": either_server.stop, "kill": either_server.kill, "hang": either_server.hang}[how]()
        node.record("daemon-2", begin_s=200, end_s=300)
        node.record("run-2", begin_s=200, end_s=300, group="job")
        if how == "hang":
            time.sleep(2)
            either_server.wake()
        else:
            errors = "SELECT 1 FROM remote_target WHERE error IS NOT NULL"
            wait_until(lambda: node.rows(errors), "an error", 120)
            either_server.start()
        wait_until(lambda: central_uj(either_server) == node.union_uj(), "all of it", 120)
        confirmed = "SELECT 1 FROM remote_run WHERE state = 'confirmed'"
        wait_until(lambda: node.rows(confirmed), "totals that were read back", 120)
    finally:
        said = stop([process])
    assert "Traceback" not in said
    assert round(fleet(program, either_server, "job")["energy_j"] * 1e6) == ledgers_uj(
        [node], "job"
    )


def test_a_ledger_that_is_sent_twice_is_counted_once(either_server: Server, tmp_path: Path) -> None:
    node = Node(tmp_path, "node1")
    node.record("daemon-1", end_s=1000, watts=(100.25, 50.5))
    node.record("run-1", group="job", end_s=60)
    url = either_server.url(WRITE)
    with Sending(node, url) as sending:
        key = sending.target.ledger_key
    before = tmp_path / "before.db"
    with contextlib.closing(sqlite3.connect(node.path)) as conn:
        conn.execute("VACUUM INTO ?", (str(before),))
    with Sending(node, url) as sending:
        sending.all()
    shutil.copyfile(before, node.path)  # as after a restore from a backup: the cursor is back, too
    for rest in ("-wal", "-shm"):
        Path(f"{node.path}{rest}").unlink(missing_ok=True)
    with Sending(node, url) as sending:
        assert sending.target.ledger_key == key
        sending.all()
    assert central_uj(either_server) == node.union_uj()
    found = fleet(Frugalwatch(tmp_path), either_server, "job")
    assert found["energy_j"] == 60 * 100.0
    assert found["nodes"][0]["recordings"] == 1


def test_one_series_out_of_order_keeps_no_other_back(
    prometheus: Prometheus, tmp_path: Path
) -> None:
    node = Node(tmp_path, "node1")
    node.record("daemon-1", end_s=300, watts=(100.0, 50.0, 25.0))
    with Sending(node, prometheus.url(WRITE)) as sending:
        sending.all()
        [disturbed] = prometheus.raw(f'{ENERGY}{{device="rapl:package-1"}}')
        newest_s, value = disturbed.points[-1]
        point = Point(round((newest_s + 200) * 1e3), value)
        body = compress(write_request([Series(disturbed.labels, [point])]))
        headers = {"Content_Encoding": "snappy", "Content_Type": "application/x-protobuf"}
        assert prometheus.post(WRITE, body, **headers)[0] == 204
        node.record("daemon-2", begin_s=300, end_s=400, watts=(100.0, 50.0, 25.0))
        sending.all()
    assert central_uj(prometheus) == node.union_uj()
    losses = node.rows("SELECT cause FROM remote_loss")
    assert len(losses) == 1
    assert "out of order" in losses[0][0]


def test_old_values_are_refused_and_no_joule_is_lost(
    prometheus: Prometheus, tmp_path: Path
) -> None:
    now_s = time.time()
    near = Node(tmp_path, "near", began_utc_s=now_s - 300)
    near.record("daemon-1", end_s=200)
    far = Node(tmp_path, "far", began_utc_s=now_s - 8 * 3600)
    far.record("daemon-1", end_s=7.9 * 3600, every_s=5.0, watts=(100.1, 50.2))
    gone = Node(tmp_path, "gone", began_utc_s=now_s - 8 * 3600)
    gone.record("daemon-1", end_s=3600, every_s=5.0)
    for node in (near, far, gone):
        with Sending(node, prometheus.url(WRITE)) as sending:
            sending.all()
        assert central_uj(prometheus, node.name) == node.union_uj()
    assert near.rows("SELECT * FROM remote_loss") == []
    said = "SELECT min(since_ms), max(until_ms), count(*) FROM remote_loss WHERE cause <> ''"
    [(since_ms, until_ms, count)] = far.rows(said)
    assert count == 2
    assert since_ms == far.utc_0_ns // 1_000_000
    assert until_ms < (now_s - 1800) * 1e3  # the last hour or so is there
    assert "out of bounds" in gone.rows("SELECT cause FROM remote_loss")[0][0]


def test_a_server_that_takes_old_values_gets_every_one(tmp_path: Path) -> None:
    far = Node(tmp_path, "far", began_utc_s=time.time() - 8 * 3600)
    far.record("daemon-1", end_s=7.9 * 3600, every_s=5.0)
    near = Node(tmp_path, "near", began_utc_s=time.time() - 300)
    near.record("daemon-1", end_s=200)
    with Prometheus(tmp_path / "server", out_of_order="1d").started() as server:
        for node in (near, far):
            with Sending(node, server.url(WRITE)) as sending:
                sending.all()
        assert far.rows("SELECT * FROM remote_loss") == []
        [series] = server.raw(f'{ENERGY}{{instance="far"}}')
        assert len(series.points) >= 7.9 * 240


def test_daemons_of_several_nodes_send_by_themselves(either_server: Server, tmp_path: Path) -> None:
    kits = []
    with contextlib.ExitStack() as cleanup:
        for n in range(2):
            folder = tmp_path / f"node{n}"
            folder.mkdir()
            zone = Zone("package-0", start_j=1000.0 * n, trace=Constant(40.0 + n))
            tree = cleanup.enter_context(PowercapTree(folder, [zone]))
            tree.start()
            kit = DaemonKit(
                folder,
                tree,
                FRUGALWATCH_REMOTE_WRITE_URL=either_server.url(WRITE),
                FRUGALWATCH_REMOTE_INTERVAL_S="1",
                FRUGALWATCH_REMOTE_NODE=f"node{n}",
            )
            cleanup.callback(kit.close)
            kit.start()
            kits.append(kit)
        for n in range(2):
            wait_until(lambda n=n: central_uj(either_server, f"node{n}") > 0, "a counter", 120)
        for kit in kits:
            assert kit.end()[0] == 0
        for n, kit in enumerate(kits):
            result = kit.program("send", "--daemon")  # what came after the sender's last look
            assert result.returncode == 0, result.said
            [(first, last)] = kit.rows("SELECT min(energy_uj), max(energy_uj) FROM sample")
            # VictoriaMetrics shows what it took a second or two later.
            wait_until(
                lambda n=n, wanted=last - first: central_uj(either_server, f"node{n}") == wanted,
                f"{last - first} uJ of node{n}",
                30,
            )


_TRAIN = """
import time
import torch, torch.distributed as dist
dist.init_process_group("gloo")
for _ in range(100):
    dist.all_reduce(torch.randn(100, 100))
    time.sleep(0.02)
total = torch.tensor([1.0])
dist.all_reduce(total)
assert total.item() == dist.get_world_size()
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_ranks_of_torchrun_are_one_run(either_server: Server, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "train.py").write_text(_TRAIN)
    program = Frugalwatch(tmp_path)
    with PowercapTree(tmp_path, [Zone("package-0", trace=Constant(50.0))]) as tree:
        tree.start()
        program.environment |= {
            "FRUGALWATCH_SYSFS": tree.sysfs,
            "FRUGALWATCH_SOURCES_OFF": "ram_model",
            "FRUGALWATCH_INTERVAL_S": "0.2",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        command = [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
            *("--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "--rdzv-id", "epoch7"),
            *("--no-python", sys.executable, "-m", "frugalwatch", "run", "--"),
            *(sys.executable, str(tmp_path / "train.py")),
        ]
        done = subprocess.run(
            command,
            env=program.environment,
            cwd=tmp_path,
            capture_output=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()[-3000:]
    runs = program.rows("SELECT group_key, energy_uj FROM run")
    assert [row[0] for row in runs] == ["torchelastic:epoch7"] * 2
    sent = program("send", "--url", either_server.url(WRITE))
    assert sent.returncode == 0, sent.said
    found = fleet(program, either_server, "torchelastic:epoch7")
    same = merged(program, "torchelastic:epoch7", [program.ledger])
    assert {**found, "source": ""} == {**same, "source": ""}
    assert found["nodes"][0]["recordings"] == 2
    # The ranks saw one package at the same time: its energy once, not twice. Where one recording
    # takes over from the other is told to some milliseconds, of which each is 50 mJ here.
    longest, both = max(row[1] for row in runs), sum(row[1] for row in runs)
    assert 0.998 * longest <= round(found["energy_j"] * 1e6) < 0.8 * both
