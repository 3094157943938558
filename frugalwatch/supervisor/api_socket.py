"""The socket on which a job's processes tell about phases, steps and metrics."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from frugalwatch.config.paths import runtime_dir
from frugalwatch.ledger.paths import private_directory

# sun_path holds 108 bytes with its terminating zero.
_LONGEST_PATH = 107
_RECEIVE_BUFFER = 1 << 20


def open_api_socket(run_key: str, environ: Mapping[str, str]) -> tuple[socket.socket, str] | None:
    """A bound, non-blocking datagram socket and its path; None where no private folder can be had.

    The folder is ours alone (mode 0700, owner checked), so nobody else can speak for the job.
    """
    for folder in (runtime_dir(environ), f"/tmp/frugalwatch-{os.getuid()}"):
        path = os.path.join(folder, f"{run_key}.sock")
        if len(path.encode()) > _LONGEST_PATH or not private_directory(folder):
            continue
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            channel.bind(path)
        except OSError:
            channel.close()
            continue
        channel.setblocking(False)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        return channel, path
    return None
