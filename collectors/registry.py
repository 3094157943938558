"""The one visible list of power sources, in the order in which they are looked for."""

from __future__ import annotations

from collectors.base import Collector
from collectors.host import Host

# Sources that name a counter or a power sensor. The models stand in where these leave a domain
# without a figure; `frugalwatch.sampler.sources` decides that, since it depends on what was found.
HARDWARE = ("rapl", "nvidia", "amd", "hwmon", "battery")


def hardware_collector(name: str, host: Host) -> Collector:
    """Build one collector by name. Imports only that source's file. Raises KeyError if unknown.

    `fake` is not hardware and never looked for by itself; demos ask for it by name.
    """
    if name == "rapl":
        from collectors.rapl import RaplCollector

        return RaplCollector(host)
    if name == "nvidia":
        from collectors.nvidia import NvidiaCollector

        return NvidiaCollector(host)
    if name == "amd":
        from collectors.amd import AmdCollector

        return AmdCollector(host)
    if name == "hwmon":
        from collectors.hwmon import HwmonCollector

        return HwmonCollector(host)
    if name == "battery":
        from collectors.battery import BatteryCollector

        return BatteryCollector(host)
    if name == "fake":
        from collectors.fake import FakeCollector

        return FakeCollector(host)
    raise KeyError(name)
