"""Stacks of other threads, read without a step of Python in between."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from frugalwatch.inside.path._frugalwatch.frames import Frames
from frugalwatch.inside.path._frugalwatch.stack_readers import (
    FrameReader,
    TextReader,
    _at_one_moment,
)


class Waiting:
    """A thread that waits inside of functions and a generator of known names."""

    def __init__(self, depth: int = 0) -> None:
        self._depth = depth
        self._ready = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self.outer)
        self._thread.start()
        self._ready.wait()

    def outer(self) -> None:
        self.inner(self._depth)

    def inner(self, depth: int) -> None:
        if depth:
            self.inner(depth - 1)
        for _ in self.generator():
            pass

    def generator(self) -> Iterator[None]:
        self._ready.set()
        self._over.wait()
        yield

    @property
    def ident(self) -> int:
        assert self._thread.ident is not None
        return self._thread.ident

    def end(self) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    thread = Waiting()
    yield thread
    thread.end()


def names(frames: Frames, node: int) -> list[str]:
    """Functions from the innermost outwards, by what the tree would write to its file."""
    nodes = {line[1]: line for line in frames.news if line[0] == "n"}
    codes = {line[1]: str(line[3]).rpartition(".")[2] for line in frames.news if line[0] == "c"}
    found = []
    while node:
        found.append(codes[nodes[node][3]])
        node = int(str(nodes[node][2]))
    return found


FRAMES_ARE_SAFE = pytest.mark.skipif(sys.version_info >= (3, 12), reason="hangs pools from 3.12 on")


@pytest.mark.parametrize("kind", [pytest.param(FrameReader, marks=FRAMES_ARE_SAFE), TextReader])
def test_the_wanted_stacks_are_whole_and_the_others_are_left_out(
    kind: type[Any], waiting: Waiting
) -> None:
    frames = Frames()
    reader = kind(frames)
    idents, stacks = reader.read([waiting.ident, 12345])
    assert set(idents) >= {waiting.ident, threading.get_ident()}
    assert list(stacks) == [waiting.ident]
    found = names(frames, reader.node(frames.label("thread"), stacks[waiting.ident]))
    assert found[found.index("generator") :][:2] == ["generator", "inner"]
    assert found[-2:] == ["_bootstrap", "thread"]
    assert reader.read([])[1] == {}


@FRAMES_ARE_SAFE
def test_a_deeper_stack_takes_no_more_steps_of_python() -> None:
    """Between two of them the program may run on, and what is read of its frames is gone."""

    def steps(depth: int) -> int:
        waiting = Waiting(depth)
        count = 0

        def traced(frame: Any, event: str, arg: object) -> Any:
            nonlocal count
            frame.f_trace_opcodes = True
            count += event == "opcode"
            return traced

        before = sys.gettrace()
        sys.settrace(traced)
        try:
            stacks = _at_one_moment({}, [waiting.ident])
        finally:
            sys.settrace(before)
            waiting.end()
        assert len(stacks[0]) > depth
        return count

    assert steps(500) == steps(0) > 0


@FRAMES_ARE_SAFE
@pytest.mark.parametrize("on", [True, False])
def test_no_garbage_is_collected_meanwhile_and_collecting_stays_as_it_was(on: bool) -> None:
    """A collection runs finalizers of the program, which are steps of Python."""
    waiting = Waiting(500)
    collected: list[str] = []

    def note(phase: str, info: object) -> None:
        del info
        collected.extend([phase] if phase == "start" else [])

    was, threshold = gc.isenabled(), gc.get_threshold()
    gc.callbacks.append(note)
    try:
        (gc.enable if on else gc.disable)()
        gc.set_threshold(50)
        _at_one_moment({}, [waiting.ident])
        at_end = gc.isenabled()
    finally:
        gc.set_threshold(*threshold)
        (gc.enable if was else gc.disable)()
        gc.callbacks.remove(note)
        waiting.end()
    assert at_end is on
    assert len(collected) <= 2  # one before or after, not one for every 50 of the 500 frames


def test_a_thread_that_is_not_there_is_no_error() -> None:
    assert TextReader(Frames()).read([12345])[1] == {}
