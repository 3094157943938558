"""The registry: the views, in the order of their number keys. Each is loaded when it is opened.

All of them together would take a third of the time that the screen needs to show its first figures.
"""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from frugalwatch.screen.view import View


class Entry(NamedTuple):
    """A view by its ID and LABEL, and where its class is; a call makes one."""

    ID: str
    LABEL: str
    module: str
    name: str

    def __call__(self) -> View:
        made: View = getattr(import_module(f"frugalwatch.screen.{self.module}"), self.name)()
        assert (made.ID, made.LABEL) == (self.ID, self.LABEL)
        return made


VIEWS: tuple[Entry, ...] = (
    Entry("live", "Live", "live_view", "LiveView"),
    Entry("jobs", "Jobs", "jobs_view", "JobsView"),
    Entry("advice", "Advice", "advice_view", "AdviceView"),
    Entry("machine", "Machine", "machine_view", "MachineView"),
)
