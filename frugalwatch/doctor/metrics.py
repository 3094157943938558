"""The line of `doctor` about metrics: where they are served, or how to have them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from frugalwatch.config.settings import Settings
from frugalwatch.daemon.status import find_status
from frugalwatch.metrics.probing import answers, url

if TYPE_CHECKING:
    from frugalwatch.doctor.examine import Check


def metrics_check(settings: Settings, environ: Mapping[str, str]) -> Check:
    """A fault only where they were asked for and do not come."""
    from frugalwatch.doctor.examine import Check

    status = find_status(settings, environ, os.getuid())
    address = status.metrics or settings.metrics
    if address is None:
        return Check(
            "metrics",
            True,
            "none are served; `frugalwatch daemon run --metrics 127.0.0.1:9477` does",
        )
    if answers(address):
        return Check("metrics", True, f"{url(address)} answers")
    if not status.running:
        return Check("metrics", False, f"{url(address)}: no daemon runs", "frugalwatch daemon run")
    if status.metrics is None:
        return Check(
            "metrics",
            False,
            f"{url(address)} does not answer: the daemon was started before that was set",
            f"kill -HUP {status.pid or 'the daemon'}",
        )
    return Check(
        "metrics",
        False,
        f"{url(address)} does not answer; the daemon's own log says why",
        "frugalwatch daemon status",
    )
