"""The file in which one process keeps its profile: append-only, bounded, readable after kill -9.

One JSON array a line; a last line that a kill cut off is ignored by the reader. The file is opened
anew for each write, about once a second: a daemon that closes every descriptor, or a program that
counts its own, never meets one of ours.
"""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = 1
# A process writes this much and then stops recording; an hour of a busy program takes 2 to 10 MB.
MOST_BYTES = 64 << 20
# A job of very many short processes keeps the files of the first ones.
MOST_FILES = 1000


class ProfileFile:
    """The lines of one process. `write` raises OSError, which is the caller's to tell."""

    def __init__(self, folder: str, pid: int, t_mono_ns: int) -> None:
        self.path = os.path.join(folder, "%d-%d.jsonl" % (pid, t_mono_ns))
        self._folder = folder
        self._written = 0

    def write(self, lines: Iterable[object]) -> bool:
        """Append these arrays in one go; False once the limit is reached, and nothing follows."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        if not self._written:
            if len(os.listdir(self._folder)) >= MOST_FILES:
                return False
            flags |= os.O_CREAT | os.O_EXCL
        data = b"".join([_encoded(line) for line in lines])
        full = self._written + len(data) > MOST_BYTES
        if full:
            data = _encoded(["full", MOST_BYTES])
        descriptor = os.open(self.path, flags, 0o600)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        finally:
            os.close(descriptor)
        self._written += len(data)
        return not full


def _encoded(line: object) -> bytes:
    """ASCII: a file name that is no valid Unicode becomes escapes."""
    return json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n"
