"""Which power sources a run uses: the hardware that answers, and models where it leaves a hole."""

from __future__ import annotations

from collections.abc import Iterable

from collectors.base import Collector, Device, Observation, Probe
from collectors.cpu_time import machine_busy_us
from collectors.host import Host
from collectors.registry import HARDWARE, hardware_collector
from frugalwatch.config.settings import Settings
from frugalwatch.sampler.context import Opening

__all__ = ["machine_busy_us", "open_models", "open_others", "open_quick_sources"]

# Read before the job starts, so that the run's zero is exact: a few file reads, under 3 ms.
_QUICK = ("rapl",)
# Has a process of its own and is opened by the sampler's loop.
_ISOLATED = ("nvidia",)


def open_quick_sources(host: Host, settings: Settings) -> tuple[Opening, ...]:
    """Collectors that can be opened and read at once, without delaying the job."""
    return _open((name for name in _QUICK if name not in settings.sources_off), host)


def open_others(host: Host, settings: Settings) -> tuple[Opening, ...]:
    """The other sources that are read in the sampler's own process."""
    skip = {*_QUICK, *_ISOLATED, *settings.sources_off}
    return _open((name for name in HARDWARE if name not in skip), host)


def open_models(found: Iterable[Device], host: Host, settings: Settings) -> tuple[Opening, ...]:
    """Models for what no hardware source covers: the CPU, and RAM where nothing has it inside."""
    devices = list(found)
    openings: list[Opening] = []
    if not _covered("cpu", devices) and "cpu_model" not in settings.sources_off:
        from collectors.cpu_model import cpu_model_collector

        openings += _opened(cpu_model_collector(host))
        devices += [d for o in openings for d in o.devices]
    if not _covered("ram", devices) and "ram_model" not in settings.sources_off:
        from collectors.ram_model import ram_model_collector

        openings += _opened(ram_model_collector(host))
    return tuple(openings)


def _covered(domain: str, devices: Iterable[Device]) -> bool:
    return any((d.domain == domain and d.part_of is None) or domain in d.encloses for d in devices)


def _open(names: Iterable[str], host: Host) -> tuple[Opening, ...]:
    openings: list[Opening] = []
    for name in names:
        openings += _opened(hardware_collector(name, host))
    return tuple(openings)


def _opened(collector: Collector) -> list[Opening]:
    probe: Probe = collector.probe()
    if not probe.ok:
        collector.close()
        return []
    first: tuple[Observation, ...] = tuple(collector.read())
    return [Opening(collector, probe.devices, first)]
