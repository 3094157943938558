"""Counts steps of torch's optimizers, by the hook that torch has for all of them.

Gradient accumulation, closures and GradScaler need nothing of their own: a step is counted when
`step()` has done its work, once, also where an optimizer holds another one.

Reading the clock around a step takes some micro-seconds. Where steps are short and so many, all are
counted, and one in seven is timed and stands for those before it.
"""

import _thread
import sys
import time

from .tallies import SAMPLED_STAND_FOR, Tallies, Tally, tallies_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, ModuleType

    from .line import Line

    _Hook = Callable[..., None]


_SHORT_NS = 500_000
_LEFT_OUT = SAMPLED_STAND_FOR - 1  # short steps, before the next one is timed


class _Thread:
    """Where one thread is with its steps, and the cells that it counts into."""

    __slots__ = ("begun_ns", "cell", "depth", "last_ns", "skip", "spent", "stands_for")

    def __init__(self, tallies: Tallies, tally: Tally) -> None:
        self.depth = 0  # steps that have begun and not ended
        self.begun_ns = 0
        self.last_ns = 0  # end of the last one; 0 before the first
        self.skip = 0  # so many more are not timed
        self.stands_for = 1  # so many steps are told by the one that is timed
        self.cell = tally.cell()
        self.spent = tallies.spent("optimizer")


class Steps:
    """The steps of this process."""

    def __init__(self, line: "Line") -> None:
        self._line = line
        self._tallies = tallies_of(line)
        self._tally = self._tallies.tally("step")
        self._threads: "dict[int, _Thread]" = {}

    def hooks(self, is_compiling: "Callable[[], bool]") -> "tuple[_Hook, _Hook]":
        """What torch shall call before and after a step.

        While torch.compile looks at a step, `is_compiling()` is a constant to it: it leaves out the
        rest, and the compiled code is the same as without us. A step inside of it is not counted.

        A tiny model's step takes 0.2 ms, and what runs once in that time finds its code and data
        out of the caches: hence two flat functions, and no call that can be spared.
        """
        threads, tallies, tally, line = self._threads, self._tallies, self._tally, self._line
        get_ident, monotonic_ns = _thread.get_ident, time.monotonic_ns

        def before(*_: object) -> None:
            if is_compiling():
                return
            try:
                thread = threads.get(get_ident()) or self._new_thread()
                if thread.depth and _is_inside_another(sys._getframe(1)):
                    thread.depth += 1
                else:  # also where a step that raised never came to its end
                    thread.depth = 1
                    if not thread.skip:
                        thread.begun_ns = monotonic_ns()
            except Exception as error:  # noqa: BLE001 - the job's step must not fail
                line.problem("step", error)

        def after(*_: object) -> None:
            if is_compiling():
                return
            try:
                thread = threads[get_ident()]
                thread.depth -= 1
                if thread.depth > 0:
                    return
                cell, skip = thread.cell, thread.skip
                if skip > 1:
                    thread.skip = skip - 1
                    cell.count += 1
                    return
                now = monotonic_ns()
                if skip:  # the next one is timed, and begins here
                    thread.skip = 0
                else:
                    thread.spent.total_ns += (now - thread.begun_ns) * thread.stands_for
                    if thread.last_ns:
                        took_ns = now - thread.last_ns
                        if thread.stands_for == 1:
                            cell.durations.append(took_ns)
                        else:
                            cell.sampled.append(took_ns)
                        is_short = took_ns < _SHORT_NS and not counts_elsewhere
                        thread.skip = _LEFT_OUT if is_short else 0
                        thread.stands_for = 1 + thread.skip
                thread.last_ns = now
                if now >= tallies.due_ns or counts_elsewhere:
                    tally.add(now)
                else:
                    cell.count += 1
                    cell.last_ns = now
            except Exception as error:  # noqa: BLE001 - the job's step must not fail
                line.problem("step", error)

        tally.without_samples()
        counts_elsewhere = "add" in vars(tally)  # somebody wants to hear of each step
        return before, after

    def _new_thread(self) -> _Thread:
        thread = self._threads[_thread.get_ident()] = _Thread(self._tallies, self._tally)
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
