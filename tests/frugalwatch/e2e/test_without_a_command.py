"""`frugalwatch` alone: the screen where a person sits before a terminal, help where none does."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import termios
import time

from tests.frugalwatch.e2e.kit import Frugalwatch


def test_on_a_terminal_the_screen_opens_and_q_leaves_it(frugalwatch: Frugalwatch) -> None:
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    frugalwatch.environment |= {"TERM": "xterm-256color"}
    process = frugalwatch.start(stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    text, asked = "", False
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if select.select([leader], [], [], 0.1)[0]:
            with contextlib.suppress(OSError):
                text += os.read(leader, 65536).decode(errors="replace")
        if not asked and "No run has been recorded yet" in text:
            asked = os.write(leader, b"q") == 1
    os.close(leader)
    assert process.wait(timeout=10) == 0
    assert asked
    assert not frugalwatch.ledger.exists()


def test_into_a_pipe_it_prints_help(frugalwatch: Frugalwatch) -> None:
    result = frugalwatch()
    assert result.returncode == 0
    assert b"frugalwatch run -- python train.py" in result.stdout
    assert b"\x1b" not in result.stdout
