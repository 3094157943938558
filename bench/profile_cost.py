"""What `--profile` adds to a job beyond the hook, seen closer than two processes can be compared.

    frugalwatch run --profile -- python bench/profile_cost.py
    frugalwatch run --profile -- python bench/profile_cost.py --only minilm --rounds 60

One process is profiled and not in turn, in random order: neighbours in time, the same memory, the
same interpreter. A block's figure is the CPU time of the whole process by step, the sampler's
thread, watched layers and what is written included. Between its blocks the profile's clocks stand
still: what it does depends on what it cost so far, and must not be spread over blocks without it.
Both blocks without the profile of a round are the yardstick; the A/A line compares them.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import time
from typing import Any

import hook_jobs
from hook_steps import interval

# Steps in a block of some 0.7 seconds: neighbours in time.
_STEPS = {"cnn": 300, "minilm": 80, "tiny": 3500}
_CONTENDERS = ("plain", "plain again", "profile")


class Profile:
    """The sampler and the watch over layers of this process, which can be stopped."""

    def __init__(self) -> None:
        try:
            from _frugalwatch import calls
            from _frugalwatch.stacks import process_sampler
        except ImportError:
            raise SystemExit("run it under `frugalwatch run --profile`") from None
        sampler = process_sampler()
        if sampler is None:
            raise SystemExit("run it under `frugalwatch run --profile`")
        self._calls: Any = calls
        self._sampler: Any = sampler
        found = calls.registry._listeners
        self._watch: Any = next(each for each in found if type(each).__name__ == "LayerWatch")
        self._write = sampler._end_slice
        self._paused: tuple[int, int, int] = (0, 0, 0)

    def on(self) -> None:
        """Sample stacks and watch layers from now on, as if no time had gone by."""
        wall, process, thread = (
            now - then for now, then in zip(_clocks(), self._paused, strict=True)
        )
        sampler = self._sampler
        sampler._slice_began += wall
        sampler._accounted += wall
        sampler._process_ns += process
        sampler._threads[sampler._main_ident].cpu_ns += thread
        self._watch._due_ns += wall
        sampler._end_slice = self._write
        self._calls.listen(self._watch)
        sampler.resume()

    def off(self) -> None:
        """Look at nothing more, and leave the slice open."""
        self._sampler._end_slice = _leave_open
        self._sampler.stop()
        self._calls.stop_listening(self._watch)
        self._paused = _clocks()

    def rate(self) -> float:
        """Samples a second that it aims at by now."""
        return 1e9 / float(self._sampler._period_ns)


def _leave_open(now: int, *, last: bool = False) -> None:
    """In place of writing a slice."""
    del now, last


def _clocks() -> tuple[int, int, int]:
    """Wall time, and the CPU time of the process and of this thread, in ns."""
    return time.monotonic_ns(), time.process_time_ns(), time.thread_time_ns()


def block_us(steps: hook_jobs.Steps, count: int, profile: Profile | None) -> float:
    """CPU micro-seconds a step of the whole process."""
    began = time.process_time_ns()
    if profile is not None:
        profile.on()
    steps(count)
    if profile is not None:
        profile.off()
    return (time.process_time_ns() - began) / count / 1e3


def compare(name: str, profile: Profile, rounds: int) -> None:
    """Measure one job and print its lines."""
    steps: hook_jobs.Steps = getattr(hook_jobs, name)()
    count = _STEPS[name]
    profile.off()
    for _ in range(2):
        block_us(steps, count, profile)
    rates: list[float] = []
    taken: dict[str, list[float]] = {each: [] for each in _CONTENDERS}
    shuffled = random.Random(0)
    for _ in range(rounds):
        for which in shuffled.sample(_CONTENDERS, len(_CONTENDERS)):
            asked = profile if which == "profile" else None
            taken[which].append(block_us(steps, count, asked))
        rates.append(profile.rate())
    plain, again, profiled = (taken[which] for which in _CONTENDERS)
    without = [math.sqrt(a * b) for a, b in zip(plain, again, strict=True)]
    print(f"\n{name}: {statistics.median(without):.1f} us of CPU a step; {rounds} rounds of blocks")
    print(f"  {statistics.median(rates):.0f} samples a second; it asks for 100")
    for which, old, new in (("plain again", plain, again), ("profile", without, profiled)):
        more = [100 * (b / a - 1) for a, b in zip(old, new, strict=True)]
        low, high = interval(more)
        print(f"  {which:12} {statistics.median(more):+.2f} % [{low:+.2f}, {high:+.2f}]")
    profile.on()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=["cnn"], choices=list(_STEPS))
    parser.add_argument("--rounds", type=int, default=250)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    profile = Profile()
    for name in options.only:
        compare(name, profile, options.rounds)


if __name__ == "__main__":
    main()
