"""The calls themselves, over all requests in their order and then from the first one again."""

from __future__ import annotations

import json
import sys
import time

from .job import UnusableError, first_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from .job import Job

# A first call loads, compiles and allocates: it says nothing of the next ones.
_WARM_UP_CALLS = 1


def run(job: Job | None, order: argparse.Namespace) -> None:
    """Call and print. None: the source has done its work already (a training)."""
    if job is None:
        return
    if not job.requests:
        raise UnusableError("there are no inputs to call the model with")
    if order.probe is not None:
        _probe(job, order.probe)
        return
    calls = order.calls or len(job.requests)
    for number in range(calls):
        _call(job, number)
    print(f"{job.name}: {calls} calls")
    if job.at_end is not None:
        for name, value in job.at_end().items():
            print(f"{name}: {value:.10g}")


def _probe(job: Job, seconds: float) -> None:
    load_s = time.process_time()
    first_s = _timed(job, 0)
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    calls = 0
    while calls == 0 or time.perf_counter() - began_s < seconds:
        _call(job, _WARM_UP_CALLS + calls)
        calls += 1
    # Beside other programs a call takes longer than it does alone, and no more CPU time.
    cpu_s = time.process_time() - began_cpu_s
    call_s = max(min(time.perf_counter() - began_s, cpu_s), 1e-6) / calls
    end_s, numbers = 0.0, {}
    if job.at_end is not None:
        began_s = time.perf_counter()
        numbers = job.at_end()
        end_s = time.perf_counter() - began_s
    seen = {
        "name": job.name,
        "inputs": job.inputs,
        "inputs_count": len(job.requests),
        "described": list(job.described),
        "samples_per_call": job.samples_per_call,
        "load_s": load_s,
        "first_call_s": first_s,
        "call_s": call_s,
        "end_s": end_s,
        "evaluates": list(numbers),
    }
    sys.stdout.write(json.dumps(seen) + "\n")


def _timed(job: Job, number: int) -> float:
    began_s = time.perf_counter()
    _call(job, number)
    return time.perf_counter() - began_s


def _call(job: Job, number: int) -> None:
    try:
        job.call(job.requests[number % len(job.requests)])
    except Exception as error:
        if number >= len(job.requests):  # it worked before: a failure of the model's own
            raise
        which = f"input {number + 1} of {len(job.requests)}"
        how = {"synthesised": "synthesised ", "example": "the file's own "}.get(job.inputs, "")
        hint = "give real ones: --inputs data.npz; or sizes: --dims NAME=N" if how else ""
        raise UnusableError(
            f"the model fails on {how}{which}: {first_line(error)}", hint
        ) from error
