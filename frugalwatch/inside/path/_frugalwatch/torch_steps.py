"""Counts steps of torch's optimizers, by the hook that torch has for all of them.

Gradient accumulation, closures and GradScaler need nothing of their own: a step is counted when
`step()` has done its work, once, also where an optimizer holds another one.
"""

import _thread
import sys
import time

from .tallies import Tallies, tallies_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, ModuleType

    from .line import Line


class Steps:
    """The steps of this process. `last_ns` is when the last one ended, by thread."""

    def __init__(self, tallies: Tallies) -> None:
        self._tallies = tallies
        self._tally = tallies.tally("step")
        self._open: "dict[int, int]" = {}  # steps that have begun, by thread
        self._begun_ns: "dict[int, int]" = {}
        self.last_ns: "dict[int, int]" = {}

    def before(self, wrapper: "FrameType") -> None:
        """A step begins, called by torch in this frame."""
        thread = _thread.get_ident()
        depth = self._open.get(thread, 0)
        if depth and not _is_inside_another(wrapper):
            depth = 0  # a step that raised never came to its end
        self._open[thread] = depth + 1
        if not depth:
            self._begun_ns[thread] = time.monotonic_ns()

    def after(self) -> None:
        """A step has ended."""
        thread = _thread.get_ident()
        depth = self._open[thread] = self._open.get(thread, 1) - 1
        if depth > 0:
            return
        now = time.monotonic_ns()
        self._tallies.spend("optimizer", now - self._begun_ns.get(thread, now))
        last = self.last_ns.get(thread)
        if last is not None:
            self._tally.took(now - last)
        self.last_ns[thread] = now
        self._tally.add(now)

    def done(self) -> int:
        """How many steps there were in this process."""
        return self._tally.count()

    def pause(self) -> None:
        """What comes now is no part of the next step's time."""
        self.last_ns.pop(_thread.get_ident(), None)


_steps: "list[Steps]" = []


def steps_of(line: "Line") -> Steps:
    """The one counter of steps in this process."""
    if not _steps:
        _steps.append(Steps(tallies_of(line)))
    return _steps[0]


def start(module: "ModuleType", line: "Line") -> None:
    """Count the steps of all optimizers; `module` is torch."""
    from torch.optim import optimizer as hooks  # came with torch

    steps = steps_of(line)
    is_compiling = _is_compiling(module)

    # While torch.compile looks at a step, `is_compiling()` is a constant to it: it leaves out the
    # rest, and the compiled code is the same as without us. A step inside of it is not counted.
    def before(*_: object) -> None:
        if is_compiling():
            return
        try:
            steps.before(sys._getframe(1))
        except Exception as error:  # noqa: BLE001 - the job's step must not fail
            line.problem("step", error)

    def after(*_: object) -> None:
        if is_compiling():
            return
        try:
            steps.after()
        except Exception as error:  # noqa: BLE001 - the job's step must not fail
            line.problem("step", error)

    hooks.register_optimizer_step_pre_hook(before)
    hooks.register_optimizer_step_post_hook(after)
    line.add_source(_RankTeller(line).tell)


def _is_compiling(torch: "ModuleType") -> "Callable[[], bool]":
    found = getattr(torch.compiler, "is_compiling", None)
    if found is None:  # torch 2.1
        found = torch._utils.is_compiling
    result: "Callable[[], bool]" = found
    return result


def _is_inside_another(wrapper: "FrameType") -> bool:
    """Whether one of the callers of torch's function around a step is that function again."""
    frame = wrapper.f_back
    while frame is not None:
        if frame.f_code is wrapper.f_code:
            return True
        frame = frame.f_back
    return False


class _RankTeller:
    """Tells the rank that a process got from torch.distributed when its environment had none."""

    def __init__(self, line: "Line") -> None:
        self._line = line
        self._told: "tuple[int, int] | None" = None

    def tell(self, final: bool) -> None:
        distributed = sys.modules.get("torch.distributed")
        if distributed is None or not distributed.is_available():
            return
        if distributed.is_initialized():
            place = distributed.get_rank(), distributed.get_world_size()
            if place != self._told:
                self._told = place
                self._line.tell("rank", place[0], None, place[1])
