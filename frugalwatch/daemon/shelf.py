"""What a restarted daemon must know, in a file that survives its `kill -9`.

The page is mapped: what was put there is the kernel's from that moment on, whatever happens to
the process. It is of one boot; another boot finds an empty one.
"""

from __future__ import annotations

import mmap
import os

from frugalwatch.sampler.context import Shelf

_KEY_BYTES = 64
_OWN = "daemon"


class FileShelf(Shelf):
    """A `Shelf` in a file. `own` is kept beside whatever is put. Raises OSError."""

    def __init__(self, path: str, boot_key: str) -> None:
        key = boot_key.encode()[:_KEY_BYTES].ljust(_KEY_BYTES, b"\0")
        size = 8 + 2 * self._SLOT
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.pread(descriptor, _KEY_BYTES, size) != key:
                os.ftruncate(descriptor, 0)
                os.ftruncate(descriptor, size)
                os.pwrite(descriptor, key, size)
            self._memory = mmap.mmap(descriptor, size + _KEY_BYTES)
        finally:
            os.close(descriptor)
        self.own: dict[str, tuple[int, ...]] = dict(self.get().get(_OWN, {}))

    def put(self, value: dict[str, dict[str, tuple[int, ...]]]) -> bool:
        """Store `value` and what is the daemon's own; False if it does not fit."""
        return super().put({**value, _OWN: self.own})

    def get(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """The last stored value; empty if there is none, or what there is was damaged."""
        try:
            return super().get()
        except (ValueError, TypeError, EOFError):
            return {}

    def put_own(self, name: str, value: tuple[int, ...] | None) -> None:
        """Keep a few integers by this name, or forget them, at once."""
        if value is None:
            self.own.pop(name, None)
        else:
            self.own[name] = value
        self.put({key: state for key, state in self.get().items() if key != _OWN})
