"""Times backward passes, at the one place where torch's Python calls its autograd engine.

`Variable._execution_engine` becomes an engine of a subclass, whose `run_backward` is the engine's
own, followed. torch.compile never looks there, and nothing of ours is on the stack meanwhile.

Following takes some micro-seconds. Where passes are short and so many, one in eight is followed and
stands for those before it. Where optimizer steps are so short that few are timed, torch has its own
engine back while none is, and those passes are followed that belong to a step that is.
"""

import _thread
import time
from functools import partial

from .tallies import Spent, tallies_of
from .torch_steps import steps_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from .line import Line


_SHORT_NS = 500_000
_LEFT_OUT = 7  # short passes, before the next one is followed


class _Thread:
    """Where one thread is with its backward passes."""

    __slots__ = ("depth", "skip", "skipped", "spent")

    def __init__(self, spent: Spent) -> None:
        self.depth = 0  # checkpointing runs one inside another
        self.skip = 0  # so many more are not followed
        self.skipped = 0  # so many were not, since the last one that was
        self.spent = spent


class _Engines:
    """Torch's engine and the one that is followed: which of them torch finds."""

    def __init__(self, variable: "Any", plain: object, followed: object) -> None:
        self.stands_for = 1  # so many steps, the one whose passes are followed now
        self._variable = variable
        self._plain = plain
        self._followed = followed
        variable._execution_engine = followed

    def rest(self) -> None:
        """Let the passes of the next steps alone."""
        if self._variable._execution_engine is self._followed:  # and not somebody else's
            self._variable._execution_engine = self._plain

    def look(self, stands_for: int) -> None:
        """Follow those of the next step, for so many steps."""
        self.stands_for = stands_for
        if self._variable._execution_engine is self._plain:
            self._variable._execution_engine = self._followed


def start(module: "ModuleType", line: "Line") -> None:
    """Follow the calls of the engine; `module` is torch."""
    variable = module.autograd.Variable
    engine = variable._execution_engine
    run_backward = engine.run_backward
    tallies = tallies_of(line)
    threads: "dict[int, _Thread]" = {}
    get_ident, monotonic_ns = _thread.get_ident, time.monotonic_ns

    class Followed(partial):  # type: ignore[type-arg]
        """One call of the engine: it dies when the call is over, however it ends."""

        __slots__ = ("begun_ns", "stands_for", "thread")
        begun_ns: int
        stands_for: int
        thread: _Thread

        def __del__(self) -> None:
            try:
                thread = self.thread
                thread.depth -= 1
                if not thread.depth:
                    took_ns = monotonic_ns() - self.begun_ns
                    thread.spent.total_ns += took_ns * (1 + thread.skipped) * self.stands_for
                    is_one_of_many = took_ns < _SHORT_NS and self.stands_for == 1
                    thread.skipped = thread.skip = _LEFT_OUT if is_one_of_many else 0
            except Exception as error:  # noqa: BLE001 - raised here, it would be printed
                line.problem("backward", error)

    def follow(_: object) -> object:
        try:
            thread = threads.get(get_ident())
            if thread is None:
                thread = threads[get_ident()] = _Thread(tallies.spent("backward"))
            if thread.skip and not thread.depth:
                thread.skip -= 1
                return run_backward
            call = Followed(run_backward)
            call.thread = thread
            thread.depth += 1
            call.stands_for = engines.stands_for
            call.begun_ns = monotonic_ns()
        except Exception as error:  # noqa: BLE001 - the job's backward pass goes on
            line.problem("backward", error)
            return run_backward
        return call

    kind = type(engine)
    watched = type(kind.__name__, (kind,), {"run_backward": property(follow)})
    engines = _Engines(variable, engine, watched())
    steps_of(line).beside.append(engines)
