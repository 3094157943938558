"""Starts the readers of sources that can hang, before anything else is loaded.

The sooner a driver is asked, the shorter is the stretch at the job's beginning that nobody saw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from collectors.nvidia_presence import might_be_present
from frugalwatch.sampler.context import Plan

if TYPE_CHECKING:
    from collectors.isolated import IsolatedCollector


def start_readers(plan: Plan) -> list[IsolatedCollector]:
    """A reader process for every such source that may be on this machine."""
    if "nvidia" in plan.settings.sources_off or not might_be_present(plan.host):
        return []
    from collectors.isolated import IsolatedCollector
    from collectors.registry import hardware_collector

    host = plan.host
    reader = IsolatedCollector(lambda: hardware_collector("nvidia", host), "nvidia")
    state = plan.shelf.get().get("nvidia")
    if state is not None:
        reader.resume(state)
    reader.start()
    return [reader]
