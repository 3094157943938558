"""Totals of runs: sent when they are over, kept until a query has read them back."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from frugalwatch.fleet.figures import FleetTotal, total
from frugalwatch.fleet.from_ledger import parts as ledger_parts
from frugalwatch.fleet.from_server import parts as server_parts
from frugalwatch.remote.query import Queries
from frugalwatch.remote.transport import address
from tests.frugalwatch.ledger.kit import device
from tests.frugalwatch.remote.nodes import Node, Sending
from tests.frugalwatch.remote.receiver import Receiver

RUN_ENERGY = "frugalwatch_run_energy_joules_total"


def states(node: Node) -> list[str]:
    return [row[0] for row in node.rows("SELECT state FROM remote_run ORDER BY run_group")]


def later(sending: Sending, seconds: float) -> None:
    before = time.time_ns() if sending.now_ns is None else sending.now_ns
    sending.now_ns = before + round(seconds * 1e9)


def asked(receiver: Receiver, run: str) -> FleetTotal:
    queries = Queries(address(receiver.url.removesuffix("/api/v1/write")))
    with contextlib.closing(queries):
        return total(run, server_parts(queries, run, since="1d"))


def in_ledgers(run: str, *nodes: Node) -> FleetTotal:
    found = []
    for node in nodes:
        with contextlib.closing(node.connect()) as conn:
            found += ledger_parts(conn, run)
    return total(run, found)


def test_a_total_is_confirmed_only_by_a_query(tmp_path: Path, receiver: Receiver) -> None:
    node = Node(tmp_path, "node1")
    node.record("run-1", group="job")
    with Sending(node, receiver.url) as sending:
        sending.sender.send()
        assert states(node) == ["sent"]
        assert sending.sender.waiting_totals() == 1
        later(sending, 3)
        sending.sender.send()
        assert states(node) == ["confirmed"]
        assert sending.sender.waiting_totals() == 0
    [(_, samples)] = receiver.find(RUN_ENERGY)
    assert [value for _, value in samples] == [0.0, 6000.0]


def test_what_the_server_forgot_is_sent_again_with_its_zero(
    tmp_path: Path, receiver: Receiver
) -> None:
    node = Node(tmp_path, "node1")
    node.record("run-1", group="job")
    with Sending(node, receiver.url) as sending:
        sending.sender.send()
        receiver.series.clear()  # as after a crash that took the newest with it
        later(sending, 3)
        sending.sender.send()
        assert states(node) == ["sent"]
        [(_, samples)] = receiver.find(RUN_ENERGY)
        assert [value for _, value in samples] == [0.0, 6000.0]
        later(sending, 60)
        sending.sender.send()
        assert states(node) == ["confirmed"]


def test_a_server_that_answers_no_query_leaves_the_totals_waiting(
    tmp_path: Path, receiver: Receiver
) -> None:
    node = Node(tmp_path, "node1")
    node.record("run-1", group="job")
    receiver.forget_queries = True
    with Sending(node, receiver.url) as sending:
        sending.sender.send()
        requests = receiver.requests
        for _ in range(5):
            later(sending, 100_000)
            sending.sender.send()
        assert states(node) == ["sent"]
        assert receiver.requests <= requests + 5  # the counters' own; totals are not repeated
        receiver.forget_queries = False
        later(sending, 100_000)
        with contextlib.suppress(AssertionError):
            sending.sender.send()
    assert receiver.find(RUN_ENERGY)


def test_only_runs_that_nodes_share_are_sent_unless_asked(
    tmp_path: Path, receiver: Receiver
) -> None:
    node = Node(tmp_path, "node1")
    node.record("run-1")
    node.record("run-2", begin_s=100, end_s=160, group="job")
    with Sending(node, receiver.url) as sending:
        sending.sender.send()
    assert {labels["run_id"] for labels, _ in receiver.find(RUN_ENERGY)} == {"job"}
    with Sending(node, receiver.url, runs="all") as sending:
        sending.sender.send()
    assert {labels["run_id"] for labels, _ in receiver.find(RUN_ENERGY)} == {"job", "run-1"}


def test_a_run_that_goes_on_is_announced_and_not_taken_for_ended(
    tmp_path: Path, receiver: Receiver
) -> None:
    node, other = Node(tmp_path, "node1"), Node(tmp_path, "node2")
    node.record("run-1", group="job")
    other.record("run-2", group="job", over=False)
    for one in (node, other):
        with Sending(one, receiver.url) as sending:
            sending.sender.send()
    fleet = asked(receiver, "job")
    assert [(n.node, n.ended) for n in fleet.nodes] == [("node1", True), ("node2", False)]
    assert fleet.nodes[1].measured is None
    assert not fleet.ended


def test_live_values_never_exceed_the_total(tmp_path: Path, receiver: Receiver) -> None:
    node = Node(tmp_path, "node1")
    node.record("run-1", group="job", end_s=60, over=False)
    with Sending(node, receiver.url, runs="live") as sending:
        sending.sender.send()
        [(_, samples)] = receiver.find(RUN_ENERGY)
        assert [value for _, value in samples] == [0.0, 6000.0]
        node.record("run-1", group="job", begin_s=0, end_s=90)
        later(sending, 61)
        sending.sender.send()
    [(_, samples)] = receiver.find(RUN_ENERGY)
    values = [value for _, value in samples]
    assert values == sorted(values)
    assert values.count(0.0) == 1


def test_the_central_sum_is_the_sum_of_the_ledgers(tmp_path: Path, receiver: Receiver) -> None:
    nodes = [Node(tmp_path, f"node{n}") for n in range(3)]
    model = device("model:cpu", domain="cpu", origin="estimated", boundary="server_ac")
    for n, node in enumerate(nodes):
        node.record("run-a", group="job", end_s=60.7 + n, watts=(100.123457, 33.333333))
    nodes[2].record("run-b", group="job", begin_s=100, end_s=130.3, watts=(7.7,), devices=[model])
    for node in nodes:
        with Sending(node, receiver.url) as sending:
            sending.sender.send()
    fleet = asked(receiver, "job")
    assert fleet == in_ledgers("job", *nodes)
    assert fleet.measured is not None
    sums = sum(n.rows("SELECT sum(energy_uj) FROM run")[0][0] or 0 for n in nodes)
    assert fleet.measured.energy_uj == sums
    assert fleet.estimated is not None
    assert fleet.estimated.energy_uj == nodes[2].rows("SELECT sum(estimated_uj) FROM run")[0][0]


def test_ranks_of_one_node_are_counted_once(tmp_path: Path, receiver: Receiver) -> None:
    node = Node(tmp_path, "node1")
    node.record("rank-0", group="job", begin_s=0, end_s=60)
    node.record("rank-1", group="job", begin_s=1, end_s=62)
    with Sending(node, receiver.url) as sending:
        sending.sender.send()
    fleet = asked(receiver, "job")
    assert fleet.measured is not None
    assert fleet.measured.energy_uj == pytest.approx(6200e6, rel=1e-6)
    assert fleet == in_ledgers("job", node)
    assert fleet.nodes[0].recordings == 2


def test_a_rank_that_ends_later_raises_the_total(tmp_path: Path, receiver: Receiver) -> None:
    node = Node(tmp_path, "node1")
    node.record("rank-0", group="job", begin_s=0, end_s=60)
    with Sending(node, receiver.url) as sending:
        sending.sender.send()
        later(sending, 3)
        sending.sender.send()
        assert states(node) == ["confirmed"]
        node.record("rank-1", group="job", begin_s=100, end_s=130)
        later(sending, 3)
        sending.sender.send()
        assert states(node) == ["sent"]
    assert asked(receiver, "job") == in_ledgers("job", node)
    [(_, samples)] = receiver.find(RUN_ENERGY)
    assert [value for _, value in samples] == [0.0, 6000.0, 9000.0]


def test_two_ledgers_of_one_boot_do_not_count_a_device_twice(
    tmp_path: Path, receiver: Receiver
) -> None:
    one, two = Node(tmp_path, "container1"), Node(tmp_path, "container2")
    two.boot = one.boot
    two.utc_0_ns = one.utc_0_ns
    one.record("run-1", group="job", begin_s=0, end_s=100)
    two.record("run-2", group="job", begin_s=50, end_s=150)
    for node in (one, two):
        with Sending(node, receiver.url) as sending:
            sending.sender.send()
    fleet = asked(receiver, "job")
    assert len(fleet.nodes) == 1
    assert fleet.nodes[0].overlapped
    assert fleet.measured is not None
    assert fleet.measured.energy_uj == 15_000_000_000
    assert fleet.measured.low_uj <= 10_000_000_000
    assert fleet.measured.high_uj >= 15_000_000_000
