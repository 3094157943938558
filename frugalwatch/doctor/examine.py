"""Looks at every source, the ledger and the configuration, and keeps what it found as records."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from collectors.base import Device, Probe
from collectors.host import Host
from frugalwatch.config.load import Loaded
from frugalwatch.errors import FrugalWatchError
from frugalwatch.meter import Meter, hardware


@dataclass(frozen=True, slots=True)
class SourceFound:
    """One source: the devices it can read here, or why not and what to type."""

    name: str
    devices: tuple[Device, ...]
    reason: str
    remedy: str
    verified: bool
    off: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is fine, or is not and has a remedy."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything that `doctor` says. Bytes and counts of the machine as psutil sees it."""

    host: str
    cpu: str
    cores: int | None
    threads: int | None
    memory_bytes: int
    sources: tuple[SourceFound, ...]
    models: tuple[SourceFound, ...]
    checks: tuple[Check, ...]

    def as_json(self) -> dict[str, object]:
        """The same as JSON, units in the key names."""
        return {
            "machine": {
                "host": self.host,
                "cpu": self.cpu,
                "cores": self.cores,
                "threads": self.threads,
                "memory_bytes": self.memory_bytes,
            },
            "sources": [_source_json(s) for s in self.sources],
            "models": [_source_json(s) for s in self.models],
            "checks": [
                {"name": c.name, "ok": c.ok, "detail": c.detail, "remedy": c.remedy or None}
                for c in self.checks
            ],
        }


def examine(loaded: Loaded, environ: Mapping[str, str]) -> Examination:
    """Probe every source once and check what a run needs. Changes nothing."""
    import psutil

    from frugalwatch.doctor.daemon import daemon_check
    from frugalwatch.doctor.metrics import metrics_check
    from frugalwatch.doctor.sending import sending_check
    from frugalwatch.machine import cpu_name

    host = Host.from_environment()
    off = loaded.settings.sources_off
    with Meter(hardware(host, off)) as meter:
        sources = [_found(probe) for probe in meter.probes]
        models = _models(host, [d for p in meter.probes for d in p.devices])
    sources += [
        SourceFound(name, (), "switched off by configuration", "", True, True) for name in off
    ]
    return Examination(
        host=os.uname().nodename,
        cpu=cpu_name() or os.uname().machine,
        cores=psutil.cpu_count(logical=False),
        threads=psutil.cpu_count(),
        memory_bytes=psutil.virtual_memory().total,
        sources=tuple(sources),
        models=models,
        checks=(
            *_checks(loaded, environ),
            daemon_check(loaded.settings, environ, sources),
            metrics_check(loaded.settings, environ),
            sending_check(loaded.settings, environ),
        ),
    )


def _found(probe: Probe) -> SourceFound:
    return SourceFound(probe.name, probe.devices, probe.reason, probe.remedy, probe.verified)


def _models(host: Host, found: list[Device]) -> tuple[SourceFound, ...]:
    """The models that a run would use beside the hardware that was found."""
    import time

    from frugalwatch.config.settings import Settings
    from frugalwatch.sampler.sources import Zero, open_models

    openings = open_models(found, host, Settings(), Zero(time.monotonic_ns(), None))
    return tuple(
        SourceFound(opening.collector.name, opening.devices, "", "", verified=True)
        for opening in openings
    )


def _checks(loaded: Loaded, environ: Mapping[str, str]) -> list[Check]:
    return [
        _ledger_check(loaded, environ),
        _configuration_check(loaded),
        _zone_check(loaded),
        _cgroup_check(loaded, environ),
        _pipe_check(environ),
    ]


def _ledger_check(loaded: Loaded, environ: Mapping[str, str]) -> Check:
    from frugalwatch.ledger.paths import ledger_path, locate
    from frugalwatch.ledger.reading import open_reader

    path = ledger_path(loaded.settings, environ)
    place = locate(path, environ)
    where = place.ledger
    if place.network is not None:
        where = f"{place.ledger} (the folder asked for is on {place.network})"
    if not os.path.exists(place.ledger):
        return Check("ledger", True, f"{where}: will be made by the first run")
    try:
        connection = open_reader(place.ledger)
        try:
            runs = connection.execute("SELECT count(*) FROM run").fetchone()[0]
            open_runs = connection.execute(
                "SELECT count(*) FROM run WHERE state = 'running'"
            ).fetchone()[0]
        finally:
            connection.close()
    except (FrugalWatchError, sqlite3.Error) as problem:
        if isinstance(problem, FrugalWatchError):
            return Check("ledger", False, problem.message, problem.hint)
        return Check("ledger", False, f"{where}: {problem}", "frugalwatch runs")
    if not os.access(place.ledger, os.W_OK):
        return Check("ledger", False, f"{where} cannot be written", f"chmod u+w {place.ledger}")
    going = f", {open_runs} going on or never settled" if open_runs else ""
    count = "1 run" if runs == 1 else f"{runs} runs"
    return Check("ledger", True, f"{where}: {count}{going}")


def _configuration_check(loaded: Loaded) -> Check:
    if loaded.problems:
        count = "1 problem" if len(loaded.problems) == 1 else f"{len(loaded.problems)} problems"
        return Check(
            "configuration",
            False,
            f"{count}, the first: {loaded.problems[0]}",
            "frugalwatch config check",
        )
    files = [file.name for file in loaded.files if file.table is not None]
    return Check("configuration", True, ", ".join(files) or "defaults")


def _zone_check(loaded: Loaded) -> Check:
    from frugalwatch.carbon.grid import resolve_or_world

    factor, warning = resolve_or_world(loaded.settings)
    said = f"{factor.zone} {factor.year}, {factor.g_per_kwh:.0f} g CO2e/kWh, {factor.kind}"
    if warning:
        return Check("grid zone", False, warning, "frugalwatch config check")
    if factor.assumed:
        return Check(
            "grid zone",
            False,
            f"not set: {said} is assumed",
            'frugalwatch run --zone FR ..., or zone = "FR" in the configuration',
        )
    return Check("grid zone", True, said)


def _cgroup_check(loaded: Loaded, environ: Mapping[str, str]) -> Check:
    from frugalwatch.sampler.cgroup import make_job_cgroup

    by_tree = "by process tree; children of a parent that ignores SIGCHLD, and what outlives the"
    group = make_job_cgroup(f"doctor-{os.getpid()}", environ)
    if group is None:
        return Check("CPU time", True, f"{by_tree} job, can be missing")
    group.remove()
    if loaded.settings.cgroup == "off":
        return Check("CPU time", True, f"{by_tree} job, are counted with --cgroup only")
    return Check("CPU time", True, f"by a control group of the job's own (version {group.version})")


def _pipe_check(environ: Mapping[str, str]) -> Check:
    from frugalwatch.sampler.api_pipe import open_api_pipe

    opened = open_api_pipe(f"doctor-{os.getpid()}", environ)
    if opened is None:
        return Check(
            "phases and steps",
            False,
            "no private folder for the pipe that a job talks to",
            "set XDG_RUNTIME_DIR to a folder of your own with mode 0700",
        )
    os.close(opened.descriptor)
    opened.remove()
    return Check("phases and steps", True, os.path.dirname(opened.path))


def _source_json(source: SourceFound) -> dict[str, object]:
    return {
        "name": source.name,
        "ok": bool(source.devices),
        "off": source.off,
        "reason": source.reason or None,
        "remedy": source.remedy or None,
        "verified_on_hardware": source.verified,
        "devices": [
            {
                "device": d.key,
                "domain": d.domain,
                "name": d.name,
                "origin": d.origin,
                "boundary": d.boundary,
                "source": d.source,
                "part_of": d.part_of,
                "tick_s": d.tick_s or None,
                "power_limit_w": d.power_limit_w,
                "idle_w": d.idle_w,
                "note": d.note or None,
            }
            for d in source.devices
        ],
    }
