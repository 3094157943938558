"""What sampler and supervisor tell each other about budgets, in memory that both map.

The sampler judges and the supervisor, whose child the job is, speaks and signals. Either may be
killed at any moment: a replaced sampler finds here what was already said, and the instant at which
the job was signalled stands here from just before that, so that it is never done twice.
"""

from __future__ import annotations

import marshal
import mmap
import time
from collections.abc import Callable
from typing import TypeAlias

from frugalwatch.sampler.context import Shelf

# State of the judging, by subject; plain enough for `marshal`.
State: TypeAlias = dict[str, list[float]]

NOT_PERMITTED = (
    1  # in place of the instant: the job is another user's by now, and was not signalled
)
_MOST_LINES = 16
_LONGEST_LINE = 500


class Page:
    """Written by the sampler, but for `signalled_mono_ns`, which is whoever signals."""

    def __init__(self) -> None:
        self._shelf = Shelf()
        try:
            self._flag: mmap.mmap | bytearray = mmap.mmap(-1, 8)
        except OSError:
            self._flag = bytearray(8)
        self._number = 0
        self._lines: list[tuple[int, bool, str]] = []
        self._wants_end = False

    # -- the sampler's side ------------------------------------------------------------------------

    def go_on(self) -> State:
        """What an earlier sampler of this run left: the state it put here last."""
        found = self._read()
        if found is None:
            return {}
        _, self._number, self._wants_end, self._lines, state = found
        return state

    def say(self, text: str, *, grave: bool = False) -> None:
        """A line for stderr; a grave one is said with `--quiet` too. Told by the next `put`."""
        self._number += 1
        self._lines = [*self._lines, (self._number, grave, text[:_LONGEST_LINE])][-_MOST_LINES:]

    def ask_for_the_end(self) -> None:
        """Let the supervisor send the job SIGTERM, once."""
        self._wants_end = True

    def put(self, now_ns: int, state: State) -> None:
        """Make lines, wishes and state visible to the supervisor and to a replacement."""
        told = (now_ns, self._number, self._wants_end, self._lines, state)
        if not self._shelf.put_bytes(marshal.dumps(told)):
            self._shelf.put_bytes(marshal.dumps((*told[:4], {})))

    # -- the supervisor's side ---------------------------------------------------------------------

    def lines_after(self, number: int) -> list[tuple[int, bool, str]]:
        """Lines that came after this one: their numbers, whether they are grave, and the texts."""
        found = self._read()
        return [] if found is None else [line for line in found[3] if line[0] > number]

    @property
    def wants_end(self) -> bool:
        """Whether the job shall get SIGTERM."""
        if self._wants_end:  # by ourselves, and perhaps not put yet
            return True
        found = self._read()
        return found is not None and found[2]

    @property
    def looked_mono_ns(self) -> int | None:
        """When somebody last judged; None before the first time."""
        found = self._read()
        return None if found is None else found[0]

    # -- whoever signals ---------------------------------------------------------------------------

    @property
    def signalled_mono_ns(self) -> int:
        """When the job was signalled; 0 if it was not."""
        return int.from_bytes(self._flag[0:8], "little")

    def note_signal(self, now_ns: int) -> None:
        """To be called just before the job is signalled."""
        self._flag[0:8] = now_ns.to_bytes(8, "little")

    def _read(self) -> tuple[int, int, bool, list[tuple[int, bool, str]], State] | None:
        data = self._shelf.get_bytes()
        try:
            looked, number, wants_end, lines, state = marshal.loads(data)
        except (ValueError, EOFError, TypeError):  # nothing yet, or written twice while we read
            return None
        return looked, number, wants_end, lines, state


def signal_job(page: Page, send: Callable[[], None]) -> str:
    """Note that the job is signalled, signal it, and say what came of that. To be called once."""
    page.note_signal(time.monotonic_ns())
    try:
        send()
    except PermissionError:
        page.note_signal(NOT_PERMITTED)
        return "SIGTERM could not be sent to the job, which is another user's by now"
    except ProcessLookupError:  # it ended in this moment
        return "the job ended before SIGTERM reached it"
    return "SIGTERM was sent to the job, as `--on-exceed term` asks"
