"""A desktop notification, by `notify-send` where there is one."""

from __future__ import annotations

from collections.abc import Mapping

from frugalwatch.alerts.sinks.command import run_limited

_LIMIT_S = 5.0
_URGENT = frozenset({"budget_exceeded", "job_signalled", "job_goes_on"})


def show(notice: Mapping[str, object]) -> str:
    """Show it; empty if that went well, else why not."""
    urgency = "critical" if notice["kind"] in _URGENT else "normal"
    argv = [
        "notify-send",
        "--app-name=FrugalWatch",
        f"--urgency={urgency}",
        "--",
        f"FrugalWatch: {notice['subject']}",
        str(notice["message"]),
    ]
    problem = run_limited(argv, b"", {}, limit_s=_LIMIT_S)
    return f"desktop: {problem}" if problem else ""
