"""`--profile`: which lines of Python the CPU time of this process goes to.

A thread of ours wakes up to 100 times a second, at irregular moments so that it cannot fall into
step with the program, looks at the stack of every thread, and adds the CPU time that the thread
used since the last look to the line it is at (`accounts` has the details). A waiting thread has
used none. What native code does counts for the line that called it, its helper threads (OpenMP,
BLAS) included.

To look at a stack one must hold the interpreter's lock. Our thread gets it after the switch
interval, which is why that is set to 0.2 ms while no more than one thread works: with the usual
5 ms the program would nearly always be caught in a call that gives the lock away. A native call
that keeps the lock delays a sample to its end; it then stands for the moments that were missed.
"""

from __future__ import annotations

import os
import sys
import time
from _thread import allocate_lock, get_ident, get_native_id, start_new_thread

from .accounts import Accounts, Cell
from .frames import Frames
from .line import Line, copying
from .profile_file import FORMAT, ProfileFile
from .stack_readers import stack_reader
from .thread_clocks import read_ns, thread_clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable
    from typing import Any

_DEFAULT_HZ = 100.0
_FIRST_SLICE_NS = 250_000_000
_SLICE_NS = 1_000_000_000
_LONGEST_SLICE_NS = 64_000_000_000
# After so many slices they become twice as long: a job of a week writes no more than one of a day.
_SLICES_EACH = 300
_SHORT_SWITCH_S = 2e-4
# Later than so many switch intervals: native code kept the lock although it was asked for.
_KEPT = 3
# A sample that came later than this after its moment waited for the interpreter's lock.
_ON_TIME_NS = 400_000
# Below, a thread only woke up and went back to sleep.
_WORKING = 0.3
# The sampler may use this part of the process's CPU time (of a quarter of a CPU, where it waits),
# unless it is told another; where stacks are many and deep it samples less often. What the program
# takes longer, since it waits for the interpreter's lock meanwhile, is as much again and not seen.
_MOST_OWN_SHARE = 0.007
# Between the two looks that tell whether a thread is running.
_SECOND_LOOK_S = 0.0003

_LONGEST_PERIOD_NS = 1_000_000_000
# Threads that worked side by side keep the program's switch interval so long.
_CROWDED_NS = 1_000_000_000

PROFILER = "(FrugalWatch)"
NATIVE = "(native threads)"
START_UP = "(start of Python)"
TOO_SHORT = "(pieces too short to see)"


class _Seen:
    """What is known of one thread: its clock, and where it was at the last look."""

    __slots__ = ("clock", "cpu_ns", "node", "root", "working")

    def __init__(self, clock: int | None, root: int) -> None:
        self.clock = clock
        self.root = root
        self.cpu_ns = 0
        self.node = root
        self.working = False


class StackSampler:
    """Samples this process until `stop`. Everything but `stop` runs in its own thread."""

    def __init__(
        self, hz: float, folder: str, line: Line, most_own_share: float = _MOST_OWN_SHARE
    ) -> None:
        self._hz = hz
        self._most_own_share = most_own_share
        self._folder = folder
        self._line = line
        self._user_switch_s = sys.getswitchinterval()
        self._main_ident = get_ident()
        # What else goes into each slice, told whether it is the last one.
        self.extra_lines: Callable[[bool], list[object]] = _no_lines
        self._runs = False
        self._alive: LockType = allocate_lock()
        self._begin_empty()

    def begin(self) -> None:
        """Start sampling, from nothing: at the start, and in a forked child."""
        self._main_ident = get_ident()
        self._line.check_process()
        self._begin_empty()
        self.resume()

    def resume(self) -> None:
        """Go on after `stop`; what was used in between counts for the next sample."""
        if self._runs:
            return
        self._runs = True
        self._alive = allocate_lock()
        self._alive.acquire()
        self._ended = allocate_lock()
        self._ended.acquire()
        self._native_id = 0
        _start_thread(self._run)

    def stop(self) -> None:
        """End the thread and write what it has; returns within a fraction of a second."""
        if self._runs:
            self._runs = False
            self._alive.release()
            self._ended.acquire(True, 0.5)

    def stop_wholly(self) -> None:
        """Stop, and wait until the kernel has no trace of the thread either."""
        self.stop()
        patience = time.monotonic() + 0.05
        task = "/proc/self/task/%d" % self._native_id
        while self._native_id and os.path.exists(task) and time.monotonic() < patience:
            time.sleep(0)

    def _begin_empty(self) -> None:
        now = time.monotonic_ns()
        self._frames = Frames()
        self._reader: Any = stack_reader(self._frames)  # both kinds, each with its own stacks
        self._file = ProfileFile(self._folder, os.getpid(), now)
        self._random = (now ^ os.getpid()) & 0xFFFFFFFF
        self._period_ns = round(1e9 / self._hz)
        self._threads: dict[int, _Seen] = {}
        self._accounts = Accounts()
        self._slice_began = now
        self._slice_ns = _FIRST_SLICE_NS
        self._slices = 0
        self._samples = 0
        self._squares = 0
        self._working_ns = 0
        self._accounted = now
        self._process_ns = 0
        self._own_ns = 0
        self._full = False
        self._crowded_until = 0
        self._runs = False
        self._alive = allocate_lock()
        self._ended = allocate_lock()
        self._native_id = 0
        self._head = self._about(now)

    # -- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        self._native_id = get_native_id()
        self._own_ns = time.thread_time_ns()  # a new thread's clock begins anew
        try:
            self._sample_until_stopped()
        except Exception as error:  # noqa: BLE001 - the job goes on unprofiled
            self._line.problem("profile", error)
        finally:
            self._give_back_switch_interval()
            self._ended.release()

    def _sample_until_stopped(self) -> None:
        me = get_ident()
        due = time.monotonic_ns() + self._gap()
        while not self._full:
            now = time.monotonic_ns()
            if due <= now:  # we cannot keep up: leave the program at least as much time
                due = now + self._gap()
            stopped = self._alive.acquire(True, (due - now) / 1e9)
            now = time.monotonic_ns()
            if stopped:  # whoever stops us is in our own code: that is no sample
                self._end_slice(now, last=True)
                return
            reached, after = due, due + self._gap()
            while after <= now:
                reached, after = after, after + self._gap()
            self._sample(me, now, now if now - reached < _ON_TIME_NS else reached, now - due)
            self._mind_the_switch_interval(now, now - due)
            due = after
            if now - self._slice_began >= self._slice_ns:
                self._end_slice(now)

    def _gap(self) -> int:
        """Between a half and one and a half periods, from a generator of our own."""
        self._random = (self._random * 1664525 + 1013904223) & 0xFFFFFFFF
        return (self._period_ns >> 1) + (self._period_ns * self._random >> 32)

    def _sample(self, me: int, now: int, until: int, late_ns: int) -> None:
        """Account for the time from the last sample to `until` (at most `now`)."""
        passed, wall_ns = now - self._accounted, until - self._accounted
        if wall_ns <= 0:
            return
        part = wall_ns / passed
        doubtful = _ON_TIME_NS < late_ns < sys.getswitchinterval() * 1e9
        used = self._look(me)
        process_ns, own_ns = time.process_time_ns(), time.thread_time_ns()
        spent = process_ns - self._process_ns
        rest = spent - (own_ns - self._own_ns) - sum([cpu for _, cpu in used])
        helpers = max(0, round(rest * part))
        busy_ns = sum([cpu for _, cpu in used])
        several = sum([cpu > 0 for _, cpu in used]) > 1
        unclear = []
        for seen, cpu in used:
            counted = round(cpu * part)
            seen.cpu_ns += counted
            seen.working = cpu > _WORKING * passed
            helped = helpers * cpu // busy_ns if cpu > 0 else 0
            doubt = counted + helped if doubtful else helped if several else 0
            whole = counted + helped
            if self._accounts.add_thread(seen.root, seen.node, wall_ns, whole, doubt):
                unclear.append(seen)
        if helpers and not busy_ns:
            self._accounts.add(self._frames.label(NATIVE), 0, helpers)
        self._accounts.add(self._frames.label(PROFILER), 0, own_ns - self._own_ns)
        self._process_ns += round((spent - (own_ns - self._own_ns)) * part) + own_ns - self._own_ns
        self._own_ns = own_ns
        self._accounted = until
        self._samples += 1
        if busy_ns:
            self._working_ns += wall_ns
            self._squares += wall_ns * wall_ns
        if unclear:
            self._look_again(unclear, wall_ns)

    def _look_again(self, unclear: list[_Seen], wall_ns: int) -> None:
        """See which of these threads are running: their clocks go on while we do not work."""
        before = [(seen, read_ns(seen.clock or 0)) for seen in unclear]
        began = time.monotonic_ns()
        self._pause()
        passed = time.monotonic_ns() - began
        for seen, shown in before:
            now_shown = read_ns(seen.clock or 0)
            if shown is not None and now_shown is not None:
                runs = now_shown - shown > _WORKING * min(passed, _SECOND_LOOK_S * 1e9)
                self._accounts.looked_again(seen.root, seen.node, wall_ns, runs=runs)

    def _pause(self) -> None:
        """A moment's sleep, after which a request to stop is still there."""
        if self._alive.acquire(True, _SECOND_LOOK_S):
            self._alive.release()

    def _look(self, me: int) -> list[tuple[_Seen, int]]:
        """Where every thread is and the CPU time that it used; ours is left out."""
        shown: dict[int, int | None] = {}
        moved = []
        for ident, seen in self._threads.items():
            at = shown[ident] = None if seen.clock is None else read_ns(seen.clock)
            if at is None or at > seen.cpu_ns or seen.node == seen.root:
                moved.append(ident)
        idents, stacks = self._reader.read(moved)  # dropped on return
        new = []
        for ident in idents:
            known = self._threads.get(ident)
            if ident != me and (
                known is None or (shown[ident] is None and known.clock is not None)
            ):
                new.append(ident)  # or under the name of one that has ended
                seen = self._threads[ident] = self._new_thread(ident)
                shown[ident] = None if seen.clock is None else read_ns(seen.clock)
        if not stacks.keys() >= set(new):
            stacks = {**stacks, **self._reader.read(new)[1]}
        result = []
        for ident in idents:
            if ident == me:
                continue
            seen, at = self._threads[ident], shown[ident]
            if ident in stacks:
                seen.node = self._reader.node(seen.root, stacks[ident])
            result.append((seen, 0 if at is None else max(0, at - seen.cpu_ns)))
        if len(self._threads) >= len(idents):
            for ident in [each for each in self._threads if each not in idents]:
                del self._threads[ident]
        return result

    def _new_thread(self, ident: int) -> _Seen:
        return _Seen(thread_clock(ident), self._frames.label(self._thread_name(ident)))

    def _thread_name(self, ident: int) -> str:
        """What the program calls the thread, digits left out: workers of a pool are one."""
        threading = sys.modules.get("threading")
        name = getattr(getattr(threading, "_active", {}).get(ident), "_name", None)
        if not isinstance(name, str):
            return "MainThread" if ident == self._main_ident else "thread"
        digits = "".join(["0" if c.isdigit() else c for c in name])
        while "00" in digits:
            digits = digits.replace("00", "0")
        return digits.replace("0", "N")

    # -- what is written -------------------------------------------------------------------------

    def _about(self, now: int) -> list[object]:
        """The first line: who this is, and what tells its own code from libraries."""
        started_ns = time.process_time_ns()
        self._process_ns = started_ns
        main = self._threads[self._main_ident] = self._new_thread(self._main_ident)
        main.cpu_ns = time.thread_time_ns()
        self._accounts.add(self._frames.label(START_UP), 0, started_ns)
        return [
            "start",
            FORMAT,
            os.getpid(),
            now,
            {
                "python": ".".join([str(part) for part in sys.version_info[:3]]),
                "hz": self._hz,
                "parent_pid": os.getppid(),
                "stdlib": os.path.dirname(os.__file__),
                "prefixes": sorted({sys.prefix, sys.base_prefix, sys.exec_prefix}),
                "program": (getattr(sys, "orig_argv", None) or getattr(sys, "argv", None) or [""])[
                    :1
                ],
            },
        ]

    def _end_slice(self, now: int, *, last: bool = False) -> None:
        """Write the slice and begin the next; adapt to what sampling costs."""
        closed = self._accounts.close()
        left_ns = self._accounts.left_over_ns() if last else 0
        if left_ns:
            closed.setdefault(self._frames.label(TOO_SHORT), Cell()).cpu_ns += left_ns
        cells = [[n, c.wall_ns, c.cpu_ns, c.doubt_ns, c.samples] for n, c in closed.items()]
        length = max(1, now - self._slice_began)
        facts = {
            "samples": self._samples,
            "working_ns": self._working_ns,
            "squares": round(self._squares / 1e6),
            "period_ns": self._period_ns,
        }
        lines: list[object] = [self._head] if self._head else []
        lines += self._frames.news
        lines += self.extra_lines(last)
        lines.append(["s", self._slice_began, now, cells, facts])
        self._head, self._frames.news = [], []
        try:
            self._full = not self._file.write(lines)
        except OSError as error:
            self._full = True
            self._line.problem("profile", error)
        own = closed.get(self._frames.label(PROFILER))
        used_ns = sum([cell.cpu_ns for cell in closed.values()])
        self._adapt(own.cpu_ns / max(used_ns, length / 4) if own else 0.0)
        self._samples = self._squares = self._working_ns = 0
        self._slice_began = now
        self._slices += 1
        self._slice_ns = max(_SLICE_NS, self._slice_ns)
        if self._slices % _SLICES_EACH == 0:
            self._slice_ns = min(_LONGEST_SLICE_NS, 2 * self._slice_ns)

    def _adapt(self, own_share: float) -> None:
        """Sample less often where it costs too much, and more often again where it does not."""
        if own_share > self._most_own_share:
            factor = min(4.0, own_share / self._most_own_share)
            self._period_ns = min(_LONGEST_PERIOD_NS, round(self._period_ns * factor))
        elif own_share < self._most_own_share / 2:
            self._period_ns = max(round(1e9 / self._hz), round(self._period_ns * 0.8))

    # -- the interpreter's lock ------------------------------------------------------------------

    def _mind_the_switch_interval(self, now: int, late_ns: int) -> None:
        """Short while one thread works at most and gives the lock away when asked.

        While we wait for the lock we wake once an interval to ask again, which is dear with a short
        one: native code that keeps the lock for long does not hear us before it is done anyway.
        """
        current = sys.getswitchinterval()
        if sum([seen.working for seen in self._threads.values()]) > 1:
            self._crowded_until = now + _CROWDED_NS
            self._give_back_switch_interval()
        elif late_ns > _KEPT * current * 1e9:
            self._give_back_switch_interval()
        elif now > self._crowded_until and current > 2 * _SHORT_SWITCH_S:
            self._user_switch_s = current
            sys.setswitchinterval(_SHORT_SWITCH_S)

    def _give_back_switch_interval(self) -> None:
        if abs(sys.getswitchinterval() - _SHORT_SWITCH_S) < 1e-6:
            sys.setswitchinterval(self._user_switch_s)


def _no_lines(last: bool) -> list[object]:
    del last
    return []


def _start_thread(function: Callable[[], None]) -> None:
    """A thread that no signal is ever delivered to: they are all the program's.

    A fault in it is another matter: a program that handles those should hear of ours too.
    """
    import _signal  # type: ignore[import-not-found] # what `signal` wraps, without its enums

    faults = {_signal.SIGSEGV, _signal.SIGBUS, _signal.SIGFPE, _signal.SIGILL}
    kept = _signal.pthread_sigmask(_signal.SIG_BLOCK, set(_signal.valid_signals()) - faults)
    try:
        start_new_thread(function, ())
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, kept)


def _mind_forks(sampler: StackSampler) -> None:
    """Have no thread of ours beside a fork, and one in parent and child after it.

    From 3.12 on a fork beside other threads is warned about, also if they started in the hook that
    runs after it (3.13). So there the parent's goes on at the next garbage collection.
    """
    import gc

    def go_on(phase: str, info: object) -> None:
        del info
        if phase == "stop" and go_on in gc.callbacks:
            gc.callbacks.remove(go_on)
            try:
                sampler.resume()
            except RuntimeError:  # the interpreter is shutting down
                return

    def in_parent() -> None:
        if sys.version_info < (3, 12):
            sampler.resume()
        elif go_on not in gc.callbacks:
            gc.callbacks.append(go_on)

    def in_child() -> None:
        if go_on in gc.callbacks:
            gc.callbacks.remove(go_on)
        if get_ident() not in copying:
            sampler.begin()

    os.register_at_fork(
        before=sampler.stop_wholly, after_in_parent=in_parent, after_in_child=in_child
    )


# The one of this process, for what writes into the same file.
_samplers: list[StackSampler] = []


def process_sampler() -> StackSampler | None:
    """The sampler of this process; None where `--profile` could not be started."""
    return _samplers[0] if _samplers else None


def start(options: dict[str, object], line: Line) -> None:
    """Begin to sample.

    `options`: `hz`; `folder`, this user's, for one folder for each run; and `share`, the part of
    the CPU time that sampling may take.
    """
    folder, hz = options.get("folder"), options.get("hz", _DEFAULT_HZ)
    share = options.get("share", _MOST_OWN_SHARE)
    if not isinstance(folder, str) or not isinstance(hz, (int, float)) or not 1 <= hz <= 1000:
        raise ValueError("profile needs a folder and a rate of 1 to 1000 Hz")
    if not isinstance(share, (int, float)) or not 0 < share <= 1:
        raise ValueError("a share of the CPU time is a number up to 1")
    folder = os.path.join(folder, os.environ["FRUGALWATCH_RUN_KEY"])
    os.makedirs(folder, 0o700, exist_ok=True)
    sampler = StackSampler(hz, folder, line, share)
    _samplers.append(sampler)
    line.add_source(lambda final: sampler.stop() if final else None)
    _mind_forks(sampler)
    sampler.begin()
