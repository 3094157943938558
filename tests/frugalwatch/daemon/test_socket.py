"""The socket: who is served, what is told, and that no client disturbs the sampler."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.daemon_wire import LONGEST_ANSWER, LONGEST_REQUEST, decode, encode, take_frame
from tests.frugalwatch.daemon.kit import DaemonKit
from tests.frugalwatch.e2e.kit import children, until
from tests.support.fake_sysfs import Constant, PowercapTree, Zone
from tests.support.unprivileged import as_nobody


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonKit]:
    """A daemon whose package draws 40 W, and that has published something."""
    folder = tmp_path_factory.mktemp("daemon")
    for place in (folder, *folder.parents[:2]):  # so that another user gets as far as the socket
        place.chmod(place.stat().st_mode | 0o011)
    with PowercapTree(folder, [Zone("package-0", Constant(40.0))]) as tree:
        tree.start()
        kit = DaemonKit(folder, tree)
        kit.start()
        with until(30, "a published figure") as again:
            while again():
                if kit.socket.exists() and ask(kit, "readings").get("energy_j"):
                    break
        yield kit
        kit.close()


def connect(kit: DaemonKit) -> socket.socket:
    """A connection that gives up after ten seconds."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(10)
    try:
        connection.connect(str(kit.socket))
    except OSError:
        connection.close()
        raise
    return connection


def answer(connection: socket.socket) -> dict[str, object]:
    """The next frame; an empty one if the other side hung up."""
    buffer = bytearray()
    while (body := take_frame(buffer, LONGEST_ANSWER)) is None:
        data = connection.recv(65536)
        if not data:
            return {}
        buffer += data
    return decode(body)


def ask(kit: DaemonKit, want: str) -> dict[str, object]:
    """One question on a connection of its own."""
    with connect(kit) as connection:
        connection.sendall(encode({"want": want}))
        return answer(connection)


def server_pid(kit: DaemonKit) -> int:
    """The process that serves."""
    assert kit.process is not None
    (found,) = [
        pid
        for pid in children(kit.process.pid)
        if Path(f"/proc/{pid}/comm").read_text().strip() == "fw-socket"
    ]
    return found


def test_figures_are_whole_joules_on_whole_seconds_and_the_same_for_all(daemon: DaemonKit) -> None:
    seen: dict[int, set[tuple[int, ...]]] = {}
    with connect(daemon) as one, connect(daemon) as other:
        for connection in (one, other):
            connection.sendall(encode({"want": "watch"}))
        for _ in range(3):
            for connection in (one, other):
                figures = answer(connection)["energy_j"]["rapl:package-0"]  # type: ignore[index]
                assert all(isinstance(value, int) for value in figures)
                assert figures[0] % 1_000_000_000 == 0
                assert figures[2] <= figures[1] < figures[3]
                seen.setdefault(figures[0], set()).add(tuple(figures))
    assert all(len(figures) == 1 for figures in seen.values())


def test_asking_often_gives_no_finer_figures(daemon: DaemonKit) -> None:
    instants = set()
    begun = time.monotonic()
    with connect(daemon) as connection:
        for _ in range(30):
            connection.sendall(encode({"want": "readings"}))
            instants.add(answer(connection)["energy_j"]["rapl:package-0"][0])  # type: ignore[index]
    took = time.monotonic() - begun
    assert took > 0.8, "twenty at once, then ten a second"
    assert len(instants) <= took + 2


def test_what_it_tells_is_what_was_used(daemon: DaemonKit) -> None:
    with connect(daemon) as connection:
        connection.sendall(encode({"want": "watch"}))
        first = answer(connection)["energy_j"]["rapl:package-0"]  # type: ignore[index]
        last = first
        while last[0] - first[0] < 3_000_000_000:
            last = answer(connection)["energy_j"]["rapl:package-0"]  # type: ignore[index]
    truth_j = 40.0 * (last[0] - first[0]) / 1e9
    assert last[2] - first[3] <= truth_j <= last[3] - first[2]
    assert last[1] - first[1] == pytest.approx(truth_j, abs=4)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff" + b"x" * 100,
        (LONGEST_REQUEST + 1).to_bytes(4, "big") + b"{" * 10,
        b"\0\0\0\0",
        b"GET /metrics HTTP/1.1\r\n\r\n",
        b"\0\0\0\2[]",
        b"\0\0\x0f\xff" + b"[" * 0xFFF,
        encode({"want": "readings"}).replace(b'"frugalwatch":1', b'"frugalwatch":2'),
        encode({"want": "readings"}).replace(b'"frugalwatch":1', b'"frugalwatch":true'),
    ],
)
def test_what_is_no_request_gets_an_error_and_the_door(daemon: DaemonKit, data: bytes) -> None:
    with connect(daemon) as connection:
        connection.sendall(data)
        assert answer(connection)["code"] == "malformed"
        assert answer(connection) == {}


def test_text_that_is_not_utf_8_is_malformed_and_ends_nothing(daemon: DaemonKit) -> None:
    before = server_pid(daemon)
    for body in (b"\x00\xc6\x06I\xcc", "{}".encode("utf-32"), "{}".encode("utf-16-le")):
        with connect(daemon) as connection:
            connection.sendall(len(body).to_bytes(4, "big") + body)
            assert answer(connection)["code"] == "malformed"
    assert server_pid(daemon) == before


def test_an_unknown_wish_gets_an_error_and_may_ask_again(daemon: DaemonKit) -> None:
    with connect(daemon) as connection:
        for want in ({"want": "passwords"}, {"want": ["watch"]}, {}):
            connection.sendall(encode(want))
            assert answer(connection)["code"] == "unknown"
        connection.sendall(encode({"want": "devices"}))
        about = answer(connection)
    assert (about["period_s"], about["quantum_j"]) == (1.0, 1.0)
    assert list(about["devices"]) == ["rapl:package-0"]  # type: ignore[call-overload]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.binary(max_size=60).map(lambda b: len(b).to_bytes(4, "big") + b),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
                lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner),
                max_leaves=8,
            ).map(lambda v: _framed(json.dumps({"frugalwatch": 1, "want": v}).encode())),
            st.sampled_from(["devices", "readings", "watch"]).map(lambda w: encode({"want": w})),
        ),
        max_size=6,
    )
)
def test_no_sequence_of_bytes_ends_the_server(daemon: DaemonKit, parts: list[bytes]) -> None:
    before = server_pid(daemon)
    with connect(daemon) as connection:
        try:
            for part in parts:
                connection.sendall(part)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                continue
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert ask(daemon, "readings")["is"] == "readings"
    assert server_pid(daemon) == before


def _framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def test_a_request_that_never_ends_is_given_up(daemon: DaemonKit) -> None:
    with connect(daemon) as connection:
        connection.sendall(b"\0\0\0\x20{")
        assert connection.recv(100) == b""


def test_hostile_clients_do_not_delay_the_sampler(daemon: DaemonKit) -> None:
    """Watchers that never read, half requests, and floods, while others ask politely."""
    held = []
    for number in range(40):
        connection = connect(daemon)
        held.append(connection)
        if number % 2:
            connection.sendall(encode({"want": "watch"}))
        else:
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                connection.send(encode({"want": "readings"}) * 2_000)
    begun = daemon.count("SELECT max(t_mono_ns) FROM sample")
    assert ask(daemon, "devices")["is"] == "devices"
    daemon.wait_for(f"SELECT 1 FROM sample WHERE t_mono_ns > {begun + 4_000_000_000}")
    for connection in held:
        connection.close()
    looks = daemon.rows("SELECT t_mono_ns FROM sample WHERE t_mono_ns > ? ORDER BY 1", begun)
    pauses = sorted((b - a) / 1e9 for (a,), (b,) in itertools.pairwise(looks))
    assert pauses[len(pauses) // 2] < 0.2, "a look every 0.1 s"
    assert pauses[-1] < 2.5, "machine under load or not, it never waits for a client"


def test_a_killed_server_is_replaced_and_the_sampler_goes_on(daemon: DaemonKit) -> None:
    pid = server_pid(daemon)
    os.kill(pid, signal.SIGKILL)
    with until(30, "another server") as again:
        while again():
            try:
                if ask(daemon, "readings").get("is") == "readings" and server_pid(daemon) != pid:
                    break
            except (OSError, ValueError):
                continue
    assert daemon.process is not None
    assert daemon.process.poll() is None


def test_a_stopped_server_stalls_nobody_but_its_clients(daemon: DaemonKit) -> None:
    pid = server_pid(daemon)
    os.kill(pid, signal.SIGSTOP)
    try:
        begun = daemon.count("SELECT max(t_mono_ns) FROM sample")
        daemon.wait_for(f"SELECT 1 FROM sample WHERE t_mono_ns > {begun + 3_000_000_000}")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert ask(daemon, "readings")["is"] == "readings"


# -- rights ----------------------------------------------------------------------------------------


def test_the_server_has_no_right_that_its_clients_lack(daemon: DaemonKit) -> None:
    status = Path(f"/proc/{server_pid(daemon)}/status").read_text()
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(facts["CapEff"], 16) == int(facts["CapPrm"], 16) == int(facts["CapAmb"], 16) == 0
    assert facts["NoNewPrivs"] == "1"
    if os.getuid() == 0:
        assert set(facts["Uid"].split()) == {"65534"}


def test_socket_and_ledger_are_closed_to_others(daemon: DaemonKit) -> None:
    for name in (daemon.socket, daemon.ledger, Path(f"{daemon.ledger}.state")):
        assert stat.S_IMODE(name.stat().st_mode) & 0o007 == 0, name
    assert stat.S_IMODE(daemon.ledger.stat().st_mode) == 0o600
    assert stat.S_IMODE(daemon.ledger.parent.stat().st_mode) == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="gives up root to be somebody else")
@pytest.mark.parametrize("member", [False, True])
def test_only_members_of_the_group_are_served(
    tmp_path: Path, member: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group that exists everywhere stands in for `frugalwatch`; nobody's own group is another."""
    import grp

    group = next(g for g in grp.getgrall() if g.gr_gid not in (0, 65534))
    folder = tmp_path / "world"
    folder.mkdir()
    for place in (folder, *folder.parents[:4]):
        place.chmod(place.stat().st_mode | 0o011)
    (folder / "run").mkdir(mode=0o755)
    with PowercapTree(folder, [Zone("package-0")]) as tree:
        kit = DaemonKit(folder, tree, FRUGALWATCH_DAEMON_GROUP=group.gr_name)
        kit.socket = folder / "run" / "sock"
        kit.program.environment["FRUGALWATCH_DAEMON_SOCKET"] = str(kit.socket)
        try:
            kit.start()
            with until(30, "a socket") as again:
                while again():
                    if kit.socket.exists() and kit.socket.stat().st_gid == group.gr_gid:
                        break
            assert stat.S_IMODE(kit.socket.stat().st_mode) == 0o660
            ledger = str(kit.ledger)

            def visit() -> list[str]:
                said = []
                for step in (lambda: os.open(ledger, os.O_RDONLY), lambda: ask(kit, "devices")):
                    try:
                        said.append(str(step()["is"]))
                    except PermissionError:
                        said.append("refused")
                return said

            # The kernel keeps the groups with which one connects: joining is done in the child.
            monkeypatch.setattr(
                os, "setgroups", _groups(os.setgroups, [group.gr_gid] if member else [])
            )
            assert as_nobody(visit) == ["refused", "devices" if member else "refused"]
        finally:
            kit.close()


def _groups(setgroups: object, groups: list[int]) -> object:
    return lambda _none: setgroups(groups)  # type: ignore[operator]


def test_peers_without_the_group_are_refused_even_where_the_file_lets_them_in() -> None:
    from frugalwatch.daemon.peers import Door, Peer

    door = Door(uid=990, gid=42)
    assert not door.admits(Peer(1, 1000, frozenset({1000})))
    assert door.admits(Peer(1, 1000, frozenset({1000, 42})))
    assert door.admits(Peer(1, 0, frozenset()))
    assert door.admits(Peer(1, 990, frozenset()))
    assert not Door(uid=990, gid=None).admits(Peer(1, 1000, frozenset({42})))
