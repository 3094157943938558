"""Runs in a real ledger, written by the journal itself and settled by the report."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collectors.base import Device, Reading
from frugalwatch.carbon.grid import GridFactor, resolve_or_world
from frugalwatch.config.settings import Settings
from frugalwatch.ledger.connection import open_ledger
from frugalwatch.ledger.job_processes import GpuRow, ProcessRow
from frugalwatch.ledger.journal import Journal
from frugalwatch.ledger.records import RunEnd, RunStart
from frugalwatch.report.settle import settle_run
from tests.frugalwatch.ledger.kit import SECOND, Notices, device, run_end, run_start

BEGIN_S = 100  # of the boot's clock, in `run_start`

GPU_KEY = "nvidia:GPU-8f3c0a52-77d1-4c2b-9e0f-0123456789ab"
PACKAGE = device(idle_w=None, tick_s=0.001)
DRAM = device("rapl:package-0:dram", domain="ram", name="RAPL package-0 dram", source="intel-rapl")
CORE = device("rapl:package-0:core", name="RAPL package-0 core", part_of="rapl:package-0")
PSYS = device("rapl:psys", domain="system", boundary="board", encloses=("cpu", "ram"))
GPU = device(
    GPU_KEY,
    domain="gpu",
    name="NVIDIA A100-SXM4-80GB",
    boundary="board",
    source="NVML energy counter",
    tick_s=0.1,
    power_limit_w=400.0,
    gain_low=0.94,
    gain_high=1.06,
)
MODEL = device(
    "model:cpu",
    name="CPU model, 2 hardware threads",
    origin="estimated",
    boundary="server_ac",
    source="model: Ice Lake SP, 0.85-4.20 W per hardware thread (SPECpower, server AC)",
    encloses=("cpu", "ram"),
    idle_w=1.7,
    idle_low_w=0.85,
    idle_high_w=3.4,
    idle_origin="model",
)


@dataclass
class Story:
    """One run, told device by device; seconds count from the start of the job."""

    path: Path
    seconds: float = 60.0
    start: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.journal = Journal(str(self.path), notify=Notices(), fallback_dirs=())
        self.run: RunStart = run_start(**self.start)
        self.journal.open_run(self.run)
        self.handles: dict[str, int] = {}
        self.processes: list[ProcessRow] = []
        self.processes_gpu: list[GpuRow] = []

    def at(self, second: float) -> int:
        return round((BEGIN_S + second) * SECOND)

    def reads(
        self,
        found: Device,
        energy_j: float | Callable[[float], float],
        *,
        times: Sequence[float] | None = None,
        spread: tuple[float, float] | None = None,
    ) -> Story:
        """The device at these times (begin and end): watts, or cumulative joules by second."""
        handle = self.journal.add_stream(found, self.at(0))
        self.handles[found.key] = handle
        count = energy_j if callable(energy_j) else _steady(energy_j)
        chosen = times if times is not None else (0.0, self.seconds / 2, self.seconds)
        for second in chosen:
            micro = round((count(second) - count(chosen[0])) * 1e6)
            low, high = (None, None)
            if spread is not None:
                low, high = round(micro * spread[0]), round(micro * spread[1])
            self.journal.sample(handle, Reading(found.key, self.at(second), micro, low, high))
        return self

    def gap(self, key: str, begin: float, end: float, cause: str, detail: str = "") -> Story:
        for kind in ("gap", "gap_end"):
            self.journal.event(
                kind,
                cause,
                since_mono_ns=self.at(begin),
                t_mono_ns=self.at(end),
                detail=f"{key}: {detail}" if detail else key,
                handle=self.handles[key],
                energy_missing=True,
            )
        return self

    def gpu_use(self, key: str, second: float, job_s: float, all_s: float) -> Story:
        self.journal.gpu_usage(
            self.handles[key], self.at(second), round(job_s * 1e6), round(all_s * 1e6)
        )
        return self

    def process(
        self,
        pid: int,
        name: str,
        cpu_s: float,
        seen: tuple[float, float],
        *,
        gone: float | None = None,
        gpu_s: float | None = None,
        count: int = 1,
    ) -> Story:
        """What the sampler saw of one process; pid 0 is the sum of `count` of them."""
        first, last = map(self.at, seen)
        end = None if gone is None else self.at(gone)
        start = 0 if pid == 0 else first // 10_000_000
        self.processes.append((pid, start, name, count, first, last, end, round(cpu_s * 1e6)))
        if gpu_s is not None:
            self.processes_gpu.append((self.handles[GPU_KEY], pid, start, round(gpu_s * 1e6)))
        return self

    def phase(
        self, name: str, begin: float, end: float | None, number: int | None = None, depth: int = 0
    ) -> Story:
        token = self.journal.phase_began(7, name, self.at(begin), number=number, depth=depth)
        if end is not None:
            self.journal.phase_ended(token, self.at(end))
        return self

    def ends(
        self,
        *,
        cpu_s: float | None = 50.0,
        busy_s: float | None = 50.5,
        exit_code: int | None = 0,
        **end: Any,
    ) -> Story:
        if self.processes:
            self.journal.processes(self.processes, self.processes_gpu)
        self.journal.heartbeat(self.at(self.seconds))
        self.journal.commit()
        finished: RunEnd = run_end(
            exit_code=exit_code,
            job_cpu_us=None if cpu_s is None else round(cpu_s * 1e6),
            machine_busy_us=None if busy_s is None else round(busy_s * 1e6),
            job_cpu_method="tree",
            **end,
        )._replace(ended_mono_ns=self.at(self.seconds))
        self.journal.finish(finished)
        return self

    def settled(self, live: GridFactor | None = None, **settings: Any) -> dict[str, Any]:
        """The run object, its totals stored as the sampler does; `live` is a grid service's."""
        chosen = Settings(**settings)
        factor = live or resolve_or_world(chosen)[0]
        connection = open_ledger(str(self.path), create=False)
        try:
            document, totals = settle_run(connection, self.run.run_key, factor, chosen)
        finally:
            connection.close()
        self.journal.store_totals(totals)
        self.journal.close()
        return document

    def connection(self) -> sqlite3.Connection:
        return open_ledger(str(self.path), create=False)


def _steady(power_w: float) -> Callable[[float], float]:
    return lambda second: power_w * second


def found(document: dict[str, Any], key: str) -> dict[str, Any]:
    """One device of a run object."""
    (chosen,) = [d for d in document["devices"] if d["device"] == key]
    return dict(chosen)
