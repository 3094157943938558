"""What a machine's network sees of FrugalWatch: nothing, unless somebody configured it."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.frugalwatch.daemon.kit import DaemonKit
from tests.frugalwatch.e2e.kit import children
from tests.support.fake_sysfs import Constant, PowercapTree, Zone

_LISTEN = "0A"
_UNCONNECTED = "07"  # UDP


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonKit]:
    with PowercapTree(tmp_path, [Zone("package-0", Constant(50.0))]) as tree:
        kit = DaemonKit(tmp_path, tree)
        try:
            kit.start()
            yield kit
        finally:
            kit.close()


def tree_of(pid: int) -> list[int]:
    return [pid, *(below for child in children(pid) for below in tree_of(child))]


def listening(pids: list[int]) -> list[str]:
    """Internet addresses on which any of these processes can be reached."""
    inodes = set()
    for pid in pids:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(f"/proc/{pid}/fd/{name}")
            except OSError:
                continue
            inodes.add(target.removeprefix("socket:[").removesuffix("]"))
    found = []
    for kind in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and fields[3] in (_LISTEN, _UNCONNECTED):
                found.append(_address(fields[1].partition(":")[0]))
    return found


def _address(text: str) -> str:
    words = bytes.fromhex(text)
    packed = b"".join(
        struct.pack(">I", *struct.unpack("=I", words[i : i + 4])) for i in range(0, len(words), 4)
    )
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def test_the_check_itself_sees_a_socket_that_listens() -> None:
    with socket.socket() as everywhere:
        everywhere.bind(("0.0.0.0", 0))
        everywhere.listen()
        assert listening([os.getpid()]).count("0.0.0.0") >= 1


def test_a_daemon_can_be_reached_from_this_machine_only(daemon: DaemonKit) -> None:
    assert daemon.process is not None
    pids = tree_of(daemon.process.pid)
    assert len(pids) > 1, "the process that serves is there"
    beyond = [a for a in listening(pids) if not a.startswith("127.") and a != "::1"]
    assert beyond == []


def test_a_run_listens_nowhere(tmp_path: Path) -> None:
    from tests.frugalwatch.e2e.kit import Frugalwatch, sampler_of

    program = Frugalwatch(tmp_path)
    process = program.start("run", "-q", "--budget", "1kWh", "--", "sleep", "30")
    try:
        sampler = sampler_of(process.pid)
        program.wait_for_state("running")
        assert listening([process.pid, sampler]) == []
    finally:
        process.terminate()
        process.communicate(timeout=30)
