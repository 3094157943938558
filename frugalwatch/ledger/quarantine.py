"""Moving a corrupt database out of the way, by exactly one of the processes that noticed."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

FileIdentity = tuple[int, int]  # device and inode


def identity(path: str) -> FileIdentity | None:
    """Which file lies at `path` now, or None. Reads no byte of it.

    Never open a ledger to look at it: closing the descriptor drops every lock that this process
    holds on the file (POSIX locks), and with them SQLite's protection.
    """
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def directory_lock(directory: str, wait_s: float = 1.0) -> Iterator[None]:
    """Hold the advisory lock of a folder. Raises OSError (EAGAIN) after `wait_s` seconds."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EINTR) or time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
        yield
    finally:
        os.close(descriptor)


def create_private_file(path: str) -> None:
    """Make an empty 0600 file at `path` unless one is there; its -wal and -shm inherit that."""
    with directory_lock(os.path.dirname(path)):
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return


def quarantine(path: str, corrupt: FileIdentity | None) -> str | None:
    """Rename the corrupt file, its -wal and its -shm. Its new path, or None if it was gone.

    `corrupt` is the file in which corruption was seen: if another one lies there now, another
    process has already done the work and its new database must stay. Raises OSError.
    """
    if corrupt is None:
        return None
    with directory_lock(os.path.dirname(path)):
        if identity(path) != corrupt:
            return None
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        target, number = f"{path}.corrupt-{stamp}", 1
        while os.path.lexists(target):
            number += 1
            target = f"{path}.corrupt-{stamp}-{number}"
        os.rename(path, target)
        for suffix in ("-wal", "-shm"):
            try:
                os.rename(path + suffix, target + suffix)
            except FileNotFoundError:
                continue
        return target
