"""What it costs the sampler to listen to a job that tells a lot.

    python bench/chatty_job.py                  at 10 Hz and 1 Hz, some minutes
    python bench/chatty_job.py --seconds 10 --rounds 2

Four processes tell every 100 ms, as the hook in a training does: steps, batches with samples, five
activities, and every five seconds two histograms. Beside it a job of four processes that tell
nothing, in turn. CPU time is the scheduler's own (schedstat) of the sampler's process, from the
third second of the run to the last. The energy counter is simulated (two RAPL zones). Exits with 1
if listening takes the sampler over 1 % of a core at 10 Hz.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.frugalwatch.e2e.kit import Frugalwatch, sampler_of
from tests.support.fake_sysfs import Constant, PowercapTree, Zone

_BUDGET = 0.01
_JOB = """
import os, sys, time
chatty, seconds = sys.argv[1] == "chatty", float(sys.argv[2])
for rank in range(3):
    if os.fork() == 0:
        break
from _frugalwatch.line import process_line
line = process_line()
end = time.monotonic() + seconds
number = 0
while time.monotonic() < end:
    if chatty:
        number += 1
        now = time.monotonic_ns()
        line.tell("count", "step", number * 9, None, now)
        line.tell("count", "batch", number * 9, number * 288, now)
        spent = {name: number * 7_654_321 for name in ACTIVITIES}
        line.tell("spent", spent)
        if number % 50 == 0:
            for unit in ("step", "batch"):
                line.tell("times", unit, [[800 + n, number + n] for n in range(100)])
    time.sleep(0.1)
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
"""
_ACTIVITIES = ("data_wait", "forward", "backward", "optimizer", "evaluation")


def sampler_share(folder: Path, sysfs: str, kind: str, interval_s: float, seconds: float) -> float:
    """The sampler's CPU time in this job, as a part of one core."""
    frugalwatch = Frugalwatch(folder)
    frugalwatch.environment["FRUGALWATCH_SYSFS"] = sysfs
    job = f"ACTIVITIES = {_ACTIVITIES!r}\n{_JOB}"
    process = frugalwatch.start(
        *("run", "--interval", str(interval_s), "--summary", "none", "--"),
        *(sys.executable, "-c", job, kind, str(seconds)),
    )
    pid = sampler_of(process.pid)
    time.sleep(2)
    begin_ns, begin = _cpu_ns(pid), time.monotonic()
    time.sleep(seconds - 3)
    share = (_cpu_ns(pid) - begin_ns) / 1e9 / (time.monotonic() - begin)
    _, said = process.communicate(timeout=60)
    if process.returncode or said:
        raise RuntimeError(f"exit {process.returncode}: {said.decode()}")
    if kind == "chatty":
        told = json.loads(frugalwatch("show", "--json").stdout)["units"]
        if [u["unit"] for u in told] != ["step", "batch"]:
            raise RuntimeError(f"heard {told}")
    return share


def main() -> int:
    """Print the sampler's share of a core with a quiet and with a chatty job."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=23.0, help="of each job (23)")
    parser.add_argument("--rounds", type=int, default=5, help="of all jobs, in changing order (5)")
    options = parser.parse_args()
    found: dict[tuple[str, float], list[float]] = {}
    kinds = [(kind, interval_s) for interval_s in (0.1, 1.0) for kind in ("quiet", "chatty")]
    with tempfile.TemporaryDirectory(prefix="fw-chatty-") as folder:
        zone = Zone("package-0", Constant(45.0), subzones=(Zone("dram", Constant(5.0)),))
        (Path(folder) / "tree").mkdir()
        with PowercapTree(Path(folder) / "tree", [zone]) as tree:
            tree.start()
            for number in range(options.rounds):
                for kind, interval_s in random.Random(number).sample(kinds, len(kinds)):
                    place = Path(folder) / f"{number}-{kind}-{interval_s}"
                    place.mkdir()
                    share = sampler_share(place, tree.sysfs, kind, interval_s, options.seconds)
                    found.setdefault((kind, interval_s), []).append(share)
    for (kind, interval_s), shares in sorted(found.items(), key=lambda pair: pair[0][::-1]):
        print(
            f"{1 / interval_s:4.0f} Hz  {kind:7} {statistics.median(shares):7.3%} of a core"
            f"   ({min(shares):.3%} to {max(shares):.3%}, {len(shares)} jobs)"
        )
    return 0 if statistics.median(found["chatty", 0.1]) <= _BUDGET else 1


def _cpu_ns(pid: int) -> int:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)


if __name__ == "__main__":
    raise SystemExit(main())
