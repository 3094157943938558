"""One daemon per ledger: a lock that the kernel gives back when its holder dies.

A POSIX record lock belongs to one process, so no child that outlives a killed daemon can hold up
its successor, as it would with flock().
"""

from __future__ import annotations

import fcntl
import os
import struct

# struct flock on 64-bit Linux: type, whence, start, length, pid.
_FLOCK = "hhqqi4x"


class InstanceLock:
    """Held from a `take()` that said None until `release()` or the end of the process."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = -1

    def take(self) -> int | None:
        """None: it is ours. Else the process that holds it (0 where it cannot be named).

        Makes the file, and its folder for the owner alone. Raises OSError.
        """
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = _holder(descriptor)
            os.close(descriptor)
            return holder or 0
        self._descriptor = descriptor
        return None

    def release(self) -> None:
        """Give it back. The file stays: removing it would let two daemons lock two files."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def lock_holder(path: str) -> int | None:
    """The process that holds the lock, None if nobody does. Raises OSError if it is not ours."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return _holder(descriptor)
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> int | None:
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, *_, pid = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else int(pid)
