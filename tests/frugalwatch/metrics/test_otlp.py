"""OTLP: names of the conventions, what a real decoder makes of it, and receivers that fail."""

from __future__ import annotations

import gzip
import http.server
import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.semconv._incubating.metrics import hw_metrics

from frugalwatch.errors import UsageError
from frugalwatch.metrics.families import Family
from frugalwatch.metrics.otlp import OtlpSender, endpoint
from frugalwatch.metrics.otlp_points import INSTRUMENTS
from frugalwatch.metrics.snapshot import Options, Snapshot
from tests.frugalwatch.ledger.kit import SECOND, device, reading
from tests.frugalwatch.metrics.kit import UTC_S, ledger, recording


class Receiver(http.server.ThreadingHTTPServer):
    """Takes exports and keeps them; answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.paths: list[str] = []
        self.requests: list[ExportMetricsServiceRequest] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def points(self) -> dict[str, list[tuple[float, dict[str, Any]]]]:
        """Values and attributes of the last export, by instrument."""
        found: dict[str, list[tuple[float, dict[str, Any]]]] = {}
        for resource in self.requests[-1].resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    kind = metric.WhichOneof("data")
                    for point in getattr(metric, kind).data_points:
                        attributes = {a.key: _plain(a.value) for a in point.attributes}
                        found.setdefault(metric.name, []).append((point.as_double, attributes))
        return found


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.paths.append(self.path)
        if self.server.status == 200:
            self.server.requests.append(ExportMetricsServiceRequest.FromString(body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words: object) -> None:
        """Say nothing."""


def _plain(value: Any) -> Any:  # AnyValue
    return getattr(value, value.WhichOneof("value"))


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.shutdown()
        receiver.server_close()
        thread.join()


@contextmanager
def sending(url: str, conn: sqlite3.Connection, timeout_s: float = 30.0) -> Iterator[OtlpSender]:
    snapshot = Snapshot(Options(runs=True, hold_ns=0), utc_ns=lambda: (UTC_S + 50) * SECOND)

    def families() -> list[Family]:
        return snapshot.read(conn)

    sender = OtlpSender(url, families, timeout_s)
    try:
        yield sender
    finally:
        sender.close()


def test_a_device_is_told_as_the_conventions_ask() -> None:
    run = recording(1, range(11), ended=False, group_key="job-7")
    psys = device("rapl:psys", domain="system", boundary="board", encloses=("cpu", "ram"))
    board = run.add_stream(psys, 0)
    for second in (0, 10):
        run.sample(board, reading(second, second * 30_000_000)._replace(device="rapl:psys"))
    with receiving() as receiver, sending(receiver.url, ledger(run)) as sender:
        assert sender.send() is None
        found = receiver.points()
        (metric,) = (
            m
            for m in receiver.requests[0].resource_metrics[0].scope_metrics[0].metrics
            if m.name == "hw.energy"
        )
        resource = receiver.requests[0].resource_metrics[0].resource
    assert receiver.paths == ["/v1/metrics"]
    assert (metric.unit, metric.sum.is_monotonic, metric.sum.aggregation_temporality) == (
        "J",
        True,
        2,
    )
    assert {"service.name", "host.name", "host.id"} <= {a.key for a in resource.attributes}
    ((value, attributes),) = found["hw.energy"]
    assert value == 100
    assert attributes == {
        "hw.id": "rapl:package-0",
        "hw.type": "cpu",
        "hw.name": "rapl:package-0",
        "frugalwatch.origin": "measured",
        "frugalwatch.boundary": "die",
        "frugalwatch.counted": True,
    }
    ((value, attributes),) = found["hw.host.energy"]
    assert (value, attributes["frugalwatch.counted"]) == (300, False)
    assert found["frugalwatch.run.energy"][0][1]["frugalwatch.run.id"] == "job-7"
    assert found["frugalwatch.run.energy"][0][1]["frugalwatch.run.program"] == "train.py"
    assert found["frugalwatch.co2e"][0][1]["frugalwatch.carbon.zone"] == "FR"
    assert "hw.power" not in found  # nobody knows it at the first look


def test_names_and_units_are_those_of_the_conventions() -> None:
    ours = {name: unit for name, unit, _, _ in INSTRUMENTS if name.startswith("hw.")}
    assert set(ours) == {
        hw_metrics.HW_ENERGY,
        hw_metrics.HW_HOST_ENERGY,
        hw_metrics.HW_POWER,
        hw_metrics.HW_HOST_POWER,
    }
    assert {unit for name, unit in ours.items() if name.endswith("energy")} == {"J"}


def test_power_is_the_mean_between_two_exports() -> None:
    conn = ledger(recording(1, range(11), ended=False))
    with receiving() as receiver, sending(receiver.url, conn) as sender:
        sender.send()
        conn.execute(
            "INSERT INTO sample VALUES ((SELECT min(id) FROM stream), ?, ?, NULL, NULL, NULL)",
            (20 * SECOND, 600_000_000),
        )
        sender.send()
        ((power, attributes),) = receiver.points()["hw.power"]
        assert power == pytest.approx(50.0)
        assert attributes["hw.id"] == "rapl:package-0"
        sender.send()  # nothing new: no power is made up
        assert "hw.power" not in receiver.points()


def test_a_refusal_is_told_and_the_next_export_has_its_energy(
    capfd: pytest.CaptureFixture[str],
) -> None:
    conn = ledger(recording(1, range(11), ended=False))
    with receiving() as receiver, sending(receiver.url, conn) as sender:
        receiver.status = 400
        assert "400" in (sender.send() or "")
        receiver.status = 200
        assert sender.send() is None
        assert receiver.points()["hw.energy"][0][0] == 100
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("opentelemetry").propagate


def test_nobody_there_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with receiving() as receiver:
        url = receiver.url
    with sending(url, ledger(recording(1, range(3))), timeout_s=1.0) as sender:
        assert sender.send()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/metrics"),
        ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/metrics"),
        ("https://site/otlp/v1/metrics", "https://site/otlp/v1/metrics"),
    ],
)
def test_the_path_for_metrics_is_added_where_there_is_none(url: str, address: str) -> None:
    assert endpoint(url) == address


@pytest.mark.parametrize("url", ["", "127.0.0.1:4318", "grpc://site:4317", "http://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="cannot be sent"):
        endpoint(url)
