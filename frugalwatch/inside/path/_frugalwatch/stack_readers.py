"""Two ways to see the stacks of threads, by the interpreter that we are in.

Up to Python 3.11: the frames themselves, all of them in one call into C. Between two steps of
Python the program may run on, and in 3.11 the way back from a generator's frame that was left in
the meantime leads nowhere: the interpreter crashes. From 3.12 on frames are not safe at all: where
`sys._current_frames()` is called beside a `multiprocessing.Pool`, pools hang and 3.12.1 crashes,
also without any of our code. There the text is used that `faulthandler` writes: it makes no frame
objects, and takes ten times as long.
"""

from __future__ import annotations

import gc
import os
import sys
from itertools import accumulate, chain, islice, repeat, takewhile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType
    from typing import Any

    from .frames import Frames

# Texts of stacks whose nodes are remembered.
_MOST_TEXTS = 10_000
_PIPE_BYTES = 65536


class FrameReader:
    """Stacks from frame objects, which are dropped soon: they keep the program's variables."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames

    def read(self, wanted: list[int]) -> tuple[list[int], dict[int, list[FrameType]]]:
        """All threads, and the frames of the wanted ones that there are, innermost first."""
        tops: dict[int, FrameType] = {}
        stacks = _at_one_moment(tops, wanted)
        return list(tops), dict(zip([ident for ident in wanted if ident in tops], stacks))

    def node(self, root: int, stack: list[FrameType]) -> int:
        """The node of a stack from `read`, below `root`."""
        return self._frames.node(root, stack)


def _at_one_moment(tops: dict[int, FrameType], wanted: list[int]) -> list[list[FrameType]]:
    """Fill `tops` with each thread's innermost frame, and return the wanted stacks.

    No step of it is one of Python's, where another thread could get the interpreter's lock: what is
    named here runs when `list` asks for it. A garbage collection would run finalizers of the
    program, which are Python, so there is none in between, and the program's choice stays its own.
    """
    look: Any = filter(None, islice(map(tops.update, iter(sys._current_frames, None)), 1))
    innermost = chain(look, filter(None, map(tops.get, wanted)))
    back: Iterable[Any] = repeat(repeat("f_back"))  # accumulate(frame, "f_back", "f_back"...)
    ways = map(accumulate, map(chain, zip(innermost), back), repeat(getattr))
    stacks = map(list, map(takewhile, repeat(bool), ways))
    undisturbed = chain(iter(gc.disable, None), stacks, iter(gc.enable, None))
    either: Any = {True: undisturbed, False: stacks}.__getitem__
    collects = islice(iter(gc.isenabled, None), 1)
    collected = gc.isenabled()
    try:
        return list(chain.from_iterable(map(either, collects)))
    except MemoryError:
        if collected:
            gc.enable()
        raise


class TextReader:
    """Stacks from what faulthandler writes. At most 100 threads, and 100 frames of each."""

    def __init__(self, frames: Frames) -> None:
        import faulthandler

        self._dump = faulthandler.dump_traceback
        self._frames = frames
        self._known: dict[tuple[int, bytes], int] = {}

    def read(self, wanted: list[int]) -> tuple[list[int], dict[int, bytes]]:
        """All threads, and the texts of the wanted ones' stacks.

        The pipe is made anew: a program that closes descriptors it did not open meets none of ours.
        What it cannot hold is left out, since a full pipe must not stop the program.
        """
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self._dump(writing, True)
            text = os.read(reading, _PIPE_BYTES)
        except BlockingIOError:
            return [], {}
        finally:
            os.close(reading)
            os.close(writing)
        idents = []
        found: dict[int, bytes] = {}
        for block in text.split(b"\n\n"):
            head, _, stack = block.partition(b"\n")
            ident = head.partition(b"hread 0x")[2][:16]
            if len(ident) == 16:
                idents.append(int(ident, 16))
                if idents[-1] in wanted:
                    found[idents[-1]] = stack
        return idents, found

    def node(self, root: int, stack: bytes) -> int:
        """The node of a stack from `read`, below `root`."""
        node = self._known.get((root, stack))
        if node is None:
            if len(self._known) >= _MOST_TEXTS:
                self._known.clear()
            node = self._known[root, stack] = self._frames.named_node(root, _parsed(stack))
        return node


def _parsed(stack: bytes) -> list[tuple[str, str, int]]:
    """File, function and line of every frame, outermost first."""
    result = []
    for line in stack.decode("utf-8", "replace").split("\n"):
        head, _, rest = line.rpartition('", line ')
        number, _, function = rest.partition(" in ")
        if head.startswith('  File "') and function:
            at = int(number) if number.isdigit() else 0
            result.append((head[len('  File "') :], function, at))
    result.reverse()
    return result


def stack_reader(frames: Frames) -> FrameReader | TextReader:
    """The reader for this interpreter."""
    return TextReader(frames) if sys.version_info >= (3, 12) else FrameReader(frames)
