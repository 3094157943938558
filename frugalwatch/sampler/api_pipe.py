"""The named pipe on which a job's processes tell about phases, steps and metrics.

A pipe and not a socket: a datagram socket queues ten messages (net.unix.max_dgram_qlen, which is 10
in every container), where a pipe holds ten thousand, so that the sampler need not wake for them.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from frugalwatch.config.paths import runtime_dir
from frugalwatch.ledger.paths import private_directory

_CAPACITY = 1 << 20  # what an ordinary user may ask for (fs.pipe-max-size)
_F_SETPIPE_SZ = 1031


class ApiPipe(NamedTuple):
    """Our end of a pipe, non-blocking, and its path."""

    descriptor: int
    path: str

    def remove(self) -> None:
        """Remove the path. What still has the pipe open writes to nobody."""
        try:
            os.unlink(self.path)
        except OSError:
            return


def open_api_pipe(run_key: str, environ: Mapping[str, str]) -> ApiPipe | None:
    """A pipe of this run's own; None where no private folder can be had.

    The folder is ours alone (mode 0700, owner checked), so nobody else can speak for the job.
    """
    for folder in (runtime_dir(environ), f"/tmp/frugalwatch-{os.getuid()}"):
        if not private_directory(folder):
            continue
        path = os.path.join(folder, f"{run_key}.pipe")
        try:
            os.mkfifo(path, 0o600)
            # Writing too: otherwise the pipe would end whenever no process of the job has it open.
            descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue
        with suppress(OSError):  # this user's share of pipe memory may be used up: 64 KiB then
            fcntl.fcntl(descriptor, _F_SETPIPE_SZ, _CAPACITY)
        return ApiPipe(descriptor, path)
    return None
