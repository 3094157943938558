"""The registry: the views, in the order of their number keys."""

from __future__ import annotations

from frugalwatch.screen.advice_view import AdviceView
from frugalwatch.screen.jobs_view import JobsView
from frugalwatch.screen.live_view import LiveView
from frugalwatch.screen.machine_view import MachineView
from frugalwatch.screen.view import View

VIEWS: tuple[type[View], ...] = (LiveView, JobsView, AdviceView, MachineView)
