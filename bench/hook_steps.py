"""What the hook adds to a training step, seen closer than two processes can be compared.

    python bench/hook_steps.py                      both jobs
    python bench/hook_steps.py --only cnn --seconds 120

One process makes steps, some with what the hook does to torch in place and some without, in random
order: neighbours in time, the same memory, the same interpreter. `hook_overhead.py` compares whole
processes, which on a crowded machine differ by more than a per cent without any hook at all.

Most short steps and batches are counted only, and some are timed. The two cost very different
amounts, so each kind is compared on its own (the median of differences to the bare step beside it)
and weighted by how often it comes while all steps are hooked. Telling the counts, four times a
second, is timed on its own. The A/A line compares bare steps with bare steps.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
_TELLINGS_A_SECOND = 4
_RESAMPLES = 300
# By job: steps in one comparison (the clock of the CPU is read around them) and the limit.
JOBS = {"tiny": (1, "10 us a step"), "cnn": (1, "1 %")}


class Hooked:
    """The hook's parts in this process, which can be taken out and put back."""

    def __init__(self, folder: str) -> None:
        from frugalwatch.inside import folder as hook_folder

        pipe = f"{folder}/pipe"
        os.mkfifo(pipe)
        self._reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
        os.environ["FRUGALWATCH_PIPE"] = pipe
        sys.path.insert(0, hook_folder())
        import torch
        from _frugalwatch import torch_backward, torch_data, torch_steps
        from _frugalwatch.line import process_line
        from torch.optim import optimizer as hooks
        from torch.utils.data import dataloader

        line = process_line()
        assert line is not None
        self.line: Any = line
        self._iterator: Any = dataloader._BaseDataLoaderIter
        self._variable: Any = torch.autograd.Variable
        self._bare = self._iterator.__dict__["__next__"], self._variable._execution_engine
        torch_steps.start(torch, line)
        torch_backward.start(torch, line)
        torch_data.start(dataloader, line)
        self._steps: Any = torch_steps.steps_of(line)
        self._next: Any = self._iterator.__dict__["__next__"]
        self._before: Any = hooks._global_optimizer_pre_hooks
        self._after: Any = hooks._global_optimizer_post_hooks
        self._ours = dict(self._before), dict(self._after)
        self._engine = self._variable._execution_engine

    def put(self, *, on: bool) -> None:
        """Have the next steps hooked, or bare."""
        for hooks, ours in zip((self._before, self._after), self._ours, strict=True):
            hooks.clear()
            if on:
                hooks.update(ours)
        self._iterator.__next__ = self._next if on else self._bare[0]
        # While steps are counted only, the engine is torch's own.
        rests = not on or self._steps._untimed.left > 0
        self._variable._execution_engine = self._bare[1] if rests else self._engine

    def kind(self) -> tuple[bool, bool]:
        """Whether the next step, and its batch, will be counted only."""
        return self._steps._untimed.left > 0, self._next._let_by.left > 0

    def drain(self) -> None:
        """Forget what was told."""
        try:
            while os.read(self._reader, 1 << 16):
                pass
        except BlockingIOError:
            return


def timed_us(steps: Callable[[int], None], count: int) -> float:
    """CPU micro-seconds a step."""
    began = time.thread_time_ns()
    steps(count)
    return (time.thread_time_ns() - began) / count / 1e3


def interval(values: list[float]) -> tuple[float, float]:
    """Where the median is, at 95 %."""
    drawn = random.Random(1)
    medians = sorted(
        statistics.median(drawn.choices(values, k=len(values))) for _ in range(_RESAMPLES)
    )
    return medians[int(0.025 * _RESAMPLES)], medians[int(0.975 * _RESAMPLES) - 1]


def compare(name: str, hooked: Hooked, seconds: float) -> None:
    """Measure one job and print its lines."""
    import hook_jobs

    steps: Callable[[int], None] = getattr(hook_jobs, name)()
    count, limit = JOBS[name]
    hooked.put(on=True)
    steps(400)
    often: Counter[tuple[bool, bool]] = Counter()
    for _ in range(2000 if name == "tiny" else 600):
        often[hooked.kind()] += 1
        steps(1)
    differences: dict[object, list[float]] = {}
    bare: list[float] = []
    shuffled = random.Random(0)
    ends = time.monotonic() + seconds
    tellings: list[float] = []
    while time.monotonic() < ends:
        row: dict[object, float] = {}
        for which in shuffled.sample(["bare", "bare again", "hooked"], 3):
            hooked.put(on=which == "hooked")
            key: object = hooked.kind() if which == "hooked" else which
            row[key] = timed_us(steps, count)
        base = row.pop("bare")
        bare.append(base)
        for key, taken in row.items():
            differences.setdefault(key, []).append(taken - base)
        if len(bare) % 20 == 0:
            hooked.put(on=True)
            began = time.thread_time_ns()
            hooked.line.tell_counts()
            tellings.append((time.thread_time_ns() - began) / 1e3)
            hooked.drain()
    step_us = statistics.median(bare)
    print(f"\n{name}: {step_us:.1f} us of CPU a bare step; {len(bare)} rounds; limit {limit}")
    low, high = interval(differences.pop("bare again"))
    print(f"  {'bare again (A/A)':34} [{low:+.2f}, {high:+.2f}] us")
    total, total_low, total_high = 0.0, 0.0, 0.0
    for key, share in sorted(often.items(), key=lambda item: -item[1]):
        values = differences.get(key, [])
        if len(values) < 30:
            print(f"  {words(key):34} too few to say; {share / often.total():.1%} of steps")
            continue
        low, high = interval(values)
        part = share / often.total()
        total += part * statistics.median(values)
        total_low, total_high = total_low + part * low, total_high + part * high
        print(
            f"  {words(key):34} {statistics.median(values):+.2f} us [{low:+.2f}, {high:+.2f}]"
            f"   {part:.1%} of steps"
        )
    told = statistics.median(tellings) * _TELLINGS_A_SECOND * step_us / 1e6
    print(f"  {'telling, four times a second':34} {told:+.2f} us")
    total, total_low, total_high = total + told, total_low + told, total_high + told
    print(
        f"  {'in all':34} {total:+.2f} us [{total_low:+.2f}, {total_high:+.2f}]"
        f"   {total / step_us:+.2%} [{total_low / step_us:+.2%}, {total_high / step_us:+.2%}]"
    )


def words(kind: object) -> str:
    step, batch = kind if isinstance(kind, tuple) else (False, False)
    return {
        (True, True): "step and batch counted only",
        (True, False): "step counted only",
        (False, True): "batch counted only",
        (False, False): "both timed",
    }[step, batch]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(JOBS), choices=list(JOBS))
    parser.add_argument("--seconds", type=float, default=60.0, help="of each job")
    options = parser.parse_args()
    sys.path[:0] = [ROOT, HERE]
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        hooked = Hooked(folder)
        for name in options.only:
            compare(name, hooked, options.seconds)


if __name__ == "__main__":
    main()
