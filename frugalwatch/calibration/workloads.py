"""Watts per CPU second by kind of work, measured where there are energy counters.

Each kind runs on one hardware thread of every physical core, `sibling` on all of them, for a few
seconds; the watts that come on top of the quiet machine's are divided by the busy CPUs that come on
top. The result is a small file that a machine of the same family without counters can import.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from collectors.base import Boundary, Device
from collectors.cpu_identity import CpuIdentity
from collectors.cpu_table import ThreadPower
from frugalwatch.calibration import loops
from frugalwatch.errors import FrugalWatchError
from frugalwatch.meter import Meter, WindowEnergies

SCHEMA = "frugalwatch.workload-calibration/1"
_READY_S = 60.0  # torch loads slowly from a cold disk
_LEAST_SHARE = 0.2  # of its CPUs that a loop must get for its watts to mean something
_SETTLE_S = 0.5  # clocks and voltage follow the load within some hundred milliseconds


@dataclass(frozen=True, slots=True)
class WorkloadResult:
    """Idle watts, watts per busy CPU by kind, and why a kind is absent.

    `background_cpus` is how many CPUs other work kept busy while the machine should have been
    quiet; its watts are taken out of `idle_w` at the median of what the kinds cost.
    """

    seconds: float
    idle_w: float
    background_cpus: float
    boundary: Boundary
    encloses: tuple[str, ...]
    sources: tuple[str, ...]
    work: dict[str, float]
    skipped: dict[str, str]


def counters(devices: Sequence[Device]) -> list[Device]:
    """The energy counters to sum: CPU packages and memory, nothing that is inside another."""
    return [
        device
        for device in devices
        if device.domain in ("cpu", "ram")
        and device.part_of is None
        and device.origin == "measured"
    ]


def measure_workloads(
    meter: Meter,
    identity: CpuIdentity,
    busy_us: Callable[[], int | None],
    *,
    seconds: float,
    kinds: Sequence[str] = tuple(loops.KINDS),
    progress: Callable[[str], None] = lambda _text: None,
) -> WorkloadResult:
    """Run every kind in turn under the devices of an open meter, `seconds` in all.

    `busy_us` gives the busy CPU time of what the counters cover: the machine's. Raises
    FrugalWatchError if there is no energy counter for the CPU, or a counter failed.
    """
    chosen = counters(list(meter.devices.values()))
    if not any(device.domain == "cpu" for device in chosen):
        raise FrugalWatchError(
            "this machine shows no energy counter for its CPU",
            why="watts by kind of work can only be measured with one",
            hint="measure on such a CPU with counters, then: frugalwatch calibrate --import FILE",
        )
    part_s = seconds / (len(kinds) + 1)
    progress("idle")
    quiet_w, background = _measure(meter, chosen, busy_us, part_s)
    if background is None:
        raise FrugalWatchError("the machine's CPU time cannot be read", why="/proc/stat is missing")
    work: dict[str, float] = {}
    skipped: dict[str, str] = {}
    allowed = sorted(os.sched_getaffinity(0))
    for kind in kinds:
        cpus = _cpus_for(kind, allowed, identity)
        if not cpus:
            skipped[kind] = "no sibling threads are visible"
            continue
        progress(f"{kind} on {len(cpus)} CPUs")
        crew = Crew(kind, cpus)
        try:
            reason = crew.wait_ready()
            if reason:
                skipped[kind] = reason
                continue
            crew.go()
            time.sleep(_SETTLE_S)
            watts, busy = _measure(meter, chosen, busy_us, max(0.5, part_s - _SETTLE_S))
        finally:
            crew.stop()
        if busy is None or busy - background < _LEAST_SHARE * len(cpus):
            skipped[kind] = "other work left the loop too little CPU time"
            continue
        if watts <= quiet_w:
            skipped[kind] = "the counters showed no more power than without it"
            continue
        work[kind] = (watts - quiet_w) / (busy - background)
    per_cpu = sorted(work.values())
    typical_w = per_cpu[len(per_cpu) // 2] if per_cpu else 0.0
    return WorkloadResult(
        seconds=seconds,
        idle_w=max(0.0, quiet_w - typical_w * background),
        background_cpus=background,
        boundary="die" if all(device.boundary == "die" for device in chosen) else "board",
        encloses=tuple(sorted({device.domain for device in chosen})),
        sources=tuple(sorted({device.source for device in chosen})),
        work=work,
        skipped=skipped,
    )


def document(
    result: WorkloadResult, identity: CpuIdentity, power: ThreadPower, made_utc_s: float
) -> dict[str, object]:
    """The file's content, schema `frugalwatch.workload-calibration/1`: about a kilobyte."""
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(made_utc_s))
    return {
        "schema": SCHEMA,
        "made_utc": made,
        "cpu": {
            "family_key": power.key,
            "microarchitecture": power.microarchitecture,
            "name": identity.label,
            "vendor": identity.vendor,
            "family": identity.family,
            "model": identity.model,
            "stepping": identity.stepping,
            "threads": identity.threads,
            "cores": identity.cores,
        },
        "seconds": result.seconds,
        "boundary": result.boundary,
        "encloses": list(result.encloses),
        "sources": list(result.sources),
        "idle_w": round(result.idle_w, 3),
        "background_cpus": round(result.background_cpus, 2),
        "work": {kind: round(watts, 3) for kind, watts in result.work.items()},
        "work_unit": "W per busy CPU above idle, the same as J per CPU second",
        "skipped": result.skipped,
    }


class Crew:
    """One process for each CPU, each pinned to its own, running the same kind of loop."""

    def __init__(self, kind: str, cpus: Sequence[int]) -> None:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        for library in ("OMP", "OPENBLAS", "MKL"):
            environment[f"{library}_NUM_THREADS"] = "1"
        self._processes: list[subprocess.Popen[bytes]] = []
        for cpu in cpus:
            process = subprocess.Popen(
                [sys.executable, "-P", loops.__file__, kind],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
            )
            self._processes.append(process)
            os.sched_setaffinity(process.pid, {cpu})

    def wait_ready(self) -> str:
        """Empty when all are ready, else why this kind cannot run here."""
        deadline_s = time.monotonic() + _READY_S
        for process in self._processes:
            assert process.stdout is not None
            if not _line_before(process.stdout.fileno(), deadline_s):
                process.kill()
                _, problem = process.communicate()
                words = problem.decode(errors="replace").strip().splitlines()
                return words[-1] if words else "the loop did not start"
        return ""

    def go(self) -> None:
        """Let every process work."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            process.stdin.flush()

    def stop(self) -> None:
        """End every process, and wait for it."""
        for process in self._processes:
            if process.stdin is not None and not process.stdin.closed:
                process.stdin.close()
        for process in self._processes:
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


def _line_before(descriptor: int, deadline_s: float) -> bool:
    """True if the process says a line in time; False if it ends or says nothing."""
    import select

    left_s = deadline_s - time.monotonic()
    ready, _, _ = select.select([descriptor], [], [], max(0.0, left_s))
    return bool(ready) and bool(os.read(descriptor, 64))


def _cpus_for(kind: str, allowed: list[int], identity: CpuIdentity) -> list[int]:
    """One thread of each core, or all threads for `sibling`; empty if there are no siblings."""
    cores = _cores(allowed)
    if kind == "sibling":
        return allowed if len(cores) < len(allowed) else []
    return sorted(cores) if len(cores) > 1 or identity.cores == 1 else allowed[: identity.cores]


def _cores(allowed: list[int]) -> set[int]:
    """The lowest-numbered allowed thread of every physical core, as /sys names siblings."""
    from collectors.limits import parse_cpu_list

    first: set[int] = set()
    for cpu in allowed:
        path = f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        try:
            with open(path, encoding="ascii") as file:
                siblings = parse_cpu_list(file.read()) & set(allowed)
        except (OSError, ValueError):
            siblings = frozenset({cpu})
        first.add(min(siblings, default=cpu))
    return first


def _measure(
    meter: Meter, chosen: list[Device], busy_us: Callable[[], int | None], seconds: float
) -> tuple[float, float | None]:
    """Mean watts of the chosen devices and mean busy CPUs over a window."""
    before, before_ns = busy_us(), time.monotonic_ns()
    window = meter.window(seconds)
    after, after_ns = busy_us(), time.monotonic_ns()
    busy = None
    if before is not None and after is not None:
        busy = (after - before) * 1e3 / (after_ns - before_ns)
    return _watts(window, chosen), busy


def _watts(window: WindowEnergies, chosen: list[Device]) -> float:
    keys = {device.key for device in chosen}
    total_w = 0.0
    for energy in window.devices:
        if energy.device.key not in keys:
            continue
        mean_w = energy.watts
        if mean_w is None or energy.missing:
            raise FrugalWatchError(
                f"the counter {energy.device.key} failed while calibrating",
                why=", ".join(energy.missing) or "no reading",
                hint="frugalwatch doctor shows what can be read",
            )
        total_w += mean_w
    return total_w
