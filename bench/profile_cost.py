"""What `--profile` adds to a job beyond the hook, seen closer than two processes can be compared.

    frugalwatch run --profile -- python bench/profile_cost.py
    frugalwatch run --profile -- python bench/profile_cost.py --only minilm --rounds 60

One process is profiled and not in turn, in random order: neighbours in time, the same memory, the
same interpreter. A block's figure is the CPU time of the whole process by step, the sampler's
thread, watched layers and what is written included; each block ends with a write that a job makes
once a second only, so that the cost is a little more than a job's. The A/A line compares blocks
without the profile.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from typing import Any

import hook_jobs
from hook_steps import interval

# Steps in a block of some three seconds; the job has to be profiled as long before it counts.
_STEPS = {"cnn": 1300, "minilm": 350, "tiny": 15000}
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

    def on(self) -> None:
        """Sample stacks and watch layers from now on."""
        self._calls.listen(self._watch)
        self._sampler.resume()

    def off(self) -> None:
        """Write what there is, and look at nothing more."""
        self._sampler.stop()
        self._calls.stop_listening(self._watch)


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
    taken: dict[str, list[float]] = {each: [] for each in _CONTENDERS}
    shuffled = random.Random(0)
    for _ in range(rounds):
        for which in shuffled.sample(_CONTENDERS, len(_CONTENDERS)):
            asked = profile if which == "profile" else None
            taken[which].append(block_us(steps, count, asked))
    plain = taken.pop("plain")
    print(f"\n{name}: {statistics.median(plain):.1f} us of CPU a step; {rounds} rounds of blocks")
    for which, values in taken.items():
        more = [100 * (b / a - 1) for a, b in zip(plain, values, strict=True)]
        low, high = interval(more)
        print(f"  {which:12} {statistics.median(more):+.2f} % [{low:+.2f}, {high:+.2f}]")
    profile.on()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=["cnn"], choices=list(_STEPS))
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    profile = Profile()
    for name in options.only:
        compare(name, profile, options.rounds)


if __name__ == "__main__":
    main()
