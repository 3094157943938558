"""Counts steps of torch's optimizers, by the hook that torch has for all of them.

Gradient accumulation, closures and GradScaler need nothing of their own: a step is counted when
`step()` has done its work, once, also where an optimizer holds another one.

Reading the clock around a step takes some micro-seconds. Where steps are short and so many, all are
counted, and after the first hundred one in seven is timed, or one in 31 where they are shorter
still, and stands for those before it.
"""

import _thread
import sys
import time

from .tallies import ALL_TIMED, Tallies, Tally, stand_for, tallies_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, ModuleType
    from typing import Protocol

    from .line import Line

    _Hook = Callable[..., None]

    class Beside(Protocol):
        """What else is timed with steps: none of it while they are not."""

        def rest(self) -> None: ...
        def look(self, stands_for: int) -> None: ...


class _Thread:
    """Where one thread is with its steps, and the cells that it counts into."""

    __slots__ = ("begun_ns", "cell", "depth", "last_ns", "mixed", "spent", "stands_for")

    def __init__(self, tallies: Tallies, tally: Tally) -> None:
        self.depth = 0  # steps that have begun and not ended
        self.begun_ns = 0  # of the outermost; 0 where nobody looked
        self.last_ns = 0  # end of the last one; 0 before the first
        self.stands_for = 1  # so many steps are told by the one that is timed
        self.mixed = False  # optimizers take turns, or make steps inside of others': all are timed
        self.cell = tally.cell()
        self.spent = tallies.spent("optimizer")


class _Untimed:
    """Steps to come that are counted and not timed, as long as they are of one optimizer.

    `optimizer` is its id: an optimizer that the job lets go of must not live on through us.
    """

    __slots__ = ("left", "optimizer", "planned", "thread")

    thread: _Thread

    def __init__(self) -> None:
        self.left = 0  # `thread` is theirs while there are any
        self.planned = 0  # so many were to come at first
        self.optimizer = 0


class Steps:
    """The steps of this process."""

    def __init__(self, line: "Line") -> None:
        self._line = line
        self._tallies = tallies_of(line)
        self._tally = self._tallies.tally("step")
        self._threads: "dict[int, _Thread]" = {}
        self._untimed = _Untimed()
        self._counts_elsewhere = False
        self._looked_for = 1  # what those beside were told last
        self.beside: "list[Beside]" = []

    def hooks(self, is_compiling: "Callable[[], bool]") -> "tuple[_Hook, _Hook]":
        """What torch shall call before and after a step.

        While torch.compile looks at a step, `is_compiling()` is a constant to it: it leaves out the
        rest, and the compiled code is the same as without us. A step inside of it is not counted.

        A tiny model's step takes 0.2 ms, and what runs once in that time finds its code and data
        out of the caches: hence these few lines, which most of many short steps come by with.
        """
        untimed, begin, end, look_again = self._untimed, self._begin, self._end, self._look_again

        def before(optimizer: object, _args: object, _kwargs: object) -> None:
            if is_compiling():
                return
            if untimed.left > 0 and untimed.optimizer == id(optimizer):
                return
            begin(sys._getframe(1))

        def after(optimizer: object, _args: object, _kwargs: object) -> None:
            if is_compiling():
                return
            if untimed.left > 0 and untimed.optimizer == id(optimizer):
                thread = untimed.thread
                thread.cell.count += 1
                untimed.left -= 1
                if not untimed.left:
                    look_again()
                return
            end(id(optimizer))

        self._tally.without_samples()
        # Somebody wants to hear of each step.
        self._counts_elsewhere = "add" in vars(self._tally)
        return before, after

    def _begin(self, wrapper: "FrameType") -> None:
        """A step begins; `wrapper` is torch's function around it."""
        try:
            thread = self._threads.get(_thread.get_ident()) or self._new_thread()
            untimed = self._untimed
            if untimed.left > 0 and untimed.thread is thread:
                self._end_untimed(thread, wrapper)
            if thread.depth and _is_inside_another(wrapper):
                thread.depth += 1
                thread.mixed = True
            else:  # also where a step that raised never came to its end
                thread.depth = 1
                thread.begun_ns = time.monotonic_ns()
        except Exception as error:  # noqa: BLE001 - the job's step must not fail
            self._line.problem("step", error)

    def _look_again(self) -> None:
        """The next step is timed, and begins here."""
        thread = self._untimed.thread
        thread.stands_for = self._untimed.planned + 1
        self._look_beside(thread.stands_for)
        thread.last_ns = time.monotonic_ns()

    def _look_beside(self, stands_for: int) -> None:
        self._looked_for = stands_for
        try:
            for each in self.beside:
                each.look(stands_for)
        except Exception as error:  # noqa: BLE001 - the job's step must not fail
            self._line.problem("step", error)

    def _end_untimed(self, thread: _Thread, wrapper: "FrameType") -> None:
        """Another optimizer's step begins, maybe inside of one whose begin nobody looked at."""
        untimed = self._untimed
        if untimed.left == untimed.planned:
            thread.mixed = True
        else:
            thread.stands_for += untimed.planned - untimed.left
            thread.last_ns = 0
        untimed.left = thread.begun_ns = 0
        thread.depth = int(_is_inside_another(wrapper))
        self._look_beside(1)

    def _end(self, optimizer: int) -> None:
        """A step has ended that is timed."""
        try:
            now = time.monotonic_ns()
            thread = self._threads[_thread.get_ident()]
            thread.depth -= 1
            if thread.depth > 0:
                return
            cell, last_ns, stands_for = thread.cell, thread.last_ns, thread.stands_for
            if thread.begun_ns:
                thread.spent.total_ns += (now - thread.begun_ns) * stands_for
                thread.stands_for = 1
            else:
                thread.stands_for += 1
            if last_ns:
                took_ns = now - last_ns
                if stands_for > 1:
                    cell.sampled.append((took_ns, stands_for))
                else:
                    cell.durations.append(took_ns)
                if cell.count >= ALL_TIMED:
                    self._leave_out(thread, optimizer, stand_for(took_ns) - 1)
            if self._looked_for > 1 and not self._untimed.left:
                self._look_beside(1)
            thread.last_ns = now
            if now >= self._tallies.due_ns or self._counts_elsewhere:
                self._tally.add(now)
            else:
                cell.count += 1
                cell.last_ns = now
        except Exception as error:  # noqa: BLE001 - the job's step must not fail
            self._line.problem("step", error)

    def _leave_out(self, thread: _Thread, optimizer: int, count: int) -> None:
        """Time none of this optimizer's next steps, unless somebody needs each or another does."""
        untimed = self._untimed
        if count and not (thread.mixed or self._counts_elsewhere or untimed.left > 0):
            untimed.thread, untimed.optimizer = thread, optimizer
            untimed.left = untimed.planned = count
            if len(self._threads) == 1:  # others would be left out with it
                for each in self.beside:
                    each.rest()

    def _new_thread(self) -> _Thread:
        thread = self._threads[_thread.get_ident()] = _Thread(self._tallies, self._tally)
        self._look_beside(1)
        return thread

    def done(self) -> int:
        """How many steps there were in this process."""
        return self._tally.count()

    def pause(self) -> None:
        """What this thread did since its last step is no part of the next one's time."""
        thread = self._threads.get(_thread.get_ident())
        if thread is not None:
            thread.last_ns = 0


_steps: "list[Steps]" = []


def steps_of(line: "Line") -> Steps:
    """The one counter of steps in this process."""
    if not _steps:
        _steps.append(Steps(line))
    return _steps[0]


def start(module: "ModuleType", line: "Line") -> None:
    """Count the steps of all optimizers; `module` is torch."""
    from torch.optim import optimizer as hooks  # came with torch

    before, after = steps_of(line).hooks(is_compiling_in(module))
    hooks.register_optimizer_step_pre_hook(before)
    hooks.register_optimizer_step_post_hook(after)
    line.add_source(_RankTeller(line).tell)
    line.add_source(_TakenOff(module, line).tell)


def is_compiling_in(torch: "ModuleType") -> "Callable[[], bool]":
    """What tells whether torch.compile is looking at the code that calls it."""
    # The first is a bare `return False` that torch.compile reads as True; torch 2.1 lacks it.
    found = getattr(torch.compiler, "is_dynamo_compiling", None) or torch._utils.is_compiling
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

    def tell(self, _final: bool) -> None:
        """Say it once it is known; at the end the process group may be gone again."""
        distributed = sys.modules.get("torch.distributed")
        if distributed is None or not distributed.is_available():
            return
        if distributed.is_initialized():
            place = distributed.get_rank(), distributed.get_world_size()
            if place != self._told:
                self._told = place
                self._line.tell("rank", place[0], None, place[1])


class _TakenOff:
    """Says that steps are no longer counted: torch.compile of torch 2.1 takes all hooks off."""

    def __init__(self, torch: "ModuleType", line: "Line") -> None:
        self._line = line
        self._kind = torch.optim.SGD
        # Every optimizer's `step` is a function of this code, unless somebody unwraps it.
        self._wrapper = torch.optim.Optimizer.profile_hook_step(start).__code__
        self._told = False

    def tell(self, _final: bool) -> None:
        """Say it once."""
        if self._told or "torch._dynamo" not in sys.modules:
            return
        step = self._kind.step
        if getattr(step, "hooked", False) and step.__code__ is not self._wrapper:
            self._told = True
            self._line.tell(
                "note",
                "torch.compile of this version of torch takes off the hooks of optimizers:"
                " their steps are counted until then only",
            )
