"""Where a capture's files go: atomically, for this user only, and never more than was allowed.

A file is written under another name and renamed when it is whole, and the index is appended by
single writes, so that a process killed at any moment leaves whole files and a readable index.
"""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, BinaryIO

FILE_MODE, FOLDER_MODE = 0o600, 0o700
# Processes of one job that may capture; a pool of workers is not worth more.
MOST_PROCESSES = 4
_SPENT = "bytes"  # one line for each file: bytes that it takes (negative: gone)


class BudgetSpentError(Exception):
    """What was to be written is more than the capture may hold."""


class Files:
    """The files of one process of the job, `name` below the capture's folder."""

    def __init__(self, capture: str, name: str, limit_bytes: int) -> None:
        self.folder = os.path.join(capture, name)
        self._spent_path = os.path.join(capture, _SPENT)
        self._limit_bytes = limit_bytes
        self._seen = 0
        self._spent_bytes = 0

    def path(self, *names: str) -> str:
        """A place below this process's folder."""
        return os.path.join(self.folder, *names)

    def left_bytes(self) -> int:
        """What may still be written, with all that every process of the job has written."""
        try:
            with open(self._spent_path, "rb") as file:
                file.seek(self._seen)
                news = file.read()
        except OSError:
            news = b""
        whole = news[: news.rfind(b"\n") + 1]
        self._seen += len(whole)
        self._spent_bytes += sum([int(line) for line in whole.split()])
        return self._limit_bytes - self._spent_bytes

    def write(
        self,
        name: str,
        put: Callable[[BinaryIO], object],
        size_bytes: int,
        *,
        replace: bool = True,
    ) -> int:
        """Write a file by `put(file)`; returns its bytes. Raises BudgetSpentError, OSError.

        `size_bytes` is what it is expected to take at most. Without `replace` an existing file
        raises FileExistsError.
        """
        path = self.path(name)
        before = _size(path)
        if size_bytes - before > self.left_bytes():
            raise BudgetSpentError(name)
        temporary = f"{path}.{os.getpid()}.new"
        try:
            with _create(temporary) as file:
                put(file)
            taken = _size(temporary)
            if replace:
                os.rename(temporary, path)
            else:
                os.link(temporary, path)
                _remove(temporary)
        except BaseException:
            _remove(temporary)
            raise
        self._spend(taken - before)
        return taken

    def adopt(self, temporary: str, name: str) -> int:
        """Take over a file that another library wrote; returns its bytes.

        Raises BudgetSpentError.
        """
        size = _size(temporary)
        if size > self.left_bytes():
            _remove(temporary)
            raise BudgetSpentError(name)
        os.chmod(temporary, FILE_MODE)
        os.rename(temporary, self.path(name))
        self._spend(size)
        return size

    def write_json(self, name: str, value: object) -> None:
        """Write a small JSON document, whatever the budget."""
        text = json.dumps(value, indent=1).encode()
        temporary = f"{self.path(name)}.{os.getpid()}.new"
        with _create(temporary) as file:
            file.write(text)
        os.rename(temporary, self.path(name))

    def append(self, name: str, value: object) -> None:
        """Add one line of JSON to a file."""
        _append(self.path(name), json.dumps(value).encode() + b"\n")

    def remove(self, name: str) -> None:
        """Delete a file; what it took may be used again."""
        size = _size(self.path(name))
        if _remove(self.path(name)):
            self._spend(-size)

    def make_folder(self, name: str) -> None:
        """Make a folder below this process's own."""
        os.makedirs(self.path(name), FOLDER_MODE, exist_ok=True)

    def _spend(self, size_bytes: int) -> None:
        _append(self._spent_path, b"%d\n" % size_bytes)


def claim_process(capture: str, limit_bytes: int) -> Files | None:
    """A place for this process; None if enough others have one, or the capture was deleted."""
    for number in range(1, MOST_PROCESSES + 1):
        try:
            os.mkdir(os.path.join(capture, f"process-{number}"), FOLDER_MODE)
        except FileExistsError:
            continue
        except OSError:
            return None
        return Files(capture, f"process-{number}", limit_bytes)
    return None


def _create(path: str) -> Any:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, FILE_MODE), "wb", 1 << 16)


def _append(path: str, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, FILE_MODE)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _remove(path: str) -> bool:
    try:
        os.unlink(path)
    except OSError:
        return False
    return True
