"""Counters on their way: complete, in order, resumed, and never twice."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from frugalwatch.remote.deliver import UnavailableError
from tests.frugalwatch.ledger.kit import device
from tests.frugalwatch.remote.nodes import MONO_0, Node, Sending
from tests.frugalwatch.remote.receiver import Receiver

ENERGY = "frugalwatch_energy_joules_total"


def stored_uj(receiver: Receiver, **labels: str) -> int:
    return sum(round(max(v for _, v in s) * 1e6) for _, s in receiver.find(ENERGY, **labels))


def test_the_server_has_what_the_ledger_has_and_each_series_begins_with_zero(
    tmp_path: Path, receiver: Receiver
) -> None:
    node = Node(tmp_path, "node1")
    node.record("daemon-1", end_s=600, watts=(100.123457, 33.3))
    with Sending(node, receiver.url) as sending:
        sending.all()
        found = receiver.find(ENERGY)
        assert [samples[0][1] for _, samples in found] == [0.0, 0.0]
        assert stored_uj(receiver) == node.union_uj()
        labels, samples = found[0]
        assert labels == {
            "__name__": ENERGY,
            "instance": "node1",
            "job": "frugalwatch",
            "ledger": sending.target.ledger_key,
            "device": "rapl:package-0",
            "domain": "cpu",
            "boundary": "die",
            "origin": "measured",
        }
        assert 40 <= len(samples) <= 43  # one each 15 s
        asked = receiver.requests
        assert sending.all() == 0
        assert receiver.requests == asked


def test_a_counter_carries_no_run_and_goes_on_over_runs_and_boots(
    tmp_path: Path, receiver: Receiver
) -> None:
    node = Node(tmp_path, "node1")
    node.record("run-1", end_s=60)
    node.record("run-2", begin_s=100, end_s=160)
    node.utc_0_ns += 500_000_000_000
    node.record("run-3", end_s=60, boot="next-boot")
    with Sending(node, receiver.url, runs="off") as sending:
        sending.all()
    [(_, samples)] = receiver.find(ENERGY)
    values = [value for _, value in samples]
    assert values == sorted(values)
    assert values[-1] == 18_000.0
    assert values.count(0.0) == 1


def test_recordings_beside_each_other_are_counted_once(tmp_path: Path, receiver: Receiver) -> None:
    node = Node(tmp_path, "node1")
    node.record("run-1", end_s=60)
    node.record("run-2", begin_s=30, end_s=90, start_j=0)
    node.record("run-3", begin_s=40, end_s=50)
    with Sending(node, receiver.url, runs="off") as sending:
        sending.all()
    assert stored_uj(receiver) == node.union_uj() == 9_000_000_000


def test_what_is_inside_another_device_is_not_sent(tmp_path: Path, receiver: Receiver) -> None:
    node = Node(tmp_path, "node1")
    core = device("rapl:package-0:core", part_of="rapl:package-0")
    node.record("daemon-1", watts=(100.0, 60.0), devices=[device(), core])
    with Sending(node, receiver.url) as sending:
        sending.all()
    assert [labels["device"] for labels, _ in receiver.find(ENERGY)] == ["rapl:package-0"]


def test_a_sender_that_died_goes_on_where_the_server_is(tmp_path: Path, receiver: Receiver) -> None:
    node = Node(tmp_path, "node1")
    node.record("daemon-1", end_s=3000)
    with Sending(node, receiver.url, most_points=50) as sending:
        assert sending.sender.send(everything=True).more
    with Sending(node, receiver.url) as sending:
        sending.all()
    [(_, samples)] = receiver.find(ENERGY)
    assert stored_uj(receiver) == node.union_uj()
    assert receiver.refused == 0
    assert len({t for t, _ in samples}) == len(samples)


def test_a_request_of_unknown_fate_is_sent_again_and_nothing_is_called_lost(
    tmp_path: Path, receiver: Receiver
) -> None:
    node = Node(tmp_path, "node1")
    node.record("daemon-1", end_s=3000, watts=(100.0, 50.0, 25.0))
    receiver.drop_answers = 1  # it took them, and nobody was told
    with Sending(node, receiver.url) as sending, pytest.raises(UnavailableError):
        sending.sender.send(everything=True)
    node.record("daemon-2", begin_s=3000, end_s=3100, watts=(100.0, 50.0, 25.0))
    with Sending(node, receiver.url) as sending:
        sending.all()
    assert receiver.refused > 0  # as Prometheus refuses older duplicates
    assert stored_uj(receiver) == node.union_uj()
    assert node.rows("SELECT * FROM remote_loss") == []
    assert all(len(samples) > 190 for _, samples in receiver.find(ENERGY))


def test_one_series_out_of_order_does_not_keep_the_others_back(
    tmp_path: Path, receiver: Receiver
) -> None:
    node = Node(tmp_path, "node1")
    node.record("daemon-1", end_s=600, watts=(100.0, 50.0, 25.0, 12.5, 6.25))
    with Sending(node, receiver.url) as sending:
        sending.all()
        [disturbed] = [k for k in receiver.series if dict(k)["device"] == "rapl:package-2"]
        newest_ms = receiver.series[disturbed][-1][0]
        receiver.series[disturbed].append((newest_ms + 60_000, 15_000.0))  # by somebody else
        node.record("daemon-2", begin_s=600, end_s=700, watts=(100.0, 50.0, 25.0, 12.5, 6.25))
        sending.all()
    assert stored_uj(receiver) == node.union_uj()
    [(points, cause)] = node.rows("SELECT points, cause FROM remote_loss")
    assert 1 <= points <= 6
    assert "out of order" in cause
    for labels, samples in receiver.find(ENERGY):
        if labels["device"] != "rapl:package-2":
            assert len(samples) >= 48


def test_where_old_values_are_refused_the_newest_totals_still_arrive(
    tmp_path: Path, receiver: Receiver
) -> None:
    now_s = time.time()
    node = Node(tmp_path, "node1", began_utc_s=now_s - 6 * 3600)
    node.record("daemon-1", end_s=6 * 3600 - 60, every_s=5.0, watts=(100.0, 50.0, 25.0))
    receiver.least_ms = round((now_s - 3600) * 1e3)
    with Sending(node, receiver.url) as sending:
        sending.all()
    assert stored_uj(receiver) == node.union_uj()
    losses = node.rows("SELECT since_ms, until_ms, points FROM remote_loss")
    assert len(losses) == 3
    for since_ms, until_ms, points in losses:
        assert since_ms == round(node.utc_0_ns / 1e6)
        assert receiver.least_ms - 15_000 <= until_ms < receiver.least_ms + 660_000
        assert 1190 <= points <= 1250
    assert all(len(samples) > 190 for _, samples in receiver.find(ENERGY))


def test_where_everything_is_too_old_the_total_is_sent_as_of_now(
    tmp_path: Path, receiver: Receiver
) -> None:
    now_s = time.time()
    node = Node(tmp_path, "node1", began_utc_s=now_s - 86_400)
    node.record("daemon-1", end_s=3600, every_s=5.0, watts=(100.0, 50.0))
    receiver.least_ms = round((now_s - 3600) * 1e3)
    with Sending(node, receiver.url) as sending:
        sending.all()
    assert stored_uj(receiver) == node.union_uj()
    for _, samples in receiver.find(ENERGY):
        assert samples[-1][0] >= now_s * 1e3
    assert node.rows("SELECT count(DISTINCT series_id), max(points) FROM remote_loss")[0][0] == 2


def test_a_recording_that_came_late_is_in_the_total(tmp_path: Path, receiver: Receiver) -> None:
    node = Node(tmp_path, "node1")
    node.record("run-1", end_s=60)
    node.record("run-2", begin_s=120, end_s=180)
    with Sending(node, receiver.url, runs="off") as sending:
        sending.all()
        assert stored_uj(receiver) == 12_000_000_000
        node.record("run-3", begin_s=30, end_s=150)  # as after a disk that was full
        sending.all()
    assert stored_uj(receiver) == node.union_uj() == 18_000_000_000
    [(_, samples)] = receiver.find(ENERGY)
    assert [v for _, v in samples] == sorted(v for _, v in samples)


def test_a_clock_that_was_set_back_loses_no_energy(tmp_path: Path, receiver: Receiver) -> None:
    node = Node(tmp_path, "node1")
    node.record("daemon-1", end_s=600)
    with Sending(node, receiver.url) as sending:
        sending.all()
        node.utc_0_ns -= 7200 * 1_000_000_000
        node.record("daemon-2", begin_s=600, end_s=900)
        sending.all()
    [(_, samples)] = receiver.find(ENERGY)
    assert stored_uj(receiver) == node.union_uj()
    assert [t for t, _ in samples] == sorted(t for t, _ in samples)
    assert "clock" in node.rows("SELECT cause FROM remote_loss")[0][0]


def test_times_follow_sleeps_and_a_clock_that_was_set(tmp_path: Path, receiver: Receiver) -> None:
    node = Node(tmp_path, "node1", began_utc_s=time.time() - 86_400)
    journal = node.open("daemon-1", begin_s=0)
    second = 1_000_000_000
    handle = journal.add_stream(device(), MONO_0)
    from collectors.base import Reading

    for n in range(101):
        journal.sample(handle, Reading("rapl:package-0", MONO_0 + n * second, n * 1_000_000))
    t = MONO_0 + 50 * second
    journal.event("suspended", since_mono_ns=t - 1, t_mono_ns=t, detail="+3600.0 s")
    journal.event("clock_step", since_mono_ns=t - 1, t_mono_ns=t, detail="+86.0 s")
    journal.commit()
    journal.close()
    with Sending(node, receiver.url) as sending:
        sending.all()
    [(_, samples)] = receiver.find(ENERGY)
    began_ms = node.utc_0_ns // 1_000_000
    assert samples[0][0] == began_ms + 86_000
    assert samples[-1][0] == began_ms + 100_000 + 3_686_000


def test_the_interval_that_goes_on_is_left_for_later(tmp_path: Path, receiver: Receiver) -> None:
    began_s = time.time() // 15 * 15
    node = Node(tmp_path, "node1", began_utc_s=began_s)
    node.record("daemon-1", end_s=65, over=False)
    with Sending(node, receiver.url, now_s=began_s + 65) as sending:
        sending.sender.send()
        [(_, samples)] = receiver.find(ENERGY)
        assert [t / 1e3 - began_s for t, _ in samples] == [0, 14, 29, 44]
        sending.now_ns = round((began_s + 66.5) * 1e9)
        sending.sender.send()
        [(_, samples)] = receiver.find(ENERGY)
        assert samples[-1][0] / 1e3 - began_s == 59


def test_a_request_is_bounded_and_counters_go_on_side_by_side(
    tmp_path: Path, receiver: Receiver
) -> None:
    node = Node(tmp_path, "node1", began_utc_s=time.time() - 86_400)
    node.record("daemon-1", end_s=20_000, every_s=10.0, watts=(100.0, 50.0))
    receiver.least_behind_ms = 1_200_000  # as Prometheus' window, which moves with the newest
    with Sending(node, receiver.url, most_points=100) as sending:
        sending.all()
    assert receiver.refused == 0
    assert receiver.most_bytes < 100 * 20 + 1000
    assert stored_uj(receiver) == node.union_uj()


def test_too_large_a_request_is_halved(tmp_path: Path, receiver: Receiver) -> None:
    node = Node(tmp_path, "node1")
    node.record("daemon-1", end_s=3000, watts=(100.0, 50.0))
    receiver.largest_bytes = 700
    with Sending(node, receiver.url) as sending:
        sending.all()
    assert stored_uj(receiver) == node.union_uj()
    assert receiver.most_bytes > 700  # it was tried


def test_another_server_gets_all_of_it_from_the_beginning(
    tmp_path: Path, receiver: Receiver
) -> None:
    node = Node(tmp_path, "node1")
    node.record("daemon-1", end_s=600)
    other = Receiver()
    try:
        for one in (receiver, other):
            with Sending(node, one.url) as sending:
                sending.all()
        assert receiver.series == other.series
    finally:
        other.close()


def test_a_server_that_refuses_everything_is_not_asked_for_each_series(
    tmp_path: Path, receiver: Receiver
) -> None:
    node = Node(tmp_path, "node1")
    node.record("daemon-1", end_s=600, watts=(10.0,) * 20)
    receiver.refuse = [(400, {}, b"what is this?")] * 10_000
    with Sending(node, receiver.url) as sending:
        with pytest.raises(UnavailableError, match="what is this"):
            sending.sender.send(everything=True)
        assert receiver.requests < 150
        assert node.rows("SELECT count(*) FROM remote_counted") == [(0,)]
        assert "what is this" in node.rows("SELECT error FROM remote_target")[0][0]
        receiver.refuse = []
        sending.all()
    assert stored_uj(receiver) == node.union_uj()


def test_a_series_that_the_server_never_takes_keeps_no_other_back(
    tmp_path: Path, receiver: Receiver
) -> None:
    node = Node(tmp_path, "node1")
    node.record("daemon-1", end_s=600, watts=(100.0, 50.0, 25.0))
    receiver.never = "rapl:package-1"
    with Sending(node, receiver.url) as sending:
        with pytest.raises(UnavailableError, match="label value"):
            sending.all()
        assert len(receiver.find(ENERGY)) == 2
        receiver.never = ""
        sending.all()
    assert stored_uj(receiver) == node.union_uj()
