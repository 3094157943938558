"""What the hook inside a job costs: its start, and its work per step, beside the job without it.

    python bench/hook_overhead.py                       all that can run here
    python bench/hook_overhead.py --only tiny cnn --processes 8
    python bench/hook_overhead.py --python VENV/bin/python --only minilm

Each contender is the same program in a process of its own: without the hook, without it again (the
A/A pair, whose interval is the resolution), under `frugalwatch run`, and under `run --profile`. All
are started together and take turns, a block of some 0.5 s each in random order, so whatever else
the machine does meets all of them alike. (With shorter ones the hook would tell its counts once in
each block, more often than in a job that does not wait for others.) A block's figure is its CPU
time; a pair of contenders is compared block by block, and the interval is a bootstrap over
processes and then over blocks.
On a crowded machine caches and cores are shared with others, which doubles every figure: the second
line of each contender compares the fastest tenth of the blocks, which were disturbed least.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
CONTENDERS = ("plain", "plain again", "hook", "hook and profile")
_WARM_UP_STEPS = 30
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Workload:
    """One job, how many of its steps make a block, and what it may cost."""

    name: str
    steps_per_block: int
    limit: str
    most_us: float | None = None
    most_share: float | None = None


WORKLOADS = (
    Workload("tiny", 2000, "10 us a step", most_us=10.0),
    Workload("cnn", 80, "1 %", most_share=0.01),
    Workload("minilm", 40, "1 %", most_share=0.01),
)


@dataclass
class Blocks:
    """CPU nanoseconds a step by contender, one list for each process that ran."""

    cpu_ns: dict[str, list[list[float]]] = field(default_factory=dict)


def start(contender: str, workload: str, python: str, folder: str) -> subprocess.Popen[str]:
    """One job that waits for its first block."""
    job = [python, os.path.join(HERE, "hook_jobs.py"), workload]
    if contender.startswith("hook"):
        ours = [sys.executable, "-m", "frugalwatch", "run", "-q", "--ledger", f"{folder}/bench.db"]
        job = [*ours, *(["--profile"] if "profile" in contender else []), "--", *job]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FRUGALWATCH_")}
    environment |= {"XDG_STATE_HOME": folder, "PYTHONPYCACHEPREFIX": f"{folder}/pyc"}
    environment["PYTHONPATH"] = ROOT if contender.startswith("hook") else ""
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.Popen(
        job,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=folder,
        text=True,
    )


@contextlib.contextmanager
def jobs(
    workload: str, python: str, names: Sequence[str]
) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """All contenders, ready. Raises RuntimeError if the job cannot run here."""
    with tempfile.TemporaryDirectory() as folder:
        running = {name: start(name, workload, python, folder) for name in names}
        try:
            for name, process in running.items():
                assert process.stdout is not None
                if process.stdout.readline() != "ready\n":
                    raise RuntimeError(f"{name}: the job did not start; try it by hand")
            yield running
        finally:
            for process in running.values():
                assert process.stdin is not None
                process.stdin.close()
            for process in running.values():
                process.wait(timeout=60)


def block(process: subprocess.Popen[str], steps: int) -> float:
    """CPU nanoseconds a step of one block."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{steps}\n")
    process.stdin.flush()
    return int(process.stdout.readline().split()[0]) / steps


def measure(
    workload: Workload, python: str, names: Sequence[str], processes: int, blocks: int
) -> Blocks:
    """Take turns until each of `processes` sets of processes has done `blocks` blocks."""
    result = Blocks({name: [] for name in names})
    shuffled = random.Random(0)
    for _ in range(processes):
        with jobs(workload.name, python, names) as running:
            for process in running.values():
                block(process, _WARM_UP_STEPS + workload.steps_per_block)
            for name in names:
                result.cpu_ns[name].append([])
            for _ in range(blocks):
                for name in shuffled.sample(list(names), len(names)):
                    result.cpu_ns[name][-1].append(block(running[name], workload.steps_per_block))
    return result


def difference(blocks: Blocks, name: str) -> tuple[float, float, float]:
    """Nanoseconds a step beyond the plain contender: the median, and a 95 % interval."""
    pairs = [
        [ours - plain for plain, ours in zip(plains, all_ours, strict=True)]
        for plains, all_ours in zip(blocks.cpu_ns["plain"], blocks.cpu_ns[name], strict=True)
    ]
    drawn = random.Random(1)
    medians: list[float] = []
    for _ in range(_RESAMPLES):
        chosen: list[float] = []
        for process in drawn.choices(pairs, k=len(pairs)):
            chosen += drawn.choices(process, k=len(process))
        medians.append(statistics.median(chosen))
    medians.sort()
    middle = statistics.median([value for process in pairs for value in process])
    return middle, medians[int(0.025 * _RESAMPLES)], medians[int(0.975 * _RESAMPLES)]


def least_disturbed(blocks: Blocks, name: str) -> tuple[float, float, float]:
    """As `difference`, of the mean of each process's fastest tenth of blocks."""

    def fastest(values: Sequence[float]) -> float:
        return statistics.fmean(sorted(values)[: max(1, len(values) // 10)])

    sets = list(zip(blocks.cpu_ns["plain"], blocks.cpu_ns[name], strict=True))
    drawn = random.Random(2)
    resampled: list[float] = []
    for _ in range(_RESAMPLES // 4):
        chosen = drawn.choices(sets, k=len(sets))
        resampled.append(
            statistics.fmean(
                fastest(drawn.choices(ours, k=len(ours)))
                - fastest(drawn.choices(plain, k=len(plain)))
                for plain, ours in chosen
            )
        )
    resampled.sort()
    middle = statistics.fmean(fastest(ours) - fastest(plain) for plain, ours in sets)
    return middle, resampled[int(0.025 * len(resampled))], resampled[int(0.975 * len(resampled))]


def report(workload: Workload, blocks: Blocks) -> dict[str, object]:
    """Print one workload's figures; returns them."""
    plain_ns = statistics.median([v for process in blocks.cpu_ns["plain"] for v in process])
    shown: dict[str, object] = {"plain_us": plain_ns / 1e3, "limit": workload.limit}
    print(f"\n{workload.name}: {plain_ns / 1e3:.1f} us of CPU a step without the hook")
    for name in blocks.cpu_ns:
        if name == "plain":
            continue
        middle, low, high = difference(blocks, name)
        percent = [100 * value / plain_ns for value in (middle, low, high)]
        verdict = ""
        if name == "hook":
            most_ns = (workload.most_us or 0) * 1e3 or (workload.most_share or 0) * plain_ns
            # Within: the whole interval is. Undecided: the machine was too busy to tell.
            verdict = "within" if high <= most_ns else "over" if low > most_ns else "undecided:"
            verdict = f"   {verdict} the limit of {workload.limit}"
        print(
            f"  {name:18} {middle / 1e3:+7.2f} us [{low / 1e3:+.2f}, {high / 1e3:+.2f}]"
            f"   {percent[0]:+6.2f} % [{percent[1]:+.2f}, {percent[2]:+.2f}]{verdict}"
        )
        calm = [value / 1e3 for value in least_disturbed(blocks, name)]
        print(f"  {'':18} {calm[0]:+7.2f} us [{calm[1]:+.2f}, {calm[2]:+.2f}]   fastest tenth")
        shown[name] = {
            "us": [middle / 1e3, low / 1e3, high / 1e3],
            "percent": percent,
            "fastest_us": calm,
        }
    return shown


def start_cost(python: str, rounds: int) -> tuple[float, float, float]:
    """Milliseconds of CPU that the hook adds to `python -c pass`: the median and both quartiles."""
    from frugalwatch.inside import folder as hook_folder

    with tempfile.TemporaryDirectory() as folder:
        pipe = f"{folder}/pipe"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
        plain = {
            k: v for k, v in os.environ.items() if not k.startswith(("FRUGALWATCH_", "PYTHON"))
        }
        plain["PYTHONPYCACHEPREFIX"] = f"{folder}/pyc"  # compiled once, as an installed package is
        hooked = plain | {"FRUGALWATCH_PIPE": pipe, "PYTHONPATH": hook_folder()}
        differences: list[float] = []
        for number in range(rounds + 1):
            taken = []
            for environment in (plain, hooked):
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                subprocess.run([python, "-c", "pass"], env=environment, check=True)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                taken.append(used)
            with contextlib.suppress(BlockingIOError):
                os.read(reader, 1 << 16)
            if number:  # the first compiles
                differences.append((taken[1] - taken[0]) * 1e3)
        os.close(reader)
    low, middle, high = statistics.quantiles(differences, n=4)
    return middle, low, high


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=["start", "tiny", "cnn", "minilm"])
    parser.add_argument("--python", default=sys.executable, help="interpreter of the jobs")
    parser.add_argument("--starts", nargs="*", help="interpreters to start (that of the jobs)")
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--blocks", type=int, default=24)
    parser.add_argument("--no-profile", action="store_true", help="leave out `run --profile`")
    parser.add_argument("--json", dest="target", help="write the figures here")
    options = parser.parse_args()
    sys.path.insert(0, ROOT)
    names = CONTENDERS[:-1] if options.no_profile else CONTENDERS
    figures: dict[str, object] = {}
    if "start" in options.only:
        print("start: CPU time added to `python -c pass`, limit 5 ms")
        for python in options.starts or [options.python]:
            middle, low, high = start_cost(python, 60)
            print(f"  {python}   {middle:.1f} ms, half of them in [{low:.1f}, {high:.1f}]")
            figures[f"start {python}"] = [middle, low, high]
    for workload in WORKLOADS:
        if workload.name in options.only:
            try:
                blocks = measure(workload, options.python, names, options.processes, options.blocks)
            except RuntimeError as problem:
                print(f"\n{workload.name}: skipped: {problem}")
                continue
            figures[workload.name] = report(workload, blocks)
    if options.target:
        with open(options.target, "w") as file:
            json.dump(figures, file, indent=2)


if __name__ == "__main__":
    main()
