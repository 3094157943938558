"""The page of memory that processes share: whoever reads it finds one whole value."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator

from frugalwatch.sampler.context import Shelf


@contextlib.contextmanager
def writing_all_the_time(shelf: Shelf) -> Iterator[None]:
    """A process that writes values of one byte, repeated, of many lengths."""
    pid = os.fork()
    if pid == 0:
        number = 0
        while True:
            number += 1
            shelf.put_bytes(bytes([number % 256]) * (9000 + number % 7000))
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_what_is_overwritten_while_it_is_read_is_read_again() -> None:
    shelf = Shelf()
    whole = 0
    patience_s = time.monotonic() + 30
    with writing_all_the_time(shelf):
        # On a busy machine the writer may stand still in the middle of a value for a while.
        while whole < 300 and time.monotonic() < patience_s:
            data = shelf.get_bytes()
            assert len(set(data)) <= 1
            whole += bool(data)
    assert whole == 300


def test_what_is_too_large_leaves_the_old_value() -> None:
    shelf = Shelf()
    assert shelf.get_bytes() == b""
    assert shelf.put_bytes(b"first")
    assert not shelf.put_bytes(bytes(1 << 20))
    assert shelf.get_bytes() == b"first"
