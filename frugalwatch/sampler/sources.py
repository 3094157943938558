"""Which power sources a run uses: the hardware that answers, and models where it leaves a hole."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from collectors.base import Collector, Device, Observation, Probe, Reading, Resumable
from collectors.cpu_time import machine_busy_us
from collectors.host import Host
from collectors.registry import HARDWARE, hardware_collector
from frugalwatch.config.paths import SYSTEM_SOCKET, runtime_dir
from frugalwatch.config.settings import Settings
from frugalwatch.sampler.context import Opening, Plan, Zeros

if TYPE_CHECKING:  # loaded for machines that were calibrated
    from collectors.calibration import Calibration

__all__ = ["machine_busy_us", "open_models", "open_others", "open_quick"]

# Read before the job starts, so that the run's zero is exact: a few file reads, under 3 ms.
_QUICK = ("rapl",)
# Has a process of its own and is opened by the sampler's loop.
_ISOLATED = ("nvidia",)


class Zero(NamedTuple):
    """The instant at which the job started, and the machine's busy CPU time then, if known."""

    mono_ns: int
    busy_us: int | None


def open_quick(host: Host, settings: Settings) -> tuple[Opening, ...]:
    """Collectors that can be opened and read at once, without delaying the job."""
    return _open((name for name in _QUICK if name not in settings.sources_off), host)


def take_zeros(plan: Plan) -> Zeros:
    """Look at the quick sources just before the job starts: device, time, energy of each reading.

    Their states go on the shelf, from where the sampler goes on.
    """
    openings = open_quick(plan.host, plan.settings)
    if not openings:
        return ()
    plan.shelf.put(
        {
            o.collector.name: o.collector.state()
            for o in openings
            if isinstance(o.collector, Resumable)
        }
    )
    for opening in openings:
        opening.collector.close()
    return tuple(zero for opening in openings for zero in readings_of(opening))


def readings_of(opening: Opening) -> Zeros:
    """The readings of its first look: device, time and energy."""
    return tuple(
        (o.device, o.t_mono_ns, o.energy_uj) for o in opening.first if isinstance(o, Reading)
    )


def open_others(host: Host, settings: Settings) -> tuple[Opening, ...]:
    """The other sources that are read in the sampler's own process."""
    skip = {*_QUICK, *_ISOLATED, *settings.sources_off}
    return _open((name for name in HARDWARE if name not in skip), host)


def open_daemon(
    found: Iterable[Device], host: Host, settings: Settings, environ: Mapping[str, str]
) -> tuple[Opening, ...]:
    """What a daemon here serves of the devices that this process cannot read by itself."""
    paths = [path for path in daemon_sockets(settings, environ) if os.path.exists(path)]
    if "daemon" in settings.sources_off or not paths:
        return ()
    from collectors.daemon import DaemonCollector

    return tuple(_opened(DaemonCollector(host, paths, {device.key for device in found})))


def daemon_sockets(settings: Settings, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Where a client looks for a daemon: the one that is set, else the system's and its own."""
    if settings.daemon_socket:
        return (settings.daemon_socket,)
    return (SYSTEM_SOCKET, os.path.join(runtime_dir(environ), "sock"))


def with_idle(device: Device, calibration: Calibration | None) -> Device:
    """The device with the idle power that was measured for it, if that was done."""
    if calibration is None or device.key not in calibration.idle_w:
        return device
    idle = calibration.idle_w[device.key]
    return device._replace(
        idle_w=idle.value,
        idle_low_w=idle.low,
        idle_high_w=idle.high,
        idle_origin="calibration",
    )


def open_models(
    found: Iterable[Device],
    host: Host,
    settings: Settings,
    zero: Zero,
    calibration: Calibration | None = None,
) -> tuple[Opening, ...]:
    """Models for what no hardware source covers: the CPU, and RAM where nothing has it inside.

    Their zero is the job's start, which was before they were opened: wall time and CPU time are
    known for that instant, so even the shortest job has a figure.
    """
    devices = list(found)
    openings: list[Opening] = []
    if not _covered("cpu", devices) and "cpu_model" not in settings.sources_off:
        from collectors.cpu_model import KEY, cpu_model_collector

        cpu = cpu_model_collector(host, settings.cpu_model, calibration)
        busy_us = zero.busy_us if cpu.busy.scope == "machine" else None
        start: dict[str, tuple[int, ...]] = {}
        if busy_us is not None:
            start = {KEY: (zero.mono_ns, busy_us, 0, 0, 0, 0)}
        openings += _opened(cpu, start, zero)
        devices += [d for o in openings for d in o.devices]
    if "ram_model" not in settings.sources_off:
        from collectors.ram_model import KEY, ram_model_collector, ram_needs_model

        if ram_needs_model(devices):
            openings += _opened(ram_model_collector(host), {KEY: (zero.mono_ns,)}, zero)
    return tuple(openings)


def _covered(domain: str, devices: Iterable[Device]) -> bool:
    return any((d.domain == domain and d.part_of is None) or domain in d.encloses for d in devices)


def _open(names: Iterable[str], host: Host) -> tuple[Opening, ...]:
    openings: list[Opening] = []
    for name in names:
        openings += _opened(hardware_collector(name, host))
    return tuple(openings)


def without_doubles(openings: Iterable[Opening]) -> tuple[Opening, ...]:
    """The openings without devices that show another one's registers.

    `amd_energy` of hwmon reads the package counters that RAPL reads.
    """
    everything = list(openings)
    rapl_has_cpu = any(
        d.domain == "cpu" and d.key.startswith("rapl:") for o in everything for d in o.devices
    )
    if not rapl_has_cpu:
        return tuple(everything)
    return tuple(
        o._replace(devices=tuple(d for d in o.devices if not d.key.startswith("hwmon:amd_energy")))
        for o in everything
    )


def _opened(
    collector: Collector, start: dict[str, tuple[int, ...]] | None = None, zero: Zero | None = None
) -> list[Opening]:
    """The collector with its first look, if it has devices. `start` moves its zero back."""
    probe: Probe = collector.probe()
    if not probe.ok:
        collector.close()
        return []
    first: list[Observation] = []
    if start and zero is not None and isinstance(collector, Resumable):
        collector.resume(start)
        first = [Reading(device.key, zero.mono_ns, 0) for device in probe.devices]
    first += collector.read()
    return [Opening(collector, probe.devices, tuple(first))]
