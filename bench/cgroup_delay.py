"""What a control group of its own costs a job at its start and end.

    .venv/bin/python bench/cgroup_delay.py

Starts `true` with and without one in turn and prints medians: making the group, from the fork to
a successful exec, and removing the group.
"""

from __future__ import annotations

import os
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from frugalwatch.sampler.cgroup import JobCgroup, make_job_cgroup
from frugalwatch.supervisor.job import StartedJob, start_job
from frugalwatch.supervisor.signals import CallersSignals

ROUNDS = 40
_PAUSE_S = 0.15  # the kernel is slow for the first join after a quiet moment, as in real use
_AS_THEY_ARE = CallersSignals(frozenset(), ignores_children=False)


def start_ms(group: JobCgroup | None) -> float:
    """Milliseconds from the fork to the exec of `true`."""
    before = time.perf_counter()
    job = start_job(
        ["/bin/true"],
        dict(os.environ),
        signals=_AS_THEY_ARE,
        before_exec=group.join if group else None,
    )
    took_ms = (time.perf_counter() - before) * 1e3
    assert isinstance(job, StartedJob)
    os.waitpid(job.pid, 0)
    return took_ms


def main() -> int:
    figures: dict[str, list[float]] = {
        name: [] for name in ("start, plain", "make", "start, joined", "remove")
    }
    for number in range(ROUNDS):
        figures["start, plain"].append(start_ms(None))
        time.sleep(_PAUSE_S)
        before = time.perf_counter()
        group = make_job_cgroup(f"bench-{os.getpid()}-{number}", {})
        if group is None:
            print("no control group can be made here", file=sys.stderr)
            return 1
        figures["make"].append((time.perf_counter() - before) * 1e3)
        figures["start, joined"].append(start_ms(group))
        before = time.perf_counter()
        group.remove()
        figures["remove"].append((time.perf_counter() - before) * 1e3)
        time.sleep(_PAUSE_S)
    for name, values in figures.items():
        print(f"{name:14} median {statistics.median(values):5.1f} ms, max {max(values):5.1f} ms")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
