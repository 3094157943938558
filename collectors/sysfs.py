"""Reading one number from one small kernel file, and naming what went wrong when that fails."""

from __future__ import annotations

import errno
import os

from collectors.base import GapCause

_PERMISSION = frozenset({errno.EACCES, errno.EPERM})
_VANISHED = frozenset({errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ENOTDIR, errno.ESTALE})
_EMPTY_RETRIES = 3


def gap_cause(error: OSError) -> GapCause:
    """The cause that a failed read is reported with.

    EACCES and EPERM are `permission`; ENOENT, ENODEV and their kin are `vanished`; everything else
    (EINVAL, EIO, ENODATA, EISDIR, a text that is no number) is `invalid`: this one read failed.
    """
    if error.errno in _PERMISSION:
        return "permission"
    if error.errno in _VANISHED:
        return "vanished"
    return "invalid"


def list_names(path: str) -> list[str]:
    """Names in a folder, sorted; empty if it cannot be listed."""
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []


def read_text(path: str) -> str | None:
    """A small file's stripped text, or None if it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(descriptor, 4096).decode("utf-8", "replace").strip()
    except OSError:
        return None
    finally:
        os.close(descriptor)


def read_int(path: str) -> int | None:
    """A small file's whole number, or None if it cannot be read or is no number."""
    text = read_text(path)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


class SensorFile:
    """One kernel file with a number in it, kept open between looks.

    Open files keep working after a permission was taken away and cost 2 us a look, not 10. A file
    that was removed (its device went and maybe came back) is opened anew at the next look.
    """

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor: int | None = None

    def read(self) -> int:
        """The number now. Raises OSError; a text that is no number is EINVAL."""
        descriptor = self._descriptor
        if descriptor is not None and os.fstat(descriptor).st_nlink == 0:
            self.close()
            descriptor = None
        if descriptor is None:
            descriptor = self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return self._parse(descriptor)
        except OSError as error:
            if error.errno in _VANISHED:
                self.close()
            raise

    def _parse(self, descriptor: int) -> int:
        content = b""
        # A simulated file may be caught between its truncation and its write; sysfs never is.
        for _ in range(_EMPTY_RETRIES):
            content = os.pread(descriptor, 64, 0)
            if content:
                break
        try:
            return int(content)
        except ValueError:
            raise OSError(errno.EINVAL, f"not a number: {content[:20]!r}", self.path) from None

    def close(self) -> None:
        """Close the file. Safe to call twice; the next `read()` opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
