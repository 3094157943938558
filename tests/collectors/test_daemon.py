"""The collector that asks a daemon: its figures, its bounds, and what it makes of a bad one."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.base import Collector, Gap, Reading, Resumable
from collectors.daemon import DaemonCollector
from collectors.daemon_wire import FrameError, decode, encode, take_frame
from collectors.host import Host

SECOND = 1_000_000_000
FACTS = {
    "domain": "cpu",
    "name": "RAPL package-0",
    "origin": "measured",
    "boundary": "die",
    "source": "intel-rapl",
    "encloses": [],
    "power_limit_w": 125.0,
    "gain_low": 1.0,
    "gain_high": 1.0,
    "idle_w": None,
    "idle_low_w": None,
    "idle_high_w": None,
    "idle_origin": "",
    "note": "",
}


class FakeDaemon:
    """The other end of the collector's connection, and its clock."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "sock")
        Path(self.path).touch()
        self.now_ns = 100 * SECOND
        self.ends: list[socket.socket] = []
        self.given: list[socket.socket] = []
        self.first = self.devices({"rapl:package-0": FACTS}, {"rapl:package-0": [0, 0, 0, 1]})

    def collector(self, known: tuple[str, ...] = ()) -> DaemonCollector:
        host = Host(clock_ns=lambda: self.now_ns)
        return DaemonCollector(host, [self.path], known, connect=self._connect)

    def _connect(self, _path: str) -> socket.socket:
        if not self.first:
            raise ConnectionRefusedError(111, "Connection refused")
        ours, theirs = socket.socketpair()
        self.ends.append(ours)
        self.given.append(theirs)
        ours.sendall(self.first)
        return theirs

    @staticmethod
    def devices(devices: object, energy: object) -> bytes:
        return encode({"is": "devices", "devices": devices, "energy_j": energy})

    def tell(self, t_s: int, energy_j: int, low_j: int | None = None) -> None:
        low_j = energy_j if low_j is None else low_j
        figures = [t_s * SECOND, energy_j, low_j, energy_j + 1]
        self.ends[-1].sendall(encode({"is": "readings", "energy_j": {"rapl:package-0": figures}}))

    def close(self) -> None:
        for end in (*self.ends, *self.given):
            end.close()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    fake = FakeDaemon(tmp_path)
    fake.first = fake.devices(
        {"rapl:package-0": FACTS}, {"rapl:package-0": [100 * SECOND, 500, 500, 501]}
    )
    yield fake
    fake.close()


def test_it_is_a_collector_whose_figures_survive_its_process(daemon: FakeDaemon) -> None:
    collector = daemon.collector()
    assert isinstance(collector, Collector)
    assert isinstance(collector, Resumable)


def test_devices_keep_origin_name_and_source_and_say_how_they_came(daemon: FakeDaemon) -> None:
    (device,) = daemon.collector().probe().devices
    assert (device.key, device.origin, device.source) == (
        "rapl:package-0",
        "measured",
        "intel-rapl",
    )
    assert "daemon" in device.note
    assert device.tick_s == 1.0


def test_the_figure_begins_here_and_bounds_hold_the_rounding(daemon: FakeDaemon) -> None:
    collector = daemon.collector()
    collector.probe()
    assert collector.read() == [Reading("rapl:package-0", 100 * SECOND, 0, 0, 1_000_000)]
    daemon.tell(101, 540, 539)
    (reading,) = collector.read()
    assert reading == Reading("rapl:package-0", 101 * SECOND, 40_000_000, 39_000_000, 41_000_000)
    assert collector.read() == []


def test_devices_that_are_read_here_are_left_alone(daemon: FakeDaemon) -> None:
    probe = daemon.collector(known=("rapl:package-0",)).probe()
    assert not probe.ok
    assert probe.reason


def test_without_a_socket_it_says_so_and_what_to_do(tmp_path: Path) -> None:
    probe = DaemonCollector(Host(), [str(tmp_path / "none")]).probe()
    assert not probe.ok
    assert (probe.reason, bool(probe.remedy)) == ("no daemon runs here", True)


def test_a_daemon_that_dies_leaves_a_gap_that_its_successor_makes_good(
    daemon: FakeDaemon,
) -> None:
    collector = daemon.collector()
    collector.probe()
    collector.read()
    daemon.ends[-1].close()
    daemon.first, first = b"", daemon.first
    daemon.now_ns += 5 * SECOND
    (gap,) = collector.read()
    assert isinstance(gap, Gap)
    assert (gap.cause, gap.recoverable, gap.since_mono_ns) == ("vanished", True, 100 * SECOND)
    daemon.first = first.replace(b"[100000000000,500,500,501]", b"[106000000000,560,560,561]")
    daemon.now_ns += 60 * SECOND
    collector.read()
    (reading,) = [r for r in collector.read() if isinstance(r, Reading)] or [None]
    found = reading or collector.state()["rapl:package-0"]
    assert found is not None
    assert collector.state()["rapl:package-0"][:2] == (106 * SECOND, 560_000_000)


def test_a_daemon_that_counts_anew_is_a_reset_and_the_figure_goes_on(daemon: FakeDaemon) -> None:
    collector = daemon.collector()
    collector.probe()
    collector.read()
    daemon.tell(101, 540)
    collector.read()
    daemon.tell(102, 3)
    gap, reading = collector.read()
    assert (gap.cause, gap.recoverable) == ("reset", False)  # type: ignore[union-attr]
    assert reading.energy_uj == 40_000_000  # type: ignore[union-attr]
    daemon.tell(103, 10)
    (reading,) = collector.read()
    assert reading.energy_uj == 47_000_000  # type: ignore[union-attr]


def test_a_silent_daemon_is_a_gap_and_costs_no_waiting(daemon: FakeDaemon) -> None:
    collector = daemon.collector()
    collector.probe()
    collector.read()
    daemon.now_ns += 2 * SECOND
    assert collector.read() == []
    daemon.now_ns += 2 * SECOND
    (gap,) = collector.read()
    assert gap.cause == "timeout"  # type: ignore[union-attr]


def test_a_successor_goes_on_with_the_figure(daemon: FakeDaemon) -> None:
    first = daemon.collector()
    first.probe()
    first.read()
    daemon.tell(101, 540)
    first.read()
    second = daemon.collector()
    second.probe()
    second.resume(first.state())
    daemon.tell(102, 560)
    (reading,) = second.read()
    assert reading.energy_uj == 60_000_000  # type: ignore[union-attr]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=10,
)


@given(
    st.one_of(
        st.binary(max_size=99),
        st.tuples(_JSON, _JSON).map(lambda p: FakeDaemon.devices(*p)),
        _JSON.map(lambda v: FakeDaemon.devices({"k": v}, {"k": [1, 2, 2, 3]})),
        _JSON.map(lambda v: FakeDaemon.devices({"k": FACTS}, {"k": v})),
        st.lists(_JSON, min_size=4, max_size=4).map(
            lambda v: FakeDaemon.devices({"k": FACTS}, {"k": v})
        ),
    )
)
def test_whatever_a_daemon_says_it_is_no_exception(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        fake = FakeDaemon(Path(folder))
        fake.first = data + b"\0\0\0\1x"  # so that nothing waits for more
        collector = fake.collector()
        try:
            if collector.probe().ok:
                for observation in collector.read():
                    assert isinstance(observation, Reading | Gap)
        finally:
            collector.close()
            fake.close()


@given(st.dictionaries(st.text(max_size=5), _JSON, max_size=4))
def test_what_was_encoded_is_decoded(message: dict[str, object]) -> None:
    message.pop("frugalwatch", None)
    buffer = bytearray(encode(message) + b"rest")
    body = take_frame(buffer, 65_536)
    assert body is not None
    assert bytes(buffer) == b"rest"
    got = decode(body)
    assert got.pop("frugalwatch") == 1
    assert json.dumps(got) == json.dumps(message)


@given(st.binary(min_size=4, max_size=50))
def test_a_frame_is_refused_taken_or_not_whole_yet(data: bytes) -> None:
    length = int.from_bytes(data[:4], "big")
    buffer = bytearray(data)
    if not 0 < length <= 20:
        with pytest.raises(FrameError):
            take_frame(buffer, 20)
    else:
        body = take_frame(buffer, 20)
        assert (body is None) == (len(data) < 4 + length)
